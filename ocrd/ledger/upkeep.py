"""Keeps the ledger small, sound and countable."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import and_, delete, func, not_, select, update

from ocrd.errors import LedgerError
from ocrd.job import Job, JobState, Place
from ocrd.ledger.history import Happening, note
from ocrd.ledger.part import Part
from ocrd.ledger.rows import to_job
from ocrd.ledger.tables import DONE, NOT_DONE, jobs, tallies

_TALLY_FAULTS = """
    WITH counted AS (SELECT folder, state, count(*) AS jobs FROM jobs GROUP BY folder, state),
    kept AS (SELECT folder, state, jobs FROM tallies WHERE jobs > 0)
    SELECT folder, state FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept)
    UNION SELECT folder, state FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted)
"""
_MOOT = and_(
    NOT_DONE,
    jobs.c.state.in_((JobState.FAILED, JobState.CANCELLED)),
    jobs.c.place == Place.GONE,
)
_COUNTS = select(tallies).where(tallies.c.jobs > 0)
_PAGE_FAULTS = """
    SELECT jobs.id FROM jobs WHERE pages_done <>
        (SELECT count(*) FROM pages WHERE job_id = jobs.id AND pages.state <> 'pending')
"""


class Upkeep(Part):
    """Counts, retention and checks."""

    def counts(self) -> dict[tuple[str, JobState], int]:
        """How many jobs each folder has in each state; zeros are left out."""
        with self._db.read() as connection:
            rows = connection.execute(_COUNTS)
            return {(row.folder, JobState(row.state)): row.jobs for row in rows}

    def archived(
        self, folder: str, before: float, *, after: int = 0, limit: int = 100
    ) -> list[Job]:
        """Jobs of a folder, done before a moment, whose originals lie in the archive.

        Args:
            folder: Its name.
            before: Seconds since the epoch.
            after: Only jobs with a larger number: the last of one answer gives the next.
            limit: At most so many.
        """
        query = select(jobs).where(
            DONE,
            jobs.c.folder == folder,
            jobs.c.id > after,
            jobs.c.place == Place.ARCHIVE,
            jobs.c.finished_at < before,
        )
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(jobs.c.id).limit(limit))
            return [to_job(row) for row in rows]

    def refiled(self, among: Sequence[Job]) -> set[int]:
        """Those whose name in the archive a later job has now: their originals were taken away."""
        names = {job.archived_to for job in among}
        latest = (
            select(jobs.c.archived_to, func.max(jobs.c.id).label("latest"))
            .where(DONE, jobs.c.archived_to.in_(names))
            .group_by(jobs.c.archived_to)
        )
        with self._db.read() as connection:
            newest = {row.archived_to: row.latest for row in connection.execute(latest)}
        return {job.id for job in among if newest.get(job.archived_to, job.id) > job.id}

    def expired(self, fates: Mapping[int, str]) -> None:
        """The archived originals of these jobs are not there any more, or not ours.

        Args:
            fates: What became of each, for its history.
        """
        with self._db.write() as connection:
            for number, fate in fates.items():
                change = update(jobs).where(
                    DONE, jobs.c.id == number, jobs.c.place == Place.ARCHIVE
                )
                change = change.values(place=Place.GONE, entries=jobs.c.entries + 1)
                rows = connection.execute(change.returning(jobs)).all()
                note(connection, rows, self._clock(), Happening.EXPIRED, fate)

    def prune(
        self, before: float, limit: int = 1000, *, keep_archived: Collection[str] = ()
    ) -> int:
        """Forget jobs that were done before a moment (seconds since the epoch), oldest first.

        Likewise those that ended otherwise and whose original is gone: nobody can retry them.
        Their pages and history go with them; the room is used again.

        Args:
            before: Seconds since the epoch.
            limit: At most so many.
            keep_archived: Folders whose jobs are kept while their originals lie in the archive.

        Returns:
            How many; as many as `limit` when there may be more.
        """
        kept = and_(jobs.c.place == Place.ARCHIVE, jobs.c.folder.in_(keep_archived))
        old = select(jobs.c.id).where(jobs.c.finished_at < before).order_by(jobs.c.finished_at)
        forgotten = 0
        with self._db.write() as connection:
            for which in (and_(DONE, not_(kept)), _MOOT):  # each by an index of its own
                some = old.where(which).limit(limit - forgotten)
                forgotten += connection.execute(delete(jobs).where(jobs.c.id.in_(some))).rowcount
        return forgotten

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
