"""Locks, full and read-only disks: said clearly, nothing half-done, over when the cause is."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ocrd.errors import Disposition, LedgerError, PlaceError
from ocrd.job import JobState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.readonly import glance
from ocrd.ledger.store import Transaction
from tests.unit.ledger.making import found, page, queued, spooled, taken_next


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

    ledger._store.write(meddle)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


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
                    ledger.page_done(job, page(number), os.urandom(2000).hex(), recipe="r")
            assert full.value.kind == "disk-full"
            kept = list(ledger.finished_pages(job, "r"))
            ballast.unlink()
            ledger.page_done(job, page(1000), "{}", recipe="r")
            assert list(ledger.finished_pages(job, "r")) == [*kept, 1000]

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
