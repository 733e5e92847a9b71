"""The scheduler with a real ledger: no job is forgotten, whatever becomes of ledger and folder."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ocrd.config import Folder, load
from ocrd.config.schema import JobsSettings
from ocrd.daemon.scheduler import MOST_STARTS, Scheduler
from ocrd.engine.base import EngineReport, EngineState
from ocrd.errors import MemoryShortError, OcrdError, PlaceError
from ocrd.events import Event, Events
from ocrd.job import Found, Job, JobError, JobState, Member, joined
from ocrd.worker.calls import Calls
from tests.support.waiting import until
from tests.unit.ledger.making import opened

FULL = PlaceError("/out: no space is left", hint="Free some space.", kind="disk-full")
BUSY = OcrdError("/failed: it is in use elsewhere", hint="It is tried again.", kind="busy")
BAD = JobError(kind="damaged", message="cannot be opened", hint="Scan it again.")


class Crew:
    """Stands for the workers: takes each job for done at once, or meets an error."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.error: Exception | None = None
        self.spared: set[str] = set()
        self.failed: list[tuple[str, str]] = []
        self.cancelled: list[int] = []
        self.meanwhile: Callable[[], object] = lambda: None

    async def run(self, job: Job, _folder: Folder) -> Job:
        self.ran.append(job.id)
        self.meanwhile()
        if self.error is not None and job.source not in self.spared:
            raise self.error
        return job

    async def fail(self, job: Job, _folder: Folder, error: JobError) -> Job:
        self.failed.append((job.source, error.kind))
        return job

    async def cancel(self, job: Job, _folder: Folder) -> Job:
        self.cancelled.append(job.id)
        return job


class Mover:
    """Stands for a worker that moves a large original, and is told to cancel meanwhile."""

    def __init__(self, call: Calls) -> None:
        self._call = call
        self.moving = threading.Event()
        self.moved = threading.Event()
        self.cancelled_after: list[bool] = []

    async def run(self, job: Job, _folder: Folder) -> Job:
        await self._call("a share", self._move)
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


class Shelf:
    """Stands for the inboxes."""

    def __init__(self, closed: set[str]) -> None:
        self._closed = closed
        self.hinted: list[str] = []

    def closed(self) -> set[str]:
        return self._closed

    def hint(self, _folder: str, source: str) -> None:
        self.hinted.append(source)


class Bench:
    """A ledger, one folder, and the scheduler between them."""

    def __init__(self, root: Path, worker: Crew | Mover | None = None) -> None:
        file = root / "config.toml"
        file.write_text(f'root = "{root}"\n[[folder]]\nname = "scans"\n', encoding="utf-8")
        (self.folder,) = load(file).folders
        self.folder.inbox.mkdir(parents=True)
        self.folders = {"scans": self.folder}
        self.closed: set[str] = set()
        self.ledger = opened(root / "ledger.db", busy_s=0.05)
        self.crew = worker if isinstance(worker, Crew) else Crew()
        self.told: list[Event] = []
        parts = SimpleNamespace(
            ledger=self.ledger,
            events=Events(self.told.append),
            call=Calls(4),
            clock=time.time,
            engine=Ready(),
            home=root / ".ocrd",
        )
        self.scheduler = Scheduler(
            parts=cast(Any, parts),
            worker=cast(Any, worker or self.crew),
            settings=JobsSettings(max_attempts=3, retry_delay_s=0.0, retry_max_s=0.0),
            max_running=8,
        )
        self.scheduler.inboxes = cast(Any, Shelf(self.closed))
        self.scheduler.folders = self.folders

    def close(self) -> None:
        self.ledger.close()

    def queued(self, *names: str) -> list[Job]:
        files = [
            Found(folder="scans", source=name, size=1, mtime_ns=1, inode=1, sha256="00")
            for name in names
        ]
        return [job for job in self.ledger.record(files) if job is not None]

    def claimed(self, *names: str) -> list[Job]:
        return self.ledger.claim_some(len(self.queued(*names)), now=time.time())

    def ending(self, *, fails: bool = False) -> Job:
        """A job that a daemon before this one had brought to its last steps."""
        (job,) = self.claimed("a.pdf")
        if fails:
            job = self.ledger.intend_failure(job, BAD, "/failed/a.pdf")
        else:
            job = self.ledger.deliver(job, outputs=None, archived_to="/archive/a.pdf")
        self.scheduler.take_over(self.ledger.unfinished())
        return job

    def job(self, number: int) -> Job:
        job = self.ledger.job(number)
        assert job is not None
        return job

    async def cancel(self, job: Job) -> None:
        """Ask for it, and wait until the workers are told."""
        (asked,) = await self.scheduler.cancel([job.id])
        assert asked.id == job.id
        await until(lambda: self.crew.cancelled == [job.id])

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
        task = asyncio.create_task(self.scheduler.run())
        try:
            yield
        finally:
            self.scheduler.stop()
            await self.scheduler.drain(0.0)
            await task

    def events(self, name: str) -> list[Event]:
        return [event for event in self.told if event.name == name]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes round by itself, too: a test that counts its rounds need not wait for seconds."""
    monkeypatch.setattr("ocrd.daemon.scheduler.POLL_S", 0.05)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is tried again at once."""
    monkeypatch.setattr("ocrd.daemon.retries.FIRST_DELAY_S", 0.05)


async def test_jobs_from_before_wait_while_the_ledger_is_locked(bench: Bench) -> None:
    jobs = bench.claimed("a.pdf", "b.pdf")
    bench.scheduler.take_over(jobs)
    async with bench.running():
        with bench.locked():
            await until(lambda: bench.scheduler.waits)
        await until(lambda: bench.crew.ran == [job.id for job in jobs])


async def test_a_job_that_delivers_waits_for_its_folder_to_be_configured_again(
    bench: Bench,
) -> None:
    bench.folders.clear()
    job = bench.ending()
    async with bench.running():
        await until(lambda: bench.scheduler.ticks > 2)
        assert bench.crew.ran == []
        bench.folders["scans"] = bench.folder
        bench.scheduler.wake()
        await until(lambda: bench.crew.ran == [job.id])
    assert [dict(event.fields)["job"] for event in bench.events("job.folder_unknown")] == [job.id]


@pytest.mark.usefixtures("soon")
async def test_a_failure_that_meets_a_busy_folder_is_tried_again(bench: Bench) -> None:
    """Its end is decided: back in the queue nobody would ever claim it."""
    bench.ending(fails=True)
    bench.crew.error = BUSY
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
    mover = Mover(Calls(1))
    with closing(Bench(tmp_path, mover)) as bench:
        (job,) = bench.queued("a.pdf")
        async with bench.running():
            await until(mover.moving.is_set)
            try:
                bench.ledger.request_cancel([job.id])
                ticks = bench.scheduler.ticks
                await until(lambda: bench.scheduler.ticks > ticks + 2)  # seen; others go on
            finally:
                mover.moved.set()
            await until(lambda: mover.cancelled_after)
    assert set(mover.cancelled_after) == {True}


@pytest.mark.usefixtures("soon")
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


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk-full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk-full"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only"),
        (OSError(errno.EIO, "Input/output error"), "io-error"),
    ],
)
async def test_what_the_disk_answers_pauses_the_folder_and_costs_nothing(
    bench: Bench, error: OSError, kind: str
) -> None:
    """Wherever it is met: nobody is asked to report a defect."""
    (job,) = bench.queued("a.pdf")
    bench.crew.error = error
    async with bench.running():
        await until(lambda: bench.events("folder.paused"))
    (paused,) = bench.events("folder.paused")
    assert paused.fields["kind"] == kind
    assert (bench.job(job.id).state, bench.job(job.id).attempts) == (JobState.QUEUED, 0)
    assert bench.events("job.crashed") == []


class Narrow(Crew):
    """A place with room for so many jobs, and for no more."""

    def __init__(self) -> None:
        super().__init__()
        self.room = 0
        self.through = set[int]()
        self.elsewhere = asyncio.Event()

    async def run(self, job: Job, _folder: Folder) -> Job:
        self.ran.append(job.id)
        if job.source == "elsewhere.pdf":  # it needs that place not at all
            await self.elsewhere.wait()
        elif not self.room:
            raise FULL
        else:
            self.room -= 1
            self.through.add(job.id)
        return job


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.usefixtures("soon")
async def test_a_place_with_room_for_some_is_one_pause_until_all_are_through(
    tmp_path: Path, most: int
) -> None:
    """As a full failed/ beside an outbox that takes everything: told once, and its end once."""
    crew = Narrow()
    with closing(Bench(tmp_path, crew)) as bench:
        jobs = bench.queued("elsewhere.pdf", *(f"{number}.pdf" for number in range(6)))
        async with bench.running():
            await until(lambda: bench.events("folder.paused") and len(crew.ran) > len(jobs))
            crew.elsewhere.set()
            while len(crew.through) < 6:
                through, crew.room = len(crew.through), most
                await until(lambda: len(crew.through) > through and not crew.room)  # noqa: B023
                assert "scans" in bench.scheduler.paused.now or len(crew.through) == 6
            await until(lambda: bench.events("folder.resumed"))
            assert not bench.scheduler.paused.now
    assert len(bench.events("folder.paused")) == len(bench.events("folder.resumed")) == 1


@pytest.mark.usefixtures("soon")
async def test_a_long_job_keeps_no_other_of_its_folder_from_trying_the_place(
    tmp_path: Path,
) -> None:
    """A book that was under way at a restart, beside a letter that finds the disk full."""
    crew = Narrow()
    with closing(Bench(tmp_path, crew)) as bench:
        book, letter = bench.claimed("elsewhere.pdf", "letter.pdf")
        bench.scheduler.take_over(bench.ledger.unfinished())
        async with bench.running():
            await until(lambda: crew.ran.count(letter.id) > 2)
            crew.room = 1
            await until(lambda: letter.id in crew.through)
            await until(lambda: bench.events("folder.resumed"))
            assert crew.ran.count(book.id) == 1, "it is still being read"
            crew.elsewhere.set()


@pytest.mark.usefixtures("soon")
async def test_a_try_that_a_person_cancels_says_nothing_of_the_place(tmp_path: Path) -> None:
    crew = Gone()
    with closing(Bench(tmp_path, crew)) as bench:
        bench.queued("a.pdf", "b.pdf", "c.pdf")
        async with bench.running():
            await until(lambda: crew.at_a_try)
            (trial,) = crew.at_a_try
            await bench.scheduler.cancel([trial])
            await until(lambda: crew.cancelled == [trial])
            await until(lambda: len(crew.at_a_try) > 1)
            ticks = bench.scheduler.ticks
            await until(lambda: bench.scheduler.ticks > ticks + 2)
            assert len(crew.at_a_try) == 2, "one tries, as before"


@pytest.mark.usefixtures("soon")
async def test_a_folder_does_not_go_on_while_its_place_is_still_being_tried(tmp_path: Path) -> None:
    """As on a slow share: a try counts when it has ended."""
    crew = Gone()
    with closing(Bench(tmp_path, crew)) as bench:
        bench.queued("a.pdf")
        async with bench.running():
            await until(lambda: crew.at_a_try)
            ticks = bench.scheduler.ticks
            await until(lambda: bench.scheduler.ticks > ticks + 2)
            assert bench.events("folder.resumed") == []


@pytest.mark.usefixtures("soon")
async def test_a_place_that_is_back_is_tried_by_one_and_then_taken_up_by_all(bench: Bench) -> None:
    jobs = bench.queued(*(f"{number}.pdf" for number in range(4)))
    bench.crew.error = FULL
    async with bench.running():
        await until(lambda: len(bench.crew.ran) > len(jobs))
        bench.crew.error = None
        await until(lambda: bench.events("folder.resumed"))
        (later,) = bench.queued("later.pdf")
        bench.scheduler.wake()
        await until(lambda: later.id in bench.crew.ran)
    assert len(bench.events("folder.paused")) == len(bench.events("folder.resumed")) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory-short"),
        (MemoryShortError("a child was ended", hint="More memory."), "memory-short"),
        (OSError(errno.EACCES, "Permission denied", "SUB/a.pdf"), "no-permission"),
        (OSError(errno.EINVAL, "Invalid argument", "SUB/a:b"), "invalid-name"),
    ],
)
async def test_what_concerns_one_job_holds_up_that_job_alone(
    bench: Bench, error: Exception, kind: str
) -> None:
    if isinstance(error, OSError):
        error.filename = str(bench.folder.inbox / "sub" / "a.pdf")
    held, free = bench.queued("a.pdf", "b.pdf")
    bench.crew.error, bench.crew.spared = error, {"b.pdf"}
    async with bench.running():
        await until(lambda: bench.events("job.held") and free.id in bench.crew.ran)
        await until(lambda: bench.job(held.id).state is JobState.QUEUED)
    assert bench.events("folder.paused") == []
    now = bench.job(held.id)
    assert now.attempts == 0
    assert now.not_before > time.time()
    assert now.error is not None
    assert now.error.kind == kind


def _refuse(bench: Bench, held: Job) -> None:
    """Its file turned out to be somebody's alone, as the inbox found."""
    found = Found(folder="scans", source=held.source, size=1, mtime_ns=2, inode=2, sha256="")
    bench.ledger.record_refused(found, BAD)


def _withdraw(bench: Bench, held: Job) -> None:
    """It is to be one document with what came later."""
    names = (held.source, "c.pdf")
    parts = [Member(source=each, size=1, mtime_ns=1, inode=1, sha256="00") for each in names]
    assert bench.ledger.withdraw("scans", [joined("scans", "letter.pdf", parts)])


@pytest.mark.parametrize("end", [_refuse, _withdraw])
async def test_a_held_job_that_ends_elsewhere_is_not_told_as_one_that_waits(
    bench: Bench, end: Callable[[Bench, Job], None]
) -> None:
    """It has failed in `ocrd jobs`: `ocrd status` said beside it that it waits, for good."""
    refused = str(bench.folder.inbox / "a.pdf")
    bench.crew.error = OSError(errno.EACCES, "Permission denied", refused)
    held, other = bench.queued("a.pdf", "b.pdf")
    async with bench.running():
        await until(lambda: {held.id, other.id} <= bench.scheduler.held.now.keys())
        await until(lambda: bench.job(held.id).state is JobState.QUEUED)
        end(bench, held)
        await until(lambda: held.id not in bench.scheduler.held.now)
        assert other.id in bench.scheduler.held.now


class Refused(Crew):
    """Meets a name that cannot be."""

    async def run(self, job: Job, folder: Folder) -> Job:
        raise OSError(errno.EINVAL, "Invalid argument", str(folder.outbox / "a:b"))


@pytest.mark.parametrize("fails", [False, True], ids=["it delivers", "it fails"])
@pytest.mark.parametrize("tried", [False, True], ids=["it waits", "it is being tried"])
async def test_a_job_whose_end_is_refused_can_be_cancelled_wherever_it_stands(
    tmp_path: Path, tried: bool, fails: bool
) -> None:
    """As with a name that a file system refuses, and always will."""
    crew = Trying() if tried else Refused()
    with closing(Bench(tmp_path, crew)) as bench:
        job = bench.ending(fails=fails)
        async with bench.running():
            if isinstance(crew, Trying):
                await until(crew.tried.is_set)
            await until(lambda: bench.events("job.held"))
            await bench.cancel(job)


@pytest.mark.usefixtures("soon")
async def test_a_cancel_that_is_refused_while_the_job_is_tried_leaves_it_with_us(
    tmp_path: Path,
) -> None:
    crew = Trying()
    crew.refuses_cancels = True
    with closing(Bench(tmp_path, crew)) as bench:
        job = bench.ending()
        async with bench.running():
            await until(crew.tried.is_set)
            crew.tried.clear()
            await bench.scheduler.cancel([job.id])
            await until(crew.tried.is_set)
            crew.refuses_cancels = False
            await bench.cancel(job)


class Gone(Crew):
    """A share that is gone, and takes its time to say so again."""

    def __init__(self) -> None:
        super().__init__()
        self.at_a_try: list[int] = []

    async def run(self, job: Job, _folder: Folder) -> Job:
        if len(self.ran) >= 3:
            self.at_a_try.append(job.id)
            await asyncio.Event().wait()
        self.ran.append(job.id)
        raise FULL


class Trying(Refused):
    """Meets it once, and then takes its time to meet it again."""

    def __init__(self) -> None:
        super().__init__()
        self.tried = asyncio.Event()
        self.refuses_cancels = False

    async def cancel(self, job: Job, folder: Folder) -> Job:
        if self.refuses_cancels:
            raise OSError(errno.EFBIG, "File too large", str(folder.failed / "a.pdf"))
        return await super().cancel(job, folder)

    async def run(self, job: Job, folder: Folder) -> Job:
        if job.id in self.ran:
            self.tried.set()
            await asyncio.Event().wait()
        self.ran.append(job.id)
        return await super().run(job, folder)


async def test_a_folder_that_a_person_paused_starts_nothing_until_it_is_resumed(
    bench: Bench,
) -> None:
    (job,) = bench.queued("a.pdf")
    bench.scheduler.halted = {"scans": 1.0}
    async with bench.running():
        await until(lambda: bench.scheduler.ticks > 2)
        assert bench.crew.ran == []
        bench.scheduler.halted = {}
        bench.scheduler.wake()
        await until(lambda: bench.crew.ran == [job.id])


async def test_a_defect_costs_an_attempt_and_fails_in_the_end(bench: Bench) -> None:
    bench.queued("a.pdf")
    bench.crew.error = RecursionError("too deep")
    async with bench.running():
        await until(lambda: bench.crew.failed == [("a.pdf", "internal")])
    assert len(bench.events("job.crashed")) == 3


async def test_a_job_that_seems_to_take_the_daemon_down_with_it_fails_and_says_so(
    bench: Bench,
) -> None:
    """It was running at so many crashes, each of which costs it an attempt."""
    bench.claimed("a.pdf")
    with closing(sqlite3.connect(bench.ledger.path)) as raw, raw:
        raw.execute("UPDATE jobs SET attempts = ?", (MOST_STARTS,))
    bench.scheduler.take_over(bench.ledger.unfinished())
    async with bench.running():
        await until(lambda: bench.crew.failed == [("a.pdf", "ends-daemon")])
    assert bench.crew.ran == []
