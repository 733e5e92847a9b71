"""Watches one inbox: kernel events for speed, scans of the whole inbox for truth."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ocrd.config import Folder
from ocrd.files import Disk
from ocrd.inbox.conditions import limited, locked, unreadable, unwatched
from ocrd.inbox.inotify import Event, Inotify
from ocrd.inbox.root import Root
from ocrd.inbox.scan import Blocked, Sight, walk
from ocrd.inbox.settle import Candidate, Settler, Sign
from ocrd.job import Cause
from ocrd.mounts import WatchKind
from ocrd.names import claimed_by, ignored, included, is_draft

ROOT_LOOK_S = 1.0  # seconds between checks of the inbox itself: exists, readable, the same folder
POLL_S = 10.0  # without events, the inbox is scanned at least so often …
SCAN_SHARE = 0.1  # … but scanning takes at most this share of the time
EVENTS_LATE_S = 0.2  # seconds; the longest delay of an event
LIMIT_AGAIN_S = 600.0  # seconds before events are requested again: limits are seldom raised
SUBSCANS = 64  # with more folders than this to scan, scanning everything is simpler
SHOWN = 100  # the most overdue files and conditions reported
DRAFT_S = 86400.0  # a hidden copy of `ocrd submit` older than this was left behind by a kill


@dataclass(slots=True)
class _Scan:
    folder: str  # below the inbox; empty for all of it
    sights: Generator[Sight | Blocked, None, None]
    began: float
    spent: float = 0.0  # seconds spent looking
    blocked: list[Cause] = field(default_factory=list)
    locked: list[Cause] = field(default_factory=list)
    checked: str = ""  # the last folder whose permissions were checked


class Watcher:
    """Finds the files of one inbox and reports when each has settled.

    One thread steps it and passes it events; `hint`, `hints` and `paused` may be used from any
    thread.  A step does a bounded amount of work; `busy` says whether some is left.

    The caller reports the fate of a candidate with `settler.taken` (recorded, as a job or as a
    failure) or with `hint` (not now: let it settle again).

    Args:
        folder: The folder: its inbox, which files in it are documents, and their rest times.
        disk: Knows the inbox as a tree.
        rescan_s: Seconds between scans of the whole inbox.
        leave: Says of a path whether to ignore the file, in addition to the folder's patterns.
        batch: The most files that a step looks at.
        awaits_content: Whether an empty file may take longer than the settle time.
        memory: The file that keeps, over a restart, which share the inbox lay on.
        clock: Monotonic, seconds.

    Attributes:
        paused: Why no file is taken from the inbox; None when files are taken.
        hints: Paths that the next step is to look at again.
        scans: Number of scans of the whole inbox since the start.
        seen_until: Everything that arrived before this moment (of `clock`) has been seen; minus
            infinity before the first scan of the whole inbox.
        hidden: Originals under the hidden name of a claim, found by scans; the reader empties the
            list.
    """

    def __init__(
        self,
        folder: Folder,
        disk: Disk,
        *,
        rescan_s: float = 60.0,
        leave: Callable[[str], bool] = lambda path: False,
        batch: int = 2000,
        awaits_content: bool = True,
        memory: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.paused: Cause | None = None
        self.scans = 0
        self.seen_until = float("-inf")
        self.hidden: list[str] = []
        self.root = Root(folder.inbox, memory)
        self.settler = Settler(folder.settle_s, folder.max_wait_s, closed_s=folder.closed_s)
        self._folder = folder
        self._disk = disk
        self._rescan_s = rescan_s
        self._leave = leave
        self._batch = batch
        self._awaits_content = awaits_content
        self._clock = clock
        self._lock = threading.Lock()
        self.hints: set[str] = set()
        self._inotify: Inotify | None = None
        self._no_events: Cause | None = None  # why there are no events although there should be
        self._ask_again = float("-inf")
        self._generation = 0
        self._under_way: deque[_Scan] = deque()
        self._next_rescan = self._next_root_look = float("-inf")
        self._blocked: list[Cause] = []

    # -- from other threads -------------------------------------------------------------------

    def hint(self, path: str) -> None:
        """Look at `path` (below the inbox, a file or a folder) and let it settle again."""
        with self._lock:
            self.hints.add(path)

    # -- events -------------------------------------------------------------------------------

    def listen(self, inotify: Inotify | OSError | None) -> None:
        """Receive events from `inotify`; None for none, an error says why there are none."""
        self._deaf()
        self._no_events = None
        if isinstance(inotify, OSError):
            self._give_up(inotify)
        else:
            self._inotify = inotify
        self._generation = 0  # everything is scanned, and each folder watched, anew
        self._next_root_look = float("-inf")

    def _deaf(self) -> None:
        if self._inotify is not None:
            self._inotify.remove(self)
        self._inotify = None

    def heard(self, event: Event) -> None:
        """Handle an event in one of its folders, or the loss of events."""
        now = self._clock()
        if event.whose is None:
            self._next_rescan = now
        elif not event.name:
            if not event.folder:  # the inbox itself was deleted, or its disk unmounted
                self.root.forget()
                self._next_root_look = float("-inf")
        elif not self._passed_by(event.name):
            path = f"{event.folder}/{event.name}" if event.folder else event.name
            self.settler.event(path, now, Sign.LOOK if event.is_folder else event.sign)

    @property
    def wants_events(self) -> bool:
        """Whether kernel events are to be used for this inbox."""
        choice = self._folder.watch
        return choice == "native" or (choice == "auto" and self.root.native)

    @property
    def kind(self) -> WatchKind:
        """`native` if events arrive, otherwise `polling`."""
        listens = self._inotify is not None and self._no_events is None
        return "native" if listens and self.wants_events else "polling"

    @property
    def busy(self) -> bool:
        """Whether the next step should follow immediately."""
        due = bool(self._under_way) or self.settler.next_due() <= self._clock()
        return self.paused is None and due

    @property
    def conditions(self) -> tuple[Cause, ...]:
        """The conditions that hold now (the first hundred)."""
        found = (self.paused, self._no_events, *self._blocked)
        return tuple(each for each in found if each is not None)[:SHOWN]

    def overdue(self) -> list[str]:
        """Files that have waited too long (the first hundred)."""
        return list(itertools.islice(self.settler.overdue(self._clock()), SHOWN))

    def _watch(self, folder: str) -> None:
        """Request events of a folder that is about to be scanned."""
        if self._inotify is None or self.kind != "native":
            return
        try:
            self._inotify.add(self, f"{self.root.real}/{folder}", folder)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EMFILE}:  # the kernel's limits of inotify
                self._give_up(error)
            elif not folder:
                self._no_events = unwatched(self.root.real, error)
                self._ask_again = self._clock() + POLL_S

    def _give_up(self, error: OSError) -> None:
        """Poll, because a limit is reached; watches already held are kept."""
        self._no_events = limited(self.root.real or str(self.root.path), error)
        self._ask_again = self._clock() + LIMIT_AGAIN_S

    # -- a step -------------------------------------------------------------------------------

    def step(self) -> list[Candidate]:
        """Do what is due now.

        Returns:
            Files that have settled, ready to be admitted.
        """
        now = self._clock()
        self.check_root()
        self._heed_hints(now)
        found: list[Candidate] = []
        if self.paused is None:
            if self._no_events is not None and now >= self._ask_again:
                self._no_events, self._next_rescan = None, now
            if now >= self._next_rescan and not self._under_way:
                self._next_rescan = float("inf")
                self.settler.begin_scan()
                self._scan("")
            found = [*self._look_at_due(), *self._go_on_scanning()]
            if self.scans and self.kind == "native" and not self._under_way:
                self.seen_until = max(self.seen_until, now - EVENTS_LATE_S)
        return found

    def next_step(self) -> float:
        """When the next step is due."""
        if self.hints or self.busy:
            return float("-inf")
        if self.paused is not None:
            return self._next_root_look
        return min(self._next_root_look, self._next_rescan, self.settler.next_due())

    def stop(self) -> None:
        """Stop all watches and scans."""
        self._deaf()
        self._abandon_scans()

    def check_root(self) -> None:
        """If it is time, check whether the inbox exists and is still the same folder."""
        now = self._clock()
        if now < self._next_root_look:
            return
        self._next_root_look = now + ROOT_LOOK_S
        self.paused = self.root.check()
        if self.paused is not None:
            self._abandon_scans()
            self._generation = 0
        elif self._generation != self.root.generation:
            self._generation = self.root.generation
            self._abandon_scans()
            if self._inotify is not None:
                self._inotify.remove(self)
            self._next_rescan = now

    def _heed_hints(self, now: float) -> None:
        with self._lock:
            paths, self.hints = self.hints, set()
        for path in paths:
            if not any(ignored(name, self._folder.ignore) for name in path.split("/")):
                self.settler.event(path, now)

    def _passed_by(self, name: str) -> bool:
        left_alone = ignored(name, self._folder.ignore)
        return left_alone and claimed_by(name) is None and not is_draft(name)

    # -- looking ------------------------------------------------------------------------------

    def _look_at_due(self) -> Iterator[Candidate]:
        for path in self.settler.due(self._clock(), self._batch):
            try:
                found = self._disk.lstat(self.root.path / path)
            except OSError:  # the next scan reports it
                self.settler.postpone(path, self._clock())
                continue
            if found is not None and stat.S_ISDIR(found.st_mode):
                if len(self._under_way) < SUBSCANS:
                    self._scan(path)
                else:
                    self._next_rescan = self._clock()
                found = None
            if found is None:
                self.settler.observe(path, None, self._clock())
            else:
                yield from self._saw(Sight.of(path, found))

    def _saw(self, sight: Sight) -> Iterator[Candidate]:
        path, seen, regular = sight
        name = path.rpartition("/")[2]
        wanted = included(path, self._folder.include, self._folder.ignore)
        if is_draft(name):  # a draft of a submission; an old one was left behind by a kill
            if regular and time.time() - seen.mtime_ns / 1e9 > DRAFT_S:
                with contextlib.suppress(OSError):
                    self._disk.unlink(self.root.path / path)
        elif claimed_by(name) is not None:
            self.hidden.append(path)
        elif wanted and not self._leave(path):
            awaited = regular and seen.size == 0 and self._awaits_content
            found = self.settler.observe(path, seen, self._clock(), awaited=awaited)
            if found is not None:
                yield found
            return
        self.settler.observe(path, None, self._clock())

    # -- scanning -----------------------------------------------------------------------------

    def _scan(self, folder: str) -> None:
        sights = walk(self.root.real, folder, self._passed_by, self._watch)
        self._under_way.append(_Scan(folder, sights, self._clock()))

    def _go_on_scanning(self) -> Iterator[Candidate]:
        for _ in range(self._batch):
            if not self._under_way:
                return
            scan = self._under_way[0]
            began = self._clock()
            sight = next(scan.sights, None)
            scan.spent += self._clock() - began
            if sight is None:
                self._under_way.popleft()
                self._scan_done(scan)
            elif isinstance(sight, Blocked):
                path = f"{self.root.real}/{sight.path}"
                scan.blocked.append(unreadable(path, sight.error))
            else:
                self._check_rights(scan, sight.path.rpartition("/")[0])
                yield from self._saw(sight)

    def _check_rights(self, scan: _Scan, folder: str) -> None:
        """Record a condition if files cannot be moved out of the folder that is being scanned."""
        if scan.checked == folder:
            return
        scan.checked = folder
        folder = f"{self.root.real}/{folder}"
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            with contextlib.suppress(OSError):
                scan.locked.append(locked(folder, os.lstat(folder)))

    def _scan_done(self, scan: _Scan) -> None:
        if scan.folder:
            self._blocked = list(dict.fromkeys(self._blocked + scan.blocked + scan.locked))
            return
        now = self._clock()
        there = self.root.check() is None and self.root.generation == self._generation
        if there and not scan.blocked:
            self.settler.end_scan()
        self._blocked = scan.blocked + scan.locked
        self.scans += 1
        self.seen_until = max(self.seen_until, scan.began)
        often = self._rescan_s if self.kind == "native" else min(self._rescan_s, POLL_S)
        pause = max(often, scan.spent / SCAN_SHARE)
        self._next_rescan = min(self._next_rescan, now + pause)

    def _abandon_scans(self) -> None:
        while self._under_way:
            self._under_way.popleft().sights.close()
