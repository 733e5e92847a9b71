"""The steps of a claimed job on its way.  Each is one transaction, fenced by the claim."""

from __future__ import annotations

from sqlalchemy import case, func, null

from ocrd.files import display
from ocrd.job import Job, JobError, JobState, Place
from ocrd.ledger.fence import NO_ERROR, UNDER_WAY, given, given_error, step
from ocrd.ledger.history import Happening
from ocrd.ledger.part import Part
from ocrd.ledger.rows import error_columns
from ocrd.ledger.tables import jobs

_ENDED = {"finished_at": given("finished_at"), "ending": None, "cancel_requested": 0}

_MOVED = step(
    Happening.MOVED,
    (JobState.QUEUED, JobState.RUNNING, JobState.FAILED),
    {
        "place": given("place"),
        "failed_to": case(
            (given("place") == Place.FAILED, func.coalesce(given("failed_to"), jobs.c.failed_to)),
            (jobs.c.ending.is_not(None), jobs.c.failed_to),
            else_=null(),  # where a retried job's original used to lie
        ),
    },
)
_DELIVER = step(
    Happening.DELIVERING,
    (JobState.RUNNING,),
    {
        "state": JobState.DELIVERING,
        "outputs": given("outputs"),
        "archived_to": given("archived_to"),
    },
    heed_cancel=True,
)
_REDELIVER = step(
    Happening.RENAMED,
    (JobState.DELIVERING,),
    {
        "outputs": func.coalesce(given("outputs"), jobs.c.outputs),
        "archived_to": func.coalesce(given("archived_to"), jobs.c.archived_to),
    },
)
_DONE = step(
    Happening.DONE,
    (JobState.DELIVERING,),
    {"state": JobState.DONE, "place": Place.ARCHIVE, "failed_to": None, **NO_ERROR, **_ENDED},
)
_INTEND = step(
    Happening.ENDING,
    UNDER_WAY,
    {
        "ending": given("ending"),
        "failed_to": case(
            (jobs.c.place == Place.FAILED, jobs.c.failed_to), else_=given("failed_to")
        ),
        **given_error(),
    },
)
_LEFT = {  # one that stays where it is has no place in failed/
    "place": given("place"),
    "failed_to": case((given("place") == Place.FAILED, jobs.c.failed_to), else_=null()),
    **_ENDED,
}
_FAILED = step(Happening.FAILED, UNDER_WAY, {"state": JobState.FAILED, **_LEFT})
_CANCELLED = step(Happening.CANCELLED, UNDER_WAY, {"state": JobState.CANCELLED, **_LEFT})
GONE = step(
    Happening.GONE,
    (JobState.QUEUED, JobState.RUNNING),
    {
        "state": JobState.CANCELLED,
        "place": Place.GONE,
        "failed_to": None,
        **given_error(),
        **_ENDED,
    },
)


class Steps(Part):
    """Records how far a job has come.

    Each step takes the `Job` as its claimant last had it, and gives it back as it is now.  It
    raises `FencedError` when a later claim, or an operator's cancel, has taken the job away.
    """

    def moved(self, job: Job, place: Place, *, failed_to: str | None = None) -> Job:
        """The original is in `place` now.

        Args:
            job: Running; or failed, when a refused file was moved after all.
            place: Where.
            failed_to: Its path, when that is failed/ and not recorded yet.
        """
        return self._take(job, _MOVED, f"to {place}", place=place, failed_to=failed_to)

    def deliver(self, job: Job, *, outputs: str | None, archived_to: str) -> Job:
        """The bundle is complete and will be published under these names.

        Args:
            job: Running, its original in the spool.
            outputs: The bundle's absolute path, or None for a folder that makes none.
            archived_to: The original's.
        """
        return self._take(job, _DELIVER, outputs=outputs, archived_to=archived_to)

    def redeliver(
        self, job: Job, *, outputs: str | None = None, archived_to: str | None = None
    ) -> Job:
        """A name was taken meanwhile: this one instead; None keeps what is recorded."""
        detail = ", ".join(display(path) for path in (outputs, archived_to) if path is not None)
        return self._take(job, _REDELIVER, detail, outputs=outputs, archived_to=archived_to)

    def done(self, job: Job) -> Job:
        """Bundle published, original archived."""
        return self._take(job, _DONE, finished_at=self._clock())

    def intend_failure(
        self, job: Job, error: JobError, failed_to: str, *, cancelled: bool = False
    ) -> Job:
        """The original will go to `failed_to` for this reason.  May be said again.

        An original that lies in failed/ already, from an earlier failure, stays where it is.
        """
        ending = JobState.CANCELLED if cancelled else JobState.FAILED
        detail = f"{error.kind}: {error.message}"
        values = {"ending": ending, "failed_to": failed_to, **error_columns(error)}
        return self._take(job, _INTEND, detail, **values)

    def failed(self, job: Job, place: Place = Place.FAILED) -> Job:
        """It is there, or stays in `place` because it cannot be moved."""
        return self._take(job, _FAILED, place=_left(job, place), finished_at=self._clock())

    def cancelled(self, job: Job, place: Place = Place.FAILED) -> Job:
        """Likewise, and a person wanted it so."""
        return self._take(job, _CANCELLED, place=_left(job, place), finished_at=self._clock())

    def gone(self, job: Job) -> Job:
        """A person took the original away before it was claimed.

        Of a joined document that may have been some of its files, and they may only have changed.
        """
        error = _parted(job) if job.members and job.place is Place.INBOX else _taken_away(job)
        told = {"finished_at": self._clock(), **error_columns(error)}
        return self._take(job, GONE, error.message, **told)


def _left(job: Job, place: Place) -> Place:
    """What stays in the inbox of a joined document are files that may be joined anew."""
    return Place.GONE if job.members and place is Place.INBOX else place


def _taken_away(job: Job) -> JobError:
    return JobError(
        kind="source-gone",
        message=f"{display(job.failed_to or job.source)}: taken away before it could be read",
        hint="Nothing to do if that was intended; otherwise drop it into the inbox again.",
    )


def _parted(job: Job) -> JobError:
    return JobError(
        kind="source-changed",
        message=f"{display(job.source)}: not all of its {len(job.members)} files are as they were",
        hint="Nothing to do: those that are there are looked at, and joined, anew.",
    )
