"""Deletes what came over HTTP after a while: results, originals, and files that were never read.

Only what ocrd put there is deleted: an original is known by its digest, and results that have been
changed since the job ended stay.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path

from ocrd.config.folder import fixed_part
from ocrd.job import Job, JobState
from ocrd.ledger.readonly import read_ledger
from ocrd.spool.expiry import Fate, expire
from ocrd.spool.names import REPORT_SUFFIX
from ocrd.web.desk import ENDED, Desk
from ocrd.web.errors import MissingError
from ocrd.web.results import Results, inside_first

DAY_S = 86400.0
HELD_DAYS = 1.0  # how long an uploaded file is kept if it is never read


def expire_all(desk: Desk, now: float) -> None:
    """Delete held files after `HELD_DAYS`, and ended jobs' files after `keep_days` (0: never)."""
    for held in desk.store.held_before(now - HELD_DAYS * DAY_S):
        with contextlib.suppress(OSError):
            desk.drop(held)
    days = desk.config.settings.web.keep_days
    for handed in desk.store.handed_before(now - days * DAY_S) if days else ():
        job = read_ledger(desk.config.ledger, partial(desk.became, handed))
        if not handed.held and (job is None or job.state in ENDED):
            if job is not None:
                _remove(desk, job)
            desk.store.forget(handed)


def _remove(desk: Desk, job: Job) -> None:
    folder = desk.config.folder(job.folder)
    if folder is None:
        return
    with contextlib.suppress(OSError):
        if job.state is JobState.DONE:
            expire(job, fixed_part(folder.archive), desk.disk)
            with contextlib.suppress(MissingError):
                _remove_results(Results.of(job, desk.disk), job)
        elif job.failed_to is not None:
            failed = replace(job, archived_to=job.failed_to)
            if expire(failed, folder.failed, desk.disk) is Fate.DELETED:
                desk.disk.unlink(Path(f"{job.failed_to}{REPORT_SUFFIX}"))


def _remove_results(results: Results, job: Job) -> None:
    place, disk = Path(job.outputs or ""), results.disk
    found = [*inside_first(place, disk)] or [(path, False) for path in results.all.values()]
    facts = [disk.lstat(path) for path, _ in found]
    if any(each is None or each.st_mtime > (job.finished_at or 0) + 1 for each in facts):
        return  # somebody has changed it, or it is another job's
    for path, is_folder in found:
        (disk.rmdir if is_folder else disk.unlink)(path)
