"""Files that were taken but still lie in the inbox: a rescan must not offer them again.  Pure."""

from __future__ import annotations

from ocrd.inbox.settle import Fingerprint


class Admitted:
    """Remembers what each taken file looked like, for as long as rescans go on seeing it.

    `begin` and `end` enclose a rescan of the whole inbox; a path that no `knows` asked for in
    between has left it, and a file that later comes by the same name is a new one, even where it
    is the same inode moved back.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Fingerprint] = {}  # outside a rescan: all
        self._unseen: dict[str, Fingerprint] = {}  # during a rescan: those it has not met yet

    def __len__(self) -> int:
        return len(self._seen) + len(self._unseen)

    def add(self, path: str, taken: Fingerprint) -> None:
        """`path` was taken as it was when `taken` was seen."""
        self._unseen.pop(path, None)
        self._seen[path] = taken

    def knows(self, path: str, seen: Fingerprint) -> bool:
        """Whether what was just seen at `path` is what was taken."""
        before = self._unseen.pop(path, None)
        if before is not None:
            self._seen[path] = before
        return self._seen.get(path) == seen

    def drop(self, path: str) -> None:
        """`path` was touched or has gone: whatever lies there next is new."""
        self._unseen.pop(path, None)
        self._seen.pop(path, None)

    def begin(self) -> None:
        """A rescan of everything begins (an unfinished one before it counts for nothing)."""
        self.end(complete=False)
        self._unseen, self._seen = self._seen, {}

    def end(self, *, complete: bool) -> None:
        """The rescan is over; unless it saw every folder, what it did not meet is kept."""
        if not complete:
            self._seen.update(self._unseen)
        self._unseen = {}
