"""What all parts of the ledger share: its file and its clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocrd.job import Job
from ocrd.ledger.database import Database
from ocrd.ledger.fence import Step, take
from ocrd.ledger.rows import to_job


class Part:
    """One concern of the ledger.

    Args:
        database: The ledger's file.
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._db = database
        self._clock = clock

    def _take(self, job: Job, taken: Step, detail: str = "", **values: Any) -> Job:
        """One step as a transaction of its own; see `take`."""
        with self._db.write() as connection:
            row = take(connection, job, taken, self._clock(), detail, **values)
        return to_job(row)
