"""One inbox: joins settled files into documents, checks, hashes and records them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ocrd.config import Folder
from ocrd.errors import BadFileError, OcrdError
from ocrd.events import Events
from ocrd.files import Disk, display
from ocrd.inbox.admit import Hashing, Unit
from ocrd.inbox.conditions import broken
from ocrd.inbox.join import Joiner, rule_for
from ocrd.inbox.marker import Marker, Marks
from ocrd.inbox.settle import Candidate
from ocrd.inbox.watcher import Watcher
from ocrd.job import Cause, Found, Job, JobError, JobState, Member, Place, joined
from ocrd.names import claimed_by

if TYPE_CHECKING:
    from ocrd.ledger.ledger import Ledger

HELD_S = 0.2  # seconds between checks of files that wait for others, or for a marker
LEDGER_AGAIN_S = 1.0  # seconds before the next attempt at a ledger that is full or locked
EMPTY_S = 600.0  # seconds until a sub-folder that the daemon emptied is removed
FAULT_S = (1.0, 5.0, 30.0, 60.0)  # seconds until watching restarts after an unexpected fault
FAULT_SHOWN_S = 600.0


class Inbox:
    """Watches one folder's inbox and records its files in the ledger.

    One thread calls `step` when `next_step` says so, and passes the watcher its events; all other
    public methods may be called from any thread.  The first step only takes stock of the inbox.

    Args:
        folder: The folder whose inbox this is.
        ledger: Where jobs are recorded.
        events: Where events are reported.
        wake: Called after jobs were recorded; from any thread.
        max_bytes: Larger files are refused; None for no limit.
        make: Whether to create the inbox if it is missing.
        clock: Monotonic, seconds.
        watch: Further arguments for its `Watcher`.

    Attributes:
        watcher: Finds the files; replaced after a fault.
        begun: Whether the first step has been made.
        wake_me: Called when a thread has hashed a large file, which `step` must then record.
    """

    def __init__(
        self,
        folder: Folder,
        ledger: Ledger,
        events: Events,
        *,
        wake: Callable[[], object],
        max_bytes: int | None = None,
        make: bool = False,
        clock: Callable[[], float] = time.monotonic,
        **watch: Any,
    ) -> None:
        self.folder = folder
        self.wake_me: Callable[[], object] = lambda: None
        self._disk = Disk()
        self._disk.know(folder.inbox)
        self._ledger, self._events, self._wake = ledger, events, wake
        self._clock = clock
        self._max_bytes = max_bytes
        self._make = make
        self._watch = watch
        self._looked_at = False
        self._told: set[str] = set()
        self._fault: Cause | None = None
        self._faults = 0
        self._fault_at = self._resume_at = float("-inf")
        self._build()

    def _build(self) -> None:
        """Create all state that a fault may have spoilt; the ledger and the disk hold the truth."""
        folder = self.folder
        self.begun = False
        rule = rule_for(folder.join, folder.join_pattern, folder.join_pause_s)
        self._joiner = Joiner(rule, folder.join_pause_s) if rule is not None else None
        self._marks: Marks | None = None
        watch = dict(self._watch)
        if folder.done_marker:
            self._marks = Marks(folder.inbox, self._disk, Marker(folder.done_marker), self._clock)
            watch["leave"] = self._marks.marker.is_one
        self.watcher = Watcher(folder, self._disk, clock=self._clock, **watch)
        self._built_at = time.time()
        self._hashing = Hashing(
            folder, self._disk, self._clock, lambda: self.wake_me(), self._max_bytes
        )
        self._kept: set[str] = set()  # hidden originals that are not known to be safe elsewhere
        self._emptied: dict[str, float] = {}  # sub-folders that lost a file, and when
        self._waits: OcrdError | None = None  # why the ledger accepts nothing now
        self._ledger_at = float("-inf")
        self._settled = False
        self._unmarked = 0  # files that wait for their marker
        self._overdue: tuple[str, ...] = ()

    # -- one thread ---------------------------------------------------------------------------

    def _begin(self) -> None:
        """Create the inbox if allowed, recall the files recorded before, and check the root."""
        if self._make:
            with contextlib.suppress(OSError):  # the watcher reports why it is missing
                self.folder.inbox.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OcrdError):  # ledger locked: every file is looked at anew
            standing = self._ledger.in_inbox(self.folder.name)
            self.watcher.settler.recall((each.source, each.looks()) for each in standing)
        self.watcher.check_root()
        self.begun = self._looked_at = True

    def next_step(self) -> float:
        """When the next step is due, on the monotonic clock."""
        now = self._clock()
        if now < self._resume_at or not self.begun:
            return self._resume_at
        if self._hashing.waits():
            return self._ledger_at
        waits = bool(self._joiner or self._marks)
        return min(self.watcher.next_step(), now + HELD_S if waits else float("inf"))

    def step(self) -> None:
        """Run one round: each settled file proceeds as far as it can."""
        if self._clock() < self._resume_at:
            return
        if not self.begun:
            self._begin()
            return
        candidates = self.watcher.step()
        try:
            self._record()
            self._sort(candidates)
            self._hashing.work(small=self._clock() >= self._ledger_at)
            self._record()
            self._remove_leftovers()
        except OcrdError as error:  # the ledger is locked or full; try again later
            if self._waits is None:  # logged once, and shown until recording resumes
                self._events.warn("intake.waits", folder=self.folder.name, **error.told())
            self._waits = error
            self._ledger_at = self._clock() + LEDGER_AGAIN_S
        self._remove_empty()
        self._tell_conditions()
        self._look_back()

    def broke(self, error: Exception) -> None:
        """Rebuild the watch after an unexpected exception in a step, and resume after a delay."""
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
        self._events.error("inbox.failed", folder=self.folder.name, **self._fault.told())

    # -- from settling to hashing ---------------------------------------------------------------

    def _sort(self, candidates: Sequence[Candidate]) -> None:
        """Queue files for hashing, or let them wait for their document or their marker."""
        fresh = [each for each in candidates if each.path not in self._hashing.paths]
        joiner, marks, now = self._joiner, self._marks, self._clock()
        if joiner is not None:
            fresh = self._unknown(fresh)
            joiner.keep(self.watcher.settler)
        for candidate in fresh:
            if joiner is not None and joiner.add(candidate, now):
                continue
            if marks is not None:
                marks.add(candidate)
            else:
                self._hashing.put(Unit((candidate,)))
        if joiner:
            self._put_documents(joiner, now)
        if marks is not None:
            marks.keep(self.watcher.settler)
            for candidate in marks.take():
                self._hashing.put(Unit((candidate,)))

    def _put_documents(self, joiner: Joiner, now: float) -> None:
        marks = self._marks if self._marks is not None and self._marks.due() else None
        complete = joiner.complete(
            now,
            seen_until=self.watcher.seen_until,
            unsettled=list(self.watcher.settler.unsettled(now)),
            marked=marks.of_document if marks is not None else None,
        )
        for document in complete:
            if self._hashing.paths.isdisjoint(part.path for part in document.parts):
                self._hashing.put(Unit(document.parts, document))

    def _unknown(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates that no active job already covers; the others are marked as taken."""
        paths = [candidate.path for candidate in candidates]
        standing = self._ledger.active_in_inbox(self.folder.name, paths) if paths else []
        known = {(each.source, each.looks()) for each in standing}
        unknown = []
        for each in candidates:
            if (each.path, each.seen) in known:
                self.watcher.settler.taken(each)
            else:
                unknown.append(each)
        return unknown

    # -- into the ledger ------------------------------------------------------------------------

    def _record(self) -> None:
        """Record the hashed units; they are kept while the ledger accepts nothing.

        Raises:
            LedgerError, PlaceError: The ledger accepts nothing now.
        """
        self._hashing.gather()
        units = self._hashing.hashed
        if not units or self._clock() < self._ledger_at:
            return
        for unit in units:
            self._answer_refusals(unit)
        whole = [unit for unit in units if unit.whole()]
        self._record_units([(each, each.whole()[0]) for each in whole if each.document is None])
        self._record_documents([each for each in whole if each.document is not None])
        self._hashing.recorded()
        if self._waits is not None:
            self._events.emit("intake.goes_on", folder=self.folder.name, kind=self._waits.kind)
            self._waits = None

    def _answer_refusals(self, unit: Unit) -> None:
        """Handle files that are refused or not available now; their document does without them."""
        for candidate, found in zip(unit.parts, unit.found, strict=False):
            if isinstance(found, Found):
                continue
            if isinstance(found, BadFileError):
                self._refuse(candidate, found)
            else:  # still being written, gone again, or the share fails for now
                source = display(candidate.path)
                self._events.debug(
                    "file.waits", folder=self.folder.name, source=source, error=found.message
                )
                if found.kind == "source-unproven":
                    self.watcher.settler.doubt(candidate.path, self._clock())
                else:
                    self.watcher.hint(candidate.path)
            if self._joiner is not None:
                self._joiner.drop(candidate.path)

    def _refuse(self, candidate: Candidate, error: BadFileError) -> None:
        """Record a failed job for a file that cannot be read; the file stays where it is."""
        looks = candidate.seen.facts()
        found = Found(folder=self.folder.name, source=candidate.path, **looks)
        job = self._ledger.record_refused(found, JobError.of(error))
        if job.state is JobState.RUNNING and not job.members:  # for another file of this name
            self.watcher.hint(candidate.path)
            return
        self.watcher.settler.taken(candidate)
        if (job.finished_at or 0.0) >= self._built_at:  # otherwise an earlier run has logged it
            told = job.told() | {"source": display(candidate.path)}  # not its document's path
            self._events.warn("file.refused", **told, **error.told())

    def _record_units(self, units: Sequence[tuple[Unit, Found]]) -> None:
        if units:
            jobs = self._ledger.record([found for _, found in units])
            for (unit, _), job in zip(units, jobs, strict=True):
                self._queued(unit, job)
            self._wake()

    def _record_documents(self, units: Sequence[Unit]) -> None:
        """Record each document, except where it must be joined with one that is already queued.

        If a file belongs to a queued job, that job is withdrawn and all its files are looked at
        again.
        """
        if not units or self._joiner is None:
            return
        found = [self._document(unit) for unit in units]
        by_name = self._joiner.rule.one_of_a_name
        replaced = self._ledger.withdraw(self.folder.name, found, by_name=by_name)
        for job in replaced:
            self._events.emit("job.withdrawn", **job.told())
        paths = {each.source for job in replaced for each in job.members or (job,)}
        names = {job.source for job in replaced if by_name}
        fresh: list[tuple[Unit, Found]] = []
        for unit, each in zip(units, found, strict=True):
            parts = [part.path for part in unit.parts]
            if each.source in names or not paths.isdisjoint(parts):
                paths.update(parts)
            else:
                fresh.append((unit, each))
            for path in parts:
                self._joiner.drop(path)
        for path in paths:
            self.watcher.hint(path)
        self._record_units(fresh)

    def _document(self, unit: Unit) -> Found:
        found = unit.whole()
        if unit.document is None or unit.document.alone:
            return found[0]
        members = [Member(source=each.source, **each.facts()) for each in found]
        return joined(self.folder.name, unit.document.name, members, self.folder.priority)

    def _queued(self, unit: Unit, job: Job | None) -> None:
        for part in unit.parts:
            self.watcher.settler.taken(part)
        if job is None:
            return
        files = {"files": len(job.members)} if job.members else {}
        self._events.emit("job.queued", **job.told(), **files, bytes=job.size)
        document, facts = unit.document, job.told()
        if document is not None and document.missing:  # a person should check these
            numbers = ", ".join(map(str, document.missing))
            hint = "Scan them again with the others, or nothing if the numbers have gaps anyway."
            self._events.warn("document.pages_missing", **facts, pages=numbers, hint=hint)
        if document is not None and document.doubled:
            paths = ", ".join(map(display, document.doubled))
            hint = "Both are in the document, one after the other: look which one is right."
            self._events.warn("document.page_twice", **facts, files=paths, hint=hint)

    # -- what is left behind --------------------------------------------------------------------

    def _remove_leftovers(self) -> None:
        """Remove originals that a claim had copied from here before the share went away.

        An original on another file system is copied into the spool, and then removed from here
        under a hidden name.  The leftover is removed only if its digest matches a file of the job.
        """
        hidden, self.watcher.hidden = self.watcher.hidden, []
        for path in hidden:
            token = claimed_by(path.rpartition("/")[2])
            if path in self._kept or token is None:
                continue
            job = self._ledger.bearer(token)
            if job is not None and job.place in (Place.INBOX, Place.GONE):
                continue  # being claimed now, or on its way back
            if job is None or not self._removed(path, job):
                self._kept.add(path)

    def _removed(self, path: str, job: Job) -> bool:
        whole = self.folder.inbox / path
        try:
            if self._disk.digest(whole) not in {each.sha256 for each in (job, *job.members)}:
                return False
            self._disk.unlink(whole)
        except OSError:
            return False
        self._events.emit("inbox.leftover_removed", **job.told())
        return True

    def _remove_empty(self) -> None:
        """Remove sub-folders that the daemon emptied: an upload left them behind."""
        now = self._clock()
        left, self.watcher.settler.left = self.watcher.settler.left, []
        for path in left:
            if folder := path.rpartition("/")[0]:
                self._emptied[folder] = now
        for folder in [each for each, since in self._emptied.items() if now - since > EMPTY_S]:
            since = self._emptied.pop(folder)
            try:
                self._disk.rmdir(self.folder.inbox / folder)
            except OSError:  # not empty, or gone
                continue
            if above := folder.rpartition("/")[0]:
                self._emptied.setdefault(above, since)

    # -- from other threads ---------------------------------------------------------------------

    def settled(self) -> bool:
        """Whether the inbox is paused, or has been scanned and no file is about to be taken."""
        if self.watcher.paused is not None:
            return True
        return not self.watcher.hints and self._settled

    def closed(self) -> bool:
        """Whether the inbox cannot be read now, or has not been looked at yet."""
        return not self._looked_at or self.watcher.paused is not None

    def report(self) -> dict[str, Any]:
        """The fields that `ocrd status` shows of the inbox."""
        watcher, now = self.watcher, self._clock()
        recent = [self._fault] if self._fault and now - self._fault_at < FAULT_SHOWN_S else []
        paused = self._fault if now < self._resume_at else watcher.paused or self._waits
        return {
            "watch": watcher.kind,
            "settling": max(0, len(watcher.settler) - self._unmarked),
            "unmarked": self._unmarked,
            "overdue": list(self._overdue),
            "conditions": [found.shown() for found in (*watcher.conditions, *recent)],
            "condition": paused and paused.shown(),
        }

    def _look_back(self) -> None:
        """Store how many files wait, and for what, for other threads to read."""
        watcher, marks, joiner = self.watcher, self._marks or (), self._joiner or ()
        late = [path for path in watcher.overdue() if path not in marks and path not in joiner]
        self._overdue = tuple(map(display, late))
        self._unmarked = len(marks)
        self._settled = (
            watcher.scans > 0
            and not watcher.busy
            and not self._hashing.paths
            and not len(joiner)
            and len(watcher.settler) <= len(late) + self._unmarked
        )

    def _tell_conditions(self) -> None:
        """Log each condition once when it begins and once when it ends."""
        now = {found.message: found for found in self.watcher.conditions}
        for message in now.keys() - self._told:
            self._events.warn("inbox.condition", folder=self.folder.name, **now[message].told())
        for message in self._told - now.keys():
            self._events.emit("inbox.condition_ended", folder=self.folder.name, error=message)
        self._told = set(now)
