"""Changes of a job's row, each with its entry in the job's history.

Steps are changes that only the current claim may make.  Every file takes several steps, so they are
plain SQL: see `at_once`.

A job keeps the first entries of its history and the latest; those between are dropped, so that a
job that is retried for weeks takes no more space than any other.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, TextClause, select, update

from ocrd.errors import FencedError
from ocrd.job import Job, JobState
from ocrd.ledger.store import Transaction
from ocrd.ledger.tables import RETURNING, at_once, history, jobs, returned, to_job

RUNNING = (JobState.RUNNING,)
KEPT_FIRST = 8
KEPT = 64


class Happening(enum.StrEnum):
    """The kinds of history entries."""

    QUEUED = "queued"
    CHANGED = "changed"  # another file has its name now
    REFUSED = "refused"  # could not be admitted
    ADOPTED = "adopted"  # found in the spool but not in the ledger
    CLAIMED = "claimed"
    RESUMED = "resumed"  # claimed again after a restart
    MOVED = "moved"
    OPENED = "opened"  # its pages have been counted
    PAGE_RETRIED = "page-retried"  # in ledgers of older versions
    RELEASED = "released"
    DELIVERING = "delivering"
    RENAMED = "renamed"  # a name had been taken in the meantime
    ENDING = "ending"  # its failure or cancellation was decided
    CANCEL_REQUESTED = "cancel-requested"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    GONE = "gone"
    RETRIED = "retried"
    EXPIRED = "expired"  # its archived original had been kept long enough


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An entry of a job's history; `at` in seconds since the epoch."""

    at: float
    name: Happening
    detail: str


def note(
    tx: Transaction, rows: Iterable[Mapping[Any, Any]], name: Happening, detail: str = ""
) -> None:
    """Write an entry for each job, given its row with `entries` already incremented."""
    for row in rows:
        seq = slot = row["entries"] - 1
        if seq >= KEPT:  # the first slots are kept; later entries reuse the others in turn
            slot = KEPT_FIRST + (seq - KEPT_FIRST) % (KEPT - KEPT_FIRST)
        entry = {"job_id": row["id"], "slot": slot, "seq": seq, "at": tx.now}
        at_once(tx, _WRITE, {**entry, "name": name, "detail": detail})


def changed(
    tx: Transaction,
    such: Iterable[ColumnElement[bool] | TextClause],
    values: Mapping[str, Any],
    name: Happening,
    detail: str = "",
) -> list[Job]:
    """Change all matching jobs, whoever has claimed them; returns them sorted by number."""
    change = update(jobs).where(*such).values(**values, entries=jobs.c.entries + 1)
    rows = tx.connection.execute(change.returning(jobs)).mappings().all()
    note(tx, rows, name, detail)
    return sorted(map(to_job, rows), key=lambda each: each.id)


_WRITE = """
    INSERT OR REPLACE INTO history (job_id, slot, seq, at, name, detail)
    VALUES (:job_id, :slot, :seq, :at, :name, :detail)
"""  # a later entry replaces the one in its slot


def events(tx: Transaction, number: int) -> list[Entry]:
    """A job's history, oldest first; a long history lacks its middle."""
    query = select(history).where(history.c.job_id == number).order_by(history.c.seq)
    return [
        Entry(at=row.at, name=Happening(row.name), detail=row.detail)
        for row in tx.connection.execute(query)
    ]


def take(
    tx: Transaction,
    job: Job,
    name: Happening | None,
    states: tuple[JobState, ...],
    values: Mapping[str, Any],
    *,
    sql: Mapping[str, str] = MappingProxyType({}),
    only_if: str = "true",
    heed_cancel: bool = False,
    detail: str = "",
) -> Job:
    """Change a job's row, provided that the claim in `job` is still current.

    Its columns become `values`, or the SQL expressions in `sql`, which may use further values as
    `:name`.  Its history gets an entry `name`, unless the change is too small to mention (None).
    `heed_cancel` refuses a job whose cancellation was requested, and replaces `only_if`.

    Returns:
        The job as it is now.

    Raises:
        FencedError: The claim is no longer current, the job is not in one of `states`, `only_if` is
            false, or (with `heed_cancel`) an operator wants the job cancelled.
    """
    changes = {column: f":{column}" for column in values if column in jobs.c} | dict(sql)
    if name is not None:
        changes["entries"] = "entries + 1"
    if heed_cancel:
        only_if = "cancel_requested = 0"
    statement = _step(tuple(changes.items()), states, only_if)
    rows = returned(tx, statement, {**values, "job": job.id, "claim": job.epoch})
    if not rows:
        raise _fenced(tx, job)
    if name is not None:
        note(tx, rows, name, detail)
    return to_job(rows[0])


@cache
def _step(changes: tuple[tuple[str, str], ...], states: tuple[JobState, ...], only_if: str) -> str:
    """The SQL of a step; cached, since there are only as many as kinds of steps."""
    become = ", ".join(f"{column} = {value}" for column, value in changes)
    among = ", ".join(f"'{state}'" for state in states)
    return (
        f"UPDATE jobs SET {become} WHERE id = :job AND epoch = :claim"  # noqa: S608 - our own constants
        f" AND state IN ({among}) AND ({only_if}) {RETURNING}"
    )


def _fenced(tx: Transaction, job: Job) -> FencedError:
    now = tx.connection.execute(select(jobs).where(jobs.c.id == job.id)).one_or_none()
    if now is not None and now.epoch == job.epoch and now.cancel_requested:
        return FencedError(
            f"job {job.id}: an operator wants it cancelled",
            hint="Nothing to do: its original goes to failed/; `ocrd retry` puts it back.",
            kind="cancelled",
        )
    what = "is not in the ledger" if now is None else f"is {now.state}, claim {now.epoch}"
    return FencedError(
        f"job {job.id}: claim {job.epoch} ({job.state}) no longer stands: it {what}",
        hint="Nothing to do: whoever claimed it later finishes it.",
    )
