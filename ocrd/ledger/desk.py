"""What an operator asks of the ledger: look at jobs, put them back, have them cancelled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, delete, exists, func, or_, select, update

from ocrd.job import Job, JobState, Page, PageState, Place
from ocrd.ledger.history import Entry, Happening, entries_of, note
from ocrd.ledger.part import Part
from ocrd.ledger.rows import error_columns, page_columns, to_job, to_page
from ocrd.ledger.tables import CANCEL_REQUESTED, NOT_DONE, jobs, pages

_BATCH = 500
_ENDED = (JobState.FAILED, JobState.CANCELLED)
_ACTIVE_AT_INBOX = (JobState.QUEUED, JobState.RUNNING)


class Desk(Part):
    """Answers and takes requests; the daemon sees a request when it next looks."""

    def job(self, number: int) -> Job | None:
        """One job as it is now."""
        with self._db.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == number)).one_or_none()
        return None if row is None else to_job(row)

    def newest(self, folder: str, source: str) -> Job | None:
        """The last job that was made of a file of this name."""
        query = select(jobs).where(jobs.c.folder == folder, jobs.c.source == source)
        with self._db.read() as connection:
            row = connection.execute(query.order_by(jobs.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else to_job(row)

    def jobs(
        self,
        *,
        state: JobState | None = None,
        folder: str | None = None,
        since: float | None = None,
        name: str | None = None,
        limit: int = 50,
        before_id: int | None = None,
    ) -> list[Job]:
        """Jobs, newest first.

        Args:
            state: Only those in this state.
            folder: Only those of this folder.
            since: Only those recorded then or later, seconds since the epoch.
            name: Only those with this in their path below the inbox, in any case.
            limit: At most so many.
            before_id: Only older ones than this: the last of one answer gives the next.
        """
        query = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
        query = query.where(*_chosen(state, folder, since, name))
        if before_id is not None:
            query = query.where(jobs.c.id < before_id)
        with self._db.read() as connection:
            return [to_job(row) for row in connection.execute(query)]

    def count(
        self,
        *,
        state: JobState | None = None,
        folder: str | None = None,
        since: float | None = None,
        name: str | None = None,
    ) -> int:
        """How many jobs `jobs` would list without a limit."""
        query = select(func.count()).select_from(jobs).where(*_chosen(state, folder, since, name))
        with self._db.read() as connection:
            return int(connection.execute(query).scalar_one())

    def pages(self, number: int) -> list[Page]:
        """All pages of a job, those that wait included, as far as their count is known."""
        query = select(*page_columns).where(pages.c.job_id == number).order_by(pages.c.number)
        with self._db.read() as connection:
            count = connection.execute(select(jobs.c.pages).where(jobs.c.id == number)).scalar()
            known = {row.number: to_page(row) for row in connection.execute(query)}
        for missing in range(1, (count or 0) + 1):
            known.setdefault(missing, Page(number=missing, state=PageState.PENDING))
        return sorted(known.values(), key=lambda page: page.number)

    def events(self, number: int) -> list[Entry]:
        """A job's history, oldest first; a long one lacks its middle."""
        with self._db.read() as connection:
            return entries_of(connection, number)

    def retry(self, numbers: Collection[int] | None = None) -> list[Job]:
        """Put failed or cancelled jobs back into the queue; their finished pages are kept.

        A job stays as it is if its original is gone, or if a newer job stands for its name.

        Args:
            numbers: Which; None for all that failed (and not those that were cancelled).

        Returns:
            Those put back.
        """
        retried: list[Job] = []
        with self._db.write() as connection:
            if numbers is None:
                failed = select(jobs.c.id).where(NOT_DONE, jobs.c.state == JobState.FAILED)
                numbers = connection.execute(failed.order_by(jobs.c.id)).scalars().all()
            for batch in _batches(numbers):
                retried += self._retry(connection, batch)
        return retried

    def request_cancel(self, numbers: Collection[int]) -> list[Job]:
        """Ask for queued or running jobs to be cancelled; those that deliver go on.

        Returns:
            Those that will be, as they are now.
        """
        asked: list[Job] = []
        with self._db.write() as connection:
            for batch in _batches(numbers):
                ask = update(jobs).where(
                    jobs.c.id.in_(batch),
                    jobs.c.state.in_((JobState.QUEUED, JobState.RUNNING)),
                    jobs.c.ending.is_(None),
                    jobs.c.cancel_requested == 0,
                )
                ask = ask.values(cancel_requested=1, entries=jobs.c.entries + 1)
                rows = connection.execute(ask.returning(jobs)).all()
                note(connection, rows, self._clock(), Happening.CANCEL_REQUESTED)
                asked += [to_job(row) for row in rows]
        return sorted(asked, key=lambda job: job.id)

    def cancellations(self) -> list[Job]:
        """Queued and running jobs that an operator wants cancelled, until they are."""
        query = select(jobs).where(
            CANCEL_REQUESTED, jobs.c.state.in_((JobState.QUEUED, JobState.RUNNING))
        )
        with self._db.read() as connection:
            return [to_job(row) for row in connection.execute(query.order_by(jobs.c.id))]

    def _retry(self, connection: Connection, batch: Sequence[int]) -> list[Job]:
        chosen = select(jobs.c.id).where(jobs.c.id.in_(batch), *_retriable())
        ids = connection.execute(chosen).scalars().all()
        unread = (PageState.FAILED, PageState.PENDING)
        connection.execute(delete(pages).where(pages.c.job_id.in_(ids), pages.c.state.in_(unread)))
        kept = select(func.count()).where(pages.c.job_id == jobs.c.id).scalar_subquery()
        change = update(jobs).where(jobs.c.id.in_(ids))
        change = change.values(
            state=JobState.QUEUED,
            attempts=0,
            not_before=0,
            pages_done=kept,
            started_at=None,
            finished_at=None,
            ending=None,
            cancel_requested=0,
            entries=jobs.c.entries + 1,
            **error_columns(None),
        )
        rows = connection.execute(change.returning(jobs)).all()
        note(connection, rows, self._clock(), Happening.RETRIED)
        return sorted((to_job(row) for row in rows), key=lambda job: job.id)


def _chosen(
    state: JobState | None, folder: str | None, since: float | None, name: str | None
) -> Iterator[ColumnElement[bool]]:
    if state is not None:
        yield jobs.c.state == state
        if state is not JobState.DONE:
            yield NOT_DONE  # type: ignore[misc]  # text, so that SQLite knows its partial index
    if folder is not None:
        yield jobs.c.folder == folder
    if since is not None:
        yield jobs.c.created_at >= since
    if name is not None:
        yield func.instr(func.lower(jobs.c.shown), name.lower()) > 0


def _retriable() -> list[ColumnElement[bool]]:
    """Ended, its original still there, and no newer job for the same name in the inbox."""
    other = jobs.alias("other")
    newer = exists().where(
        other.c.place == Place.INBOX,
        other.c.folder == jobs.c.folder,
        other.c.source == jobs.c.source,
        other.c.members.is_(None),
        other.c.id != jobs.c.id,
        or_(other.c.state.in_(_ACTIVE_AT_INBOX), other.c.id > jobs.c.id),
    )
    return [
        jobs.c.state.in_(_ENDED),
        jobs.c.place != Place.GONE,
        or_(jobs.c.place != Place.INBOX, ~newer),
    ]


def _batches(numbers: Collection[int]) -> Iterator[list[int]]:
    """Bounded: SQLite limits the parameters of a statement."""
    ordered = sorted(set(numbers))
    for start in range(0, len(ordered), _BATCH):
        yield ordered[start : start + _BATCH]
