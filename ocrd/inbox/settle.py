"""Decides when a file is complete.  Pure: time is a parameter, and the caller looks at the disk.

Scanners close a file after each page and reopen it seconds later; copies pause; shares deliver in
bursts.  So a file is complete when no event for it arrived during its rest time and two looks at
it, at the start and at the end of that time, saw the same size, modification time and inode.

How long it must rest depends on the events seen.  A file that was renamed or linked into place is
whole.  A file that was written and closed once may be whole: it is offered sooner, marked as
needing proof that no process has it open.  Every other file rests for the settle time.

Times are seconds of a monotonic clock (`time.monotonic`): a wall clock that is set during a copy
would end the settle time immediately.  Should the clock step back all the same, files wait longer,
never shorter.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ocrd.files import FileFacts

WHOLE_S = 0.1
"""Seconds that a renamed or linked file rests: an event may yet show that it is being written."""

_GROWING = (".tif", ".tiff")  # scanners append page after page to these, closing them in between


class Sign(enum.Enum):
    """What an event says about a path."""

    LOOK = "something happened there"
    CREATED = "the name is new: by a link, unless it is written next"
    WRITTEN = "somebody writes"
    CLOSED = "somebody who wrote has closed it"
    MOVED = "it was renamed to this"


class Candidate(NamedTuple):
    """A file that has settled.

    Attributes:
        path: Below the inbox, `os.fsdecode`d.
        seen: How it looked for the whole of its rest time.
        unproven: Whether it rested for less than the settle time, so that the caller must prove
            that no process has it open.
    """

    path: str
    seen: FileFacts
    unproven: bool = False


@dataclass(slots=True)
class _Entry:
    since: float  # first seen
    due: float  # when to look again
    rest: float  # how long it must look the same, seconds
    seen: FileFacts | None = None  # None: an event came, so the next look restarts the rest time
    changed: float = 0.0  # when it began to look as in `seen`
    closed: int = 0  # how often a writer has closed it
    complete: bool = False
    taken: bool = False  # whether it had been taken before the event that reopened it


class Settler:
    """Decides which files are complete, and remembers which of them were taken.

    The caller reports events with `event` and looks with `observe`; `due` says which paths to look
    at next; `observe` returns the candidate once a file is complete.  That file keeps waiting until
    `taken`: if the caller has not taken it within `reoffer_s`, it is offered again, so that no file
    is lost in the handover.  A taken file is not offered again until it looks different or an event
    arrives for it.  `begin_scan` and `end_scan` enclose a scan of the whole inbox; taken files that
    the scan does not meet have left, and a file that appears under such a name later is a new one.

    A file that never rests is never complete: it waits, and after `max_wait_s` it is `overdue`.  A
    file whose content is still awaited is not offered before `max_wait_s` has passed; then it
    counts as complete, so that an empty file is reported instead of waiting for ever.

    A step costs O(log n) for each path concerned and nothing for the others.

    Args:
        settle_s: Seconds without any change.
        max_wait_s: Seconds after which a file that still waits is overdue.
        closed_s: Rest time in seconds of a file that was written and closed once; at most, and by
            default, `settle_s`.
        reoffer_s: Seconds after which a complete file that has not been taken is offered again.

    Attributes:
        left: Taken files that are no longer there; the reader empties the list.
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
        self._heap: list[tuple[float, str]] = []  # (due, path); may be outdated
        self._taken: dict[str, tuple[FileFacts, int]] = {}  # and the last scan that met it
        self._scan = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def __iter__(self) -> Iterator[str]:
        """The waiting files, in the order in which they were first seen."""
        return iter(self._entries)

    # -- what happens -------------------------------------------------------------------------

    def event(self, path: str, now: float, sign: Sign = Sign.LOOK) -> None:
        """Report an event for `path`: it is looked at now, and its rest time restarts."""
        entry = self._entries.setdefault(path, _Entry(now, now, self._settle_s))
        entry.taken |= self._taken.pop(path, None) is not None
        entry.closed += sign is Sign.CLOSED
        entry.rest = self._settle_s
        if sign in (Sign.CREATED, Sign.MOVED):
            entry.rest = min(WHOLE_S, self._settle_s)
        elif sign is Sign.CLOSED and entry.closed == 1 and not path.lower().endswith(_GROWING):
            entry.rest = self._closed_s
        entry.seen, entry.complete = None, False
        self._look_at(path, entry, now)

    def observe(
        self, path: str, seen: FileFacts | None, now: float, *, awaited: bool = False
    ) -> Candidate | None:
        """Report what a look at `path` saw at the time `now`.

        Args:
            path: Below the inbox.
            seen: How the file looks; None when it is not there.
            now: The time.
            awaited: Whether the file's content is yet to come.

        Returns:
            The file, if it is complete and due to be offered.
        """
        if seen is None:
            self._gone(path)
            return None
        taken = self._taken.pop(path, None)
        if taken is not None and taken[0] == seen:
            self._taken[path] = seen, self._scan
            return None
        entry = self._entries.setdefault(path, _Entry(now, now, self._settle_s))
        if seen != entry.seen:
            if entry.seen is not None:  # it changed without an event
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
        """Make the file rest for the whole settle time: no lease can prove that it is closed."""
        entry = self._entries.get(path)
        if entry is not None:
            entry.rest, entry.complete = self._settle_s, False
            self._look_at(path, entry, max(now, entry.changed + self._settle_s))

    def postpone(self, path: str, now: float) -> None:
        """Look at `path` again later: it could not be looked at (I/O error, no permission)."""
        entry = self._entries.get(path)
        if entry is not None:
            self._look_at(path, entry, now + max(self._settle_s, 1.0))

    # -- what was taken -----------------------------------------------------------------------

    def taken(self, candidate: Candidate) -> None:
        """Stop waiting for a file: it is recorded where it cannot be lost.

        A file that has changed or had an event since keeps waiting.
        """
        entry = self._entries.get(candidate.path)
        if entry is not None and entry.seen == candidate.seen:
            del self._entries[candidate.path]
            self._taken[candidate.path] = candidate.seen, self._scan

    def recall(self, known: Iterable[tuple[str, FileFacts]]) -> None:
        """Restore the files that were taken before a restart, with their looks at that time."""
        self._taken.update((path, (seen, self._scan)) for path, seen in known)

    def begin_scan(self) -> None:
        """Mark the start of a scan of the whole inbox."""
        self._scan += 1

    def end_scan(self) -> None:
        """Mark the end of a complete scan: taken files that it did not meet have left."""
        for path in [path for path, (_, met) in self._taken.items() if met < self._scan]:
            self._gone(path)

    def _gone(self, path: str) -> None:
        entry, taken = self._entries.pop(path, None), self._taken.pop(path, None)
        if taken is not None or (entry is not None and entry.taken):
            self.left.append(path)

    # -- what waits ---------------------------------------------------------------------------

    def due(self, now: float, limit: int | None = None) -> list[str]:
        """Paths to look at now, the longest due first, at most `limit`.

        Each is returned once: the caller must follow with `observe` or `postpone`.
        """
        paths: dict[str, None] = {}  # two events in one instant make equal heap entries
        while self._heap and self._heap[0][0] <= now and (limit is None or len(paths) < limit):
            when, path = heapq.heappop(self._heap)
            entry = self._entries.get(path)
            if entry is not None and entry.due == when:
                paths[path] = None
        return list(paths)

    def next_due(self) -> float:
        """When `due` may next return a path; infinity while nothing waits."""
        return self._heap[0][0] if self._heap else float("inf")

    def overdue(self, now: float) -> Iterator[str]:
        """Files that have waited for at least `max_wait_s`; the others cost nothing."""
        for path, entry in self._entries.items():
            if now - entry.since < self._max_wait_s:
                return
            yield path

    def unsettled(self, now: float) -> Iterator[str]:
        """Files that have yet to settle, except those that have waited for `max_wait_s`."""
        for path, entry in self._entries.items():
            if not entry.complete and now - entry.since < self._max_wait_s:
                yield path

    def _look_at(self, path: str, entry: _Entry, when: float) -> None:
        entry.due = when
        heapq.heappush(self._heap, (when, path))
        if len(self._heap) > 4 * len(self._entries) + 64:
            self._heap = [(entry.due, path) for path, entry in self._entries.items()]
            heapq.heapify(self._heap)
