"""When is a file complete?  Pure: time is a parameter, and somebody else looks at the disk.

Scanners close a file after each page and reopen it seconds later; copies pause; shares deliver in
gusts.  So a file is complete when, over its time of rest, no event told of it and two looks at it,
one at either end of it, saw the same size, modification time and inode.

How long it must rest depends on what was heard of it.  What got its name by a rename or a link is
whole.  What was written and closed once may be so: it is offered sooner, as one that needs proof
that nobody has it open.  Everything else rests for the settle time.

Times are seconds of one clock that only goes forward (`time.monotonic`): a wall clock that is set
during a copy would end the settle time at once.  Should time step back all the same, files wait
longer, never shorter.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ocrd.files import FileFacts

WHOLE_S = 0.1
"""What was renamed or linked in rests so long: time for an event that says it is being written."""

_GROWING = (".tif", ".tiff")  # scanners append page after page to these, closing them in between


class Sign(enum.Enum):
    """What was heard of a path."""

    LOOK = "something happened there"
    CREATED = "the name is new: by a link, unless it is written next"
    WRITTEN = "somebody writes"
    CLOSED = "somebody who wrote has closed it"
    MOVED = "it was renamed to this"


class Candidate(NamedTuple):
    """A file that has come to rest.

    Attributes:
        path: Below the inbox, `os.fsdecode`d.
        seen: What it looked like all the while it rested.
        unproven: Whether it rested for less than the settle time, so that it must be proven that
            nobody has it open.
    """

    path: str
    seen: FileFacts
    unproven: bool = False


@dataclass(slots=True)
class _Entry:
    since: float  # first seen
    due: float  # when to look again
    rest: float  # how long it must look the same
    seen: FileFacts | None = None  # None: an event came, so the next look begins the rest anew
    changed: float = 0.0  # when it began to look as it does
    closed: int = 0  # how often
    complete: bool = False
    taken: bool = False  # it was, before something happened to it


class Settler:
    """Decides which files are complete, and remembers which of them were taken.

    `event` and `observe` tell it what happens; `due` says which paths to look at next; `observe`
    gives the candidate that a complete file is.  That file goes on waiting until `taken`: when
    whoever was told of it has not taken it within `reoffer_s`, it is told again, so that nothing
    is lost between here and there.  A taken file is not offered again until it looks different or
    an event tells of it; `begin_scan` and `end_scan` enclose a look at everything, and what that
    does not meet has left: a file that comes by its name is a new one.

    A file that never rests is never complete: it waits, and after `max_wait_s` it is `overdue`.
    A file whose content is awaited waits quietly for it; after `max_wait_s` it counts as complete,
    so that its emptiness is stated and not waited out for ever.

    A step costs O(log n) for each path concerned and nothing for the others.

    Args:
        settle_s: Seconds without any change.
        max_wait_s: Seconds after which a file that still waits is overdue.
        closed_s: The same as `settle_s`, for a file that was written and closed once.
        reoffer_s: Seconds after which a complete file that nobody took is offered again.

    Attributes:
        left: Taken files that are no longer there; whoever reads it empties it.
    """

    def __init__(
        self,
        settle_s: float,
        max_wait_s: float,
        *,
        closed_s: float | None = None,
        reoffer_s: float = 60.0,
    ) -> None:
        self.left: list[str] = []
        self._settle_s = settle_s
        self._closed_s = settle_s if closed_s is None else min(closed_s, settle_s)
        self._max_wait_s = max_wait_s
        self._reoffer_s = reoffer_s
        self._entries: dict[str, _Entry] = {}  # in the order in which they were first seen
        self._heap: list[tuple[float, str]] = []  # (due, path); stale where an entry says otherwise
        self._taken: dict[str, tuple[FileFacts, int]] = {}  # and the last scan that met it
        self._scan = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def __iter__(self) -> Iterator[str]:
        """The files that wait, the longest-waiting first."""
        return iter(self._entries)

    # -- what happens -------------------------------------------------------------------------

    def event(self, path: str, now: float, sign: Sign = Sign.LOOK) -> None:
        """Something was done to `path`: look at it now, and let its rest begin anew."""
        entry = self._entries.setdefault(path, _Entry(now, now, self._settle_s))
        entry.taken |= self._taken.pop(path, None) is not None
        entry.rest = self._rest_after(sign, path, entry)
        entry.seen, entry.complete = None, False
        self._look_at(path, entry, now)

    def _rest_after(self, sign: Sign, path: str, entry: _Entry) -> float:
        if sign in (Sign.CREATED, Sign.MOVED):
            return min(WHOLE_S, self._settle_s)
        if sign is Sign.CLOSED:
            entry.closed += 1
            if entry.closed == 1 and not path.lower().endswith(_GROWING):
                return self._closed_s
        return self._settle_s

    def observe(
        self, path: str, seen: FileFacts | None, now: float, *, awaited: bool = False
    ) -> Candidate | None:
        """A look at `path` at the time `now` saw `seen`; None when nothing is there.

        Args:
            path: Below the inbox.
            seen: What is there.
            now: The time.
            awaited: Whether content is yet to come.

        Returns:
            The file, when it is complete and its turn to be offered has come.
        """
        if seen is None:
            self._gone(path)
            return None
        if self._is_taken(path, seen):
            return None
        entry = self._entries.setdefault(path, _Entry(now, now, self._settle_s))
        if seen != entry.seen:
            if entry.seen is not None:  # it changed, and no event told of it
                entry.rest = self._settle_s
            entry.seen, entry.changed, entry.complete = seen, now, False
            patience = entry.since + self._max_wait_s if awaited else now
            self._look_at(path, entry, max(now + entry.rest, patience))
        elif now >= entry.due:
            entry.complete = True
            self._look_at(path, entry, now + self._reoffer_s)
            sooner = entry.closed == 1 and entry.rest == self._closed_s < self._settle_s
            return Candidate(path, seen, unproven=sooner)
        return None

    def doubt(self, path: str, now: float) -> None:
        """Nobody can tell whether it is closed: it rests for the whole settle time after all."""
        entry = self._entries.get(path)
        if entry is not None:
            entry.rest, entry.complete = self._settle_s, False
            self._look_at(path, entry, max(now, entry.changed + self._settle_s))

    def postpone(self, path: str, now: float) -> None:
        """`path` could not be looked at (an I/O error, no permission): look again later."""
        entry = self._entries.get(path)
        if entry is not None:
            self._look_at(path, entry, now + max(self._settle_s, 1.0))

    # -- what was taken -----------------------------------------------------------------------

    def taken(self, candidate: Candidate) -> None:
        """Stop waiting: what was seen has been recorded where it will not be lost.

        One that has changed or been touched since goes on waiting.
        """
        entry = self._entries.get(candidate.path)
        if entry is not None and entry.seen == candidate.seen:
            del self._entries[candidate.path]
            self._taken[candidate.path] = candidate.seen, self._scan

    def recall(self, known: Iterable[tuple[str, FileFacts]]) -> None:
        """Files that were taken in an earlier life, as they were then."""
        self._taken.update((path, (seen, self._scan)) for path, seen in known)

    def begin_scan(self) -> None:
        """A look at everything begins."""
        self._scan += 1

    def end_scan(self) -> None:
        """It is over and saw every folder: taken files that it did not meet have left."""
        for path in [path for path, (_, met) in self._taken.items() if met < self._scan]:
            self._gone(path)

    def _is_taken(self, path: str, seen: FileFacts) -> bool:
        taken = self._taken.get(path)
        if taken is None:
            return False
        if taken[0] == seen:
            self._taken[path] = seen, self._scan
            return True
        del self._taken[path]
        return False

    def _gone(self, path: str) -> None:
        entry, taken = self._entries.pop(path, None), self._taken.pop(path, None)
        if taken is not None or (entry is not None and entry.taken):
            self.left.append(path)

    # -- what waits ---------------------------------------------------------------------------

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

    def next_due(self) -> float:
        """When `due` may have something to say; infinity while nothing waits."""
        return self._heap[0][0] if self._heap else float("inf")

    def overdue(self, now: float) -> Iterator[str]:
        """Files that have waited for `max_wait_s` and longer; costs nothing for the others."""
        for path, entry in self._entries.items():
            if now - entry.since < self._max_wait_s:
                return
            yield path

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
