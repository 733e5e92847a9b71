"""The dispatcher with a real ledger: no job is forgotten, whatever becomes of ledger and folder."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from ocrd.config import Folder, load
from ocrd.daemon.aftermath import Aftermath, Retries
from ocrd.daemon.dispatch import Dispatcher
from ocrd.daemon.pauses import Pauses
from ocrd.daemon.threads import Threads
from ocrd.engine.base import EngineReport, EngineState
from ocrd.errors import OcrdError, PlaceError
from ocrd.events import Event, Events
from ocrd.job import Found, Job, JobError, JobState
from ocrd.ledger.ledger import Ledger

FULL = PlaceError("/out: no space is left", hint="Free some space.", kind="disk-full")
BUSY = OcrdError("/failed: it is in use elsewhere", hint="It is tried again.", kind="busy")
BAD = JobError(kind="damaged", message="cannot be opened", hint="Scan it again.")


class Crew:
    """Stands for the workers: takes each job for done at once, or meets an error."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.error: OcrdError | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    async def run(self, job: Job, _folder: Folder) -> Job:
        self.ran.append(job.id)
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return job


class Mover:
    """Stands for a worker that moves a large original, and is told to cancel meanwhile."""

    def __init__(self, call: Threads) -> None:
        self._call = call
        self.moving = threading.Event()
        self.moved = threading.Event()
        self.cancelled_after: list[bool] = []

    async def run(self, job: Job, _folder: Folder) -> Job:
        await self._call(self._move)
        return job

    async def cancel(self, job: Job, _folder: Folder) -> Job:
        self.cancelled_after.append(not self.moving.is_set())
        return job

    def _move(self) -> None:
        self.moving.set()
        self.moved.wait()
        self.moving.clear()


class Ready:
    """An engine that is ready."""

    def report(self) -> EngineReport:
        return EngineReport(state=EngineState.READY)


class Bench:
    """A ledger, one folder, and the dispatcher between them."""

    def __init__(self, root: Path, worker: object = None) -> None:
        file = root / "config.toml"
        file.write_text(f'root = "{root}"\n[[folder]]\nname = "scans"\n', encoding="utf-8")
        (self.folder,) = load(file).folders
        self.folder.inbox.mkdir(parents=True)
        self.folders = {"scans": self.folder}
        self.closed: set[str] = set()
        self.ledger = Ledger.open(root / "ledger.db", busy_s=0.05)
        self.crew = Crew()
        self.told: list[Event] = []
        self.call = Threads(4)
        common: dict[str, Any] = {
            "worker": cast(Any, worker or self.crew),
            "ledger": self.ledger,
            "pauses": Pauses(),
            "events": Events(self.told.append),
            "call": self.call,
            "clock": time.time,
        }
        self.dispatcher = Dispatcher(
            **common,
            engine=cast(Any, Ready()),
            folders=lambda: self.folders,
            closed=lambda: self.closed,
            aftermath=Aftermath(
                **common,
                look_again=lambda _folder, _source: None,
                retries=Retries(max_attempts=3, delay_s=0.0, longest_s=0.0),
            ),
            max_running=8,
            expect=lambda _jobs: None,
        )

    def close(self) -> None:
        self.call.stop()
        self.ledger.close()

    def queued(self, *names: str) -> list[Job]:
        files = [
            Found(folder="scans", source=name, size=1, mtime_ns=1, inode=1, sha256="00")
            for name in names
        ]
        return [job for job in self.ledger.record(files) if job is not None]

    def claimed(self, *names: str) -> list[Job]:
        return self.ledger.claim_some(len(self.queued(*names)), now=time.time())

    def job(self, number: int) -> Job:
        job = self.ledger.job(number)
        assert job is not None
        return job

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another program keeps the ledger locked."""
        other = sqlite3.connect(self.ledger.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.dispatcher.run())
        try:
            yield
        finally:
            self.dispatcher.stop()
            await self.dispatcher.drain(0.0)
            await task

    def events(self, name: str) -> list[Event]:
        return [event for event in self.told if event.name == name]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(120):
        while not true():  # noqa: ASYNC110 - it looks on from outside
            await asyncio.sleep(0.01)


async def test_jobs_from_before_wait_while_the_ledger_is_locked(bench: Bench) -> None:
    jobs = bench.claimed("a.pdf", "b.pdf")
    bench.dispatcher.take_over(jobs)
    async with bench.running():
        with bench.locked():
            await until(lambda: bench.dispatcher.waits)
        await until(lambda: bench.crew.ran == [job.id for job in jobs])


async def test_a_job_that_delivers_waits_for_its_folder_to_be_configured_again(
    bench: Bench,
) -> None:
    (job,) = bench.claimed("a.pdf")
    bench.ledger.deliver(job, outputs=None, archived_to="/archive/a.pdf")
    bench.folders.clear()
    bench.dispatcher.take_over(bench.ledger.unfinished())
    async with bench.running():
        await until(lambda: bench.dispatcher.ticks > 2)
        assert bench.crew.ran == []
        bench.folders["scans"] = bench.folder
        bench.dispatcher.wake()
        await until(lambda: bench.crew.ran == [job.id])
    assert [dict(event.fields)["job"] for event in bench.events("job.folder_unknown")] == [job.id]


async def test_a_failure_that_meets_a_busy_folder_is_tried_again(bench: Bench) -> None:
    """Its end is decided: back in the queue nobody would ever claim it."""
    (job,) = bench.claimed("a.pdf")
    job = bench.ledger.intend_failure(job, BAD, "/failed/a.pdf")
    bench.crew.error = BUSY
    bench.dispatcher.take_over([job])
    async with bench.running():
        await until(lambda: len(bench.crew.ran) > 1)
        bench.crew.error = None


async def test_a_job_that_waits_for_its_place_keeps_its_attempt_when_the_daemon_stops(
    bench: Bench,
) -> None:
    (job,) = bench.queued("a.pdf")
    bench.crew.error = FULL
    async with bench.running():
        await until(lambda: bench.events("folder.paused"))
    assert (bench.job(job.id).state, bench.job(job.id).attempts) == (JobState.QUEUED, 0)


async def test_a_cancel_waits_for_the_move_that_is_under_way(tmp_path: Path) -> None:
    """Two threads that move one original would take it from each other."""
    mover = Mover(threads := Threads(1))
    with closing(Bench(tmp_path, mover)) as bench:
        await _cancel_while_it_moves(bench, mover)
    threads.stop()
    assert set(mover.cancelled_after) == {True}


async def _cancel_while_it_moves(bench: Bench, mover: Mover) -> None:
    (job,) = bench.queued("a.pdf")
    async with bench.running():
        await until(mover.moving.is_set)
        try:
            bench.ledger.request_cancel([job.id])
            ticks = bench.dispatcher.ticks
            await until(lambda: bench.dispatcher.ticks > ticks + 2)  # it was seen; others go on
        finally:
            mover.moved.set()
        await until(lambda: mover.cancelled_after)


async def test_a_job_that_stalled_is_not_taken_up_while_its_inbox_is_away(bench: Bench) -> None:
    """Nothing lies there now, and what it has taken already would be put beneath the share."""
    (job,) = bench.queued("a.pdf")
    bench.crew.error = FULL
    bench.crew.meanwhile = lambda: bench.closed.add("scans")
    async with bench.running():
        await until(lambda: bench.events("folder.resumed"))
        assert bench.crew.ran == [job.id]
        assert (bench.job(job.id).state, bench.job(job.id).attempts) == (JobState.QUEUED, 0)
        bench.crew.error, bench.crew.meanwhile = None, lambda: None
        bench.closed.clear()
        await until(lambda: len(bench.crew.ran) == 2)
