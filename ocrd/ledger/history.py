"""What happened to a job, in short: one entry for each change, written with the change itself.

A job keeps its first entries and its latest; those between are dropped, so that a job that is
tried for weeks takes no more room than any other.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from ocrd.ledger.prepared import Prepared, Record, driver
from ocrd.ledger.tables import history

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
    PAGE_RETRIED = "page-retried"
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
    connection: Connection, rows: Iterable[Record], at: float, name: Happening, detail: str = ""
) -> None:
    """Write one entry for each job whose row (with `entries` already counted up) is given."""
    values = [
        {
            "job_id": row.id,
            "slot": _slot(row.entries - 1),
            "seq": row.entries - 1,
            "at": at,
            "name": name,
            "detail": detail,
        }
        for row in rows
    ]
    if values:
        _WRITE.run_each(driver(connection), values)


def entries_of(connection: Connection, job: int) -> list[Entry]:
    """A job's history, oldest first."""
    rows = connection.execute(
        select(history).where(history.c.job_id == job).order_by(history.c.seq)
    )
    return [Entry(at=row.at, name=Happening(row.name), detail=row.detail) for row in rows]


def _slot(seq: int) -> int:
    """The first entries stay where they are; the later ones go round."""
    return seq if seq < KEPT else KEPT_FIRST + (seq - KEPT_FIRST) % (KEPT - KEPT_FIRST)


_insert = insert(history)
_WRITE = Prepared(
    _insert.on_conflict_do_update(
        index_elements=["job_id", "slot"],
        set_={name: _insert.excluded[name] for name in ("seq", "at", "name", "detail")},
    )
)
