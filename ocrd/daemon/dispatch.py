"""Claims jobs and keeps them going: how many at once, which first, and until when."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from ocrd.config import Folder
from ocrd.daemon import aftermath
from ocrd.daemon.aftermath import Aftermath, is_ending
from ocrd.daemon.pauses import Pauses
from ocrd.daemon.runs import Runs
from ocrd.engine.base import Engine, EngineState
from ocrd.errors import FencedError, OcrdError
from ocrd.events import Events
from ocrd.job import Job, JobState, Place
from ocrd.worker import ports
from ocrd.worker.worker import Worker, facts

GATHER_S = 0.05  # jobs that end within it are replaced together
POLL_S = 1.0  # how soon an operator's `retry` or `cancel` is seen
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
        self._runs = Runs(
            worker=worker,
            ledger=ledger,
            folders=folders,
            aftermath=aftermath,
            events=events,
            call=call,
            clock=clock,
            ended=self.wake,
            go_on=self._go_on,
            keep=self._keep,
        )
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
        return len(self._runs)

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
        await self._runs.end(timeout_s)
        with contextlib.suppress(OcrdError):  # the next start finds them, one attempt further
            for job in await self._aftermath.all_stalled():
                await self._runs.put_back(job)

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
            closed |= self._runs.folders()
        jobs = await self._call(
            self._ledger.claim_some, most, now=self._clock(), exclude_folders=frozenset(closed)
        )
        for job in jobs:
            if self._stopping:
                await self._runs.put_back(job)
            else:
                self._runs.start(job)
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
                        self._runs.start(await self._call(self._ledger.resume, job))
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

    def _keep(self, job: Job) -> None:
        """A job that no queue takes goes on at one of the next steps."""
        self._resumable.append(job)

    def _unreached(self, job: Job) -> bool:
        """Whether its original cannot be had now."""
        return job.place is Place.INBOX and job.folder in self._closed()

    async def _try_again(self, folder: str) -> None:
        """One stalled job of a paused folder goes first; without one, the next claim does."""
        if self._tries.get(folder) in self._runs:  # a slow share takes its time to refuse
            return
        if not self._aftermath.has_stalled(folder):
            self._aftermath.resumed(folder)
        for job in await self._aftermath.stalled(folder, 1):
            self._tries[folder] = job.id
            await self._go_on(job)

    async def _go_on(self, job: Job) -> None:
        """Take up a job that stalled; while its original cannot be had it waits with the others."""
        if not self._unreached(job):
            self._runs.start(job)
            return
        try:
            await self._runs.put_back(job)
        except OcrdError:  # the ledger is locked or full
            self._keep(job)
        else:
            if is_ending(job):  # in the queue nobody would claim it
                self._keep(job)

    async def _carry_out_cancellations(self) -> None:
        for job in await self._call(self._ledger.cancellations):
            folder = self._folders().get(job.folder)
            if folder is None or job.state is JobState.DELIVERING:
                continue
            if not await self._runs.stop(job):
                continue
            try:
                self._aftermath.free(await self._worker.cancel(job, folder))
            except FencedError:
                continue
            except OcrdError as error:
                self._aftermath.met(folder, error)
