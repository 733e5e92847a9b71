"""What becomes of a job that met an error, and when it is tried again.

A *pause* concerns a place that many jobs need: a full disk, a share that is gone.  Its folder
starts nothing; now and then one of its jobs goes first and tries.  A *hold* concerns one job: a
sub-folder without rights, a name that the target refuses, a file that needs more memory than there
is.  The others go on.  Neither costs an attempt; only a *retry* does.
"""

from __future__ import annotations

import enum
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ocrd.config import Folder
from ocrd.daemon.calls import Calls
from ocrd.errors import (
    Disposition,
    FencedError,
    MemoryShortError,
    OcrdError,
    PlaceError,
    SourceChangedError,
)
from ocrd.events import Events
from ocrd.files import memory_short, os_error
from ocrd.job import Job, JobState, Place
from ocrd.ledger.ledger import Ledger
from ocrd.worker.pages import LEDGER, told
from ocrd.worker.worker import Worker, facts

FIRST_DELAY_S = 2.0
LONGEST_PAUSE_S = 60.0
LONGEST_HOLD_S = 300.0
NO_MEMORY = "no-memory"  # of a child that the kernel ended for want of it
LOOK_AGAIN_S = 1.0  # a file that changed is left alone at least so long
UNDER_WAY = (JobState.RUNNING, JobState.DELIVERING)


class Outcome(enum.Enum):
    """What becomes of a job that met an error."""

    PAUSE = "its folder waits for a place, and the job with it"
    HOLD = "the job alone waits"
    CHANGED = "its original is not what was recorded"
    FAIL = "it has failed"
    RETRY = "it is tried again later; that costs an attempt"


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How a transient fault is tried again (times in s)."""

    most: int
    delay_s: float
    longest_s: float

    def delay(self, attempts: int) -> float:
        """The wait after the `attempts`th failed attempt: doubling up to the longest."""
        return min(self.longest_s, self.delay_s * 2.0 ** (max(attempts, 1) - 1))

    def outcome(self, job: Job, trees: Iterable[Path], error: OcrdError) -> Outcome:
        """Decide.

        Args:
            job: As the ledger has it now.
            trees: What the folder's jobs are moved between.
            error: What it met.
        """
        if error.disposition is Disposition.CONDITION:
            return Outcome.HOLD if _its_own(error, trees) else Outcome.PAUSE
        if is_ending(job):  # no queue takes it back
            return Outcome.HOLD
        if isinstance(error, SourceChangedError):
            return Outcome.CHANGED
        if error.disposition is Disposition.PERMANENT or job.attempts >= self.most:
            return Outcome.FAIL
        return Outcome.RETRY


def is_ending(job: Job) -> bool:
    """Whether only its last steps are left, which need no engine."""
    return job.state is JobState.DELIVERING or job.ending is not None


def trees_of(folder: Folder) -> list[Path]:
    """What a folder's jobs are moved between."""
    return [path for _, path in folder.trees()]


def _its_own(error: OcrdError, trees: Iterable[Path]) -> bool:
    if isinstance(error, MemoryShortError) or error.kind == NO_MEMORY:
        return True
    return isinstance(error, PlaceError) and error.is_below(trees)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """Why a folder or a job waits, since when, and when it is tried again (times of one clock)."""

    error: OcrdError
    since: float
    until: float
    delay: float

    def over(self, now: float) -> bool:
        """Whether it is time for a try: not after years, when the clock was put back meanwhile."""
        return now >= self.until or now < self.until - self.delay


class Waits:
    """What waits now: folders by name, or jobs by number.

    Args:
        longest_s: Between two tries.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._now: dict[str | int, Wait] = {}

    @property
    def now(self) -> Mapping[str | int, Wait]:
        """All of them."""
        return self._now

    def met(self, who: str | int, error: OcrdError, now: float) -> bool:
        """An error was met; True when `who` did not wait before."""
        before = self._now.get(who)
        if before is None:
            self._now[who] = Wait(
                error=error, since=now, until=now + FIRST_DELAY_S, delay=FIRST_DELAY_S
            )
            return True
        if before.over(now):  # the try failed; several that fail at once are one failure
            delay = min(before.delay * 2, self._longest_s)
            self._now[who] = replace(before, error=error, until=now + delay, delay=delay)
        return False

    def over(self, who: str | int, now: float) -> bool:
        """Whether it may be tried now."""
        wait = self._now.get(who)
        return wait is None or wait.over(now)

    def ended(self, who: str | int) -> Wait | None:
        """It got through: the wait that ends with it, if there was one."""
        return self._now.pop(who, None)


class Inboxes(Protocol):
    """What is asked of the inboxes."""

    def closed(self) -> set[str]:
        """Folders whose inbox cannot be read now."""

    def hint(self, folder: str, source: str) -> None:
        """A file belongs to no job any more, or is not what its job takes it for."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job that waits with us, and not in the ledger's queue.

    Attributes:
        job: As the ledger had it.
        refund: Whether its next start costs no attempt: not after a crash.
    """

    job: Job
    refund: bool = True


class Retries:
    """Holds, pauses, puts off and fails jobs that met an error.

    Args:
        worker: Fails a job.
        ledger: Where jobs are put back.
        spool: Where jobs' folders lie.
        events: Is told what happens.
        call: Runs blocking calls off the event loop.
        clock: Seconds since the epoch.
        attempts: How often, how soon.

    Attributes:
        inboxes: Are told of files that belong to no job any more.
        paused: Why folders wait.
        held: Why jobs wait.
        waiting: The jobs that wait with us, by number.
    """

    inboxes: Inboxes

    def __init__(
        self,
        *,
        worker: Worker,
        ledger: Ledger,
        spool: Path,
        events: Events,
        call: Calls,
        clock: Callable[[], float],
        attempts: Attempts,
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._spool = spool
        self._events = events
        self._call = call
        self._clock = clock
        self._attempts = attempts
        self.paused = Waits(LONGEST_PAUSE_S)
        self.held = Waits(LONGEST_HOLD_S)
        self.waiting: dict[int, Waiting] = {}

    async def met(self, job: Job, folder: Folder, error: Exception) -> None:
        """Decide what becomes of a job that met an error, and carry it out."""
        now, error = job, self._known(job, error)
        try:
            found = await self._call(LEDGER, self._ledger.job, job.id)
            if found is not None and found.state in UNDER_WAY:
                now = found
                await self._carry_out(self._outcome(now, folder, error), now, folder, error)
        except FencedError:
            return
        except Exception as unforeseen:  # failed/ or the ledger cannot be written either
            self.refused(now, folder, unforeseen)
            self.waiting[now.id] = Waiting(job=now)

    def refused(self, job: Job, folder: Folder, error: Exception) -> None:
        """What a job needs to end was refused: the job, or its folder, waits."""
        known = self._known(job, error)
        if self._outcome(job, folder, known) is Outcome.PAUSE:
            self._pause(folder, known)
        else:
            self._hold(job, known)

    def _outcome(self, job: Job, folder: Folder, error: OcrdError) -> Outcome:
        return self._attempts.outcome(job, [*trees_of(folder), self._spool / "jobs"], error)

    async def _carry_out(
        self, outcome: Outcome, job: Job, folder: Folder, error: OcrdError
    ) -> None:
        if outcome is Outcome.HOLD and not is_ending(job):
            until = self._hold(job, error)
            await self.release(job, until, error)
        elif outcome in (Outcome.HOLD, Outcome.PAUSE):
            self._keep(job, folder, error, outcome)
        elif outcome is Outcome.FAIL:
            self.free(await self._worker.fail(job, folder, told(error)))
        elif isinstance(error, SourceChangedError) and outcome is Outcome.CHANGED:
            await self._source_changed(job, folder, error)
        else:
            delay = self._attempts.delay(job.attempts)
            await self.release(job, self._clock() + delay, error, refund=False)
            told_of = {"attempt": job.attempts, "again_s": delay, **why(error)}
            self._events.warn("job.deferred", **facts(job), **told_of)

    def _keep(self, job: Job, folder: Folder, error: OcrdError, outcome: Outcome) -> None:
        """It stays where it is, its attempt going on, until it or its folder may be tried again."""
        self.waiting[job.id] = Waiting(job=job)
        if outcome is Outcome.PAUSE:
            self._pause(folder, error)
        else:
            self._hold(job, error)

    def _hold(self, job: Job, error: OcrdError) -> float:
        """The job alone waits; until when.  Told once."""
        if self.held.met(job.id, error, self._clock()):
            self._events.warn("job.held", **facts(job), **why(error))
        return self.held.now[job.id].until

    def _pause(self, folder: Folder, error: OcrdError) -> None:
        """The folder waits.  Told once."""
        if self.paused.met(folder.name, error, self._clock()):
            self._events.warn("folder.paused", folder=folder.name, **why(error))

    def resumed(self, folder: str) -> None:
        """A job of the folder got through, or nothing holds it any more."""
        wait = self.paused.ended(folder)
        if wait is not None:
            waited = round(self._clock() - wait.since, 1)
            kind = wait.error.kind
            self._events.emit("folder.resumed", folder=folder, kind=kind, waited_s=waited)

    async def _source_changed(self, job: Job, folder: Folder, error: SourceChangedError) -> None:
        """Gone: a person took it.  Changed: it comes to rest again, and is recorded anew.

        A joined document is given up in either case; its files come to rest, and are joined, anew.
        """
        is_gone = error.kind == "source-gone"
        if is_gone and not await self._call(folder.inbox, os.path.isdir, folder.inbox):
            # its share is gone, not the file
            self._keep(job, folder, _inbox_missing(folder), Outcome.PAUSE)
            return
        if is_gone or (job.members and job.place is Place.INBOX):
            self.free(await self._call(LEDGER, self._ledger.gone, job))
            self._events.warn("job.source_gone", **facts(job))
            return
        await self.release(job, self._clock() + max(folder.settle_s, LOOK_AGAIN_S), error)
        self._events.warn("job.source_changed", **facts(job), error=error.message)
        if job.place is Place.INBOX:  # no event may come of it, nor a rescan find it another
            self.inboxes.hint(job.folder, job.source)

    async def put_back(self, job: Job) -> None:
        """Into the queue, as when the daemon stops: it goes on later, its finished pages kept."""
        now = await self._call(LEDGER, self._ledger.job, job.id)
        if now is None or now.state not in UNDER_WAY:
            self.waiting.pop(job.id, None)
        elif now.state is JobState.RUNNING and not now.cancel_requested and not is_ending(now):
            await self.release(now, self._clock(), None)
            self.waiting.pop(job.id, None)

    async def release(
        self, job: Job, not_before: float, error: OcrdError | None, *, refund: bool = True
    ) -> None:
        """Into the queue until `not_before`; `refund` gives the attempt back."""
        await self._call(
            LEDGER,
            self._ledger.release,
            job,
            not_before=not_before,
            error=told(error) if error else None,
            refund=refund,
        )

    def free(self, job: Job) -> None:
        """A job has ended.  What is left of it in the inbox is new again."""
        self.held.ended(job.id)
        if job.place is Place.GONE:
            for member in job.members:
                self.inboxes.hint(job.folder, member.source)
        elif job.place is Place.INBOX and not job.members:
            self.inboxes.hint(job.folder, job.source)

    def _known(self, job: Job, error: Exception) -> OcrdError:
        """An error as one with a remedy; what nobody foresaw is a defect."""
        if isinstance(error, OcrdError):
            return error
        if isinstance(error, OSError) and error.errno:
            return os_error(error, self._spool)
        if isinstance(error, MemoryError):
            return memory_short()
        self._events.error("job.crashed", **facts(job), traceback=traceback.format_exc())
        hint = "This is a defect of ocrd: please report it with the traceback in the log."
        return OcrdError(repr(error), hint=hint, kind="internal")


def why(error: OcrdError) -> dict[str, str]:
    """An error as events tell it."""
    return {"kind": error.kind, "error": error.message, "hint": error.hint}


def _inbox_missing(folder: Folder) -> PlaceError:
    return PlaceError(
        f"{folder.inbox}: the inbox is not there",
        hint="Mount the share again, or create the folder; the files in it are not given up.",
        kind="share-gone",
    )
