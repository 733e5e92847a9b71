"""Locks, full and read-only disks: said clearly, nothing half-done, over when the cause is."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ocrd.errors import Disposition, LedgerError, OcrdError, PlaceError
from ocrd.job import Job, JobState
from ocrd.ledger.ledger import Ledger, reading, writing
from ocrd.ledger.pages import page_row
from ocrd.ledger.readonly import glance, read_ledger
from ocrd.ledger.store import Transaction
from tests.support.needs import few
from tests.support.waiting import HANG_S, wait_for
from tests.unit.ledger.making import document, found, page, queued, spooled, taken_next
from tests.unit.spool.mounts import remount


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


class TestALockedLedger:
    @pytest.fixture
    def hasty(self, path: Path) -> Iterator[Ledger]:
        with Ledger.open(path, busy_s=0.05) as ledger:
            yield ledger

    def test_is_a_condition_that_passes(self, hasty: Ledger, path: Path) -> None:
        job = queued(hasty)
        with locked(path), pytest.raises(LedgerError) as refusal:
            taken_next(hasty, now=0.0)
        assert refusal.value.kind == "ledger-locked"
        assert refusal.value.disposition is Disposition.CONDITION
        assert hasty.job(job.id) == job
        assert taken_next(hasty, now=0.0) is not None

    def test_can_still_be_read(self, hasty: Ledger, path: Path) -> None:
        job = queued(hasty)
        with locked(path):
            assert hasty.jobs() == [job]
            assert [folder.waiting for folder in glance(path).folders] == [1]
            Ledger.open(path).close()

    def test_is_waited_for(self, ledger: Ledger, path: Path) -> None:
        queued(ledger)
        with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            threading.Timer(0.2, lambda: other.execute("COMMIT")).start()
            assert taken_next(ledger, now=0.0) is not None

    def test_cannot_be_made_anew(self, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(LedgerError) as refusal:
                Ledger.open(path, busy_s=0.05)
        assert refusal.value.kind == "ledger-locked"


def test_a_writer_holds_the_lock_before_it_reads(ledger: Ledger, path: Path) -> None:
    """Or what it read could be old by the time it writes, and SQLite would refuse the write."""

    def meddle(tx: Transaction) -> None:
        tx.connection.exec_driver_sql("SELECT count(*) FROM jobs")
        with (
            closing(sqlite3.connect(path, timeout=0.0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("UPDATE jobs SET priority = 9")

    writing(meddle)(ledger)


class TestAFullDisk:
    def test_stops_before_anything_is_half_recorded(self, small_disk: Path) -> None:
        with Ledger.open(small_disk / "ledger.db") as ledger:
            recorded = 0
            with pytest.raises(PlaceError) as full:
                while True:
                    ledger.record([found(f"{recorded + n}.pdf") for n in range(100)])
                    recorded += 100
            assert full.value.kind == "disk-full"
            assert full.value.disposition is Disposition.CONDITION
            assert recorded > 0
            assert ledger.counts() == {("invoices", JobState.QUEUED): recorded}
            assert ledger.verify() == []

    def test_ends_by_itself_when_there_is_room_again(self, small_disk: Path) -> None:
        ballast = small_disk / "ballast"
        with Ledger.open(small_disk / "ledger.db") as ledger:
            job = ledger.set_pages(spooled(ledger), 1000)
            room = os.statvfs(small_disk)
            ballast.write_bytes(bytes(room.f_bavail * room.f_frsize))
            with pytest.raises(PlaceError) as full:
                for number in range(1, 1000):
                    ledger.progress(job, [page_row(page(number), os.urandom(2000).hex(), "r")])
            assert full.value.kind == "disk-full"
            kept = [done.number for done, _ in ledger.payloads(job, "r")]
            ballast.unlink()
            ledger.progress(job, [page_row(page(1000), "{}", "r")])
            now = [done.number for done, _ in ledger.payloads(job, "r")]
            assert now == [*kept, 1000]

    def test_leaves_no_half_made_ledger(self, small_disk: Path) -> None:
        room = os.statvfs(small_disk)
        (small_disk / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))
        with pytest.raises(PlaceError) as full:
            Ledger.open(small_disk / "ledger.db")
        assert full.value.kind == "disk-full"
        (small_disk / "ballast").unlink()
        with Ledger.open(small_disk / "ledger.db") as ledger:
            assert queued(ledger).id == 1


class TestAReadOnlyDisk:
    def test_is_said_to_be(self, small_disk: Path) -> None:
        path = small_disk / "ledger.db"
        with Ledger.open(path) as ledger:
            queued(ledger)
        remount(small_disk, "ro")
        with pytest.raises(PlaceError) as refusal:
            Ledger.open(path)
        assert refusal.value.kind == "read-only"
        assert [folder.waiting for folder in glance(path).folders] == [1]
        remount(small_disk, "rw")
        with Ledger.open(path) as ledger:
            assert taken_next(ledger, now=0.0) is not None


def test_a_folder_that_vanishes_under_the_ledger_is_said_to_be_missing(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    path = folder / "ledger.db"
    with Ledger.open(path) as ledger:
        queued(ledger)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(PlaceError) as refusal:
        Ledger.open(path)
    assert refusal.value.kind == "missing"


def test_no_reader_waits_for_another(ledger: Ledger) -> None:
    """A disk that held up twenty of them held up everybody else for half a minute, and in vain."""
    job = queued(ledger)
    all_inside = threading.Barrier(30, timeout=HANG_S)
    with ThreadPoolExecutor(30) as threads:
        wait = reading(lambda _: all_inside.wait())
        looks = [threads.submit(wait, ledger) for _ in range(30)]
        assert sorted(look.result() for look in looks) == list(range(30))
    assert ledger.jobs() == [job]


def test_claims_go_on_while_others_cancel_eight_jobs_a_second(ledger: Ledger, path: Path) -> None:
    numbers = [job.id for job in ledger.record([found(f"{n}.pdf") for n in range(400)]) if job]
    ended = threading.Event()

    def cancel() -> None:
        with Ledger.open(path) as other:  # as a command does: its lock is no queue
            for number in reversed(numbers):
                other.request_cancel([number])
                if ended.wait(0.125):
                    return

    with ThreadPoolExecutor(1) as threads:
        cancelling = threads.submit(cancel)
        claimed: list[Job] = []

        def enough() -> bool:
            claimed.extend(ledger.claim_some(20, now=0.0))
            return len(claimed) >= 100 and len(ledger.cancellations()) >= 4

        try:
            wait_for(enough)
        finally:
            ended.set()
        cancelling.result()


class TestADamagedLedger:
    """Whatever bytes it holds, what is said of it is one of ocrd's errors, with its remedy."""

    @pytest.fixture
    def full(self, path: Path) -> Path:
        with Ledger.open(path) as ledger:
            ledger.record([found(f"{number}.pdf") for number in range(30)])
            ledger.record([document("letter", "letter_1.jpg", "letter_2.jpg")])
            job = ledger.set_pages(spooled(ledger, "a.pdf", "a"), 2)
            ledger.progress(job, [page_row(page(1), "{}" * 50, "r")])
        return path

    @pytest.mark.parametrize("seed", few(range(30)))
    def test_is_said_to_be_damaged_or_works(self, full: Path, seed: int) -> None:
        chance, content = random.Random(seed), bytearray(full.read_bytes())
        for _ in range(chance.choice((1, 3, 20))):
            at, length = chance.randrange(len(content)), chance.choice((1, 4, 200))
            content[at : at + length] = chance.randbytes(length)
        full.write_bytes(content)
        met = [*self.looked_at(full), *self.worked_on(full)]
        assert {error.kind for error in met} <= {"ledger-damaged", "ledger-foreign", "ledger-newer"}

    def looked_at(self, path: Path) -> Iterator[OcrdError]:
        yield from met(lambda: glance(path))
        yield from met(lambda: read_ledger(path, lambda ledger: ledger.jobs()))

    def worked_on(self, path: Path) -> Iterator[OcrdError]:
        try:
            ledger = Ledger.open(path, check=False)
        except OcrdError as error:
            yield error
            return
        with ledger:
            yield from met(lambda: ledger.claim_some(64, now=0.0))
            yield from met(lambda: ledger.record([found("new.pdf"), found("1.pdf", size=5)]))
            yield from met(lambda: list(ledger.in_inbox("invoices")))
            yield from met(ledger.unfinished)
            yield from met(ledger.verify)

    @pytest.mark.parametrize(
        ("meddling", "lacks"),
        [
            ("DROP TABLE pages", "pages"),
            ("DROP TRIGGER jobs_changed", "jobs_changed"),
            ("ALTER TABLE jobs DROP COLUMN members", "jobs.members"),
        ],
    )
    def test_is_refused_at_once_where_a_part_is_missing(
        self, path: Path, meddling: str, lacks: str
    ) -> None:
        """It would fail every good file that comes to the part."""
        Ledger.open(path).close()
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("DROP INDEX jobs_joined")
            raw.execute("DROP INDEX jobs_queued_once")
            raw.execute(meddling)
        with pytest.raises(LedgerError) as refusal:
            Ledger.open(path)
        assert refusal.value.kind == "ledger-damaged"
        assert lacks in refusal.value.message and "ledger.db-wal" in refusal.value.hint


def met(call: Callable[[], object]) -> list[OcrdError]:
    """The error that a call ends with, if it does."""
    try:
        call()
    except OcrdError as error:
        return [error]
    return []
