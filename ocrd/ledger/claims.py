"""Who works on which job: claims, and what gives them back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Subquery,
    TextClause,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)

from ocrd.files import display
from ocrd.job import Job, JobError, JobState, Place
from ocrd.ledger.fence import NO_ERROR, UNDER_WAY, given, given_error, step, take
from ocrd.ledger.history import Happening, note
from ocrd.ledger.part import Part
from ocrd.ledger.rows import error_columns, to_job
from ocrd.ledger.steps import GONE
from ocrd.ledger.tables import AT_INBOX, DEFERRED, DONE, ENDING, NOT_DONE, READY, jobs, tallies

LONGEST_WAIT_S = 86_400.0  # a later `not_before` can only come of a clock that jumped


class Claims(Part):
    """Hands out jobs, each to one claimant at a time."""

    def claim(
        self,
        *,
        now: float,
        exclude_folders: Collection[str] = (),
        only_folder: str | None = None,
    ) -> Job | None:
        """Take the next job that may run: the highest priority, then the oldest.

        Args:
            now: Seconds since the epoch; jobs put off until later stay where they are.
            exclude_folders: Take none from these.
            only_folder: Take one from this folder or none.
        """
        taken = self.claim_some(
            1, now=now, exclude_folders=exclude_folders, only_folder=only_folder
        )
        return taken[0] if taken else None

    def claim_some(
        self,
        most: int,
        *,
        now: float,
        exclude_folders: Collection[str] = (),
        only_folder: str | None = None,
    ) -> list[Job]:
        """Take the next `most` jobs that may run, or as many as there are, in their order.

        See `claim`; it is one transaction for all of them.
        """
        told = {"now": now, "excluded": sorted(exclude_folders), "only": only_folder}
        with self._db.write() as connection:
            connection.execute(_PROMOTE, {"now": now, "absurd": now + LONGEST_WAIT_S})
            rows = list(self._claimed(connection, told, most))
        return [to_job(row) for row in rows]

    def resume(self, job: Job, *, refund: bool = False) -> Job:
        """Claim anew a job whose claimant went away; the old claim's steps are fenced off.

        Args:
            job: As `unfinished` gave it.  Its state stays.
            refund: Whether a running job's new claim is to cost no attempt; other states never
                cost one.
        """
        return self._take(job, _RESUME, attempts=int(not refund))

    def release(self, job: Job, *, not_before: float, error: JobError | None, refund: bool) -> Job:
        """Put a running job back into the queue.

        A job whose file was replaced in the inbox meanwhile, by one that is queued itself, has
        nothing left to do: it ends as cancelled.

        Args:
            job: As claimed.
            not_before: When it may be claimed again, seconds since the epoch; at most a day off.
            error: Why, if something went wrong.
            refund: Whether the attempt is given back.
        """
        now = self._clock()
        told = {
            "not_before": 0.0 if not_before <= now else min(not_before, now + LONGEST_WAIT_S),
            "attempts": int(refund),
            **error_columns(error),
        }
        detail = f"{error.kind}: {error.message}" if error else ""
        with self._db.write() as connection:
            newer = connection.execute(_REPLACED_BY, {"job": job.id}).scalar()
            if newer is not None:
                return self._superseded(connection, job, newer)
            row = take(connection, job, _RELEASE, now, detail, **told)
        return to_job(row)

    def unfinished(self) -> list[Job]:
        """Jobs that somebody was at work on: running, delivering, or on their way to failed/."""
        under_way = select(jobs).where(
            NOT_DONE, jobs.c.state.in_((JobState.RUNNING, JobState.DELIVERING))
        )
        ending = select(jobs).where(ENDING)
        with self._db.read() as connection:
            found = [to_job(row) for row in connection.execute(under_way)]
            found += [to_job(row) for row in connection.execute(ending)]
        return sorted({job.id: job for job in found}.values(), key=lambda job: job.id)

    def owner(self, token: str) -> Job | None:
        """The job that is not done and whose files in the spool bear `token`.

        None of them is that of a job whose original was taken away: it waits for nothing there.
        """
        job = self._of_token(NOT_DONE, token)
        return None if job is None or job.place is Place.GONE else job

    def bearer(self, token: str) -> Job | None:
        """The job of that token, whatever its state.  For one that is done all are looked at."""
        return self._of_token(NOT_DONE, token) or self._of_token(DONE, token)

    def _of_token(self, state: TextClause, token: str) -> Job | None:
        with self._db.read() as connection:
            rows = connection.execute(select(jobs).where(state, jobs.c.token == token))
            row = rows.one_or_none()
        return None if row is None else to_job(row)

    def _claimed(
        self, connection: Connection, told: dict[str, Any], most: int
    ) -> Iterator[Row[Any]]:
        for _ in range(most):
            row = connection.execute(CLAIM, told).one_or_none()
            if row is None:
                return
            note(connection, [row], self._clock(), Happening.CLAIMED, f"attempt {row.attempts}")
            yield row

    def _superseded(self, connection: Connection, job: Job, newer: int) -> Job:
        error = JobError(
            kind="source-changed",
            message=f"{display(job.source)}: replaced in the inbox while it was claimed",
            hint=f"Nothing to do: job {newer} reads the new file.",
        )
        now = self._clock()
        told = {"finished_at": now, **error_columns(error)}
        return to_job(take(connection, job, GONE, now, error.message, **told))


def _heads() -> Subquery:
    """The first ready job of each folder's queue; what lies behind it is never looked at."""
    waiting = jobs.alias("waiting")
    head = (
        select(waiting.c.id)
        .where(READY, waiting.c.folder == tallies.c.folder)
        .order_by(waiting.c.priority.desc(), waiting.c.id)
        .limit(literal_column("1"))
        .correlate(tallies)
        .scalar_subquery()
    )
    only = bindparam("only", type_=tallies.c.folder.type)
    return (
        select(head.label("id"))
        .where(tallies.c.state == JobState.QUEUED, tallies.c.jobs > 0)
        .where(tallies.c.folder.not_in(bindparam("excluded", expanding=True)))
        .where(or_(only.is_(None), tallies.c.folder == only))
        .subquery("heads")
    )


_heads_now = _heads()
_first = jobs.alias("first")
CLAIM = (
    update(jobs)
    .where(
        jobs.c.id
        == select(_first.c.id)
        .join_from(_heads_now, _first, _first.c.id == _heads_now.c.id)
        .order_by(_first.c.priority.desc(), _first.c.id)
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    .values(
        state=JobState.RUNNING,
        started_at=bindparam("now"),
        epoch=jobs.c.epoch + 1,
        attempts=jobs.c.attempts + 1,
        entries=jobs.c.entries + 1,
        **NO_ERROR,
    )
    .returning(jobs)
)
_PROMOTE = (
    update(jobs)
    .where(
        or_(  # each half by itself is a range of the index
            and_(DEFERRED, jobs.c.not_before <= bindparam("now")),
            and_(DEFERRED, jobs.c.not_before > bindparam("absurd")),
        )
    )
    .values(not_before=0)
)
_RESUME = step(
    Happening.RESUMED,
    UNDER_WAY,
    {
        "epoch": jobs.c.epoch + 1,
        "attempts": jobs.c.attempts
        + case((jobs.c.state == JobState.RUNNING, given("attempts")), else_=0),
    },
    or_(jobs.c.state != JobState.QUEUED, jobs.c.ending.is_not(None)),
)
_RELEASE = step(
    Happening.RELEASED,
    (JobState.RUNNING,),
    {
        "state": JobState.QUEUED,
        "not_before": given("not_before"),
        "attempts": func.max(jobs.c.attempts - given("attempts"), 0),
        **given_error(),
    },
)

_own = jobs.alias("own")
_REPLACED_BY = (
    select(jobs.c.id)
    .join_from(_own, jobs, (jobs.c.folder == _own.c.folder) & (jobs.c.source == _own.c.source))
    .where(_own.c.id == bindparam("job"), _own.c.place == Place.INBOX)
    .where(AT_INBOX, jobs.c.state == JobState.QUEUED, jobs.c.ending.is_(None))
    .where(_own.c.members.is_(None), jobs.c.members.is_(None))  # known by its files, not its name
)
