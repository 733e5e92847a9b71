"""Steps: changes of a job's row that only the claim in force may make.

Statements are built once, as building one costs more than running it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    bindparam,
    literal,
    select,
    update,
)

from ocrd.errors import FencedError
from ocrd.job import Job, JobState
from ocrd.ledger.history import Happening, note
from ocrd.ledger.prepared import Prepared, Record, driver
from ocrd.ledger.tables import jobs

UNDER_WAY = (JobState.QUEUED, JobState.RUNNING, JobState.DELIVERING)

ERROR = ("error_kind", "error_message", "error_hint")
NO_ERROR = dict.fromkeys(ERROR, None)


@dataclass(frozen=True, slots=True)
class Step:
    """A change, and what a job's history says of it; None for changes too small to mention."""

    name: Happening | None
    statement: Prepared


def given(column: str) -> BindParameter[Any]:
    """A value for this column that is told when the step is taken."""
    return bindparam(f"given_{column}", type_=jobs.c[column].type)


def given_error() -> dict[str, Any]:
    """The error's columns, likewise."""
    return {column: given(column) for column in ERROR}


def step(
    name: Happening | None,
    states: Collection[JobState],
    values: Mapping[str, Any],
    *conditions: ColumnElement[bool],
    heed_cancel: bool = False,
    returning: Iterable[Column[Any]] = tuple(jobs.c),
) -> Step:
    """Prepare a step.

    Args:
        name: For the history.
        states: In which it may be taken.
        values: What the row's columns become.
        conditions: What else must be so.
        heed_cancel: Whether it is refused once an operator wants the job cancelled.
        returning: What the taker wants to see of the row.
    """
    in_force = (jobs.c.id == bindparam("job"), jobs.c.epoch == bindparam("claim"))
    change = update(jobs).where(*in_force, jobs.c.state.in_(map(literal, states)), *conditions)
    if heed_cancel:
        change = change.where(jobs.c.cancel_requested == 0)
    counted = {} if name is None else {"entries": jobs.c.entries + 1}
    change = change.values({**values, **counted})
    return Step(name, Prepared(change.returning(*returning)))


def take(
    connection: Connection, job: Job, taken: Step, at: float, detail: str = "", **values: Any
) -> Record:
    """Take a step of `job`, provided that the claim which it carries still stands.

    Args:
        connection: Inside a write transaction.
        job: As its claimant last had it.
        taken: What changes.
        at: When, for the history; seconds since the epoch.
        detail: For the history.
        values: What `given` left open.

    Returns:
        The row as it is now.

    Raises:
        FencedError: The claim does not stand, or (with `heed_cancel`) an operator wants the job
            cancelled.
    """
    told = {f"given_{column}": value for column, value in values.items()}
    told |= {"job": job.id, "claim": job.epoch}
    rows = taken.statement.run(driver(connection), told)
    if not rows:
        raise _fenced(connection, job)
    if taken.name is not None:
        note(connection, rows, at, taken.name, detail)
    return rows[0]


def _fenced(connection: Connection, job: Job) -> FencedError:
    now = connection.execute(select(jobs).where(jobs.c.id == job.id)).one_or_none()
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
