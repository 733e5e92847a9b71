"""What becomes of a job that met an error, and of the folder whose place is out of order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ocrd.config import Folder
from ocrd.daemon.pauses import Pauses
from ocrd.errors import Disposition, FencedError, OcrdError, PlaceError, SourceChangedError
from ocrd.events import Events
from ocrd.job import Job, JobState, Place
from ocrd.worker import ports
from ocrd.worker.pages import told
from ocrd.worker.worker import Worker, facts

UNDER_WAY = (JobState.RUNNING, JobState.DELIVERING)
LOOK_AGAIN_S = 1.0  # a file that changed is left alone at least so long


class Ledger(ports.Ledger, Protocol):
    """What is asked of the ledger beyond the worker's steps."""

    def job(self, number: int) -> Job | None:
        """One job as it is now."""


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How a transient fault is tried again (times in s)."""

    max_attempts: int
    delay_s: float
    longest_s: float

    def delay(self, attempts: int) -> float:
        """The wait after the `attempts`th failed attempt: doubling up to the longest."""
        return min(self.longest_s, self.delay_s * 2.0 ** (max(attempts, 1) - 1))


class Aftermath:
    """Puts off, fails or stalls jobs, and pauses and resumes their folders.

    Args:
        worker: Fails a job.
        ledger: Where jobs are recorded.
        pauses: Which folders wait for a place.
        look_again: Told a folder and a file in its inbox that belongs to no job any more, or is
            not what its job takes it for.
        events: Is told what happens.
        call: Runs a ledger call off the event loop.
        clock: Seconds since the epoch.
        retries: How often, how soon.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        ledger: Ledger,
        pauses: Pauses,
        look_again: Callable[[str, str], object],
        events: Events,
        call: ports.Call,
        clock: Callable[[], float],
        retries: Retries,
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._pauses = pauses
        self._look_again = look_again
        self._events = events
        self._call = call
        self._clock = clock
        self._retries = retries
        self._stalled: dict[str, deque[int]] = {}

    async def of(self, job: Job, folder: Folder, error: OcrdError) -> None:
        """Decide what becomes of a job that met an error."""
        try:
            now = await self._call(self._ledger.job, job.id)
            if now is None or now.state not in UNDER_WAY:
                return
            if error.disposition is Disposition.CONDITION or is_ending(now):
                self._stall(job, folder, error)
            elif isinstance(error, SourceChangedError):
                await self._source_changed(now, folder, error)
            elif error.disposition is Disposition.PERMANENT or self._exhausted(now):
                self.free(await self._worker.fail(now, folder, told(error)))
            else:
                await self._defer(now, error)
        except FencedError:
            return
        except OcrdError as second:  # failed/ or the ledger cannot be written either
            self._stall(job, folder, second)

    def met(self, folder: Folder, error: OcrdError) -> None:
        """A condition of the folder's place: it pauses, told once."""
        if self._pauses.met(folder.name, error, self._clock()):
            why = {"kind": error.kind, "error": error.message, "hint": error.hint}
            self._events.warn("folder.paused", folder=folder.name, **why)

    def resumed(self, folder: str) -> None:
        """A job of the folder got through, or nothing holds it any more."""
        pause = self._pauses.ended(folder)
        if pause is not None:
            waited = round(self._clock() - pause.since, 1)
            self._events.emit("folder.resumed", folder=folder, kind=pause.kind, waited_s=waited)

    async def stalled(self, folder: str, most: int | None = None) -> list[Job]:
        """Take up to `most` (all, if None) of the folder's jobs that stand where they stalled.

        Raises:
            LedgerError: It cannot be asked now; they are still there.
        """
        waiting = self._stalled.get(folder, deque())
        count = len(waiting) if most is None else min(most, len(waiting))
        taken = [waiting.popleft() for _ in range(count)]
        try:
            jobs = [await self._call(self._ledger.job, number) for number in taken]
        except BaseException:  # cancelled, too: nobody else knows of them
            waiting.extendleft(reversed(taken))
            raise
        return [job for job in jobs if job is not None and job.state in UNDER_WAY]

    async def all_stalled(self) -> list[Job]:
        """Take every job that stands where it stalled; likewise."""
        return [job for folder in list(self._stalled) for job in await self.stalled(folder)]

    def has_stalled(self, folder: str) -> bool:
        """Whether jobs of the folder wait for its place."""
        return bool(self._stalled.get(folder))

    def free(self, job: Job) -> None:
        """The files of a joined document that was given up are in the inbox, and new again."""
        if job.place is Place.GONE:
            for member in job.members:
                self._look_again(job.folder, member.source)

    def _exhausted(self, job: Job) -> bool:
        return job.attempts >= self._retries.max_attempts

    def _stall(self, job: Job, folder: Folder, error: OcrdError) -> None:
        """It stays where it is until its place is back; its attempt goes on."""
        self._stalled.setdefault(folder.name, deque()).append(job.id)
        self.met(folder, error)

    async def _source_changed(self, job: Job, folder: Folder, error: SourceChangedError) -> None:
        """Gone: a person took it.  Changed: it comes to rest again, and is recorded anew.

        A joined document is given up in either case; its files come to rest, and are joined, anew.
        """
        if error.kind == "source-gone" and not await self._is_there(folder):
            self._stall(job, folder, _inbox_missing(folder))  # its share is gone, not the file
            return
        parted = bool(job.members) and job.place is Place.INBOX
        if error.kind == "source-gone" or parted:
            self.free(await self._call(self._ledger.gone, job))
            self._events.warn("job.source_gone", **facts(job))
            return
        later = self._clock() + max(folder.settle_s, LOOK_AGAIN_S)
        await self._call(
            self._ledger.release, job, not_before=later, error=told(error), refund=True
        )
        self._events.warn("job.source_changed", **facts(job), error=error.message)
        if job.place is Place.INBOX:  # no event may come of it, nor a rescan find it another
            self._look_again(job.folder, job.source)

    async def _is_there(self, folder: Folder) -> bool:
        return await self._call(os.path.isdir, folder.inbox)  # a dead share hangs, or answers EIO

    async def _defer(self, job: Job, error: OcrdError) -> None:
        delay = self._retries.delay(job.attempts)
        later = self._clock() + delay
        await self._call(
            self._ledger.release, job, not_before=later, error=told(error), refund=False
        )
        why = {"kind": error.kind, "error": error.message, "hint": error.hint}
        self._events.warn("job.deferred", **facts(job), attempt=job.attempts, again_s=delay, **why)


def is_ending(job: Job) -> bool:
    """Whether only its last steps are left, which need no engine; no queue takes it back."""
    return job.state is JobState.DELIVERING or job.ending is not None


def _inbox_missing(folder: Folder) -> PlaceError:
    return PlaceError(
        f"{folder.inbox}: the inbox is not there",
        hint="Mount the share again, or create the folder; the files in it are not given up.",
        kind="share-gone",
    )
