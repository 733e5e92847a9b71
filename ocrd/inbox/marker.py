"""Done markers: small files, each of which says that the file beside it is complete."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable, Container, Iterator
from pathlib import Path, PurePosixPath

from ocrd.config.names import OF_MARKERS
from ocrd.files import Disk
from ocrd.inbox.settle import Candidate

LOOK_S = 1.0
"""Seconds between looks for markers."""

LOOK_SHARE = 0.1
"""The largest share of the time spent looking for markers."""


class Marker:
    """The name of a file's marker.

    Args:
        template: A folder's `done_marker`, with `{name}`, the whole name of the file, or `{stem}`,
            the name without its extension.  For a joined document, which has no extension, both are
            its whole name.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        literals = OF_MARKERS.split(template)[::2]
        self._is_one = re.compile(".+".join(map(re.escape, literals)), re.DOTALL).fullmatch

    def of(self, path: str, *, document: bool = False) -> str:
        """The path of the marker that belongs to `path`, in the same folder."""
        folder, slash, name = path.rpartition("/")
        words = {"name": name, "stem": name if document else PurePosixPath(name).stem}
        return folder + slash + OF_MARKERS.sub(lambda field: words[field[1]], self._template)

    def is_one(self, path: str) -> bool:
        """Whether a file of this name is a marker, not a document."""
        return self._is_one(path.rpartition("/")[2]) is not None


class Marks:
    """Holds files that wait for their marker, and looks for the markers periodically.

    It relies on no events: the marker's name may be one that the watch ignores.
    """

    def __init__(
        self, root: Path, disk: Disk, marker: Marker, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.marker = marker
        self._root = root
        self._disk = disk
        self._clock = clock
        self._waiting: dict[str, Candidate] = {}
        self._new: set[str] = set()  # files whose marker has not been looked for yet
        self._next_look = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, path: str) -> bool:
        return path in self._waiting

    def __iter__(self) -> Iterator[str]:
        """The paths of the files that wait."""
        return iter(self._waiting)

    def add(self, candidate: Candidate) -> None:
        """Hold a file that has settled."""
        self._waiting[candidate.path] = candidate
        self._new.add(candidate.path)

    def keep(self, waiting: Container[str]) -> None:
        """Drop every file that is not in `waiting`: it no longer waits to be taken."""
        self._waiting = {path: each for path, each in self._waiting.items() if path in waiting}
        self._new &= self._waiting.keys()

    def due(self) -> bool:
        """Whether it is time to look for all markers."""
        return self._clock() >= self._next_look

    def take(self) -> list[Candidate]:
        """Look for all markers if it is time, otherwise only for those of new files.

        Returns:
            The files that have their marker; they are no longer held.
        """
        began, due = self._clock(), self.due()
        looked = list(self._waiting) if due else list(self._new)
        self._new.clear()
        found = [self._waiting[path] for path in looked if self._lies(self.marker.of(path))]
        for each in found:
            del self._waiting[each.path]
        if due:
            took = self._clock() - began
            self._next_look = began + max(LOOK_S, took / LOOK_SHARE)
        return found

    def of_document(self, name: str) -> bool:
        """Whether the marker of a joined document exists."""
        return self._lies(self.marker.of(name, document=True))

    def _lies(self, marker: str) -> bool:
        try:
            found = self._disk.lstat(self._root / marker)
        except OSError:  # not readable now: treated as missing
            return False
        return found is not None and stat.S_ISREG(found.st_mode)
