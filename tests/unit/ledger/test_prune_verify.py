"""Counting, forgetting, checking."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ocrd.ledger.ledger import Ledger
from ocrd.ledger.pages import page_row
from tests.unit.ledger.making import (
    Clock,
    claimed,
    delivering,
    done,
    failed,
    page,
    queued,
    spooled,
)


class TestPrune:
    def test_forgets_what_was_done_before_a_moment(self, ledger: Ledger, clock: Clock) -> None:
        done(ledger, "old.pdf")
        clock.now += 100
        young = done(ledger, "young.pdf")
        assert ledger.prune(before=clock.now) == 1
        assert ledger.jobs() == [young]

    def test_forgets_the_oldest_first_and_so_many_at_most(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        jobs = []
        for number in range(5):
            clock.now += 1
            jobs.append(done(ledger, f"{number}.pdf"))
        assert ledger.prune(before=clock.now + 1, limit=3) == 3
        assert ledger.jobs() == [jobs[4], jobs[3]]
        assert ledger.prune(before=clock.now + 1, limit=3) == 2

    def test_keeps_every_job_that_is_not_done(self, ledger: Ledger, clock: Clock) -> None:
        for make in (failed, delivering, spooled, claimed, queued):
            make(ledger, f"{make.__name__}.pdf", make.__name__)
        clock.now += 1e9
        assert ledger.prune(before=clock.now) == 0
        assert len(ledger.jobs()) == 5

    def test_forgets_what_was_taken_away_before_it_could_be_read(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """Each document that is joined anew leaves such a job behind."""
        for number in range(5):
            clock.now += 1
            ledger.gone(queued(ledger, f"{number}.pdf"))
        assert ledger.prune(before=clock.now, limit=3) == 3
        assert ledger.prune(before=clock.now, limit=3) == 1
        assert [job.source for job in ledger.jobs()] == ["4.pdf"]
        assert ledger.verify() == []

    def test_takes_pages_history_and_counts_along(self, ledger: Ledger, path: Path) -> None:
        job = ledger.set_pages(spooled(ledger), 1)
        ledger.progress(job, [page_row(page(1), "{}", "r")])
        ledger.done(ledger.deliver(job, outputs=None, archived_to="/archive/scan.pdf"))
        ledger.prune(before=1e12)
        with closing(sqlite3.connect(path)) as raw:
            left = [
                raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("jobs", "pages", "history")
            ]
        assert left == [0, 0, 0]
        assert ledger.counts() == {}
        assert ledger.verify() == []

    def test_never_gives_a_number_out_again(self, ledger: Ledger) -> None:
        job = done(ledger)
        ledger.prune(before=1e12)
        assert queued(ledger).id == job.id + 1

    def test_lets_the_file_stay_as_large_as_it_is(self, ledger: Ledger, path: Path) -> None:
        sizes = []
        for day in range(3):
            for number in range(8):
                job = ledger.set_pages(spooled(ledger, f"{day}-{number}.pdf"), 1)
                ledger.progress(job, [page_row(page(1), os.urandom(9_000).hex(), "r")])
                ledger.done(ledger.deliver(job, outputs=None, archived_to="/a"))
            ledger.prune(before=1e12)
            with ledger._bare() as raw:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            sizes.append(path.stat().st_size)
        assert max(sizes[1:]) <= sizes[0] + 8 * 4096


class TestVerify:
    @pytest.mark.parametrize(
        ("meddling", "said"),
        [
            ("UPDATE tallies SET jobs = 7", "folder invoices: its done jobs are miscounted"),
            ("DELETE FROM tallies", "folder invoices: its done jobs are miscounted"),
            ("UPDATE jobs SET pages_done = 3", "job 1: its finished pages are miscounted"),
            ("DELETE FROM jobs", "a row of history belongs to no job"),
        ],
    )
    def test_names_what_somebody_changed_by_hand(
        self, ledger: Ledger, path: Path, meddling: str, said: str
    ) -> None:
        done(ledger)
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("PRAGMA foreign_keys = OFF")
            raw.execute(meddling)
        assert said in ledger.verify()
