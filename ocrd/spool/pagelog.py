"""The finished pages of a running job: a line each, which is there whole or not at all.

A line is the length of the JSON and its CRC-32, eight hex digits each, then the JSON; the parts are
separated by a space.  The first line names the recipe that made the pages.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ocrd.files import Disk

_HEADER = 18
_RECIPE = "recipe"


class PageLog:
    """One job's `pages.jsonl`.  Only its worker writes it, from one thread at a time.

    Args:
        path: Where it is.
        disk: The system calls.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        self._end: int | None = None  # of what is whole, once that is known

    def begin(self, recipe: str) -> None:
        """Keep what this recipe made before; what another one made goes."""
        lines = self._lines()
        if next(lines, (0, {}))[1].get(_RECIPE) != recipe:
            self._end = 0
            self.append({_RECIPE: recipe})

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a page."""
        if self._end is None:
            self._end = max((end for end, _ in self._lines()), default=0)
        content = json.dumps(record, separators=(",", ":")).encode()
        line = b"%08x %08x %s\n" % (len(content), zlib.crc32(content), content)
        self._disk.append(self._path, line, self._end)
        self._end += len(line)

    def records(self) -> Iterator[dict[str, Any]]:
        """The pages in the order they were added; what a crash has torn ends them."""
        for _end, record in self._lines():
            if _RECIPE not in record:
                yield record

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each whole line, and where it ends."""
        if self._disk.lstat(self._path) is None:
            return
        with self._disk.open(self._path) as file:
            while (record := _record(file.readline())) is not None:
                yield file.tell(), record


def _record(line: bytes) -> dict[str, Any] | None:
    """What a line holds; None if it is torn or is none of ours."""
    header, content = line[:_HEADER], line[_HEADER:-1]
    if header != b"%08x %08x " % (len(content), zlib.crc32(content)) or line[-1:] != b"\n":
        return None
    record = json.loads(content)
    return record if isinstance(record, dict) else None
