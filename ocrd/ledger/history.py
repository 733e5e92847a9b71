"""What happened to a job, in short: one entry for each change, written with the change itself.

A job keeps its first entries and its latest; those between are dropped, so that a job that is
tried for weeks takes no more room than any other.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.sqlite import insert

from ocrd.ledger.store import Transaction
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


def note(tx: Transaction, rows: Iterable[Row[Any]], name: Happening, detail: str = "") -> None:
    """Write one entry for each job whose row (with `entries` already counted up) is given."""
    values = [
        {
            "job_id": row.id,
            "slot": _slot(row.entries - 1),
            "seq": row.entries - 1,
            "at": tx.now,
            "name": name,
            "detail": detail,
        }
        for row in rows
    ]
    if values:
        tx.connection.execute(_WRITE, values)


def events(tx: Transaction, number: int) -> list[Entry]:
    """A job's history, oldest first; a long one lacks its middle."""
    query = select(history).where(history.c.job_id == number).order_by(history.c.seq)
    return [
        Entry(at=row.at, name=Happening(row.name), detail=row.detail)
        for row in tx.connection.execute(query)
    ]


def _slot(seq: int) -> int:
    """The first entries stay where they are; the later ones go round."""
    return seq if seq < KEPT else KEPT_FIRST + (seq - KEPT_FIRST) % (KEPT - KEPT_FIRST)


_insert = insert(history)
_WRITE = _insert.on_conflict_do_update(
    index_elements=["job_id", "slot"],
    set_={name: _insert.excluded[name] for name in ("seq", "at", "name", "detail")},
)
