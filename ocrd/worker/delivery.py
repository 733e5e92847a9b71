"""The last steps of a job: names recorded, bundle published, original filed.

Each step records its intent in the ledger before its effect on the disk, and each effect can be
repeated, so that after a crash the same functions simply run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from ocrd.config import Folder
from ocrd.config.ownership import Ownership, ownership
from ocrd.errors import SourceChangedError
from ocrd.files import display
from ocrd.inbox.names import fit
from ocrd.job import Job, JobError, JobState, Place
from ocrd.worker.marker import remove_marker
from ocrd.worker.ports import Ledger, Spool
from ocrd.worker.publishing import Plan, Publisher

ERROR_SUFFIX = ".error.json"


class Delivery:
    """Publishes, archives and fails jobs.  Blocking: run it off the event loop.

    Args:
        ledger: Records intents and outcomes.
        spool: Does the moves.
        clock: Seconds since the epoch; dates the archive's folders.
    """

    def __init__(self, *, ledger: Ledger, spool: Spool, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._publisher = Publisher(ledger=ledger, spool=spool)

    def plan(self, job: Job, folder: Folder) -> Plan:
        """What the results are to be called, before the bundle is built."""
        return self._publisher.plan(job, folder)

    def record(self, job: Job, folder: Folder, plan: Plan) -> Job:
        """The bundle is sealed: its names, and the original's, go into the ledger.

        One that was recorded before, and built anew because its name was taken, is recorded again.
        """
        outputs = self._publisher.outputs(job, folder, plan)
        if job.state is JobState.DELIVERING:
            return self._ledger.redeliver(job, outputs=outputs)
        archived_to = self._archived(job, folder)
        return self._ledger.deliver(job, outputs=outputs, archived_to=str(archived_to))

    def deliver(self, job: Job, folder: Folder) -> Job:
        """From recorded names (or anywhere after them) to done.

        Raises:
            FileExistsError: A name was taken that stands in the bundle; it must be built anew.
            PlaceError: Outbox or archive cannot be written now; call again later.
            FencedError: The job is somebody else's now.
        """
        if not self._spool.holds(job):  # it was, before the ledger was put back from an older copy
            return self._ledger.done(job)
        job = self._publisher.publish(job, folder)
        job = self._archive(job, folder)
        job = self._ledger.done(job)
        self._publisher.forget(job)
        self._spool.finish(job)
        return job

    def _archived(self, job: Job, folder: Folder) -> Path:
        source = PurePosixPath(job.source)
        base = dated(folder.archive, self._clock())
        return self._spool.free_name(base / source.parent, source.name)

    def _archive(self, job: Job, folder: Folder) -> Job:
        while True:
            try:
                self._spool.archive(job, _recorded(job.archived_to), _owner(folder))
            except FileExistsError:
                job = self._ledger.redeliver(job, archived_to=str(self._archived(job, folder)))
            except SourceChangedError as error:
                if error.kind != "source-gone":
                    raise
                return job  # filed before a crash, and taken out of the archive since
            else:
                return job

    def fail(self, job: Job, folder: Folder, error: JobError, *, cancelled: bool = False) -> Job:
        """The original to failed/ with its reason beside it, from wherever it is now.

        Raises:
            PlaceError: failed/ cannot be written now; call again later.
            FencedError: The job is somebody else's now.
        """
        end = self._ledger.cancelled if cancelled else self._ledger.failed
        try:
            job = self._to_failed(job, folder, error, cancelled=cancelled)
        except SourceChangedError as changed:  # nothing of the job's to move
            place = Place.GONE if changed.kind == "source-gone" else job.place
            job = end(job, place)
        else:
            job = end(job, Place.FAILED)
        self._publisher.forget(job)
        self._spool.finish(job)
        return job

    def _to_failed(self, job: Job, folder: Folder, error: JobError, *, cancelled: bool) -> Job:
        while True:
            if job.ending is None:
                target = self._failed_name(job, folder)
                job = self._ledger.intend_failure(job, error, str(target), cancelled=cancelled)
            if job.place is Place.FAILED:  # put back by `retry`, but not claimed since
                return job
            if job.place is Place.INBOX:
                self._spool.claim(job, folder.inbox / job.source)
                remove_marker(self._spool, job, folder)
                job = self._ledger.moved(job, Place.SPOOL)
            try:
                report = self._report(job, error)
                self._spool.fail(job, _recorded(job.failed_to), report, _owner(folder))
            except FileExistsError:
                job = replace(job, ending=None)
            else:
                return job

    def _failed_name(self, job: Job, folder: Folder) -> Path:
        source = PurePosixPath(job.source)
        name = fit(source.name, suffix_room=len(ERROR_SUFFIX))
        return self._spool.free_name(folder.failed / source.parent, name)

    def _report(self, job: Job, error: JobError) -> bytes:
        """NAME.error.json: what a person finds beside the file that failed."""
        report = {
            "version": 1,
            "job": job.id,
            "folder": job.folder,
            "source": display(job.source),
            "sha256": job.sha256,
            "kind": error.kind,
            "message": error.message,
            "hint": error.hint,
            "attempts": job.attempts,
            "failed_at": datetime.fromtimestamp(self._clock()).astimezone().isoformat(),
            "retry": f"ocrd retry {job.id}",
        }
        return (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode()


def _recorded(path: str | None) -> Path:
    """A name that an earlier step has recorded."""
    if path is None:
        raise ValueError("the job has no name recorded for this step")
    return Path(path)


def _owner(folder: Folder) -> Ownership:
    return ownership(folder.group, folder.umask)


def dated(pattern: Path, now: float) -> Path:
    """The archive's folder for a moment: `strftime` patterns filled in, local time."""
    if "%" not in str(pattern):
        return pattern
    return Path(datetime.fromtimestamp(now).astimezone().strftime(str(pattern)))
