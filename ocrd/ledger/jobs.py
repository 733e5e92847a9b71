"""A job from its claim to its end: who works on it, and how far it has come.

Each step takes the `Job` as its claimant last had it, and returns it as it is now.  A claim
increments the job's `epoch`, and a step of an earlier claim raises `FencedError`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import TextClause, and_, select, text

from ocrd.files import display
from ocrd.job import ACTIVE, UNDELIVERED, UNDER_WAY, Job, JobError, JobState, Place
from ocrd.ledger.pages import PAGES_DONE, PageRow, put_pages
from ocrd.ledger.store import Transaction
from ocrd.ledger.tables import (
    DEFERRED,
    DONE,
    ENDING,
    NOT_DONE,
    READY,
    RETURNING,
    at_once,
    error_columns,
    jobs,
    jobs_by,
    returned,
    to_job,
)
from ocrd.ledger.transitions import RUNNING, Happening, note, take

LONGEST_WAIT_S = 86_400.0  # seconds; a later `not_before` can only come from a clock that jumped


# --- who works on which job ---


def claim_some(
    tx: Transaction, most: int, *, now: float, exclude_folders: Collection[str] = ()
) -> list[Job]:
    """Claim the next jobs that may run at `now` (s since the epoch), highest priority first."""
    at_once(tx, _PROMOTE, {"now": now, "absurd": now + LONGEST_WAIT_S})
    told = {"now": now, "excluded": json.dumps(sorted(exclude_folders))}
    claimed: list[Job] = []
    while len(claimed) < most and (rows := returned(tx, _CLAIM, told)):
        claimed += map(to_job, rows)
        note(tx, rows, Happening.CLAIMED, f"attempt {claimed[-1].attempts}")
    return claimed


def resume(tx: Transaction, job: Job, *, refund: bool = False) -> Job:
    """Claim again a job whose claimant went away; the old claim's steps are fenced off.

    Its state is kept.  Resuming a running job costs an attempt, unless `refund` is set; resuming
    any other job costs none.
    """
    sql = {"epoch": "epoch + 1", "attempts": "attempts + (state = 'running') * :cost"}
    begun = "state <> 'queued' OR ending IS NOT NULL"
    cost = {"cost": int(not refund)}
    return take(tx, job, Happening.RESUMED, ACTIVE, cost, sql=sql, only_if=begun)


def release(
    tx: Transaction, job: Job, *, not_before: float, error: JobError | None, refund: bool
) -> Job:
    """Put a running job back into the queue until `not_before`, seconds since the epoch.

    If its file has meanwhile been replaced in the inbox by one that is queued as another job, it
    has nothing left to do: it ends as cancelled.  `refund` gives the attempt back.
    """
    newer = tx.connection.execute(_REPLACED_BY, {"job": job.id}).scalar()
    if newer is not None:
        replaced = JobError(
            kind="source-changed",
            message=f"{display(job.source)}: replaced in the inbox while it was claimed",
            hint=f"Nothing to do: job {newer} reads the new file.",
        )
        return gone(tx, job, replaced)
    values = {
        "state": JobState.QUEUED,
        "not_before": 0 if not_before <= tx.now else min(not_before, tx.now + LONGEST_WAIT_S),
        "refund": int(refund),
        **error_columns(error),
    }
    detail = f"{error.kind}: {error.message}" if error else ""
    sql = {"attempts": "max(attempts - :refund, 0)"}
    return take(tx, job, Happening.RELEASED, RUNNING, values, sql=sql, detail=detail)


def unfinished(tx: Transaction) -> list[Job]:
    """Jobs whose work was under way: running, delivering, or on their way to failed/."""
    claimed = jobs.c.state.in_(UNDER_WAY)
    found: dict[int, Job] = {}
    for where in (and_(NOT_DONE, claimed), ENDING):  # each by its own index
        found |= {job.id: job for job in jobs_by(tx, select(jobs).where(where))}
    return [found[number] for number in sorted(found)]


def owner(tx: Transaction, token: str) -> Job | None:
    """The job with this token, unless it is done: the owner of the spool's files under that token.

    A job whose original was taken away owns no files there.
    """
    job = _of_token(tx, NOT_DONE, token)
    return None if job is None or job.place is Place.GONE else job


def bearer(tx: Transaction, token: str) -> Job | None:
    """The job with this token, in any state.  Finding one that is done reads all that are done."""
    return _of_token(tx, NOT_DONE, token) or _of_token(tx, DONE, token)


def _of_token(tx: Transaction, state: TextClause, token: str) -> Job | None:
    return next(iter(jobs_by(tx, select(jobs).where(state, jobs.c.token == token))), None)


# --- the steps on its way ---


def moved(tx: Transaction, job: Job) -> Job:
    """Record that the original is in the spool."""
    # the place of a retried job's original in failed/ is out of date
    sql = {"failed_to": "CASE WHEN ending IS NOT NULL THEN failed_to END"}
    spool = Place.SPOOL
    return take(
        tx, job, Happening.MOVED, UNDELIVERED, {"place": spool}, sql=sql, detail=f"to {spool}"
    )


def progress(tx: Transaction, job: Job, pages: Sequence[PageRow]) -> None:
    """Record finished pages of a running job, a row for each."""
    put_pages(tx, job, pages)
    take(tx, job, None, RUNNING, {}, sql=PAGES_DONE, heed_cancel=True)


def deliver(
    tx: Transaction,
    job: Job,
    *,
    outputs: str | None,
    archived_to: str,
    pages: Sequence[PageRow] = (),
) -> Job:
    """Record that the outputs are complete, and the names planned for them and the original."""
    values = {"state": JobState.DELIVERING, "outputs": outputs, "archived_to": archived_to}
    put_pages(tx, job, pages)
    return take(tx, job, Happening.DELIVERING, RUNNING, values, sql=PAGES_DONE, heed_cancel=True)


def redeliver(
    tx: Transaction, job: Job, *, outputs: str | None = None, archived_to: str | None = None
) -> Job:
    """Replace names that were taken in the meantime; None keeps the recorded name."""
    names = {"outputs": outputs, "archived_to": archived_to}
    values = {column: path for column, path in names.items() if path is not None}
    detail = ", ".join(map(display, values.values()))
    return take(tx, job, Happening.RENAMED, (JobState.DELIVERING,), values, detail=detail)


def done(tx: Transaction, job: Job) -> Job:
    """Record that the outputs are published and the original is archived."""
    values = {"failed_to": None, **error_columns(None), **_ended(tx, JobState.DONE, Place.ARCHIVE)}
    return take(tx, job, Happening.DONE, (JobState.DELIVERING,), values)


def intend_failure(
    tx: Transaction,
    job: Job,
    error: JobError,
    failed_to: str,
    *,
    cancelled: bool = False,
    pages: Sequence[PageRow] = (),
) -> Job:
    """Record that the job will end for this reason and its original go to `failed_to`.  Repeatable.

    An original that is in failed/ already, from an earlier failure, stays where it is.
    """
    ending = JobState.CANCELLED if cancelled else JobState.FAILED
    values = {"ending": ending, "failed_to": failed_to, **error_columns(error)}
    put_pages(tx, job, pages)
    detail = f"{error.kind}: {error.message}"
    sql = {"failed_to": "CASE place WHEN 'failed' THEN failed_to ELSE :failed_to END"} | PAGES_DONE
    return take(tx, job, Happening.ENDING, ACTIVE, values, sql=sql, detail=detail)


def failed(
    tx: Transaction, job: Job, place: Place = Place.FAILED, *, cancelled: bool = False
) -> Job:
    """End the job as failed or, at a user's request, as `cancelled`.

    `place` is where the original is now; an original that cannot be moved stays outside failed/.
    """
    if job.members and place is Place.INBOX:  # the files that stay there are joined anew
        place = Place.GONE
    state, name = JobState.FAILED, Happening.FAILED
    if cancelled:
        state, name = JobState.CANCELLED, Happening.CANCELLED
    values = _ended(tx, state, place)
    if place is not Place.FAILED:  # an original elsewhere has no path in failed/
        values["failed_to"] = None
    return take(tx, job, name, ACTIVE, values)


def gone(tx: Transaction, job: Job, why: JobError | None = None) -> Job:
    """End a job whose original was taken away before it was claimed, or for the reason `why`.

    For a joined document, some of its files may have been taken away, or may only have changed.
    """
    if why is None and job.members and job.place is Place.INBOX:
        files = f"not all of its {len(job.members)} files are as they were"
        why = JobError(
            kind="source-changed",
            message=f"{display(job.source)}: {files}",
            hint="Nothing to do: those that are there are looked at, and joined, anew.",
        )
    elif why is None:
        why = JobError(
            kind="source-gone",
            message=f"{display(job.failed_to or job.source)}: taken away before it could be read",
            hint="Nothing to do if that was intended; otherwise drop it into the inbox again.",
        )
    values = {"failed_to": None, **error_columns(why)}
    values |= _ended(tx, JobState.CANCELLED, Place.GONE)
    return take(tx, job, Happening.GONE, UNDELIVERED, values, detail=why.message)


def next_number(tx: Transaction, folder: str) -> int:
    """The next number for the name of an output of this folder, from 1.

    Each number is used at most once: a crash leaves a gap, never a duplicate.
    """
    number: int = tx.connection.execute(_NEXT, {"folder": folder}).scalar_one()
    return number


def _ended(tx: Transaction, state: JobState, place: Place) -> dict[str, Any]:
    ended = {"state": state, "place": place, "finished_at": tx.now}
    return ended | {"ending": None, "cancel_requested": 0}


# --- statements in SQL ---

# The first ready job of each folder's queue; the jobs behind it are never looked at.
_CLAIM = f"""
    UPDATE jobs SET state = 'running', started_at = :now, epoch = epoch + 1,
        attempts = attempts + 1, entries = entries + 1,
        error_kind = NULL, error_message = NULL, error_hint = NULL
    WHERE id = (
        SELECT first.id FROM (
            SELECT (
                SELECT waiting.id FROM jobs AS waiting
                WHERE {READY} AND waiting.folder = tallies.folder
                ORDER BY waiting.priority DESC, waiting.id LIMIT 1
            ) AS id FROM tallies
            WHERE tallies.state = 'queued' AND tallies.jobs > 0
                AND tallies.folder NOT IN (SELECT value FROM json_each(:excluded))
        ) AS heads JOIN jobs AS first ON first.id = heads.id
        ORDER BY first.priority DESC, first.id LIMIT 1
    ) {RETURNING}
"""  # noqa: S608 - our own constants
_PROMOTE = (  # each half by itself is a range of the index
    f"UPDATE jobs SET not_before = 0 WHERE ({DEFERRED} AND not_before <= :now)"  # noqa: S608 - likewise
    f" OR ({DEFERRED} AND not_before > :absurd)"
)
# A joined document is identified by its files, not by its name.
_REPLACED_BY = text("""
    SELECT jobs.id FROM jobs AS own JOIN jobs
        ON jobs.folder = own.folder AND jobs.source = own.source
    WHERE own.id = :job AND own.place = 'inbox' AND own.members IS NULL
        AND jobs.place = 'inbox' AND jobs.state = 'queued' AND jobs.ending IS NULL
        AND jobs.members IS NULL
""")
_NEXT = text("""
    INSERT INTO counters (folder, value) VALUES (:folder, 1)
    ON CONFLICT (folder) DO UPDATE SET value = value + 1 RETURNING value
""")
