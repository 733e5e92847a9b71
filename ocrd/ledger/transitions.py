"""Steps of a job: changes of its row that only the claim in force may make.

Every file takes several.  Their statements are text, each made once: building one from SQLAlchemy's
expressions each time took four times as long as all the rest of the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import TextualSelect, bindparam, select, text

from ocrd.errors import FencedError
from ocrd.job import Job, JobState
from ocrd.ledger.history import Happening, note
from ocrd.ledger.store import Transaction
from ocrd.ledger.tables import jobs, to_job

UNDER_WAY = (JobState.QUEUED, JobState.RUNNING, JobState.DELIVERING)
RUNNING = (JobState.RUNNING,)


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

    Args:
        tx: A write transaction.
        job: As its claimant last had it.
        name: What its history says of it; None for a change too small to mention.
        states: In which it may be taken.
        values: What the row's columns become, and whatever else `sql` names by `:name`.
        sql: Columns that become what an expression says.
        only_if: What else must be so.
        heed_cancel: Whether it is refused once an operator wants the job cancelled.
        detail: For the history.

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
    statement = _step(tuple(changes.items()), states, only_if, tuple(values))
    told = {**values, "job": job.id, "claim": job.epoch}
    row = tx.connection.execute(statement, told).one_or_none()
    if row is None:
        raise _fenced(tx, job)
    if name is not None:
        note(tx, [row], name, detail)
    return to_job(row)


@cache
def _step(
    changes: tuple[tuple[str, str], ...],
    states: tuple[JobState, ...],
    only_if: str,
    told: tuple[str, ...],
) -> TextualSelect:
    """The statement; there are as many as there are kinds of steps."""
    become = ", ".join(f"{column} = {value}" for column, value in changes)
    among = ", ".join(f"'{state}'" for state in states)
    columns = ", ".join(column.name for column in jobs.c)
    statement = text(
        f"UPDATE jobs SET {become} WHERE id = :job AND epoch = :claim"  # noqa: S608 - our own words
        f" AND state IN ({among}) AND ({only_if}) RETURNING {columns}"
    )
    typed = [bindparam(name, type_=jobs.c[name].type) for name in told if name in jobs.c]
    return statement.bindparams(*typed).columns(*jobs.c)


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
