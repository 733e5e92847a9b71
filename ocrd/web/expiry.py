"""What came over HTTP goes again after a while: its results, its original, files never read."""

from __future__ import annotations

import contextlib
import shutil
from functools import partial
from pathlib import Path

from ocrd.job import Job, JobState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.readonly import read_ledger
from ocrd.web.desk import ENDED, Desk
from ocrd.web.results import NoResultError, Results

DAY_S = 86400.0
FILE_DAYS = 1.0  # an uploaded file that nobody has had read by then


def expire(desk: Desk, now: float) -> None:
    """Delete what is older than `keep_days`; nothing of a job that has not ended, nothing if 0."""
    for file in desk.store.files_before(now - FILE_DAYS * DAY_S):
        for folder in desk.config.folders:
            with contextlib.suppress(OSError):
                (folder.inbox / f".ocrd-{file.id}.held").unlink(missing_ok=True)
        desk.store.remove_file(file.id)
    days = desk.config.settings.web.keep_days
    if not days:
        return
    for number in desk.store.uploads_before(now - days * DAY_S):
        job = read_ledger(desk.config.ledger, partial(_job, number))
        if job is None or job.state in ENDED:
            if job is not None:
                _remove(job)
            desk.store.forget_upload(number)


def _job(number: int, ledger: Ledger) -> Job | None:
    return ledger.job(number)


def _remove(job: Job) -> None:
    """The bundle and the archived original; a failed document stays for a person to look at."""
    if job.state is not JobState.DONE:
        return
    with contextlib.suppress(NoResultError, OSError):
        results = Results.of(job)
        place = Path(job.outputs or "")
        if place.is_dir():
            shutil.rmtree(place)
        else:
            for path in results.all.values():
                path.unlink(missing_ok=True)
    if job.archived_to and not job.members:
        with contextlib.suppress(OSError):
            Path(job.archived_to).unlink(missing_ok=True)
