"""What was hashed in one inbox becomes jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ocrd.config import Folder
from ocrd.errors import BadFileError
from ocrd.events import Events
from ocrd.files import display
from ocrd.inbox.conditions import told
from ocrd.inbox.hashing import Unit
from ocrd.inbox.join import Joiner
from ocrd.inbox.settle import Candidate
from ocrd.inbox.watcher import Watcher
from ocrd.job import Found, Job, JobError, JobState, Member, Standing, joined


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What an inbox works with.

    Attributes:
        ledger: Where jobs are recorded.
        events: Is told what happens.
        wake: Called after something was recorded; from any thread.
        clock: Seconds, never stepping back.
    """

    ledger: Ledger
    events: Events
    wake: Callable[[], object]
    clock: Callable[[], float] = time.monotonic


class Recorder:
    """Fills the ledger from one inbox; for the thread that steps it.

    Args:
        folder: Which inbox, and what its files are worth.
        means: The ledger, and who is told.
        watcher: Is told what becomes of each file.
        joiner: Holds the files of documents until they are dealt with.
    """

    def __init__(
        self, folder: Folder, means: Means, watcher: Watcher, joiner: Joiner | None
    ) -> None:
        self._folder = folder
        self._means = means
        self._ledger, self._events = means.ledger, means.events
        self._watcher = watcher
        self._joiner = joiner
        self._began = time.time()

    def record(self, units: Sequence[Unit]) -> None:
        """Each as the job that it is, or was refused as; again does no harm.

        Raises:
            LedgerError, PlaceError: The ledger takes nothing now; call again later.
        """
        for unit in units:
            self._answer_refusals(unit)
        whole = [unit for unit in units if unit.whole()]
        self._record_alone([unit for unit in whole if unit.document is None])
        self._record_documents([unit for unit in whole if unit.document is not None])

    def _answer_refusals(self, unit: Unit) -> None:
        """Files that cannot be taken, or not now; what they belong to goes on without them."""
        for candidate, found in zip(unit.parts, unit.found, strict=False):
            if isinstance(found, Found):
                continue
            if isinstance(found, BadFileError):
                self._refuse(candidate, found)
            else:  # still written, gone again, or the share stumbles
                source = display(candidate.path)
                self._events.debug(
                    "file.waits", folder=self._folder.name, source=source, error=found.message
                )
                if found.kind == "source-unproven":
                    self._watcher.settler.doubt(candidate.path, self._means.clock())
                else:
                    self._watcher.hint(candidate.path)
            if self._joiner is not None:
                self._joiner.drop(candidate.path)

    def _refuse(self, candidate: Candidate, error: BadFileError) -> None:
        """It cannot even be opened: a job says so, and the thing stays where it is."""
        seen = candidate.seen
        found = Found(
            folder=self._folder.name,
            source=candidate.path,
            size=seen.size,
            mtime_ns=seen.mtime_ns,
            inode=seen.inode,
        )
        why = JobError(kind=error.kind, message=error.message, hint=error.hint)
        job = self._ledger.record_refused(found, why)
        if job.state is JobState.RUNNING and not job.members:  # for another file of this name
            self._watcher.hint(candidate.path)
            return
        self._watcher.settler.taken(candidate)
        if (job.finished_at or 0.0) >= self._began:  # else an earlier run has told of it
            self._events.warn("file.refused", **about(job, candidate.path), **told(error))

    def _record_alone(self, units: Sequence[Unit]) -> None:
        if units:
            jobs = self._ledger.record([unit.whole()[0] for unit in units])
            for unit, job in zip(units, jobs, strict=True):
                self._queued(unit, job)
            self._means.wake()

    def _record_documents(self, units: Sequence[Unit]) -> None:
        """Each, unless it is to be one with what is queued already.

        Where a file was part of what is queued, the whole of that is looked at again.
        """
        if not units or self._joiner is None:
            return
        found = [self._document(unit) for unit in units]
        by_name = self._joiner.rule.one_of_a_name
        replaced = self._ledger.withdraw(self._folder.name, found, by_name=by_name)
        for job in replaced:
            self._events.emit("job.withdrawn", **about(job, job.source))
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
            self._watcher.hint(path)
        jobs = self._ledger.record([each for _, each in fresh])
        for (unit, _), queued in zip(fresh, jobs, strict=True):
            self._queued(unit, queued)
        self._means.wake()

    def _document(self, unit: Unit) -> Found:
        found = unit.whole()
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
        return joined(self._folder.name, unit.document.name, members, self._folder.priority)

    def _queued(self, unit: Unit, job: Job | None) -> None:
        for part in unit.parts:
            self._watcher.settler.taken(part)
        if job is None:
            return
        files = {"files": len(job.members)} if job.members else {}
        self._events.emit("job.queued", **about(job, job.source), **files, bytes=job.size)
        document = unit.document
        if document is not None and document.missing:  # which a person should check
            numbers = ", ".join(map(str, document.missing))
            hint = "Scan them again with the others, or nothing if the numbers have gaps anyway."
            facts = about(job, job.source)
            self._events.warn("document.pages_missing", **facts, pages=numbers, hint=hint)
        if document is not None and document.doubled:
            paths = ", ".join(map(display, document.doubled))
            hint = "Both are in the document, one after the other: look which one is right."
            facts = about(job, job.source)
            self._events.warn("document.page_twice", **facts, files=paths, hint=hint)


def about(job: Job, source: str) -> dict[str, Any]:
    """What every event of a job tells."""
    return {"job": job.id, "folder": job.folder, "source": display(source)}
