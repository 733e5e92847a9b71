"""Watches one inbox: the kernel's events for speed, looking through all of it for truth."""

from __future__ import annotations

import itertools
import stat
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ocrd.inbox.admitted import Admitted
from ocrd.inbox.conditions import Condition, unreadable
from ocrd.inbox.names import claimed_by, ignored, included
from ocrd.inbox.native import Hints
from ocrd.inbox.report import SHOWN, Candidate, WatchReport
from ocrd.inbox.root import Root
from ocrd.inbox.scan import Blocked, Sight, fingerprint, look, walk
from ocrd.inbox.settle import Fingerprint, Settler
from ocrd.inbox.source import Choice, EventSource

ROOT_LOOK_S = 1.0
"""How often the inbox itself is checked: there, readable, the same folder as before."""

POLL_S = 10.0
"""Where no events come, everything is looked through at least so often."""

SCAN_SHARE = 0.1
"""And looking takes at most this share of the time: a slow scan comes less often."""

EVENTS_LATE_S = 1.0
"""So much later an event may arrive: the two halves of a move are waited for, for instance."""

SUBSCANS = 64
"""With more folders than this waiting to be scanned, scanning everything is simpler."""


@dataclass(slots=True)
class _Scan:
    folder: str  # below the inbox; empty for all of it
    sights: Generator[Sight | Blocked, None, None]
    began: float
    blocked: list[Condition] = field(default_factory=list)


class FolderWatch:
    """Finds the files of one inbox and says when each has come to rest.

    One thread calls `start`, then `step` again and again, then `stop`; `hint`, `hinted`, `forget`,
    `healthy` and `report` may be called from any.  A step does a bounded piece of work;
    `report.busy` says that it left some undone.

    What becomes of a candidate is told by `forget` (it is recorded, be it as a job or as a failure:
    it is not offered again until it changes or is touched) or by `hint` (not now: let it come to
    rest again).  A candidate of which nothing is told is offered again after a minute.

    Args:
        root: The inbox; may be a symbolic link.
        settle_s: Seconds without any change that make a file complete.
        max_wait_s: Seconds after which a file that does not rest is reported as overdue.
        rescan_s: Seconds between looking through everything.
        include: Patterns, see `names.included`.
        ignore: Likewise.
        leave: Further files to leave alone, by their paths.
        kind: Whether to ask for the kernel's events; `auto` where the file system gives them.
        batch: How many files a step looks at.
        awaits_content: Whether an empty file may take longer than the settle time.
        memory: A file to remember in, over a restart, what share the inbox lay on.
        clock: Seconds, never stepping back.
    """

    def __init__(
        self,
        root: Path,
        *,
        settle_s: float = 5.0,
        max_wait_s: float = 3600.0,
        rescan_s: float = 60.0,
        include: Sequence[str] = (),
        ignore: Sequence[str] = (),
        leave: Callable[[str], bool] = lambda path: False,
        kind: Choice = "auto",
        batch: int = 2000,
        awaits_content: bool = True,
        memory: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.report = WatchReport()
        self._rescan_s = rescan_s
        self._include, self._ignore = tuple(include), tuple(ignore)
        self._leave = leave
        self._batch = batch
        self._clock = clock
        self._root = Root(root, memory)
        self._generation = 0
        self._hints = Hints()
        self._events = EventSource(self._hints, kind)
        self._settler = Settler(settle_s, max_wait_s, awaits_content=awaits_content)
        self._admitted = Admitted()
        self._taken: deque[Candidate] = deque()
        self._hidden: list[str] = []
        self._scans: deque[_Scan] = deque()
        self._scanned = 0
        self._seen_until = float("-inf")
        self._next_rescan = self._next_root_look = 0.0
        self._paused: Condition | None = None
        self._blocked: list[Condition] = []
        self._running = False

    def recall(self, known: Iterable[Candidate]) -> None:
        """Before `start`: files that were recorded in an earlier life, as they were then.

        Each is offered only if it looks different now; so a backlog need not be hashed again.
        """
        for path, seen in known:
            self._admitted.add(path, seen)

    def start(self) -> None:
        """Begin to watch.  An inbox that is not there is a condition, no error."""
        self._running = True
        self._next_root_look = float("-inf")
        self._check_root(self._clock())
        self._publish(self._clock())

    def stop(self) -> None:
        """Give watches and threads back."""
        self._running = False
        self._generation = 0
        self._events.close()
        self._abandon_scans()

    def healthy(self) -> bool:
        """Whether it runs, and every thread that it relies upon does, too."""
        return self._running and self._events.healthy()

    def hint(self, path: str) -> None:
        """Look at `path` (below the inbox, a file or a folder) and let it come to rest anew."""
        self._hints.add(path)

    def hinted(self) -> bool:
        """Whether a step has yet to heed hints or events."""
        return self._hints.pending()

    def forget(self, candidate: Candidate) -> None:
        """The candidate is recorded where it will not be lost; it need not be offered again."""
        self._taken.append(candidate)

    def waits(self, path: str) -> bool:
        """Whether a file was seen and is neither taken nor gone.  For the thread that steps."""
        return path in self._settler

    def unsettled(self) -> list[str]:
        """Files that have yet to come to rest.  For the thread that steps."""
        return list(self._settler.unsettled(self._clock()))

    def step(self) -> list[Candidate]:
        """Do what is due now.

        Returns:
            Files that have come to rest, each ready to be admitted.
        """
        now = self._clock()
        self._check_root(now)
        self._take_back()
        self._heed_hints(now)
        found: list[Candidate] = []
        if self._paused is None:
            self._plan_rescan(now)
            found = [*self._look_at_due(), *self._go_on_scanning()]
            if self._scanned and self._events.kind == "native" and not self._scans:
                self._seen_until = max(self._seen_until, now - EVENTS_LATE_S)
        self._publish(self._clock())
        return found

    def hidden(self) -> list[str]:
        """Originals under the hidden name of a claim, found since the last call by scans."""
        found, self._hidden = self._hidden, []
        return found

    # -- the inbox itself ---------------------------------------------------------------------

    def _check_root(self, now: float) -> None:
        if now < self._next_root_look and self._events.healthy():
            return
        self._next_root_look = now + ROOT_LOOK_S
        self._paused = self._root.check()
        if self._paused is not None:
            self._events.close()
            self._abandon_scans()
            self._generation = 0
        elif self._generation != self._root.generation:
            self._generation = self._root.generation
            self._abandon_scans()
            self._events.open(self._root.real, now)
            self._next_rescan = now
        elif self._events.mind(now):
            self._next_rescan = now

    # -- hints and answers --------------------------------------------------------------------

    def _take_back(self) -> None:
        while self._taken:
            path, seen = self._taken.popleft()
            if self._settler.forget(path, seen):
                self._admitted.add(path, seen)

    def _heed_hints(self, now: float) -> None:
        paths, lost = self._hints.take()
        if lost:
            self._next_rescan = now
        for path in paths:
            if not any(map(self._skipped, path.split("/"))):
                self._admitted.drop(path)
                self._settler.event(path, now)

    def _skipped(self, name: str) -> bool:
        return ignored(name, self._ignore)

    def _passed_by(self, name: str) -> bool:
        return self._skipped(name) and claimed_by(name) is None

    # -- looking ------------------------------------------------------------------------------

    def _look_at_due(self) -> Iterator[Candidate]:
        for path in self._settler.due(self._clock(), self._batch):
            try:
                found = look(self._root.real, path)
            except OSError:  # the next rescan reports it
                self._settler.postpone(path, self._clock())
                continue
            if found is not None and stat.S_ISDIR(found.st_mode):
                self._scan_below(path)
                found = None
            if found is not None:
                yield from self._saw(path, fingerprint(found))
            else:
                self._settler.observe(path, None, self._clock())
                self._admitted.drop(path)

    def _saw(self, path: str, seen: Fingerprint) -> Iterator[Candidate]:
        if claimed_by(path.rpartition("/")[2]) is not None:
            self._hidden.append(path)
        elif self._leave(path) or not included(path, self._include, self._ignore):
            self._settler.observe(path, None, self._clock())
        elif not self._admitted.knows(path, seen) and self._settler.observe(
            path, seen, self._clock()
        ):
            yield Candidate(path, seen)

    # -- scanning -----------------------------------------------------------------------------

    def _plan_rescan(self, now: float) -> None:
        if now >= self._next_rescan and not self._scans:
            self._next_rescan = float("inf")
            self._admitted.begin()
            self._scan(folder="")

    def _scan_below(self, folder: str) -> None:
        if len(self._scans) < SUBSCANS:
            self._scan(folder)
        else:
            self._next_rescan = self._clock()

    def _scan(self, folder: str) -> None:
        sights = walk(self._root.real, folder, self._passed_by)
        self._scans.append(_Scan(folder, sights, self._clock()))

    def _go_on_scanning(self) -> Iterator[Candidate]:
        for _ in range(self._batch):
            if not self._scans:
                return
            scan = self._scans[0]
            sight = next(scan.sights, None)
            if sight is None:
                self._scans.popleft()
                self._scan_done(scan)
            elif isinstance(sight, Blocked):
                path = f"{self._root.real}/{sight.path}"
                scan.blocked.append(unreadable(path, sight.error, pauses=False))
            else:
                yield from self._saw(sight.path, sight.seen)

    def _scan_done(self, scan: _Scan) -> None:
        if scan.folder:
            self._blocked += scan.blocked
            return
        now = self._clock()
        there = self._root.check() is None and self._root.generation == self._generation
        self._admitted.end(complete=there and not scan.blocked)
        self._blocked = scan.blocked
        self._scanned += 1
        self._seen_until = max(self._seen_until, scan.began)
        self._events.check_limit(now)
        often = self._rescan_s if self._events.kind == "native" else min(self._rescan_s, POLL_S)
        pause = max(often, (now - scan.began) / SCAN_SHARE)
        self._next_rescan = min(self._next_rescan, now + pause)

    def _abandon_scans(self) -> None:
        while self._scans:
            self._scans.popleft().sights.close()
        self._admitted.end(complete=False)

    # -- reporting ----------------------------------------------------------------------------

    def _publish(self, now: float) -> None:
        conditions = (self._paused, self._events.condition, *self._blocked)
        self.report = WatchReport(
            kind=self._events.kind,
            waiting=len(self._settler),
            oldest_s=self._settler.oldest(now),
            overdue=tuple(itertools.islice(self._settler.overdue(now), SHOWN)),
            conditions=tuple(found for found in conditions if found is not None)[:SHOWN],
            scans=self._scanned,
            seen_until=self._seen_until,
            busy=self._paused is None and (bool(self._scans) or self._settler.pending(now)),
        )
