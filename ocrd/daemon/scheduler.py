"""Which job runs when: claims, runs, what becomes of those that met an error, cancels, the end.

A job of ours is in one of three places: under way (`_runs`), waiting with us (`_waiting`: it met a
condition, or was under way when the daemon last went away), or in the ledger's queue.  Why a folder
or a job waits, and until when, is in `paused` and `held`; `retries` decides which of them it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ocrd.config import Folder
from ocrd.daemon.calls import Calls, Hanging
from ocrd.daemon.retries import (
    LONGEST_HOLD_S,
    LONGEST_PAUSE_S,
    Outcome,
    Retries,
    Waits,
    is_ending,
    trees_of,
)
from ocrd.engine.base import Engine, EngineState
from ocrd.errors import (
    BadFileError,
    FencedError,
    OcrdError,
    PlaceError,
    SourceChangedError,
)
from ocrd.events import Events
from ocrd.files import display, memory_short, os_error
from ocrd.job import Job, JobState, Place
from ocrd.ledger.ledger import Ledger
from ocrd.worker.pages import LEDGER, told
from ocrd.worker.worker import Worker, facts, way_out

GATHER_S = 0.05  # jobs that end within it are replaced together
POLL_S = 1.0  # how soon an operator's `retry` or `cancel` is seen
CLAIMED_AT_ONCE = 64  # in one transaction, which others wait for
STOPS_S = 15.0  # a job that is told to stop has so long; longer than a locked ledger takes
MOST_STARTS = 100  # a job that was under way at so many crashes is taken for their cause
UNKNOWN_FOLDER_S = 60.0
LOOK_AGAIN_S = 1.0  # a file that changed is left alone at least so long
UNDER_WAY = (JobState.RUNNING, JobState.DELIVERING)


class Inboxes(Protocol):
    """What is asked of the inboxes."""

    def closed(self) -> set[str]:
        """Folders whose inbox cannot be read now."""

    def hint(self, folder: str, source: str) -> None:
        """A file belongs to no job any more, or is not what its job takes it for."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    task: asyncio.Task[None]
    folder: str


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    job: Job
    refund: bool  # whether its next start costs no attempt: not after a crash


class Scheduler:
    """Runs a worker for every job that may run.

    Args:
        worker: Runs one job.
        ledger: Where jobs come from.
        engine: Nothing is claimed before it is ready.
        spool: Where jobs' folders lie.
        events: Is told what happens.
        call: Runs blocking calls off the event loop.
        retries: How often, how soon.
        max_running: How many jobs at once.
        expect: Is told how many jobs wait for the engine to get ready, so that all else is.
        clock: Seconds since the epoch.
        heed_hours: False reads at any time: who works an inbox off by hand wants it done now.

    Attributes:
        folders: The folders in force, by name.
        inboxes: Theirs.
        halted: The folders that a person has paused.
        paused: Why folders wait.
        held: Why jobs wait.
        waits: Why nothing can be claimed now.
        ticks: How often it has gone round.
    """

    inboxes: Inboxes

    def __init__(
        self,
        *,
        worker: Worker,
        ledger: Ledger,
        engine: Engine,
        spool: Path,
        events: Events,
        call: Calls,
        retries: Retries,
        max_running: int,
        expect: Callable[[int], None] = lambda _jobs: None,
        clock: Callable[[], float] = time.time,
        heed_hours: bool = True,
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._engine = engine
        self._spool = spool
        self._events = events
        self._call = call
        self._retries = retries
        self._max_running = max_running
        self._expect = expect
        self._clock = clock
        self._heed_hours = heed_hours
        self.folders: Mapping[str, Folder] = {}
        self.halted: Collection[str] = ()
        self.paused = Waits(LONGEST_PAUSE_S)
        self.held = Waits(LONGEST_HOLD_S)
        self.waits: OcrdError | None = None
        self.ticks = 0
        self._runs: dict[int, _Run] = {}
        self._waiting: dict[int, _Waiting] = {}
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
            self._waiting[job.id] = _Waiting(job=job, refund=False)

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
                    self._events.warn("dispatch.waits", **_why(error))
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
        if self._runs:
            await asyncio.wait([run.task for run in self._runs.values()], timeout=timeout_s)
        while tasks := [run.task for run in self._runs.values()]:
            for task in tasks:
                task.cancel()
            if (await asyncio.wait(tasks, timeout=STOPS_S))[1]:  # in a share that does not answer
                break
        for waiting in list(self._waiting.values()):
            if waiting.refund:
                with contextlib.suppress(OcrdError):  # the next start finds it, an attempt further
                    await self._put_back(waiting.job)

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
        closed = {str(name) for name in self.paused.now} | self._closed()
        closed |= hanging.keys() | set(unknown)
        running = sum(run.folder not in hanging for run in self._runs.values())
        most = min(self._max_running - running, CLAIMED_AT_ONCE)
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
                await self._put_back(job)
            else:
                self._start(job)
        return len(jobs) == most

    def _ready(self) -> bool:
        return self._engine.report().state is EngineState.READY

    def _closed(self) -> set[str]:
        """Folders of which nothing may begin: no inbox to be seen, not their time, or paused."""
        shut = {name for name, each in self.folders.items() if self.opens_at(each) is not None}
        return self.inboxes.closed() | shut | set(self.halted)

    def _unreached(self, job: Job) -> bool:
        """Whether its original cannot be had now."""
        return job.place is Place.INBOX and job.folder in self._closed()

    # --- what waits with us ---

    async def _go_on(self) -> None:
        """Take up what waits and may go on: of a paused folder one job, which tries its place.

        Raises:
            LedgerError: It cannot be used now; those that are left wait for the next step.
        """
        now = self._clock()
        for waiting in list(self._waiting.values()):
            if len(self._runs) >= self._max_running:
                return
            job = waiting.job
            if not self._may_go_on(job, now):
                continue
            if self._unreached(job):
                if waiting.refund and not is_ending(job):
                    await self._put_back(job)
                continue
            if job.folder in self.paused.now:
                self._trials[job.folder] = job.id
            with contextlib.suppress(FencedError):  # cancelled meanwhile
                self._start(
                    await self._call(LEDGER, self._ledger.resume, job, refund=waiting.refund)
                )
            self._waiting.pop(job.id, None)
        for name in [str(name) for name in self.paused.now]:
            if self.paused.over(name, now) and self._trials.get(name) not in self._runs:
                self._resumed(name)  # nothing of it waits with us: the next claim tries

    def _may_go_on(self, job: Job, now: float) -> bool:
        if job.folder not in self.folders or job.id in self._cancelling:
            return False
        if not self.held.over(job.id, now) or not self.paused.over(job.folder, now):
            return False
        if job.folder in self.paused.now and self._trials.get(job.folder) in self._runs:
            return False  # a slow share takes its time to refuse
        return is_ending(job) or self._ready()

    async def _put_back(self, job: Job) -> None:
        """Into the queue, as when the daemon stops: it goes on later, its finished pages kept."""
        now = await self._call(LEDGER, self._ledger.job, job.id)
        if now is None or now.state not in UNDER_WAY:
            self._waiting.pop(job.id, None)
        elif now.state is JobState.RUNNING and not now.cancel_requested and not is_ending(now):
            await self._release(now, self._clock(), None)
            self._waiting.pop(job.id, None)

    async def _release(
        self, job: Job, not_before: float, error: OcrdError | None, *, refund: bool = True
    ) -> None:
        await self._call(
            LEDGER,
            self._ledger.release,
            job,
            not_before=not_before,
            error=told(error) if error else None,
            refund=refund,
        )

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
                await self._met(job, folder, _ends_daemon(job))
                return
            self._free(await self._worker.run(job, folder))
        except asyncio.CancelledError:
            try:
                await self._put_back(job)
            except OcrdError:  # the ledger is locked or full
                self._waiting[job.id] = _Waiting(job=job, refund=True)
            raise
        except FencedError:  # cancelled by an operator: carried out at the next step
            return
        except Exception as error:
            if folder is not None:
                await self._met(job, folder, self._known(job, error))
            return
        self._resumed(folder.name)

    async def _put_aside(self, job: Job) -> None:
        """Its folder is no longer configured: it waits until it is again."""
        self._events.warn("job.folder_unknown", **facts(job))
        try:
            if not is_ending(job):
                await self._release(job, self._clock() + UNKNOWN_FOLDER_S, None)
                return
        except OcrdError:  # the ledger is locked or full
            pass
        self._waiting[job.id] = _Waiting(job=job, refund=True)

    def _free(self, job: Job) -> None:
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

    # --- errors ---

    async def _met(self, job: Job, folder: Folder, error: OcrdError) -> None:
        """Carry out what becomes of a job that met an error."""
        now: Job | None = job
        try:
            now = await self._call(LEDGER, self._ledger.job, job.id)
            if now is not None and now.state in UNDER_WAY:
                await self._carry_out(self._outcome(now, folder, error), now, folder, error)
        except FencedError:
            return
        except Exception as unforeseen:  # failed/ or the ledger cannot be written either
            second, left = self._known(job, unforeseen), now or job
            pauses = self._outcome(left, folder, second) is Outcome.PAUSE
            self._keep(left, folder, second, Outcome.PAUSE if pauses else Outcome.HOLD)

    def _outcome(self, job: Job, folder: Folder, error: OcrdError) -> Outcome:
        return self._retries.outcome(job, [*trees_of(folder), self._spool / "jobs"], error)

    async def _carry_out(
        self, outcome: Outcome, job: Job, folder: Folder, error: OcrdError
    ) -> None:
        if outcome is Outcome.HOLD and not is_ending(job):
            until = self._hold(job, error)
            await self._release(job, until, error)
        elif outcome in (Outcome.HOLD, Outcome.PAUSE):
            self._keep(job, folder, error, outcome)
        elif outcome is Outcome.FAIL:
            self._free(await self._worker.fail(job, folder, told(error)))
        elif isinstance(error, SourceChangedError) and outcome is Outcome.CHANGED:
            await self._source_changed(job, folder, error)
        else:
            delay = self._retries.delay(job.attempts)
            await self._release(job, self._clock() + delay, error, refund=False)
            told_of = {"attempt": job.attempts, "again_s": delay, **_why(error)}
            self._events.warn("job.deferred", **facts(job), **told_of)

    def _keep(self, job: Job, folder: Folder, error: OcrdError, outcome: Outcome) -> None:
        """It stays where it is, its attempt going on, until it or its folder may be tried again."""
        self._waiting[job.id] = _Waiting(job=job, refund=True)
        if outcome is Outcome.PAUSE:
            self._pause(folder, error)
        else:
            self._hold(job, error)

    def _hold(self, job: Job, error: OcrdError) -> float:
        """The job alone waits; until when.  Told once."""
        if self.held.met(job.id, error, self._clock()):
            self._events.warn("job.held", **facts(job), **_why(error))
        return self.held.now[job.id].until

    def _pause(self, folder: Folder, error: OcrdError) -> None:
        """The folder waits.  Told once."""
        if self.paused.met(folder.name, error, self._clock()):
            self._events.warn("folder.paused", folder=folder.name, **_why(error))

    def _resumed(self, folder: str) -> None:
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
            self._keep(
                job, folder, _inbox_missing(folder), Outcome.PAUSE
            )  # its share, not the file
            return
        if is_gone or (job.members and job.place is Place.INBOX):
            self._free(await self._call(LEDGER, self._ledger.gone, job))
            self._events.warn("job.source_gone", **facts(job))
            return
        await self._release(job, self._clock() + max(folder.settle_s, LOOK_AGAIN_S), error)
        self._events.warn("job.source_changed", **facts(job), error=error.message)
        if job.place is Place.INBOX:  # no event may come of it, nor a rescan find it another
            self.inboxes.hint(job.folder, job.source)

    # --- cancels ---

    async def cancel(self, numbers: Collection[int]) -> list[Job]:
        """Have jobs cancelled: queued and running ones, and those that deliver but are held up.

        Returns:
            Those that will be.
        """
        asked = list(await self._call(LEDGER, self._ledger.request_cancel, numbers))
        for number in set(numbers) - {job.id for job in asked}:
            if number in self._waiting and number in self.held.now:
                asked.append(self._waiting[number].job)
                self._cancel_soon(self._waiting[number].job)
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
        waiting = self._waiting.pop(job.id, None)
        try:
            now = await self._call(LEDGER, self._ledger.job, job.id)
            if now is not None and now.state in (JobState.QUEUED, *UNDER_WAY):
                self._free(await self._worker.cancel(now, folder))
        except FencedError:
            return
        except Exception as error:
            known = self._known(job, error)
            if waiting is not None:
                self._waiting[job.id] = waiting
            if self._outcome(job, folder, known) is Outcome.PAUSE:
                self._pause(folder, known)
            else:
                self._hold(job, known)
            await asyncio.sleep(POLL_S)  # it is asked for again


def _why(error: OcrdError) -> dict[str, str]:
    return {"kind": error.kind, "error": error.message, "hint": error.hint}


def _ends_daemon(job: Job) -> BadFileError:
    return BadFileError(
        f"{display(job.source)}: the daemon has ended {job.attempts} times while it worked on it",
        hint="Look into the journal for why it ended (too little memory?), then `ocrd retry` it.",
        kind="ends-daemon",
    )


def _inbox_missing(folder: Folder) -> PlaceError:
    return PlaceError(
        f"{folder.inbox}: the inbox is not there",
        hint="Mount the share again, or create the folder; the files in it are not given up.",
        kind="share-gone",
    )
