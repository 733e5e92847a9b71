"""When is a file complete?  Pure: time is a parameter, and somebody else looks at the disk.

Scanners close a file after each page and reopen it seconds later; copies pause; shares deliver in
gusts.  So a file is complete when, over the settle time, no event told of it and two looks at it,
one at either end of it, saw the same size, modification time and inode.

Times are seconds of one clock that only goes forward (`time.monotonic`): a wall clock that is set
during a copy would end the settle time at once.  Should time step back all the same, files wait
longer, never shorter.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Fingerprint(NamedTuple):
    """What a look at a path saw; any write changes it.

    Attributes:
        size: Bytes.
        mtime_ns: Modification time, nanoseconds since the epoch.
        inode: Inode number.
        regular: Whether it is a regular file; a link, FIFO or device has no size to wait for.
    """

    size: int
    mtime_ns: int
    inode: int
    regular: bool = True

    @property
    def empty(self) -> bool:
        """Whether this is a file without content: a scanner's placeholder, or a failed scan."""
        return self.regular and self.size == 0


class Waiting(NamedTuple):
    """A file that has been seen and not been taken yet.

    Attributes:
        path: As it was given.
        age: Seconds since it was first seen.
        size: Bytes at the last look; None before the first.
    """

    path: str
    age: float
    size: int | None


@dataclass(slots=True)
class _Entry:
    since: float  # first seen
    due: float  # when to look again
    seen: Fingerprint | None  # None: an event came, so the next look begins the settle time anew
    complete: bool = False


class Settler:
    """Decides which files are complete.

    `event` and `observe` tell it what happens; `due` says which paths to look at next; `observe`
    answers True for a file that is complete.  That file goes on waiting until `forget`: when
    whoever was told of it has not taken it within `reoffer_s`, it is told again, so that nothing
    is lost between here and there.

    A file that never rests is never complete: it waits, and after `max_wait_s` it is `overdue`.
    An empty file waits quietly for its content; one that is still empty and untouched after
    `max_wait_s` counts as complete, so that its emptiness is stated and not waited out for ever.
    Without `awaits_content` it settles like any other.

    A step costs O(log n) for each path concerned and nothing for the others.

    Args:
        settle_s: Seconds without any change.
        max_wait_s: Seconds after which a file that still waits is overdue.
        reoffer_s: Seconds after which a complete file that nobody took is offered again.
        awaits_content: Whether an empty file may take longer than the settle time.
    """

    def __init__(
        self,
        settle_s: float,
        max_wait_s: float,
        reoffer_s: float = 60.0,
        *,
        awaits_content: bool = True,
    ) -> None:
        self._settle_s = settle_s
        self._max_wait_s = max_wait_s
        self._reoffer_s = reoffer_s
        self._awaits_content = awaits_content
        self._entries: dict[str, _Entry] = {}  # in the order in which they were first seen
        self._heap: list[tuple[float, str]] = []  # (due, path); stale where an entry says otherwise

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def event(self, path: str, now: float) -> None:
        """Something was done to `path`: look at it now, and let the settle time begin anew."""
        entry = self._entries.get(path)
        if entry is None:
            entry = self._entries[path] = _Entry(now, now, None)
        entry.seen, entry.complete = None, False
        self._look_at(path, entry, now)

    def observe(self, path: str, seen: Fingerprint | None, now: float) -> bool:
        """A look at `path` at the time `now` saw `seen`; None when nothing is there.

        Returns:
            Whether the file is complete, and its turn to be offered has come.
        """
        entry = self._entries.get(path)
        if seen is None:
            self._entries.pop(path, None)
            return False
        if entry is None:
            entry = self._entries[path] = _Entry(now, now, None)
        if seen != entry.seen:
            entry.seen, entry.complete = seen, False
            rest = now + self._settle_s
            awaited = seen.empty and self._awaits_content
            patience = entry.since + self._max_wait_s if awaited else rest
            self._look_at(path, entry, max(rest, patience))
            return False
        if now < entry.due:
            return False
        entry.complete = True
        self._look_at(path, entry, now + self._reoffer_s)
        return True

    def postpone(self, path: str, now: float) -> None:
        """`path` could not be looked at (an I/O error, no permission): look again later."""
        entry = self._entries.get(path)
        if entry is not None:
            self._look_at(path, entry, now + max(self._settle_s, 1.0))

    def forget(self, path: str, taken: Fingerprint) -> bool:
        """Stop waiting for `path`: what it was when `taken` was seen has been dealt with.

        Returns:
            False, and the path goes on waiting, when it has changed or been touched since.
        """
        entry = self._entries.get(path)
        if entry is None or entry.seen != taken:
            return False
        del self._entries[path]
        return True

    def due(self, now: float, limit: int | None = None) -> list[str]:
        """Paths to be looked at now, those waiting longest for it first, at most `limit`.

        Each is named once: `observe` or `postpone` must follow.
        """
        paths: dict[str, None] = {}  # two events in one instant make two equal entries of the heap
        while self._heap and self._heap[0][0] <= now and (limit is None or len(paths) < limit):
            when, path = heapq.heappop(self._heap)
            entry = self._entries.get(path)
            if entry is not None and entry.due == when:
                paths[path] = None
        return list(paths)

    def pending(self, now: float) -> bool:
        """Whether `due` may have something to say now."""
        return bool(self._heap) and self._heap[0][0] <= now

    def oldest(self, now: float) -> float | None:
        """Seconds that the longest-waiting file has waited; None when none waits."""
        first = next(iter(self._entries.values()), None)
        return None if first is None else now - first.since

    def waiting(self, now: float) -> Iterator[Waiting]:
        """Every file that waits, the longest-waiting first."""
        for path, entry in self._entries.items():
            yield Waiting(path, now - entry.since, entry.seen.size if entry.seen else None)

    def overdue(self, now: float) -> Iterator[Waiting]:
        """Files that have waited for `max_wait_s` and longer; costs nothing for the others."""
        for waiting in self.waiting(now):
            if waiting.age < self._max_wait_s:
                return
            yield waiting

    def unsettled(self, now: float) -> Iterator[str]:
        """Files that have yet to come to rest; not those of which that is no longer expected."""
        for path, entry in self._entries.items():
            if not entry.complete and now - entry.since < self._max_wait_s:
                yield path

    def _look_at(self, path: str, entry: _Entry, when: float) -> None:
        entry.due = when
        heapq.heappush(self._heap, (when, path))
        if len(self._heap) > 4 * len(self._entries) + 64:
            self._heap = [(entry.due, path) for path, entry in self._entries.items()]
            heapq.heapify(self._heap)
