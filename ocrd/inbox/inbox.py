"""One inbox: what comes to rest waits for what belongs to it, is checked, hashed and recorded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ocrd.config import Folder
from ocrd.errors import BadFileError, OcrdError
from ocrd.events import Events
from ocrd.files import FileFacts, display, open_regular
from ocrd.inbox.admit import admit
from ocrd.inbox.conditions import Condition, broken
from ocrd.inbox.join import Document, Joiner, rule_for
from ocrd.inbox.marker import Marker, Marks
from ocrd.inbox.names import claimed_by
from ocrd.inbox.settle import Candidate
from ocrd.inbox.watcher import Watcher, below
from ocrd.job import Found, Job, JobError, JobState, Member, Place, joined

RECORD_BATCH = 500  # files recorded in one transaction
HASH_S = 0.25  # so long, and so much, is hashed before it is recorded
HASH_BYTES = 64 << 20
LARGE_BYTES = 16 << 20  # more is hashed aside, so that a letter need not wait for a book
LARGE_AT_ONCE = 2
LEDGER_AGAIN_S = 1.0  # before a ledger that is full or locked is asked again
EMPTY_S = 600.0  # a sub-folder that the daemon emptied goes after so long
FAULT_S = (1.0, 5.0, 30.0, 60.0)  # before watching begins anew after a fault that nobody foresaw
FAULT_SHOWN_S = 600.0


class Standing(Protocol):
    """A file in an inbox that a job stands for, as it was when it was recorded."""

    @property
    def source(self) -> str:
        """Path below the inbox."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def mtime_ns(self) -> int:
        """Modification time."""

    @property
    def inode(self) -> int:
        """Inode number."""

    @property
    def refused(self) -> bool:
        """Whether it could not be read."""


class Ledger(Protocol):
    """What is asked of the ledger."""

    def record(self, found: Sequence[Found]) -> list[Job | None]:
        """Queue settled files; None for each that is known already."""

    def record_refused(self, found: Found, error: JobError, *, failed_to: str | None = None) -> Job:
        """A file that cannot be admitted: a job that has failed."""

    def in_inbox(self, folder: str) -> Iterable[Standing]:
        """Files in the folder's inbox that a job stands for."""

    def active_in_inbox(self, folder: str, sources: Collection[str]) -> Sequence[Standing]:
        """Those of these files that a job stands for which has not ended."""

    def withdraw(
        self, folder: str, found: Collection[Found], *, by_name: bool = False
    ) -> list[Job]:
        """Take back queued jobs that these replace; their files stay where they are."""

    def bearer(self, token: str) -> Job | None:
        """The job of that token, whatever its state."""


@dataclass(slots=True)
class _Unit:
    """Files on their way to one job."""

    parts: tuple[Candidate, ...]
    document: Document | None = None  # None: a file that stands alone
    found: list[Found | OcrdError] = field(default_factory=list)
    fault: Exception | None = None  # what hashing it aside met, and nobody foresaw

    @property
    def size(self) -> int:
        return sum(part.seen.size for part in self.parts)


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
        self._began = time.time()
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
        self._ready: deque[_Unit] = deque()
        self._hashed: list[_Unit] = []
        self._aside: deque[_Unit] = deque()  # large, and hashed by now; other threads append
        self._large: deque[_Unit] = deque()  # large, and to be hashed
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
            known = [(each.source, _seen(each)) for each in standing if not each.refused]
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
                self._put(_Unit((candidate,)))
        self._put_documents(now)
        for candidate in self._marks.take() if self._marks is not None else ():
            self._put(_Unit((candidate,)))

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
                self._put(_Unit(document.parts, document))

    def _put(self, unit: _Unit) -> None:
        self._under_way.update(part.path for part in unit.parts)
        (self._large if unit.size > LARGE_BYTES else self._ready).append(unit)

    def _unknown(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that no job stands for as they are: the others were only touched."""
        paths = [candidate.path for candidate in candidates]
        standing = self._ledger.active_in_inbox(self.folder.name, paths) if paths else []
        known = {(each.source, _seen(each)) for each in standing}
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

    def _hash_aside(self, unit: _Unit, aside: deque[_Unit]) -> None:
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
        for unit in self._hashed:
            self._answer_refusals(unit)
        whole = [unit for unit in self._hashed if unit.found and not _faulty(unit)]
        self._record_alone([unit for unit in whole if unit.document is None])
        self._record_documents([unit for unit in whole if unit.document is not None])
        for unit in self._hashed:
            self._under_way.difference_update(part.path for part in unit.parts)
        self._hashed = []
        if self._waits is not None:
            self._events.emit("intake.goes_on", folder=self.folder.name, kind=self._waits.kind)
            self._waits = None

    def _answer_refusals(self, unit: _Unit) -> None:
        """Files that cannot be taken, or not now; what they belong to goes on without them."""
        for candidate, found in zip(unit.parts, unit.found, strict=False):
            if isinstance(found, BadFileError):
                self._refuse(candidate, found)
            elif isinstance(found, OcrdError):  # still written, gone again, or the share stumbles
                shown = display(candidate.path)
                why = {"source": shown, "error": found.message}
                self._events.debug("file.waits", folder=self.folder.name, **why)
                if found.kind == "source-unproven":
                    self.watcher.settler.doubt(candidate.path, self._clock())
                else:
                    self.watcher.hint(candidate.path)
            else:
                continue
            if self._joiner is not None:
                self._joiner.drop(candidate.path)

    def _refuse(self, candidate: Candidate, error: BadFileError) -> None:
        """It cannot even be opened: a job says so, and the thing stays where it is."""
        seen = candidate.seen
        found = Found(
            folder=self.folder.name,
            source=candidate.path,
            size=seen.size,
            mtime_ns=seen.mtime_ns,
            inode=seen.inode,
        )
        why = JobError(kind=error.kind, message=error.message, hint=error.hint)
        job = self._ledger.record_refused(found, why)
        if job.state is JobState.RUNNING and not job.members:  # for another file of this name
            self.watcher.hint(candidate.path)
            return
        self.watcher.settler.taken(candidate)
        if (job.finished_at or 0.0) >= self._began:  # else an earlier run has told of it
            told = {"kind": error.kind, "error": error.message, "hint": error.hint}
            self._events.warn("file.refused", **_about(job, candidate.path), **told)

    def _record_alone(self, units: Sequence[_Unit]) -> None:
        if not units:
            return
        jobs = self._ledger.record([_whole(unit)[0] for unit in units])
        for unit, job in zip(units, jobs, strict=True):
            self.watcher.settler.taken(unit.parts[0])
            self._tell(job)
        self._wake()

    def _record_documents(self, units: Sequence[_Unit]) -> None:
        """Each, unless it is to be one with what is queued already.

        Where a file was part of what is queued, the whole of that is looked at again.
        """
        if not units or self._joiner is None:
            return
        found = [self._document(unit) for unit in units]
        by_name = self._joiner.rule.one_of_a_name
        replaced = self._ledger.withdraw(self.folder.name, found, by_name=by_name)
        for job in replaced:
            self._events.emit("job.withdrawn", **_about(job, job.source))
            self._look_again(each.source for each in job.members or (job,))
        paths = {each.source for job in replaced for each in job.members or (job,)}
        names = {job.source for job in replaced if by_name}
        fresh: list[tuple[_Unit, Found]] = []
        for unit, each in zip(units, found, strict=True):
            parts = [part.path for part in unit.parts]
            if each.source in names or not paths.isdisjoint(parts):
                self._look_again(parts)
            else:
                fresh.append((unit, each))
            for path in parts:
                self._joiner.drop(path)
        jobs = self._ledger.record([each for _, each in fresh])
        for (unit, _), queued in zip(fresh, jobs, strict=True):
            for part in unit.parts:
                self.watcher.settler.taken(part)
            self._tell(queued)
            self._tell_order(queued, unit.document)
        self._wake()

    def _look_again(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.watcher.hint(path)

    def _document(self, unit: _Unit) -> Found:
        found = _whole(unit)
        if unit.document is None or unit.document.alone:
            return found[0]
        members = [
            Member(
                source=each.source,
                size=each.size,
                mtime_ns=each.mtime_ns,
                inode=each.inode,
                sha256=each.sha256,
            )
            for each in found
        ]
        return joined(self.folder.name, unit.document.name, members, self.folder.priority)

    def _tell(self, job: Job | None) -> None:
        if job is not None:
            files = {"files": len(job.members)} if job.members else {}
            self._events.emit("job.queued", **_about(job, job.source), **files, bytes=job.size)

    def _tell_order(self, job: Job | None, document: Document | None) -> None:
        """What a person should check in a document that was joined by page numbers."""
        if job is None or document is None:
            return
        if document.missing:
            numbers = ", ".join(map(str, document.missing))
            hint = "Scan them again with the others, or nothing if the numbers have gaps anyway."
            facts = _about(job, job.source)
            self._events.warn("document.pages_missing", **facts, pages=numbers, hint=hint)
        if document.doubled:
            paths = ", ".join(map(display, document.doubled))
            hint = "Both are in the document, one after the other: look which one is right."
            self._events.warn(
                "document.page_twice", **_about(job, job.source), files=paths, hint=hint
            )

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
        self._events.emit("inbox.leftover_removed", **_about(job, job.source))
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


def _faulty(unit: _Unit) -> bool:
    return any(isinstance(found, OcrdError) for found in unit.found)


def _whole(unit: _Unit) -> list[Found]:
    return [found for found in unit.found if isinstance(found, Found)]


def _about(job: Job, source: str) -> dict[str, Any]:
    return {"job": job.id, "folder": job.folder, "source": display(source)}


def _shown(found: Condition | OcrdError) -> dict[str, str]:
    return {"kind": found.kind, "message": found.message, "hint": found.hint}


def _seen(standing: Standing) -> FileFacts:
    return FileFacts(size=standing.size, mtime_ns=standing.mtime_ns, inode=standing.inode)
