"""Jobs under way: a task for each, from its start until it ends or is stopped."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from ocrd.config import Folder
from ocrd.daemon.aftermath import Aftermath, Ledger, is_ending
from ocrd.errors import BadFileError, FencedError, OcrdError
from ocrd.events import Events
from ocrd.files import display
from ocrd.job import Job, JobState
from ocrd.worker import ports
from ocrd.worker.worker import Worker, facts

HANG_S = 15.0  # a call that has not ended by then is left behind; longer than a locked ledger's
PATIENCE_S = 1.0  # for one that is to stop, before others are seen to
MOST_STARTS = 100  # a job that was under way at so many crashes is taken for their cause
UNKNOWN_FOLDER_S = 60.0


@dataclass(frozen=True, kw_only=True)
class _Run:
    task: asyncio.Task[None]
    folder: str


class Runs:
    """Starts and stops workers.

    Args:
        worker: Runs one job.
        ledger: Where jobs that stop are put back.
        folders: The folders in force, by name.
        aftermath: Decides what becomes of a job that met an error.
        events: Is told what happens.
        call: Runs a ledger call off the event loop.
        clock: Seconds since the epoch.
        ended: Called after each job.
        go_on: Takes up a job that had stalled, once its folder's place serves again.
        keep: Takes a job that belongs into no queue, or cannot be put there now.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        ledger: Ledger,
        folders: Callable[[], Mapping[str, Folder]],
        aftermath: Aftermath,
        events: Events,
        call: ports.Call,
        clock: Callable[[], float],
        ended: Callable[[], object],
        go_on: Callable[[Job], Awaitable[None]],
        keep: Callable[[Job], None],
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._folders = folders
        self._aftermath = aftermath
        self._events = events
        self._call = call
        self._clock = clock
        self._when_ended = ended
        self._go_on = go_on
        self._keep = keep
        self._running: dict[int, _Run] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, job: int | None) -> bool:
        """Whether the job of this number is under way."""
        return job in self._running

    def folders(self) -> set[str]:
        """Of the jobs under way."""
        return {run.folder for run in self._running.values()}

    def start(self, job: Job) -> None:
        """Work on it, in a task of its own."""
        folder = self._folders().get(job.folder)
        work = self._work(job, folder) if folder else self._put_aside(job)
        task = asyncio.create_task(work, name=f"job-{job.id}")
        self._running[job.id] = _Run(task=task, folder=job.folder)
        task.add_done_callback(lambda _task: self._ended(job.id))

    async def stop(self, job: Job) -> bool:
        """Stop it; whether nobody is at work on it any more, as a call may take its time."""
        run = self._running.get(job.id)
        if run is None:
            return True
        if not run.task.cancelling():
            run.task.cancel()
        await asyncio.wait({run.task}, timeout=PATIENCE_S)
        return run.task.done()

    async def end(self, timeout_s: float) -> None:
        """Let what is under way finish for so long, then put it back."""
        if self._running:
            await asyncio.wait([run.task for run in self._running.values()], timeout=timeout_s)
        while self._running:  # one that got through may have started others
            tasks = [run.task for run in self._running.values()]
            for task in tasks:
                task.cancel()
            if (await asyncio.wait(tasks, timeout=HANG_S))[1]:  # in a share that does not answer
                break

    async def put_back(self, job: Job) -> None:
        """Into the queue, as when the daemon stops: it goes on later, its finished pages kept."""
        now = await self._call(self._ledger.job, job.id)
        if now is None or now.state is not JobState.RUNNING:
            return
        if not now.cancel_requested and not is_ending(now):
            await self._call(
                self._ledger.release, job, not_before=self._clock(), error=None, refund=True
            )

    def _ended(self, job: int) -> None:
        del self._running[job]
        self._when_ended()

    async def _put_aside(self, job: Job) -> None:
        """Its folder is no longer configured: it waits until it is again."""
        self._events.warn("job.folder_unknown", **facts(job))
        if is_ending(job):
            self._keep(job)
            return
        later = self._clock() + UNKNOWN_FOLDER_S
        try:
            await self._call(self._ledger.release, job, not_before=later, error=None, refund=True)
        except OcrdError:  # the ledger is locked or full
            self._keep(job)

    async def _work(self, job: Job, folder: Folder) -> None:
        try:
            await self._run(job, folder)
        except asyncio.CancelledError:
            await self.put_back(job)
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


def _ends_daemon(job: Job) -> BadFileError:
    return BadFileError(
        f"{display(job.source)}: the daemon has ended {job.attempts} times while it worked on it",
        hint="Look into the journal for why it ended (too little memory?), then `ocrd retry` it.",
        kind="ends-daemon",
    )
