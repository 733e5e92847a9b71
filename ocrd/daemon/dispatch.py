"""Claims jobs and keeps them going: how many at once, which first, and until when."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ocrd.config import Folder
from ocrd.daemon import aftermath
from ocrd.daemon.aftermath import Aftermath, is_ending
from ocrd.daemon.pauses import Pauses
from ocrd.engine.base import Engine, EngineState
from ocrd.errors import BadFileError, FencedError, OcrdError
from ocrd.events import Events
from ocrd.inbox.names import display
from ocrd.job import Job, JobState, Place
from ocrd.worker import ports
from ocrd.worker.worker import Worker, facts

GATHER_S = 0.05  # jobs that end within it are replaced together
HANG_S = 15.0  # a call that has not ended by then is left behind; longer than a locked ledger's
POLL_S = 1.0  # how soon an operator's `retry` or `cancel` is seen
MOST_STARTS = 100  # a job that was under way at so many crashes is taken for their cause
UNKNOWN_FOLDER_S = 60.0
CLAIMED_AT_ONCE = 64  # in one transaction, which others wait for


class Ledger(aftermath.Ledger, Protocol):
    """What the dispatcher asks of the ledger beyond the worker's steps."""

    def claim_some(self, most: int, *, now: float, exclude_folders: frozenset[str]) -> list[Job]:
        """The next jobs that may run, now ours."""

    def resume(self, job: Job) -> Job:
        """Claim anew a job that was running or delivering when its claimant went away."""

    def counts(self) -> Mapping[tuple[str, JobState], int]:
        """Jobs by folder and state."""

    def cancellations(self) -> list[Job]:
        """Active jobs that an operator wants cancelled."""


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
        aftermath: Decides what becomes of a job that met an error.
        pauses: Which folders wait for a place.
        events: Is told what happens.
        call: Runs a ledger call off the event loop.
        clock: Seconds since the epoch.
        max_running: How many jobs at once.
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
        aftermath: Aftermath,
        pauses: Pauses,
        events: Events,
        call: ports.Call,
        clock: Callable[[], float],
        max_running: int,
        expect: Callable[[int], None],
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._engine = engine
        self._folders = folders
        self._closed = closed
        self._aftermath = aftermath
        self._pauses = pauses
        self._events = events
        self._call = call
        self._clock = clock
        self._max_running = max_running
        self._expect = expect
        self._running: dict[int, _Run] = {}
        self._resumable: deque[Job] = deque()
        self._tries: dict[str, int] = {}  # the job that tried a paused folder's place last
        self._cancelled_at = 0.0  # when cancellations are looked for next, by the loop's clock
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
        for job in jobs:
            if is_ending(job) and job.folder not in self._folders():
                self._events.warn("job.folder_unknown", **facts(job))
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
        if self._running:
            await asyncio.wait([run.task for run in self._running.values()], timeout=timeout_s)
        while self._running:  # one that got through may have started others
            tasks = [run.task for run in self._running.values()]
            for task in tasks:
                task.cancel()
            if (await asyncio.wait(tasks, timeout=HANG_S))[1]:  # in a share that does not answer
                break
        with contextlib.suppress(OcrdError):  # the next start finds them, one attempt further
            for job in await self._aftermath.all_stalled():
                await self._put_back(job)

    async def _step(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._cancelled_at:
            self._cancelled_at = now + POLL_S
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
        most = min(self._max_running - self.running, CLAIMED_AT_ONCE)
        if most <= 0:
            most = 1
            closed |= {run.folder for run in self._running.values()}
        jobs = await self._call(
            self._ledger.claim_some, most, now=self._clock(), exclude_folders=frozenset(closed)
        )
        for job in jobs:
            if self._stopping:
                await self._put_back(job)
            else:
                self._start(job)
        return len(jobs) == most

    async def _resume(self) -> None:
        """Take up jobs from before the last stop.

        Raises:
            LedgerError: It cannot be used now; those that are left wait for the next step.
        """
        waiting: deque[Job] = deque()
        try:
            while self._resumable and self.running < self._max_running:
                job = self._resumable[0]
                if self._may_go_on(job):
                    with contextlib.suppress(FencedError):  # cancelled meanwhile
                        self._start(await self._call(self._ledger.resume, job))
                else:
                    waiting.append(job)
                self._resumable.popleft()
        finally:
            self._resumable.extendleft(reversed(waiting))

    def _may_go_on(self, job: Job) -> bool:
        """Whether a job from before the last stop can be taken up now."""
        if is_ending(job):
            return job.folder in self._folders() and not self._unreached(job)
        return self._ready() and not self._unreached(job)

    def _unreached(self, job: Job) -> bool:
        """Whether its original cannot be had now."""
        return job.place is Place.INBOX and job.folder in self._closed()

    async def _try_again(self, folder: str) -> None:
        """One stalled job of a paused folder goes first; without one, the next claim does."""
        if self._tries.get(folder) in self._running:  # a slow share takes its time to refuse
            return
        if not self._aftermath.has_stalled(folder):
            self._aftermath.resumed(folder)
        for job in await self._aftermath.stalled(folder, 1):
            self._tries[folder] = job.id
            await self._go_on(job)

    async def _go_on(self, job: Job) -> None:
        """Take up a job that stalled; while its original cannot be had it waits with the others."""
        if not self._unreached(job):
            self._start(job)
            return
        try:
            await self._put_back(job)
        except OcrdError:  # the ledger is locked or full
            self._resumable.append(job)
        else:
            if is_ending(job):  # in the queue nobody would claim it
                self._resumable.append(job)

    async def _carry_out_cancellations(self) -> None:
        for job in await self._call(self._ledger.cancellations):
            folder = self._folders().get(job.folder)
            if folder is None or job.state is JobState.DELIVERING:
                continue
            if not await self._stopped(job):
                continue
            try:
                self._aftermath.free(await self._worker.cancel(job, folder))
            except FencedError:
                continue
            except OcrdError as error:
                self._aftermath.met(folder, error)

    async def _stopped(self, job: Job) -> bool:
        """Whether nobody is at work on it any more; a call that has begun may take its time."""
        run = self._running.get(job.id)
        if run is None:
            return True
        if not run.task.cancelling():
            run.task.cancel()
        await asyncio.wait({run.task}, timeout=POLL_S)
        return run.task.done()

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
        if is_ending(job):
            self._resumable.append(job)
            return
        later = self._clock() + UNKNOWN_FOLDER_S
        try:
            await self._call(self._ledger.release, job, not_before=later, error=None, refund=True)
        except OcrdError:  # the ledger is locked or full
            self._resumable.append(job)

    async def _work(self, job: Job, folder: Folder) -> None:
        try:
            await self._run(job, folder)
        except asyncio.CancelledError:
            await self._put_back(job)
            raise
        except FencedError:  # cancelled by an operator: carried out at the next step
            return
        except OcrdError as error:
            await self._aftermath.of(job, folder, error)
        except Exception as error:
            self._events.error("job.crashed", **facts(job), traceback=traceback.format_exc())
            hint = "This is a defect of ocrd: please report it with the traceback in the log."
            internal = OcrdError(repr(error), hint=hint, kind="internal")
            await self._aftermath.of(job, folder, internal)

    async def _run(self, job: Job, folder: Folder) -> None:
        if job.attempts > MOST_STARTS and job.state is JobState.RUNNING:
            raise _ends_daemon(job)
        self._aftermath.free(await self._worker.run(job, folder))
        self._aftermath.resumed(folder.name)
        for stalled in await self._aftermath.stalled(folder.name):
            await self._go_on(stalled)

    async def _put_back(self, job: Job) -> None:
        """Into the queue, as when the daemon stops: it goes on later, its finished pages kept."""
        now = await self._call(self._ledger.job, job.id)
        if now is None or now.state is not JobState.RUNNING:
            return
        if not now.cancel_requested and not is_ending(now):
            await self._call(
                self._ledger.release, job, not_before=self._clock(), error=None, refund=True
            )


def _ends_daemon(job: Job) -> BadFileError:
    return BadFileError(
        f"{display(job.source)}: the daemon has ended {job.attempts} times while it worked on it",
        hint="Look into the journal for why it ended (too little memory?), then `ocrd retry` it.",
        kind="ends-daemon",
    )
