"""Done markers: a small file that says that the one beside it is complete."""

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
"""How often markers are looked for."""

LOOK_SHARE = 0.1
"""And looking takes at most this share of the time."""


class Marker:
    """How the marker of a file is called.

    Args:
        template: A folder's `done_marker`, with `{name}`, the whole name of the file, or `{stem}`,
            the same without its extension.  The name of a joined document has none.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        literals = OF_MARKERS.split(template)[::2]
        self._is_one = re.compile(".+".join(map(re.escape, literals)), re.DOTALL).fullmatch

    def of(self, path: str, *, document: bool = False) -> str:
        """The path of the marker that belongs to `path`: it lies in the same folder."""
        folder, slash, name = path.rpartition("/")
        words = {"name": name, "stem": name if document else PurePosixPath(name).stem}
        return folder + slash + OF_MARKERS.sub(lambda field: words[field[1]], self._template)

    def is_one(self, path: str) -> bool:
        """Whether a file of this name is a marker, and no document."""
        return self._is_one(path.rpartition("/")[2]) is not None


class Marks:
    """Files that wait for their marker, and looks for it now and then.

    No event need tell of a marker: its name may be one that the watch leaves alone.
    """

    def __init__(
        self, root: Path, disk: Disk, marker: Marker, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.marker = marker
        self._root = root
        self._disk = disk
        self._clock = clock
        self._waiting: dict[str, Candidate] = {}
        self._new: set[str] = set()  # those whose markers nobody has looked for yet
        self._next_look = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, path: str) -> bool:
        return path in self._waiting

    def __iter__(self) -> Iterator[str]:
        """The paths of the files that wait."""
        return iter(self._waiting)

    def add(self, candidate: Candidate) -> None:
        """This file has come to rest."""
        self._waiting[candidate.path] = candidate
        self._new.add(candidate.path)

    def keep(self, waiting: Container[str]) -> None:
        """Drop those that do not wait to be taken any more."""
        self._waiting = {path: each for path, each in self._waiting.items() if path in waiting}
        self._new &= self._waiting.keys()

    def due(self) -> bool:
        """Whether it is time to look for all of them."""
        return self._clock() >= self._next_look

    def take(self) -> list[Candidate]:
        """Look, or only for the markers of new files until it is time to look for all.

        Returns:
            The files that are marked, which wait no more.
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
        """Whether the marker of a joined document lies there."""
        return self._lies(self.marker.of(name, document=True))

    def _lies(self, marker: str) -> bool:
        try:
            found = self._disk.lstat(self._root / marker)
        except OSError:  # not to be told now: not there
            return False
        return found is not None and stat.S_ISREG(found.st_mode)
