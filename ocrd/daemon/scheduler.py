"""Which job runs when: claims, runs, waits, cancels, the end.

A job is in one of three places: under way (`_runs`), waiting in the scheduler (`waiting`: it met a
condition, or was under way when the daemon last ended), or in the ledger's queue.  `retries`
decides what becomes of a job that met an error, and when it is tried again; the scheduler carries
it out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from ocrd.config import Folder
from ocrd.config.schema import JobsSettings
from ocrd.daemon.retries import (
    LONGEST_HOLD_S,
    LONGEST_PAUSE_S,
    LOOK_AGAIN_S,
    Outcome,
    Wait,
    Waits,
    delay_s,
    is_ending,
    outcome,
)
from ocrd.engine.base import EngineState
from ocrd.errors import BadFileError, FencedError, OcrdError, PlaceError
from ocrd.files import display
from ocrd.inbox.inboxes import Inboxes
from ocrd.job import ACTIVE, UNDER_WAY, Job, JobError, JobState, Place
from ocrd.oserrors import memory_short, os_error
from ocrd.worker.calls import LEDGER, Hanging
from ocrd.worker.pages import Parts
from ocrd.worker.worker import Worker, way_out

GATHER_S = 0.05  # jobs that end within it are replaced together
POLL_S = 1.0  # how soon an operator's `retry` or `cancel` is seen
CLAIMED_AT_ONCE = 64  # in one transaction, which others wait for
STOPS_S = 15.0  # for a cancelled task to end; longer than a locked ledger takes
MOST_STARTS = 100  # a job that was under way at so many crashes is taken to be their cause
UNKNOWN_FOLDER_S = 60.0


class _Run(NamedTuple):
    task: asyncio.Task[None]
    folder: str
    waited: bool  # in the scheduler, for a place that its folder needs
    alone: bool  # and tries that place on behalf of all others


class Waiting(NamedTuple):
    """A job, as the ledger had it, that waits in the scheduler and not in the ledger's queue."""

    job: Job
    refund: bool = True  # its next start costs no attempt; False after a crash


@dataclass(kw_only=True, eq=False)
class Scheduler:
    """Runs a worker for every job that may run."""

    parts: Parts
    worker: Worker
    settings: JobsSettings  # how often and how soon a fault is tried again
    max_running: int  # jobs at once
    expect: Callable[[int], None] = lambda _jobs: None  # given the number that wait for the engine
    heed_hours: bool = True  # whether schedules count; not with `--once`, which a person runs
    inboxes: Inboxes = field(init=False)  # told of files that no longer belong to a job
    folders: Mapping[str, Folder] = field(default_factory=dict)  # those in force
    halted: Mapping[str, float] = field(default_factory=dict)  # by a person; since the epoch, s
    paused: Waits = field(default_factory=lambda: Waits(LONGEST_PAUSE_S))  # why folders wait
    held: Waits = field(default_factory=lambda: Waits(LONGEST_HOLD_S))  # why jobs wait
    waiting: dict[int, Waiting] = field(default_factory=dict)  # jobs that wait here, by number
    waits: OcrdError | None = None  # why nothing can be claimed now
    ticks: int = 0  # rounds so far

    def __post_init__(self) -> None:
        self._ledger, self._events = self.parts.ledger, self.parts.events
        self._call, self._clock = self.parts.call, self.parts.clock
        self._runs: dict[int, _Run] = {}
        self._cancelling: dict[int, asyncio.Task[None]] = {}
        self._cancelled_at = 0.0  # when cancellations are looked for next, by the loop's clock
        self._wake = asyncio.Event()
        self._stopping = False

    @property
    def running(self) -> int:
        """Jobs under way now."""
        return len(self._runs)

    def wake(self) -> None:
        """Start the next round soon: there may be something to claim."""
        self._wake.set()

    def take_over(self, jobs: Collection[Job]) -> None:
        """Take over the jobs that were under way when the daemon last ended; they go first."""
        for job in jobs:
            if is_ending(job) and job.folder not in self.folders:
                self._events.warn("job.folder_unknown", **job.told())
            self.waiting[job.id] = Waiting(job=job, refund=False)

    def opens_at(self, folder: Folder) -> float | None:
        """When the folder's pages are read again, seconds since the epoch; None if they are now."""
        return folder.schedule.opens_at(self._clock()) if self.heed_hours else None

    def hanging(self) -> dict[str, Hanging]:
        """By folder, the calls that hang in its inbox, outbox or archive."""
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
            except OcrdError as error:  # the ledger is locked, or its disk full: this passes
                if self.waits is None:
                    self._events.warn("dispatch.waits", **error.told())
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
        """Give running jobs `timeout_s` to finish, then put them back.  Costs no attempt."""
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=timeout_s)
        while tasks := self._tasks():
            for task in tasks:
                task.cancel()
            if (await asyncio.wait(tasks, timeout=STOPS_S))[1]:  # a share does not answer
                break
        for waiting in list(self.waiting.values()):
            if waiting.refund:
                with contextlib.suppress(OcrdError):  # the next start resumes it as a new attempt
                    await self._put_back(waiting.job)

    async def let_go(self) -> None:
        """After hanging calls were abandoned, wait until their jobs have been put back."""
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
            await self._forget_ended()
        await self._go_on()
        await self._claim()

    async def _forget_ended(self) -> None:
        """Forget held jobs that ended elsewhere: an inbox refuses, withdraws and replaces jobs."""
        now = self._clock()
        jobs = [each for each in self.held.now if isinstance(each, int)]
        due = [each for each in jobs if self.held.over(each, now)]
        if due:
            for number in set(due) - await self._call(LEDGER, self._ledger.active, due):
                self.held.ended(number)

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
            self.expect(waiting)
        more = waiting > 0
        while more and self._ready() and not self._stopping:
            more = await self._claim_some(unknown)

    async def _claim_some(self, unknown: Collection[str]) -> bool:
        """Claim and start some jobs; whether there may be more.

        Once `max_running` is reached, that is one job, and only of a folder that has none under
        way.  Jobs of folders that hang do not count.
        """
        hanging = self.hanging()
        paused = {str(name) for name, wait in self.paused.now.items() if not wait.through}
        closed = paused | self._closed()
        closed |= hanging.keys() | set(unknown)
        most = min(self.max_running - self._busy(hanging), CLAIMED_AT_ONCE)
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

    def _busy(self, hanging: Collection[str]) -> int:
        """The number of jobs under way, without those of folders that hang."""
        return sum(run.folder not in hanging for run in self._runs.values())

    def _ready(self) -> bool:
        return self.parts.engine.report().state is EngineState.READY

    def _closed(self) -> set[str]:
        """Folders whose jobs may not start: inbox unreadable, off schedule, or paused by hand."""
        shut = {name for name, each in self.folders.items() if self.opens_at(each) is not None}
        return self.inboxes.closed() | shut | self.halted.keys()

    # --- jobs that wait here ---

    async def _go_on(self) -> None:
        """Resume waiting jobs that may continue; of a paused folder just one, to try the place.

        Raises:
            LedgerError: The ledger cannot be used now; the jobs left wait for the next step.
        """
        now, hanging = self._clock(), self.hanging()
        for waiting in list(self.waiting.values()):
            if self._busy(hanging) >= self.max_running:
                break
            job = waiting.job
            if not self._may_go_on(job, now):
                continue
            if job.place is Place.INBOX and job.folder in self._closed():  # no file to take now
                if waiting.refund and not is_ending(job):
                    await self._put_back(job)
                continue
            with contextlib.suppress(FencedError):  # cancelled meanwhile
                again = await self._call(LEDGER, self._ledger.resume, job, refund=waiting.refund)
                self._start(again, self.paused.now.get(job.folder))
            self.waiting.pop(job.id, None)
        alone = self.held.now.keys()  # these do not wait for a place of their folder
        waits = {each.job.folder for each in self.waiting.values() if each.job.id not in alone}
        waits |= {run.folder for run in self._runs.values() if run.waited}
        for name, wait in list(self.paused.now.items()):
            if name not in waits and wait.over(now):  # all got through, or were cancelled
                self.paused.ended(name)
                waited_s = round(self._clock() - wait.since, 1)
                kind = wait.error.kind
                self._events.emit("folder.resumed", folder=name, kind=kind, waited_s=waited_s)

    def _may_go_on(self, job: Job, now: float) -> bool:
        if job.folder not in self.folders or job.id in self._cancelling:
            return False
        if not self.held.over(job.id, now) or not self.paused.over(job.folder, now):
            return False
        pause = self.paused.now.get(job.folder)
        if (
            pause is not None
            and not pause.through
            and any(run.alone and run.folder == job.folder for run in self._runs.values())
        ):
            return False  # one tries for all, and a slow share takes its time to refuse
        return is_ending(job) or self._ready()

    # --- runs ---

    def _start(self, job: Job, pause: Wait | None = None) -> None:
        """Work on a job in a task of its own; `pause` is what it waited for, if it did."""
        task = asyncio.create_task(self._work(job), name=f"job-{job.id}")
        waited, alone = pause is not None, pause is not None and not pause.through
        self._runs[job.id] = _Run(task=task, folder=job.folder, waited=waited, alone=alone)
        task.add_done_callback(lambda _task: self._ended(job.id))

    def _ended(self, job: int) -> None:
        run = self._runs.pop(job)
        tried = run.waited and not run.task.cancelled() and job not in self.held.now
        if tried and self.paused.over(run.folder, self._clock()):  # nothing refused it
            self.paused.passes(run.folder)
        self.wake()

    async def _work(self, job: Job) -> None:
        folder = self.folders.get(job.folder)
        try:
            if folder is None:
                await self._put_aside(job)
                return
            if job.attempts > MOST_STARTS and job.state is JobState.RUNNING:
                times = f"the daemon has ended {job.attempts} times while it worked on it"
                error = BadFileError(
                    f"{display(job.source)}: {times}",
                    hint="Look into the journal for why it ended (too little memory?), then "
                    "`ocrd retry` it.",
                    kind="ends-daemon",
                )
                await self._met(job, folder, error)
                return
            self._free(await self.worker.run(job, folder))
        except asyncio.CancelledError:
            try:
                await self._put_back(job)
            except OcrdError:  # the ledger is locked or full
                self.waiting[job.id] = Waiting(job=job)
            raise
        except FencedError:  # cancelled by an operator: carried out at the next step
            return
        except Exception as error:
            if folder is not None:
                await self._met(job, folder, error)

    async def _put_aside(self, job: Job) -> None:
        """Let a job whose folder is no longer configured wait until the folder is back."""
        self._events.warn("job.folder_unknown", **job.told())
        try:
            if not is_ending(job):
                await self._release(job, self._clock() + UNKNOWN_FOLDER_S, None)
                return
        except OcrdError:  # the ledger is locked or full
            pass
        self.waiting[job.id] = Waiting(job=job)

    # --- errors, and what becomes of the jobs that met them ---

    async def _met(self, job: Job, folder: Folder, error: Exception) -> None:
        """Decide what becomes of a job that met an error, and carry it out."""
        now, known = job, self._known(job, error)
        try:
            found = await self._call(LEDGER, self._ledger.job, job.id)
            if found is not None and found.state in UNDER_WAY:
                now = found
                await self._carry_out(self._outcome(now, folder, known), now, folder, known)
        except FencedError:
            return
        except Exception as unforeseen:  # failed/ or the ledger cannot be written either
            self._refused(now, folder, unforeseen)
            self.waiting[now.id] = Waiting(job=now)

    def _refused(self, job: Job, folder: Folder, error: Exception) -> None:
        """Let the job, or its folder, wait: what the job needs in order to end was refused."""
        known = self._known(job, error)
        self._waits_for(known, job, folder, self._outcome(job, folder, known))

    def _outcome(self, job: Job, folder: Folder, error: OcrdError) -> Outcome:
        trees = [path for _, path in folder.trees()]
        return outcome(self.settings, job, [*trees, self.parts.home / "jobs"], error)

    async def _carry_out(
        self, becomes: Outcome, job: Job, folder: Folder, error: OcrdError
    ) -> None:
        match becomes:
            case Outcome.FAIL:
                self._free(await self.worker.fail(job, folder, JobError.of(error)))
            case Outcome.CHANGED:
                await self._source_changed(job, folder, error)
            case Outcome.RETRY:
                delay = delay_s(self.settings, job.attempts)
                await self._release(job, self._clock() + delay, error, refund=False)
                told_of = {"attempt": job.attempts, "again_s": delay, **error.told()}
                self._events.warn("job.deferred", **job.told(), **told_of)
            case Outcome.HOLD if not is_ending(job):
                self._waits_for(error, job, folder, becomes)
                await self._release(job, self.held.now[job.id].until, error)
            case _:  # it stays where it is, in the same attempt
                self.waiting[job.id] = Waiting(job=job)
                self._waits_for(error, job, folder, becomes)

    def _waits_for(self, error: OcrdError, job: Job, folder: Folder, becomes: Outcome) -> None:
        """Let the folder wait, or the job alone.  Logged once."""
        if becomes is Outcome.PAUSE:
            if self.paused.met(folder.name, error, self._clock()):
                self._events.warn("folder.paused", folder=folder.name, **error.told())
        elif self.held.met(job.id, error, self._clock()):
            self._events.warn("job.held", **job.told(), **error.told())

    async def _source_changed(self, job: Job, folder: Folder, error: OcrdError) -> None:
        """End the job if its original was taken away; a changed one settles and is recorded anew.

        A joined document in the inbox is given up in either case: its files settle and are joined
        anew.  If the inbox itself is missing, the folder waits.
        """
        is_gone = error.kind == "source-gone"
        if is_gone and not await self._call(folder.inbox, os.path.isdir, folder.inbox):
            message = f"{folder.inbox}: the inbox is not there"
            hint = "Mount the share again, or create the folder; the files in it are not given up."
            share_gone = PlaceError(message, hint=hint, kind="share-gone")
            await self._carry_out(Outcome.PAUSE, job, folder, share_gone)
            return
        if is_gone or (job.members and job.place is Place.INBOX):
            self._free(await self._call(LEDGER, self._ledger.gone, job))
            self._events.warn("job.source_gone", **job.told())
            return
        await self._release(job, self._clock() + max(folder.settle_s, LOOK_AGAIN_S), error)
        self._events.warn("job.source_changed", **job.told(), error=error.message)
        if job.place is Place.INBOX:  # there may be no event, and no change for a rescan
            self.inboxes.hint(job.folder, job.source)

    def _known(self, job: Job, error: Exception) -> OcrdError:
        """The error as one with a remedy; an error that nobody foresaw is a defect of ocrd."""
        if isinstance(error, OcrdError):
            return error
        if isinstance(error, OSError) and error.errno:
            return os_error(error, self.parts.home)
        if isinstance(error, MemoryError):
            return memory_short()
        self._events.error("job.crashed", **job.told(), traceback=traceback.format_exc())
        hint = "This is a defect of ocrd: please report it with the traceback in the log."
        return OcrdError(repr(error), hint=hint, kind="internal")

    # --- back into the queue, and out of it ---

    async def _put_back(self, job: Job) -> None:
        """Put a job back into the queue, as when the daemon stops; its finished pages are kept."""
        now = await self._call(LEDGER, self._ledger.job, job.id)
        if now is None or now.state not in UNDER_WAY:
            self.waiting.pop(job.id, None)
        elif now.state is JobState.RUNNING and not now.cancel_requested and not is_ending(now):
            await self._release(now, self._clock(), None)
            self.waiting.pop(job.id, None)

    async def _release(
        self, job: Job, not_before: float, error: OcrdError | None, *, refund: bool = True
    ) -> None:
        """Put a job into the queue until `not_before` (Unix time); `refund` returns its attempt."""
        reason = JobError.of(error) if error else None
        back = partial(self._ledger.release, not_before=not_before, error=reason, refund=refund)
        await self._call(LEDGER, back, job)

    def _free(self, job: Job) -> None:
        """Let go of a job that has ended.  Its files that are still in the inbox are new again."""
        self.held.ended(job.id)
        if job.place is Place.GONE:
            for member in job.members:
                self.inboxes.hint(job.folder, member.source)
        elif job.place is Place.INBOX and not job.members:
            self.inboxes.hint(job.folder, job.source)

    # --- cancels ---

    async def cancel(self, numbers: Collection[int]) -> list[Job]:
        """Have jobs cancelled: queued and running ones, and those held up in their last steps.

        Returns:
            The jobs that will be cancelled.
        """
        asked = list(await self._call(LEDGER, self._ledger.request_cancel, numbers))
        for number in set(numbers) - {job.id for job in asked}:
            if number not in self.held.now:
                continue
            job = await self._call(LEDGER, self._ledger.job, number)
            ours = number in self.waiting or number in self._runs  # it may be in a try now
            if ours and job is not None and job.state in ACTIVE and is_ending(job):
                asked.append(job)
                self._cancel_soon(job)
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
        """Cancel a job once its task has ended, for which a call under way may take its time."""
        if (run := self._runs.get(job.id)) is not None:
            run.task.cancel()
            await asyncio.wait({run.task})
        waiting = self.waiting.pop(job.id, None)
        try:
            now = await self._call(LEDGER, self._ledger.job, job.id)
            if now is not None and waiting is None and is_ending(now):
                waiting = Waiting(job=now)  # it was in a try: nothing else would resume it
            if now is not None and now.state in ACTIVE:
                now = await self.worker.cancel(now, folder)
            if now is not None and now.state not in UNDER_WAY:  # or the try was faster
                self._free(now)
        except FencedError:
            return
        except Exception as error:
            self._refused(job, folder, error)
            if waiting is not None:
                self.waiting[job.id] = waiting
            await asyncio.sleep(POLL_S)  # before the cancel is tried again
