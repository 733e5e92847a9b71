"""Claims jobs and keeps them going: how many at once, what after a fault, who waits for what."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ocrd.config import Folder
from ocrd.daemon.pauses import Pauses
from ocrd.engine.base import Engine, EngineState
from ocrd.errors import Disposition, FencedError, OcrdError, PlaceError, SourceChangedError
from ocrd.events import Events
from ocrd.job import Job, JobError, JobState, Place
from ocrd.worker import ports
from ocrd.worker.pages import told
from ocrd.worker.worker import Worker, facts

GATHER_S = 0.05  # jobs that end within it are replaced together
POLL_S = 1.0  # how soon an operator's `retry` or `cancel` is seen
MAX_CLAIMS = 100  # a job found running at so many starts takes the daemon down with it
UNKNOWN_FOLDER_S = 60.0
CLAIMED_AT_ONCE = 64  # in one transaction, which others wait for
UNDER_WAY = (JobState.RUNNING, JobState.DELIVERING)


class Ledger(ports.Ledger, Protocol):
    """What the dispatcher asks of the ledger beyond the worker's steps."""

    def claim_some(self, most: int, *, now: float, exclude_folders: frozenset[str]) -> list[Job]:
        """The next jobs that may run, now ours."""

    def resume(self, job: Job) -> Job:
        """Claim anew a job that was running or delivering when its claimant went away."""

    def job(self, number: int) -> Job | None:
        """One job as it is now."""

    def counts(self) -> Mapping[tuple[str, JobState], int]:
        """Jobs by folder and state."""

    def cancellations(self) -> list[Job]:
        """Active jobs that an operator wants cancelled."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many jobs run at once, and how a transient fault is tried again (times in s)."""

    max_running: int
    max_attempts: int
    retry_delay_s: float
    retry_max_s: float

    def delay(self, attempts: int) -> float:
        """The wait after the `attempts`th failed attempt: doubling up to the longest."""
        return min(self.retry_max_s, self.retry_delay_s * 2.0 ** (max(attempts, 1) - 1))


@dataclass(frozen=True, kw_only=True)
class _Run:
    task: asyncio.Task[None]
    folder: str


class Dispatcher:
    """Runs a worker for every job that may run.

    Args:
        worker: Runs one job.
        ledger: Where jobs come from.
        engine: Nothing is claimed before it is ready.
        folders: The folders in force, by name; asked anew each time, as a reload changes them.
        closed: Folders of which nothing may begin now (a share is gone, or it is not their time).
        look_again: Told a folder and a file in its inbox that belongs to no job any more.
        pauses: Which folders wait for a place.
        events: Is told what happens.
        call: Runs a ledger call off the event loop.
        clock: Seconds since the epoch.
        limits: How many, how often.
        expect: Is told how many jobs wait for the engine to get ready, so that all else is.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        ledger: Ledger,
        engine: Engine,
        folders: Callable[[], Mapping[str, Folder]],
        closed: Callable[[], set[str]],
        look_again: Callable[[str, str], object],
        pauses: Pauses,
        events: Events,
        call: ports.Call,
        clock: Callable[[], float],
        limits: Limits,
        expect: Callable[[int], None],
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._engine = engine
        self._folders = folders
        self._closed = closed
        self._look_again = look_again
        self._pauses = pauses
        self._events = events
        self._call = call
        self._clock = clock
        self._limits = limits
        self._expect = expect
        self._running: dict[int, _Run] = {}
        self._resumable: deque[Job] = deque()
        self._stalled: dict[str, deque[int]] = {}
        self._look_again_at = 0.0  # for cancellations, by the loop's clock
        self._wake = asyncio.Event()
        self._stopping = False
        self.waits: OcrdError | None = None  # why nothing can be claimed now
        self.ticks = 0

    @property
    def running(self) -> int:
        """Jobs under way now."""
        return len(self._running)

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    def take_over(self, jobs: list[Job]) -> None:
        """Jobs that were under way when the daemon last went away: they go first."""
        self._resumable.extend(jobs)

    async def run(self) -> None:
        """Claim and run until told to stop."""
        while not self._stopping:
            self.ticks += 1
            self._wake.clear()
            try:
                await self._step()
            except OcrdError as error:  # the ledger is locked or full: it passes
                self._wait_for(error)
            else:
                self._waited()
            await asyncio.sleep(GATHER_S)
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            except TimeoutError:
                continue

    def _wait_for(self, error: OcrdError) -> None:
        """The ledger cannot be used now: told once, and shown until it can."""
        if self.waits is None:
            why = {"kind": error.kind, "error": error.message, "hint": error.hint}
            self._events.warn("dispatch.waits", **why)
        self.waits = error

    def _waited(self) -> None:
        if self.waits is not None:
            self._events.emit("dispatch.goes_on", kind=self.waits.kind)
            self.waits = None

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping = True
        self._wake.set()

    async def drain(self, timeout_s: float) -> None:
        """Let what is under way finish for so long, then put it back.  Loses no attempt."""
        tasks = [run.task for run in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        for run in list(self._running.values()):
            run.task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _step(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._look_again_at:
            self._look_again_at = now + POLL_S
            await self._carry_out_cancellations()
        for folder in self._pauses.due(self._clock()):
            await self._try_again(folder)
        await self._resume()
        await self._claim()

    async def _claim(self) -> None:
        """Start what may run, many at a time."""
        counts = await self._call(self._ledger.counts)
        unknown = {folder for folder, _ in counts} - set(self._folders())
        waiting = sum(
            number
            for (folder, state), number in counts.items()
            if state is JobState.QUEUED and folder not in unknown
        )
        if not self._ready():
            self._expect(waiting)
        more = waiting > 0
        while more and self._ready() and not self._stopping:
            more = await self._claim_some(unknown)

    def _ready(self) -> bool:
        return self._engine.report().state is EngineState.READY

    async def _claim_some(self, unknown: set[str]) -> bool:
        """Claim and start some; whether there may be more.

        Beyond `max_running` it is one, and only of a folder that has none under way.
        """
        closed = set(self._pauses.now) | self._closed() | unknown
        most = min(self._limits.max_running - self.running, CLAIMED_AT_ONCE)
        if most <= 0:
            most = 1
            closed |= {run.folder for run in self._running.values()}
        jobs = await self._call(
            self._ledger.claim_some, most, now=self._clock(), exclude_folders=frozenset(closed)
        )
        for job in jobs:
            await self._put_back(job) if self._stopping else self._start(job)
        return len(jobs) == most

    async def _resume(self) -> None:
        """Take up jobs from before the last stop; half-done pages need the engine."""
        ready = self._ready()
        closed = self._closed()
        waiting: deque[Job] = deque()
        while self._resumable and self.running < self._limits.max_running:
            job = self._resumable.popleft()
            if job.place is Place.INBOX and job.folder in closed:
                waiting.append(job)
            elif ready or job.state is JobState.DELIVERING or job.ending is not None:
                with contextlib.suppress(FencedError):  # cancelled meanwhile
                    self._start(await self._call(self._ledger.resume, job))
            else:
                waiting.append(job)
        self._resumable.extendleft(reversed(waiting))

    async def _try_again(self, folder: str) -> None:
        """One stalled job of a paused folder goes first; without one, the next claim does."""
        stalled = self._stalled.get(folder)
        if not stalled:
            self._resumed(folder)
            return
        job = await self._call(self._ledger.job, stalled.popleft())
        if job is not None and job.state in UNDER_WAY:
            self._start(job)

    def _resumed(self, folder: str) -> None:
        pause = self._pauses.ended(folder)
        if pause is not None:
            waited = round(self._clock() - pause.since, 1)
            self._events.emit("folder.resumed", folder=folder, kind=pause.kind, waited_s=waited)

    async def _carry_out_cancellations(self) -> None:
        for job in await self._call(self._ledger.cancellations):
            folder = self._folders().get(job.folder)
            if folder is None or job.state is JobState.DELIVERING:
                continue
            run = self._running.get(job.id)
            if run is not None:
                run.task.cancel()
                await asyncio.gather(run.task, return_exceptions=True)
            try:
                self._free(await self._worker.cancel(job, folder))
            except FencedError:
                continue
            except OcrdError as error:
                self._met(folder, error)

    def _start(self, job: Job) -> None:
        folder = self._folders().get(job.folder)
        work = self._work(job, folder) if folder else self._put_aside(job)
        task = asyncio.create_task(work, name=f"job-{job.id}")
        self._running[job.id] = _Run(task=task, folder=job.folder)
        task.add_done_callback(lambda _task: self._ended(job.id))

    def _ended(self, job: int) -> None:
        del self._running[job]
        self._wake.set()

    async def _put_aside(self, job: Job) -> None:
        """Its folder is no longer configured: it waits until it is again."""
        self._events.warn("job.folder_unknown", **facts(job))
        later = self._clock() + UNKNOWN_FOLDER_S
        await self._call(self._ledger.release, job, not_before=later, error=None, refund=True)

    async def _work(self, job: Job, folder: Folder) -> None:
        try:
            await self._run(job, folder)
        except asyncio.CancelledError:
            await self._put_back(job)
            raise
        except FencedError:  # cancelled by an operator: carried out at the next step
            return
        except OcrdError as error:
            await self._after(job, folder, error)
        except Exception as error:
            self._events.error("job.crashed", **facts(job), traceback=traceback.format_exc())
            hint = "This is a defect of ocrd: please report it with the traceback in the log."
            await self._after(job, folder, OcrdError(repr(error), hint=hint, kind="internal"))

    async def _run(self, job: Job, folder: Folder) -> None:
        self._free(await self._worker.run(job, folder))
        self._resumed(folder.name)
        for number in self._stalled.pop(folder.name, ()):
            stalled = await self._call(self._ledger.job, number)
            if stalled is not None and stalled.state in UNDER_WAY:
                self._start(stalled)

    async def _put_back(self, job: Job) -> None:
        """The daemon stops: the job goes on at the next start, its finished pages kept."""
        now = await self._call(self._ledger.job, job.id)
        if now is not None and now.state is JobState.RUNNING and not now.cancel_requested:
            await self._call(
                self._ledger.release, job, not_before=self._clock(), error=None, refund=True
            )

    async def _after(self, job: Job, folder: Folder, error: OcrdError) -> None:
        """What becomes of a job that met an error."""
        try:
            now = await self._call(self._ledger.job, job.id)
            if now is None or now.state not in UNDER_WAY:
                return
            if error.disposition is Disposition.CONDITION or now.state is JobState.DELIVERING:
                self._stall(job, folder, error)
            elif isinstance(error, SourceChangedError):
                await self._source_changed(now, folder, error)
            elif error.disposition is Disposition.PERMANENT or self._exhausted(now):
                self._free(await self._worker.fail(now, folder, told(error)))
            else:
                await self._defer(now, error)
        except FencedError:
            return
        except OcrdError as second:  # failed/ or the ledger cannot be written either
            self._stall(job, folder, second)

    def _exhausted(self, job: Job) -> bool:
        return job.attempts >= self._limits.max_attempts

    def _stall(self, job: Job, folder: Folder, error: OcrdError) -> None:
        """It stays where it is until its place is back; its attempt goes on."""
        self._stalled.setdefault(folder.name, deque()).append(job.id)
        self._met(folder, error)

    def _met(self, folder: Folder, error: OcrdError) -> None:
        if self._pauses.met(folder.name, error, self._clock()):
            facts_ = {"kind": error.kind, "error": error.message, "hint": error.hint}
            self._events.warn("folder.paused", folder=folder.name, **facts_)

    async def _source_changed(self, job: Job, folder: Folder, error: SourceChangedError) -> None:
        """Gone: a person took it.  Changed: it comes to rest again, and is recorded anew.

        A joined document is given up in either case; its files come to rest, and are joined, anew.
        """
        if error.kind == "source-gone" and not folder.inbox.is_dir():
            self._stall(job, folder, _inbox_missing(folder))  # its share is gone, not the file
            return
        parted = bool(job.members) and job.place is Place.INBOX
        if error.kind == "source-gone" or parted:
            self._free(await self._call(self._ledger.gone, job))
            self._events.warn("job.source_gone", **facts(job))
            return
        later = self._clock() + max(folder.settle_s, POLL_S)
        await self._call(
            self._ledger.release, job, not_before=later, error=told(error), refund=True
        )
        self._events.warn("job.source_changed", **facts(job), error=error.message)

    def _free(self, job: Job) -> None:
        """The files of a joined document that was given up are in the inbox, and new again."""
        if job.place is Place.GONE:
            for member in job.members:
                self._look_again(job.folder, member.source)

    async def _defer(self, job: Job, error: OcrdError) -> None:
        delay = self._limits.delay(job.attempts)
        reason: JobError = told(error)
        later = self._clock() + delay
        await self._call(self._ledger.release, job, not_before=later, error=reason, refund=False)
        why = {"kind": error.kind, "error": error.message, "hint": error.hint}
        self._events.warn("job.deferred", **facts(job), attempt=job.attempts, again_s=delay, **why)


def _inbox_missing(folder: Folder) -> PlaceError:
    return PlaceError(
        f"{folder.inbox}: the inbox is not there",
        hint="Mount the share again, or create the folder; the files in it are not given up.",
        kind="share-gone",
    )
