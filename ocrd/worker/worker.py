"""One job from claim to done, in an order in which nothing gets lost.

The steps have the same numbers everywhere: 1 recorded, 2 claimed (both before this module), 3 into
the spool, 4 pages, 5 bundle, 6 names recorded, 7 published, 8 archived, 9 done.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from ocrd.config import Folder
from ocrd.document.base import BundleSpec
from ocrd.errors import BadFileError, OcrdError, SourceChangedError
from ocrd.files import display
from ocrd.job import Job, JobError, JobState, PageState, Place
from ocrd.pagelog import PageLog
from ocrd.worker.calls import SPOOL
from ocrd.worker.deliver import Delivery, remove_marker
from ocrd.worker.naming import in_bundle
from ocrd.worker.original import Original, identity, opened
from ocrd.worker.pages import PageRun, Parts, recipe, separator_of

CANCELLED = JobError(
    kind="cancelled",
    message="cancelled by an operator",
    hint="`ocrd retry` puts it back into the queue.",
)


_Built: TypeAlias = tuple[Path, BundleSpec]
"""The name planned for a bundle that is still to be sealed, and what to build it from."""


class Worker:
    """Takes claimed jobs to done or failed; many `run`s may be under way concurrently."""

    def __init__(self, parts: Parts) -> None:
        self.runs: dict[int, PageRun] = {}  # the jobs whose pages are being read, by number
        self._parts = parts
        self._delivery = Delivery(ledger=parts.ledger, spool=parts.spool, clock=parts.clock)

    async def run(self, job: Job, folder: Folder) -> Job:
        """Take a job to its end from wherever it stands: claimed, spooled, delivering.

        Raises:
            FencedError: The job is no longer this attempt's, or is cancelled.
            OcrdError: Transient faults and conditions; the caller decides when to try again.
        """
        if job.ending is not None and job.error is not None:  # a crash interrupted its end
            cancelled = job.ending is JobState.CANCELLED
            return await self.fail(job, folder, job.error, cancelled=cancelled)
        try:
            built = None
            if job.state is not JobState.DELIVERING:
                job, built = await self._prepare(job, folder)
            return await self._deliver(job, folder, built)
        except BadFileError as error:
            return await self.fail(job, folder, JobError.of(error))
        finally:
            self.runs.pop(job.id, None)

    async def fail(
        self, job: Job, folder: Folder, error: JobError, *, cancelled: bool = False
    ) -> Job:
        """Move the original to failed/ and drop whatever was done so far; the job as it ended."""
        p = self._parts
        job = await p.call(
            way_out(folder), self._delivery.fail, job, folder, error, cancelled=cancelled
        )
        tell = p.events.emit if cancelled else p.events.warn
        tell(
            "job.cancelled" if cancelled else "job.failed",
            **job.told(),
            kind=error.kind,
            error=error.message,
            hint=error.hint,
            failed_to=display(job.failed_to or ""),
        )
        return job

    async def cancel(self, job: Job, folder: Folder) -> Job:
        """Carry out an operator's cancel."""
        return await self.fail(job, folder, CANCELLED, cancelled=True)

    async def _prepare(self, job: Job, folder: Folder) -> tuple[Job, _Built]:
        """Steps 3 to 5: spool, pages, bundle; the bundle is not sealed yet."""
        p = self._parts
        job, path = await p.call(folder.inbox, self._take, job, folder)
        original = await opened(job, path, folder.duplex, p.pages)
        pages = len(original.places)
        key = recipe(p, job, folder, original)
        log = p.spool.page_log(job)
        run = PageRun(parts=p, job=job, folder=folder, original=original, recipe=key, log=log)
        job = await p.call(SPOOL, run.recall)
        p.events.emit("job.started", **job.told(), attempt=job.attempts, pages=pages)
        self.runs[job.id] = run
        await run.read()
        built = await p.call(SPOOL, self._planned, job, folder, original, log)
        await p.build(built[1], pages)
        return job, built

    def _take(self, job: Job, folder: Folder) -> tuple[Job, Path]:
        """Step 3: move the original into the spool; the job, and the original's path there."""
        p, source = self._parts, folder.inbox / job.source
        if job.place is Place.FAILED and job.failed_to is not None:  # after a retry
            source = Path(job.failed_to)
        with p.spool.at_work():
            try:
                path = p.spool.claim(job, source)
            except SourceChangedError as changed:
                # A file that a person has repaired in failed/ is taken as it is now; so is one
                # that could not be read when it was recorded and is tried again.
                mended = job.place is Place.FAILED or not job.sha256
                if not mended or changed.kind == "source-gone":
                    raise
                job = p.ledger.rerecord(job, identity(job, source))
                path = p.spool.claim(job, source)
            remove_marker(p.spool, job, folder)
            return p.ledger.moved(job), path

    def _planned(self, job: Job, folder: Folder, original: Original, log: PageLog) -> _Built:
        """The name planned for the bundle, and what to build it from.

        Raises:
            SourceChangedError: The original has changed; the ledger now has it as it is.
            BadFileError: No page of it could be read.
        """
        p = self._parts
        with p.spool.at_work_on(job):
            if not p.spool.unchanged(job):
                p.ledger.rerecord(job, identity(job, p.spool.spooled(job)))
                raise SourceChangedError(
                    f"{display(job.source)}: the file changed while its pages were read",
                    hint="Nothing to do: it is read again from the start.",
                    kind="changed-in-spool",
                )
            pages = [entry.page for entry in log.entries()]
            if pages and all(page.state is PageState.FAILED for page in pages):
                first = min(pages, key=lambda page: page.number).error or JobError(
                    kind="unreadable", message="no reason recorded", hint="See the log."
                )
                many = f"none of the {len(pages)} pages could be read: " if len(pages) > 1 else ""
                message = f"{display(job.source)}: {many}{first.message}"
                raise BadFileError(message, hint=first.hint, kind=first.kind)
            return self._planned_anew(job, folder, original)

    def _planned_anew(self, job: Job, folder: Folder, original: Original) -> _Built:
        """As `_planned`, without its checks: under names that are free now."""
        p, name = self._parts, self._delivery.plan(job, folder)
        artefacts, images = in_bundle(folder, name)
        kind, model = p.engine.named(folder.language)
        facts: dict[str, Any] = {  # the sidecar's head: what was read, by which engine, and how
            "source": display(job.source),
            "folder": job.folder,
            "job": job.id,
            "attempts": job.attempts,
            "sha256": job.sha256,
            "size": job.size,
            "engine": kind,
            "model": model,
            "language": folder.language or None,
            "mode": folder.mode.name,
            "prompt": folder.mode.prompt.replace("{target}", folder.target),
            "resolution": folder.resolution.name,
            "versions": dict(p.versions),
            "queued_at": _isotime(job.created_at),
            "finished_at": _isotime(p.clock()),
        }
        return name, BundleSpec(
            source=original.path,
            name=artefacts,
            kind=original.kind,
            pages=p.spool.page_log(job).path,
            into=p.spool.new_bundle(job),
            outputs=folder.outputs,
            answers=folder.mode.answers,
            dpi=p.dpi,
            facts=facts | original.facts(),
            origins=original.origins(),
            separator=separator_of(folder),
            pdf_text=folder.pdf_text,
            drop_blank=folder.drop_blank,
            upright=folder.upright,
            images=images,
            title=name.name,
        )

    async def _deliver(self, job: Job, folder: Folder, built: _Built | None) -> Job:
        """Steps 6 to 9, and the end of step 5 for a bundle just built."""
        p = self._parts
        job = await p.call(way_out(folder), self._deliver_sealed, job, folder, built)
        while job.state is JobState.DELIVERING:  # a name that the bundle contains was taken
            original = await opened(job, p.spool.spooled(job), folder.duplex, p.pages)
            built = await p.call(SPOOL, self._planned_anew, job, folder, original)
            await p.build(built[1], len(original.places))
            job = await p.call(way_out(folder), self._deliver_sealed, job, folder, built)
        seconds = (job.finished_at or 0) - (job.started_at or 0)
        p.events.emit(
            "job.done",
            **job.told(),
            pages=job.pages,
            seconds=round(seconds, 3),
            outputs=display(job.outputs or ""),
            archived_to=display(job.archived_to or ""),
        )
        return job

    def _deliver_sealed(self, job: Job, folder: Folder, built: _Built | None) -> Job:
        """Take the job to done; it stays `delivering` if the bundle must be rebuilt."""
        p = self._parts
        with p.spool.at_work_on(job):
            if built is not None:
                p.spool.seal(job)
                job = self._delivery.record(job, folder, built[0])
            try:
                return self._delivery.deliver(job, folder)
            except FileExistsError:
                return job
            except OcrdError as error:
                if error.kind != "unsealed":  # a crash came while it was rebuilt
                    raise
                return job


def way_out(folder: Folder) -> str:
    """The place of a job's last steps: if it hangs, none of the folder's jobs can end."""
    return f"the outbox or archive of {folder.name}"


def _isotime(seconds: float) -> str:
    """Local time with its offset, to the second."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
