"""Changes of a job's row, each with its entry in the job's history.

Steps are changes that only the claim in force may make.  Every file takes several: see `at_once`.

A job keeps the first entries of its history and the latest; those between are dropped, so that a
job that is tried for weeks takes no more room than any other.
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
    """What an entry may say."""

    QUEUED = "queued"
    CHANGED = "changed"  # another file stands under its name now
    REFUSED = "refused"  # could not be admitted
    ADOPTED = "adopted"  # found in the spool, belonging to no job
    CLAIMED = "claimed"
    RESUMED = "resumed"  # taken up again after a restart
    MOVED = "moved"
    OPENED = "opened"  # its pages have been counted
    PAGE_RETRIED = "page-retried"  # in ledgers of older versions
    RELEASED = "released"
    DELIVERING = "delivering"
    RENAMED = "renamed"  # a name was taken meanwhile
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
    """One line of a job's history; `at` in seconds since the epoch."""

    at: float
    name: Happening
    detail: str


def note(
    tx: Transaction, rows: Iterable[Mapping[Any, Any]], name: Happening, detail: str = ""
) -> None:
    """Write one entry for each job whose row (with `entries` already counted up) is given."""
    for row in rows:
        seq = slot = row["entries"] - 1
        if seq >= KEPT:  # the first entries stay where they are; the later ones go round
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
    """Change all such jobs, whoever has claimed them; those changed, by their numbers."""
    change = update(jobs).where(*such).values(**values, entries=jobs.c.entries + 1)
    rows = tx.connection.execute(change.returning(jobs)).mappings().all()
    note(tx, rows, name, detail)
    return sorted(map(to_job, rows), key=lambda each: each.id)


_WRITE = """
    INSERT OR REPLACE INTO history (job_id, slot, seq, at, name, detail)
    VALUES (:job_id, :slot, :seq, :at, :name, :detail)
"""  # a later entry takes the slot over


def events(tx: Transaction, number: int) -> list[Entry]:
    """A job's history, oldest first; a long one lacks its middle."""
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
    """Change a job's row, provided that the claim which `job` carries still stands.

    Its columns become `values`, or what an expression of `sql` says, which names further values by
    `:name`.  Its history says `name` of it; None for a change too small to mention.

    Returns:
        The job as it is now.

    Raises:
        FencedError: The claim does not stand, or (with `heed_cancel`) an operator wants the job
            cancelled.
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
    """The statement; there are as many as there are kinds of steps."""
    become = ", ".join(f"{column} = {value}" for column, value in changes)
    among = ", ".join(f"'{state}'" for state in states)
    return (
        f"UPDATE jobs SET {become} WHERE id = :job AND epoch = :claim"  # noqa: S608 - our own words
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
