"""Documents that stay open between the pages that are asked for."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import BinaryIO, Generic, TypeVar

from ocrd.errors import PlaceError

T = TypeVar("T")


def unreadable(error: OSError) -> PlaceError:
    """Reading failed for a reason that is the disk's or the share's, not the file's."""
    return PlaceError(
        f"The file cannot be read: {os.strerror(error.errno or 0)}.",
        hint="Look at the disk or the share it lies on, and at its permissions.",
        kind="unreadable",
    )


class OpenDocuments(Generic[T]):
    """Documents kept open between calls, so that page 3,000 does not wait for pages 1 to 2,999.

    Args:
        size: How many; the one not used for longest goes first.
        close: Gives one back.
    """

    def __init__(self, size: int, close: Callable[[T], None]) -> None:
        self._size = size
        self._close = close
        self._open: OrderedDict[tuple[int, ...], T] = OrderedDict()

    def get(self, file: BinaryIO, opener: Callable[[BinaryIO], T]) -> T:
        """The document in `file`: the one that is open if the file has not changed since."""
        key = _identity(file)
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        while len(self._open) >= self._size:
            self._close(self._open.popitem(last=False)[1])
        self._open[key] = opener(file)
        return self._open[key]

    def drop(self, file: BinaryIO) -> None:
        """Close the document in `file` if it is open."""
        document = self._open.pop(_identity(file), None)
        if document is not None:
            self._close(document)


def _identity(file: BinaryIO) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
