"""One inbox's thread: what comes to rest is checked, hashed and recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from ocrd.config import Folder
from ocrd.errors import BadFileError, OcrdError
from ocrd.events import Events
from ocrd.inbox.admit import admit
from ocrd.inbox.names import display
from ocrd.inbox.report import Candidate
from ocrd.inbox.settle import Fingerprint
from ocrd.inbox.watch import FolderWatch
from ocrd.job import Found, Job, JobError
from ocrd.ledger.standing import Standing

STEP_S = 0.2  # how often the watch is asked when nothing is due
RECORD_BATCH = 500  # files recorded in one transaction
LEDGER_WAIT_S = 1.0  # before a ledger that is full or locked is asked again
STALE_S = 120.0  # a thread that has not come round for so long hangs (a dead share, perhaps)


class Ledger(Protocol):
    """What the intake asks of the ledger."""

    def record(self, found: Sequence[Found]) -> list[Job | None]:
        """Queue settled files; None for each that is known already."""

    def in_inbox(self, folder: str) -> Iterator[Standing]:
        """Files in the folder's inbox that a job stands for."""

    def record_refused(self, found: Found, error: JobError, *, failed_to: str | None = None) -> Job:
        """A file that cannot be admitted: a job that has failed."""


class Intake(threading.Thread):
    """Watches one folder's inbox and fills the ledger from it.

    A thread of its own for each folder: a share that hangs holds up nobody else.

    Args:
        folder: Which inbox, and what its files are worth.
        rescan_s: Seconds between looking through everything.
        ledger: Where jobs are recorded.
        events: Is told of each.
        wake: Called after something was recorded; from this thread.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        rescan_s: float,
        ledger: Ledger,
        events: Events,
        wake: Callable[[], object],
    ) -> None:
        super().__init__(name=f"intake-{folder.name}", daemon=True)
        self.folder = folder
        self._ledger = ledger
        self._events = events
        self._wake = wake
        self._over = threading.Event()
        self._began = time.time()
        self._moved_at = time.monotonic()
        self._busy = True
        self._told: set[str] = set()
        self._waits: OcrdError | None = None  # why the ledger takes nothing now
        self._watch = FolderWatch(
            folder.inbox,
            settle_s=folder.settle_s,
            max_wait_s=folder.max_wait_s,
            rescan_s=rescan_s,
            include=folder.include,
            ignore=folder.ignore,
            kind=folder.watch,  # type: ignore[arg-type]  # the configuration allows just these words
        )

    def run(self) -> None:
        """Watch until told to stop."""
        self._recall()
        self._watch.start()
        self._events.emit("folder.watching", folder=self.folder.name, kind=self._watch.report.kind)
        try:
            while not self._over.is_set():
                self._moved_at = time.monotonic()
                if not self._step():
                    self._over.wait(STEP_S)
        finally:
            self._watch.stop()

    def stop(self) -> None:
        """End soon; `join` to wait for it."""
        self._over.set()

    def hint(self, source: str) -> None:
        """Look at a file again: its job found it changed."""
        self._watch.hint(source)

    def settled(self) -> bool:
        """Whether the inbox has been looked through and nothing in it waits to come to rest."""
        report = self._watch.report
        if report.paused:
            return True
        return report.scans > 0 and not self._busy and len(report.overdue) >= report.waiting

    def closed(self) -> bool:
        """Whether the inbox cannot be read now."""
        return self._watch.report.paused is not None

    def healthy(self) -> bool:
        """Whether the thread goes round and its watch works."""
        moved = time.monotonic() - self._moved_at < STALE_S
        return self.is_alive() and moved and self._watch.healthy()

    def report(self) -> dict[str, Any]:
        """What `ocrd status` shows of the inbox."""
        report = self._watch.report
        paused = report.paused or self._waits
        return {
            "watch": report.kind,
            "settling": report.waiting,
            "overdue": [display(waiting.path) for waiting in report.overdue],
            "conditions": [
                {"kind": found.kind, "message": found.message, "hint": found.hint}
                for found in report.conditions
            ],
            "condition": paused
            and {"kind": paused.kind, "message": paused.message, "hint": paused.hint},
        }

    def _recall(self) -> None:
        """What an earlier life recorded and nobody claimed yet need not be hashed again."""
        try:
            known = [
                Candidate(each.source, Fingerprint(each.size, each.mtime_ns, each.inode))
                for each in self._ledger.in_inbox(self.folder.name)
                if not each.refused
            ]
        except OcrdError:  # locked: then everything is looked at anew
            return
        self._watch.recall(known)

    def _step(self) -> bool:
        """One round; whether there may be more at once."""
        self._busy = True
        candidates = self._watch.step()
        try:
            for batch in _batches(candidates, RECORD_BATCH):
                self._record(batch)
        except OcrdError as error:  # the ledger is locked or full; they are offered again
            self._wait_for(error)
        else:
            self._waited(recorded=bool(candidates))
        self._tell_conditions()
        self._busy = bool(candidates) or self._watch.report.busy
        return self._busy

    def _record(self, batch: Sequence[Candidate]) -> None:
        admitted = [(each, found) for each in batch if (found := self._admitted(each))]
        jobs = self._ledger.record([found for _, found in admitted])
        for candidate, _ in admitted:
            self._watch.forget(candidate)
        fresh = [job for job in jobs if job is not None]
        for job in fresh:
            shown = display(job.source)
            self._events.emit(
                "job.queued", job=job.id, folder=job.folder, source=shown, bytes=job.size
            )
        if fresh:
            self._wake()

    def _admitted(self, candidate: Candidate) -> Found | None:
        folder = self.folder
        try:
            return admit(
                folder.inbox, folder.name, candidate.path, folder.priority, seen=candidate.seen
            )
        except BadFileError as error:
            self._refuse(candidate, error)
        except OcrdError as error:  # still written, gone again, or the share stumbles: later
            self._events.debug(
                "file.waits",
                folder=folder.name,
                source=display(candidate.path),
                error=error.message,
            )
            self._watch.hint(candidate.path)
        return None

    def _refuse(self, candidate: Candidate, error: BadFileError) -> None:
        """It cannot even be opened: a job says so, and the thing stays where it is."""
        path, seen = candidate
        found = Found(
            folder=self.folder.name,
            source=path,
            size=seen.size,
            mtime_ns=seen.mtime_ns,
            inode=seen.inode,
            sha256="",
        )
        why = JobError(kind=error.kind, message=error.message, hint=error.hint)
        job = self._ledger.record_refused(found, why)
        self._watch.forget(candidate)
        if (job.finished_at or 0.0) < self._began:  # an earlier run has told of it
            return
        self._events.warn(
            "file.refused",
            job=job.id,
            folder=self.folder.name,
            source=display(path),
            kind=error.kind,
            error=error.message,
            hint=error.hint,
        )

    def _tell_conditions(self) -> None:
        """Each condition once when it begins and once when it ends."""
        now = {found.message: found for found in self._watch.report.conditions}
        for message in now.keys() - self._told:
            found = now[message]
            self._events.warn(
                "inbox.condition",
                folder=self.folder.name,
                kind=found.kind,
                error=message,
                hint=found.hint,
            )
        for message in self._told - now.keys():
            self._events.emit("inbox.condition_ended", folder=self.folder.name, error=message)
        self._told = set(now)

    def _wait_for(self, error: OcrdError) -> None:
        """The ledger takes nothing now: told once, and shown until it does."""
        if self._waits is None:
            why = {"kind": error.kind, "error": error.message, "hint": error.hint}
            self._events.warn("intake.waits", folder=self.folder.name, **why)
        self._waits = error
        self._over.wait(LEDGER_WAIT_S)

    def _waited(self, *, recorded: bool) -> None:
        if self._waits is not None and recorded:
            self._events.emit("intake.goes_on", folder=self.folder.name, kind=self._waits.kind)
            self._waits = None


def _batches(candidates: Sequence[Candidate], size: int) -> Iterator[list[Candidate]]:
    rest = iter(candidates)
    while batch := list(islice(rest, size)):
        yield batch
