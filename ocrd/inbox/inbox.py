"""One inbox: what comes to rest waits for what belongs to it, is checked, hashed and recorded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ocrd.config import Folder
from ocrd.errors import OcrdError
from ocrd.events import Events
from ocrd.files import display, open_regular
from ocrd.inbox.admit import admit
from ocrd.inbox.conditions import Condition, broken
from ocrd.inbox.join import Joiner, rule_for
from ocrd.inbox.marker import Marker, Marks
from ocrd.inbox.names import claimed_by
from ocrd.inbox.record import Ledger, Recorder, Unit, about, seen_of
from ocrd.inbox.scan import below
from ocrd.inbox.settle import Candidate
from ocrd.inbox.watcher import Watcher
from ocrd.job import Found, Job, Place

RECORD_BATCH = 500  # files recorded in one transaction
HASH_S = 0.25  # so long, and so much, is hashed before it is recorded
HASH_BYTES = 64 << 20
LARGE_BYTES = 16 << 20  # more is hashed aside, so that a letter need not wait for a book
LARGE_AT_ONCE = 2
LEDGER_AGAIN_S = 1.0  # before a ledger that is full or locked is asked again
EMPTY_S = 600.0  # a sub-folder that the daemon emptied goes after so long
FAULT_S = (1.0, 5.0, 30.0, 60.0)  # before watching begins anew after a fault that nobody foresaw
FAULT_SHOWN_S = 600.0


class Inbox:
    """Watches one folder's inbox and fills the ledger from it.

    One thread calls `step` whenever `next_step` says so, and gives the watcher its events; all else
    is for any thread.  The first step only finds out what there is.

    Args:
        folder: Which inbox, and what its files are worth.
        rescan_s: Seconds between looking through everything.
        closed_s: How long a file rests that was written and closed once.
        max_bytes: A larger file is refused.
        make: Whether to make the inbox if it is not there.
        memory: A file to remember in, over a restart, what share the inbox lay on.
        awaits_content: Whether an empty file may take longer than the settle time.
        ledger: Where jobs are recorded.
        events: Is told of each.
        wake: Called after something was recorded.
        wake_me: Called when a file was hashed aside, and `step` has it to record.
        clock: Seconds, never stepping back.

    Attributes:
        watcher: What finds the files; another one after a fault.
        begun: Whether it is known what there is.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        rescan_s: float = 60.0,
        closed_s: float | None = None,
        max_bytes: int | None = None,
        make: bool = False,
        memory: Path | None = None,
        awaits_content: bool = True,
        ledger: Ledger,
        events: Events,
        wake: Callable[[], object],
        wake_me: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._options: dict[str, Any] = {
            "rescan_s": rescan_s,
            "closed_s": closed_s,
            "memory": memory,
            "awaits_content": awaits_content,
            "kind": folder.watch,
            "clock": clock,
        }
        self._max_bytes = max_bytes
        self._make = make
        self._ledger = ledger
        self._events = events
        self._wake, self.wake_me = wake, wake_me
        self._clock = clock
        self._looked_at = False
        self._told: set[str] = set()
        self._fault: Condition | None = None
        self._faults = 0
        self._fault_at = self._resume_at = float("-inf")
        self._build()

    def _build(self) -> None:
        """What a fault may have left in disorder; the ledger and the disk know all of it."""
        folder = self.folder
        self.begun = False
        rule = rule_for(folder.join, folder.join_pattern, folder.join_pause_s)
        self._joiner = Joiner(rule, folder.join_pause_s) if rule is not None else None
        self._marks: Marks | None = None
        if folder.done_marker:
            self._marks = Marks(folder.inbox, Marker(folder.done_marker), self._clock)
        self.watcher = Watcher(
            folder.inbox,
            settle_s=folder.settle_s,
            max_wait_s=folder.max_wait_s,
            include=folder.include,
            ignore=folder.ignore,
            leave=lambda path: self._marks is not None and self._marks.marker.is_one(path),
            **self._options,
        )
        self._recorder = Recorder(
            folder,
            watcher=self.watcher,
            joiner=self._joiner,
            ledger=self._ledger,
            events=self._events,
            wake=self._wake,
            clock=self._clock,
        )
        self._ready: deque[Unit] = deque()
        self._hashed: list[Unit] = []
        self._aside: deque[Unit] = deque()  # large, and hashed by now; other threads append
        self._large: deque[Unit] = deque()  # large, and to be hashed
        self._hashing = 0
        self._under_way: set[str] = set()
        self._kept: set[str] = set()  # hidden files that are not known to be safe elsewhere
        self._emptied: dict[str, float] = {}  # sub-folders that files were taken out of; since when
        self._waits: OcrdError | None = None  # why the ledger takes nothing now
        self._ledger_at = float("-inf")
        self._settled = False
        self._unmarked = 0  # files that wait for their marker
        self._overdue: tuple[str, ...] = ()

    # -- one thread ---------------------------------------------------------------------------

    def _begin(self) -> None:
        """The inbox is made and looked at, and what was recorded before is known."""
        if self._make:
            with contextlib.suppress(OSError):  # the watcher tells why it is not there
                self.folder.inbox.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OcrdError):  # locked: then everything is looked at anew
            standing = self._ledger.in_inbox(self.folder.name)
            known = [(each.source, seen_of(each)) for each in standing if not each.refused]
            self.watcher.settler.recall(known)
        self.watcher.check_root()
        self.begun = self._looked_at = True

    def next_step(self) -> float:
        """When a step has something to do."""
        now = self._clock()
        if now < self._resume_at or not self.begun:
            return self._resume_at
        if self._hashed:
            return self._ledger_at
        if self._aside:
            return float("-inf")
        if self._ready:
            return self._ledger_at
        waits = bool(self._joiner or self._marks)
        return min(self.watcher.next_step(), now + 0.2 if waits else float("inf"))

    def step(self) -> None:
        """One round: what has come to rest goes on as far as it can."""
        if self._clock() < self._resume_at:
            return
        if not self.begun:
            self._begin()
            return
        candidates = self.watcher.step()
        try:
            self._record()
            self._sort(candidates)
            self._hash_some()
            self._record()
            self._remove_leftovers()
        except OcrdError as error:  # the ledger is locked or full; it is asked again
            self._wait_for(error)
        self._remove_empty()
        self._tell_conditions()
        self._look_back()

    def broke(self, error: Exception) -> None:
        """A step met what nobody foresaw: begin anew, after a while."""
        now = self._clock()
        if now - self._fault_at > FAULT_SHOWN_S:
            self._faults = 0
        delay = FAULT_S[min(self._faults, len(FAULT_S) - 1)]
        self._faults += 1
        self._fault = broken(self.folder.name, error, delay)
        self._fault_at, self._resume_at = now, now + delay
        with contextlib.suppress(Exception):
            self.watcher.stop()
        self._build()
        why = {"kind": self._fault.kind, "error": self._fault.message, "hint": self._fault.hint}
        self._events.error("inbox.failed", folder=self.folder.name, **why)

    # -- from settling to hashing ---------------------------------------------------------------

    def _sort(self, candidates: Sequence[Candidate]) -> None:
        """What stands alone is ready; the rest waits for its document or its marker."""
        fresh = [each for each in candidates if each.path not in self._under_way]
        if self._joiner is not None:
            fresh = self._unknown(fresh)
        now = self._clock()
        for holder in (self._joiner, self._marks):
            for path in [path for path in holder or () if path not in self.watcher.settler]:
                holder.drop(path)  # type: ignore[union-attr]  # nothing is iterated over for None
        for candidate in fresh:
            if self._joiner is not None and self._joiner.add(candidate, now):
                continue
            if self._marks is not None:
                self._marks.add(candidate)
            else:
                self._put(Unit((candidate,)))
        self._put_documents(now)
        for candidate in self._marks.take() if self._marks is not None else ():
            self._put(Unit((candidate,)))

    def _put_documents(self, now: float) -> None:
        if not self._joiner:
            return
        marks = self._marks
        complete = self._joiner.complete(
            now,
            seen_until=self.watcher.report.seen_until,
            unsettled=list(self.watcher.settler.unsettled(now)),
            marked=marks.of_document if marks is not None and marks.due() else None,
        )
        for document in complete:
            if self._under_way.isdisjoint(part.path for part in document.parts):
                self._put(Unit(document.parts, document))

    def _put(self, unit: Unit) -> None:
        self._under_way.update(part.path for part in unit.parts)
        (self._large if unit.size > LARGE_BYTES else self._ready).append(unit)

    def _unknown(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that no job stands for as they are: the others were only touched."""
        paths = [candidate.path for candidate in candidates]
        standing = self._ledger.active_in_inbox(self.folder.name, paths) if paths else []
        known = {(each.source, seen_of(each)) for each in standing}
        touched = [each for each in candidates if (each.path, each.seen) in known]
        for candidate in touched:
            self.watcher.settler.taken(candidate)
        return [each for each in candidates if each not in touched] if touched else [*candidates]

    def _hash_some(self) -> None:
        """As much as may be, before what is hashed waits too long for its record."""
        while self._large and self._hashing < LARGE_AT_ONCE:
            self._hashing += 1
            unit, aside = self._large.popleft(), self._aside
            work = threading.Thread(
                target=self._hash_aside, args=(unit, aside), name="hashing", daemon=True
            )
            work.start()
        if self._clock() < self._ledger_at:
            return
        began, left = self._clock(), HASH_BYTES
        while self._ready and left > 0 and self._clock() - began < HASH_S:
            unit = self._ready.popleft()
            left -= unit.size
            unit.found = [self._admitted(part) for part in unit.parts]
            self._hashed.append(unit)
            if len(self._hashed) >= RECORD_BATCH:
                return

    def _hash_aside(self, unit: Unit, aside: deque[Unit]) -> None:
        try:
            unit.found = [self._admitted(part) for part in unit.parts]
        except Exception as error:
            unit.fault = error  # for the thread that steps
        aside.append(unit)
        self.wake_me()

    def _admitted(self, candidate: Candidate) -> Found | OcrdError:
        folder = self.folder
        try:
            return admit(
                folder.inbox,
                folder.name,
                candidate.path,
                folder.priority,
                seen=candidate.seen,
                unproven=candidate.unproven,
                max_bytes=self._max_bytes,
            )
        except OcrdError as error:
            return error

    # -- into the ledger ------------------------------------------------------------------------

    def _record(self) -> None:
        """What is hashed; it stays here while the ledger takes nothing.

        Raises:
            LedgerError, PlaceError: The ledger takes nothing now.
        """
        while self._aside:
            unit = self._aside.popleft()
            self._hashing -= 1
            if unit.fault is not None:
                raise unit.fault
            self._hashed.append(unit)
        if not self._hashed or self._clock() < self._ledger_at:
            return
        self._recorder.record(self._hashed)
        for unit in self._hashed:
            self._under_way.difference_update(part.path for part in unit.parts)
        self._hashed = []
        if self._waits is not None:
            self._events.emit("intake.goes_on", folder=self.folder.name, kind=self._waits.kind)
            self._waits = None

    def _wait_for(self, error: OcrdError) -> None:
        """The ledger takes nothing now: told once, and shown until it does."""
        if self._waits is None:
            why = {"kind": error.kind, "error": error.message, "hint": error.hint}
            self._events.warn("intake.waits", folder=self.folder.name, **why)
        self._waits = error
        self._ledger_at = self._clock() + LEDGER_AGAIN_S

    # -- what is left behind --------------------------------------------------------------------

    def _remove_leftovers(self) -> None:
        """Originals that a claim copied from here before the share went away.

        From another file system an original comes into the spool as a copy, and what was copied is
        removed under a hidden name.  Where its bytes are known to be safe, it goes.
        """
        hidden, self.watcher.hidden = self.watcher.hidden, []
        for path in hidden:
            token = claimed_by(path.rpartition("/")[2])
            if path in self._kept or token is None:
                continue
            job = self._ledger.bearer(token)
            if job is not None and job.place in (Place.INBOX, Place.GONE):
                continue  # being claimed just now, or going back
            if job is None or not self._removed(path, job):
                self._kept.add(path)

    def _removed(self, path: str, job: Job) -> bool:
        whole = self.folder.inbox / path
        try:
            with open_regular(whole) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest not in {job.sha256, *(member.sha256 for member in job.members)}:
                return False
            with below(self.watcher.root.real, path) as (folder, name):
                os.unlink(name, dir_fd=folder)
        except (OSError, OcrdError):
            return False
        self._events.emit("inbox.leftover_removed", **about(job, job.source))
        return True

    def _remove_empty(self) -> None:
        """Sub-folders that the daemon emptied: an upload left them behind."""
        now = self._clock()
        left, self.watcher.settler.left = self.watcher.settler.left, []
        for path in left:
            if folder := path.rpartition("/")[0]:
                self._emptied[folder] = now
        for folder in [each for each, since in self._emptied.items() if now - since > EMPTY_S]:
            since = self._emptied.pop(folder)
            try:
                with below(self.watcher.root.real, folder) as (parent, name):
                    os.rmdir(name, dir_fd=parent)
            except OSError:  # there is something in it, or it is gone
                continue
            if above := folder.rpartition("/")[0]:
                self._emptied.setdefault(above, since)

    # -- from other threads ---------------------------------------------------------------------

    def hint(self, source: str) -> None:
        """Look at a file again: its job found it changed."""
        self.watcher.hint(source)

    def settled(self) -> bool:
        """Whether the inbox has been looked through and nothing in it is about to be taken."""
        if self.watcher.report.paused is not None:
            return True
        return not self.watcher.hinted() and self._settled

    def closed(self) -> bool:
        """Whether the inbox cannot be read now, or was not looked at yet."""
        return not self._looked_at or self.watcher.report.paused is not None

    def report(self) -> dict[str, Any]:
        """What `ocrd status` shows of the inbox."""
        report = self.watcher.report
        paused = report.paused or self._waits
        if self._clock() < self._resume_at:
            paused = self._fault
        return {
            "watch": report.kind,
            "settling": max(0, report.waiting - self._unmarked),
            "unmarked": self._unmarked,
            "overdue": list(self._overdue),
            "conditions": [_shown(found) for found in self._conditions()],
            "condition": paused and _shown(paused),
        }

    def _conditions(self) -> list[Condition]:
        recent = self._fault is not None and self._clock() - self._fault_at < FAULT_SHOWN_S
        return [*self.watcher.report.conditions, *([self._fault] if self._fault and recent else [])]

    def _look_back(self) -> None:
        """How many files wait, and for what; other threads ask."""
        report, marks, joiner = self.watcher.report, self._marks or (), self._joiner or ()
        overdue = [each.path for each in report.overdue]
        late = [path for path in overdue if path not in marks and path not in joiner]
        self._overdue = tuple(map(display, late))
        self._unmarked = len(marks)
        under_way = bool(self._under_way or self._hashed)
        self._settled = (
            report.scans > 0
            and not report.busy
            and not under_way
            and not len(joiner)
            and report.waiting <= len(late) + self._unmarked
        )

    def _tell_conditions(self) -> None:
        """Each condition once when it begins and once when it ends."""
        now = {found.message: found for found in self.watcher.report.conditions}
        for message in now.keys() - self._told:
            why = {"kind": now[message].kind, "error": message, "hint": now[message].hint}
            self._events.warn("inbox.condition", folder=self.folder.name, **why)
        for message in self._told - now.keys():
            self._events.emit("inbox.condition_ended", folder=self.folder.name, error=message)
        self._told = set(now)


def _shown(found: Condition | OcrdError) -> dict[str, str]:
    return {"kind": found.kind, "message": found.message, "hint": found.hint}
