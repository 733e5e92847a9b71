"""What came to rest in one inbox becomes jobs: checked, hashed, recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from ocrd.config import Folder
from ocrd.errors import BadFileError, OcrdError
from ocrd.events import Events
from ocrd.files import display
from ocrd.inbox.admit import admit
from ocrd.inbox.joinrules import Document
from ocrd.inbox.report import Candidate
from ocrd.inbox.settle import Fingerprint
from ocrd.job import Found, Job, JobError, JobState, Member, joined
from ocrd.ledger.inbox import Standing


class Ledger(Protocol):
    """What is asked of the ledger."""

    def record(self, found: Sequence[Found]) -> list[Job | None]:
        """Queue settled files; None for each that is known already."""

    def record_refused(self, found: Found, error: JobError, *, failed_to: str | None = None) -> Job:
        """A file that cannot be admitted: a job that has failed."""

    def in_inbox(self, folder: str) -> Iterator[Standing]:
        """Files in the folder's inbox that a job stands for."""

    def active_in_inbox(self, folder: str, sources: Collection[str]) -> list[Standing]:
        """Those of these files that a job stands for which has not ended."""

    def withdraw(
        self, folder: str, found: Collection[Found], *, by_name: bool = False
    ) -> list[Job]:
        """Take back queued jobs that these replace; their files stay where they are."""


class Watch(Protocol):
    """What is asked of the watch of the inbox."""

    def hint(self, path: str) -> None:
        """Let a file come to rest again."""

    def forget(self, candidate: Candidate) -> None:
        """The candidate is recorded where it will not be lost."""


class Recorder:
    """Fills the ledger from one inbox.

    Args:
        folder: Which inbox, and what its files are worth.
        watch: Is told what becomes of each file.
        ledger: Where jobs are recorded.
        events: Is told of each.
        wake: Called after something was recorded.
        progress: Called all along while files are read.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        watch: Watch,
        ledger: Ledger,
        events: Events,
        wake: Callable[[], object],
        progress: Callable[[], object],
    ) -> None:
        self._folder = folder
        self._watch = watch
        self._ledger = ledger
        self._events = events
        self._wake = wake
        self._progress = progress
        self._began = time.time()

    def recalled(self) -> list[Candidate]:
        """What an earlier life recorded and nobody claimed yet.

        Raises:
            LedgerError: The ledger cannot be read now.
        """
        standing = self._ledger.in_inbox(self._folder.name)
        return [Candidate(each.source, _seen(each)) for each in standing if not each.refused]

    def unknown(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that no job stands for as they are: the others were only touched.

        Raises:
            LedgerError: The ledger cannot be read now.
        """
        paths = [candidate.path for candidate in candidates]
        standing = self._ledger.active_in_inbox(self._folder.name, paths) if paths else []
        known = {Candidate(each.source, _seen(each)) for each in standing}
        for candidate in known.intersection(candidates):
            self._watch.forget(candidate)
        return [candidate for candidate in candidates if candidate not in known]

    def record(self, batch: Sequence[Candidate]) -> None:
        """Files that stand alone.

        Raises:
            LedgerError, PlaceError: The ledger takes nothing now; they are offered again.
        """
        admitted = [(each, found) for each in batch if (found := self._admitted(each))]
        jobs = self._ledger.record([found for _, found in admitted])
        for candidate, _ in admitted:
            self._watch.forget(candidate)
        self._tell([job for job in jobs if job is not None])

    def record_documents(self, documents: Sequence[Document], *, by_name: bool) -> list[str]:
        """Documents of several files.

        One with a file that cannot be admitted is not recorded: the others may be a document
        without it, or wait until it has come to rest.  Where a file was part of what is queued
        already, the whole of that is looked at again, to be one document with this.

        Args:
            documents: Complete ones.
            by_name: Whether a queued document of the same name is the same.

        Returns:
            The paths of the files that have been dealt with, or are to be looked at again.

        Raises:
            LedgerError, PlaceError: The ledger takes nothing now; call again later.
        """
        settled: list[str] = []
        ready: list[tuple[Document, Found]] = []
        for document in documents:
            admitted = {part.path: self._admitted(part) for part in document.parts}
            members = [_member(found) for found in admitted.values() if found is not None]
            if len(members) == len(document.parts):
                ready.append((document, self._found(document, members)))
                settled += admitted
            else:
                settled += [path for path, found in admitted.items() if found is None]
        self._record_admitted(ready, by_name=by_name)
        return settled

    def _record_admitted(self, ready: Sequence[tuple[Document, Found]], *, by_name: bool) -> None:
        """Each, unless it is to be one with what is queued already."""
        replaced = self._ledger.withdraw(
            self._folder.name, [found for _, found in ready], by_name=by_name
        )
        self._withdrawn(replaced)
        paths = {each.source for job in replaced for each in job.members or (job,)}
        names = {job.source for job in replaced if by_name}
        fresh: list[tuple[Document, Found]] = []
        for document, found in ready:
            parts = [part.path for part in document.parts]
            if document.name in names or not paths.isdisjoint(parts):
                self._look_again(parts)
            else:
                fresh.append((document, found))
        jobs = self._ledger.record([found for _, found in fresh])
        for (document, _), job in zip(fresh, jobs, strict=True):
            for part in document.parts:
                self._watch.forget(part)
            if job is not None:
                self._tell([job])
                self._tell_order(job, document)

    def _withdrawn(self, replaced: Sequence[Job]) -> None:
        for job in replaced:
            shown = display(job.source)
            self._events.emit("job.withdrawn", job=job.id, folder=job.folder, source=shown)
            self._look_again([each.source for each in job.members or (job,)])

    def _look_again(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._watch.hint(path)

    def _found(self, document: Document, members: Sequence[Member]) -> Found:
        folder = self._folder
        if not document.alone:
            return joined(folder.name, document.name, members, folder.priority)
        (only,) = members
        return Found(
            folder=folder.name,
            source=only.source,
            size=only.size,
            mtime_ns=only.mtime_ns,
            inode=only.inode,
            sha256=only.sha256,
            priority=folder.priority,
        )

    def _admitted(self, candidate: Candidate) -> Found | None:
        folder = self._folder
        try:
            return admit(
                folder.inbox,
                folder.name,
                candidate.path,
                folder.priority,
                seen=candidate.seen,
                progress=self._progress,
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
            folder=self._folder.name,
            source=path,
            size=seen.size,
            mtime_ns=seen.mtime_ns,
            inode=seen.inode,
            sha256="",
        )
        why = JobError(kind=error.kind, message=error.message, hint=error.hint)
        job = self._ledger.record_refused(found, why)
        if job.state is JobState.RUNNING and not job.members:  # for another file of this name
            self._watch.hint(path)
            return
        self._watch.forget(candidate)
        if (job.finished_at or 0.0) < self._began:  # an earlier run has told of it
            return
        self._events.warn(
            "file.refused",
            job=job.id,
            folder=self._folder.name,
            source=display(path),
            kind=error.kind,
            error=error.message,
            hint=error.hint,
        )

    def _tell(self, fresh: Sequence[Job]) -> None:
        for job in fresh:
            facts = {"job": job.id, "folder": job.folder, "source": display(job.source)}
            files = {"files": len(job.members)} if job.members else {}
            self._events.emit("job.queued", **facts, **files, bytes=job.size)
        if fresh:
            self._wake()

    def _tell_order(self, job: Job, document: Document) -> None:
        """What a person should check in a document that was joined by page numbers."""
        facts = {"job": job.id, "folder": job.folder, "source": display(job.source)}
        if document.missing:
            numbers = ", ".join(map(str, document.missing))
            hint = "Scan them again with the others, or nothing if the numbers have gaps anyway."
            self._events.warn("document.pages_missing", **facts, pages=numbers, hint=hint)
        if document.doubled:
            paths = ", ".join(map(display, document.doubled))
            hint = "Both are in the document, one after the other: look which one is right."
            self._events.warn("document.page_twice", **facts, files=paths, hint=hint)


def _seen(standing: Standing) -> Fingerprint:
    return Fingerprint(standing.size, standing.mtime_ns, standing.inode)


def _member(found: Found) -> Member:
    return Member(
        source=found.source,
        size=found.size,
        mtime_ns=found.mtime_ns,
        inode=found.inode,
        sha256=found.sha256,
    )
