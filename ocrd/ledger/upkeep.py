"""Keeps the ledger small, sound and countable."""

from __future__ import annotations

from sqlalchemy import delete, select

from ocrd.errors import LedgerError
from ocrd.job import JobState
from ocrd.ledger.part import Part
from ocrd.ledger.tables import DONE, jobs, tallies

_TALLY_FAULTS = """
    WITH counted AS (SELECT folder, state, count(*) AS jobs FROM jobs GROUP BY folder, state),
    kept AS (SELECT folder, state, jobs FROM tallies WHERE jobs > 0)
    SELECT folder, state FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept)
    UNION SELECT folder, state FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted)
"""
_PAGE_FAULTS = """
    SELECT jobs.id FROM jobs WHERE pages_done <>
        (SELECT count(*) FROM pages WHERE job_id = jobs.id AND pages.state <> 'pending')
"""


class Upkeep(Part):
    """Counts, retention and checks."""

    def counts(self) -> dict[tuple[str, JobState], int]:
        """How many jobs each folder has in each state; zeros are left out."""
        with self._db.read() as connection:
            rows = connection.execute(select(tallies).where(tallies.c.jobs > 0))
            return {(row.folder, JobState(row.state)): row.jobs for row in rows}

    def prune(self, before: float, limit: int = 1000) -> int:
        """Forget jobs that were done before a moment (seconds since the epoch), oldest first.

        Their pages and history go with them; the room is used again.

        Returns:
            How many; as many as `limit` when there may be more.
        """
        old = select(jobs.c.id).where(DONE, jobs.c.finished_at < before)
        old = old.order_by(jobs.c.finished_at).limit(limit)
        with self._db.write() as connection:
            return connection.execute(delete(jobs).where(jobs.c.id.in_(old))).rowcount

    def verify(self) -> list[str]:
        """Read the whole file and say what is wrong with it; an empty list when nothing is."""
        try:
            return self._faults()
        except LedgerError as error:
            if error.kind != "ledger-damaged":
                raise
            return [error.message]

    def _faults(self) -> list[str]:
        with self._db.bare() as raw:
            found = [row[0] for row in raw.execute("PRAGMA integrity_check")]
            if found != ["ok"]:
                return found
            strays = raw.execute("PRAGMA foreign_key_check").fetchall()
            tallies_off = raw.execute(_TALLY_FAULTS).fetchall()
            pages_off = raw.execute(_PAGE_FAULTS).fetchall()
        return [
            *(f"a row of {table} belongs to no job" for table, *_ in strays),
            *(f"folder {name}: its {state} jobs are miscounted" for name, state in tallies_off),
            *(f"job {number}: its finished pages are miscounted" for (number,) in pages_off),
        ]

    def checkpoint(self) -> None:
        """Fold the WAL into the file, as far as readers allow, and shrink it."""
        with self._db.bare() as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
