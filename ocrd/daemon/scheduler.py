"""Which job runs when: claims, runs, cancels, the end.

A job of ours is in one of three places: under way (`_runs`), waiting with us (`retries.waiting`: it
met a condition, or was under way when the daemon last went away), or in the ledger's queue.  What
becomes of a job that met an error, and why a folder or a job waits, is the business of `retries`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ocrd.config import Folder
from ocrd.daemon.calls import Calls, Hanging
from ocrd.daemon.retries import UNDER_WAY, Retries, Waiting, is_ending, why
from ocrd.engine.base import Engine, EngineState
from ocrd.errors import BadFileError, FencedError, OcrdError
from ocrd.events import Events
from ocrd.files import display
from ocrd.job import Job, JobState, Place
from ocrd.ledger.ledger import Ledger
from ocrd.worker.pages import LEDGER
from ocrd.worker.worker import Worker, facts, way_out

GATHER_S = 0.05  # jobs that end within it are replaced together
POLL_S = 1.0  # how soon an operator's `retry` or `cancel` is seen
CLAIMED_AT_ONCE = 64  # in one transaction, which others wait for
STOPS_S = 15.0  # a job that is told to stop has so long; longer than a locked ledger takes
MOST_STARTS = 100  # a job that was under way at so many crashes is taken for their cause
UNKNOWN_FOLDER_S = 60.0


@dataclass(frozen=True, kw_only=True)
class _Run:
    task: asyncio.Task[None]
    folder: str


class Scheduler:
    """Runs a worker for every job that may run.

    Args:
        worker: Runs one job.
        ledger: Where jobs come from.
        engine: Nothing is claimed before it is ready.
        retries: Decides what becomes of a job that met an error.
        events: Is told what happens.
        call: Runs blocking calls off the event loop.
        max_running: How many jobs at once.
        expect: Is told how many jobs wait for the engine to get ready, so that all else is.
        clock: Seconds since the epoch.
        heed_hours: False reads at any time: who works an inbox off by hand wants it done now.

    Attributes:
        folders: The folders in force, by name.
        halted: The folders that a person has paused.
        retries: Knows who waits, and why.
        waits: Why nothing can be claimed now.
        ticks: How often it has gone round.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        ledger: Ledger,
        engine: Engine,
        retries: Retries,
        events: Events,
        call: Calls,
        max_running: int,
        expect: Callable[[int], None] = lambda _jobs: None,
        clock: Callable[[], float] = time.time,
        heed_hours: bool = True,
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._engine = engine
        self._events = events
        self._call = call
        self._max_running = max_running
        self._expect = expect
        self._clock = clock
        self._heed_hours = heed_hours
        self.folders: Mapping[str, Folder] = {}
        self.halted: Collection[str] = ()
        self.retries = retries
        self.waits: OcrdError | None = None
        self.ticks = 0
        self._runs: dict[int, _Run] = {}
        self._trials: dict[str, int] = {}  # the job that tried a paused folder's place last
        self._cancelling: dict[int, asyncio.Task[None]] = {}
        self._cancelled_at = 0.0  # when cancellations are looked for next, by the loop's clock
        self._wake = asyncio.Event()
        self._stopping = False

    @property
    def running(self) -> int:
        """Jobs under way now."""
        return len(self._runs)

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    def take_over(self, jobs: Collection[Job]) -> None:
        """Jobs that were under way when the daemon last went away: they go first."""
        for job in jobs:
            if is_ending(job) and job.folder not in self.folders:
                self._events.warn("job.folder_unknown", **facts(job))
            self.retries.waiting[job.id] = Waiting(job=job, refund=False)

    def opens_at(self, folder: Folder) -> float | None:
        """When the folder's pages are read again, seconds since the epoch; None if they are now."""
        return folder.schedule.opens_at(self._clock()) if self._heed_hours else None

    def hanging(self) -> dict[str, Hanging]:
        """Folders of which calls to a place do not answer."""
        places = {each.place: each for each in self._call.hanging()}
        if not places:
            return {}
        ways = {name: (str(each.inbox), way_out(each)) for name, each in self.folders.items()}
        return {name: places[way] for name, two in ways.items() for way in two if way in places}

    # --- the round ---

    async def run(self) -> None:
        """Claim and run until told to stop."""
        while not self._stopping:
            self.ticks += 1
            self._wake.clear()
            try:
                await self._step()
            except OcrdError as error:  # the ledger is locked or full: it passes
                if self.waits is None:
                    self._events.warn("dispatch.waits", **why(error))
                self.waits = error
            else:
                if self.waits is not None:
                    self._events.emit("dispatch.goes_on", kind=self.waits.kind)
                self.waits = None
            await asyncio.sleep(GATHER_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping = True
        self._wake.set()

    async def drain(self, timeout_s: float) -> None:
        """Let what is under way finish for so long, then put it back.  Loses no attempt."""
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=timeout_s)
        while tasks := self._tasks():
            for task in tasks:
                task.cancel()
            if (await asyncio.wait(tasks, timeout=STOPS_S))[1]:  # in a share that does not answer
                break
        for waiting in list(self.retries.waiting.values()):
            if waiting.refund:
                with contextlib.suppress(OcrdError):  # the next start finds it, an attempt further
                    await self.retries.put_back(waiting.job)

    async def let_go(self) -> None:
        """Calls that hang were abandoned: put back the jobs that waited for them."""
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=POLL_S)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*(run.task for run in self._runs.values()), *self._cancelling.values()]

    async def _step(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._cancelled_at:
            self._cancelled_at = now + POLL_S
            for job in await self._call(LEDGER, self._ledger.cancellations):
                self._cancel_soon(job)
        await self._go_on()
        await self._claim()

    # --- claims ---

    async def _claim(self) -> None:
        """Start what may run, many at a time."""
        counts = await self._call(LEDGER, self._ledger.counts)
        unknown = {folder for folder, _ in counts} - set(self.folders)
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

    async def _claim_some(self, unknown: Collection[str]) -> bool:
        """Claim and start some; whether there may be more.

        Beyond `max_running` it is one, and only of a folder that has none under way.  Jobs that
        hang take nobody else's turn.
        """
        hanging = self.hanging()
        closed = {str(name) for name in self.retries.paused.now} | self._closed()
        closed |= hanging.keys() | set(unknown)
        most = min(self._max_running - self._busy(hanging), CLAIMED_AT_ONCE)
        if most <= 0:
            most = 1
            closed |= {run.folder for run in self._runs.values()}
        jobs = await self._call(
            LEDGER,
            self._ledger.claim_some,
            most,
            now=self._clock(),
            exclude_folders=frozenset(closed),
        )
        for job in jobs:
            if self._stopping:
                await self.retries.put_back(job)
            else:
                self._start(job)
        return len(jobs) == most

    def _busy(self, hanging: Collection[str]) -> int:
        """Jobs under way, but for those that hang."""
        return sum(run.folder not in hanging for run in self._runs.values())

    def _ready(self) -> bool:
        return self._engine.report().state is EngineState.READY

    def _closed(self) -> set[str]:
        """Folders of which nothing may begin: no inbox to be seen, not their time, or paused."""
        shut = {name for name, each in self.folders.items() if self.opens_at(each) is not None}
        return self.retries.inboxes.closed() | shut | set(self.halted)

    def _unreached(self, job: Job) -> bool:
        """Whether its original cannot be had now."""
        return job.place is Place.INBOX and job.folder in self._closed()

    # --- what waits with us ---

    async def _go_on(self) -> None:
        """Take up what waits and may go on: of a paused folder one job, which tries its place.

        Raises:
            LedgerError: It cannot be used now; those that are left wait for the next step.
        """
        now, hanging = self._clock(), self.hanging()
        for waiting in list(self.retries.waiting.values()):
            if self._busy(hanging) >= self._max_running:
                break
            job = waiting.job
            if not self._may_go_on(job, now):
                continue
            if self._unreached(job):
                if waiting.refund and not is_ending(job):
                    await self.retries.put_back(job)
                continue
            if job.folder in self.retries.paused.now:
                self._trials[job.folder] = job.id
            with contextlib.suppress(FencedError):  # cancelled meanwhile
                self._start(
                    await self._call(LEDGER, self._ledger.resume, job, refund=waiting.refund)
                )
            self.retries.waiting.pop(job.id, None)
        for name in [str(name) for name in self.retries.paused.now]:
            if self.retries.paused.over(name, now) and self._trials.get(name) not in self._runs:
                self.retries.resumed(name)  # nothing of it waits with us: the next claim tries

    def _may_go_on(self, job: Job, now: float) -> bool:
        if job.folder not in self.folders or job.id in self._cancelling:
            return False
        if not self.retries.held.over(job.id, now) or not self.retries.paused.over(job.folder, now):
            return False
        if job.folder in self.retries.paused.now and self._trials.get(job.folder) in self._runs:
            return False  # a slow share takes its time to refuse
        return is_ending(job) or self._ready()

    # --- runs ---

    def _start(self, job: Job) -> None:
        """Work on it, in a task of its own."""
        task = asyncio.create_task(self._work(job), name=f"job-{job.id}")
        self._runs[job.id] = _Run(task=task, folder=job.folder)
        task.add_done_callback(lambda _task: self._ended(job.id))

    def _ended(self, job: int) -> None:
        del self._runs[job]
        self.wake()

    async def _work(self, job: Job) -> None:
        folder = self.folders.get(job.folder)
        try:
            if folder is None:
                await self._put_aside(job)
                return
            if job.attempts > MOST_STARTS and job.state is JobState.RUNNING:
                await self.retries.met(job, folder, _ends_daemon(job))
                return
            self.retries.free(await self._worker.run(job, folder))
        except asyncio.CancelledError:
            try:
                await self.retries.put_back(job)
            except OcrdError:  # the ledger is locked or full
                self.retries.waiting[job.id] = Waiting(job=job)
            raise
        except FencedError:  # cancelled by an operator: carried out at the next step
            return
        except Exception as error:
            if folder is not None:
                await self.retries.met(job, folder, error)
            return
        self.retries.resumed(folder.name)

    async def _put_aside(self, job: Job) -> None:
        """Its folder is no longer configured: it waits until it is again."""
        self._events.warn("job.folder_unknown", **facts(job))
        try:
            if not is_ending(job):
                await self.retries.release(job, self._clock() + UNKNOWN_FOLDER_S, None)
                return
        except OcrdError:  # the ledger is locked or full
            pass
        self.retries.waiting[job.id] = Waiting(job=job)

    # --- cancels ---

    async def cancel(self, numbers: Collection[int]) -> list[Job]:
        """Have jobs cancelled: queued and running ones, and those that deliver but are held up.

        Returns:
            Those that will be.
        """
        asked = list(await self._call(LEDGER, self._ledger.request_cancel, numbers))
        for number in set(numbers) - {job.id for job in asked}:
            if number in self.retries.waiting and number in self.retries.held.now:
                asked.append(self.retries.waiting[number].job)
                self._cancel_soon(self.retries.waiting[number].job)
        self._cancelled_at = 0.0
        self.wake()
        return asked

    def _cancel_soon(self, job: Job) -> None:
        """Carry out an operator's cancel, in a task of its own: claims do not wait for it."""
        if job.id in self._cancelling or job.folder not in self.folders:
            return
        task = asyncio.create_task(self._cancel(job, self.folders[job.folder]))
        self._cancelling[job.id] = task
        task.add_done_callback(lambda _task: self._cancelling.pop(job.id, None))

    async def _cancel(self, job: Job, folder: Folder) -> None:
        """Once nobody is at work on it any more, as a call may take its time."""
        if (run := self._runs.get(job.id)) is not None:
            run.task.cancel()
            await asyncio.wait({run.task})
        waiting = self.retries.waiting.pop(job.id, None)
        try:
            now = await self._call(LEDGER, self._ledger.job, job.id)
            if now is not None and now.state in (JobState.QUEUED, *UNDER_WAY):
                self.retries.free(await self._worker.cancel(now, folder))
        except FencedError:
            return
        except Exception as error:
            self.retries.refused(job, folder, error)
            if waiting is not None:
                self.retries.waiting[job.id] = waiting
            await asyncio.sleep(POLL_S)  # it is asked for again


def _ends_daemon(job: Job) -> BadFileError:
    return BadFileError(
        f"{display(job.source)}: the daemon has ended {job.attempts} times while it worked on it",
        hint="Look into the journal for why it ended (too little memory?), then `ocrd retry` it.",
        kind="ends-daemon",
    )
