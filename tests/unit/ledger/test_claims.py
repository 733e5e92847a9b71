"""Who works on which job."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import ClassVar

import pytest

from ocrd.errors import FencedError
from ocrd.job import Job, JobError, JobState, Place
from ocrd.ledger.jobs import LONGEST_WAIT_S
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.pages import page_row
from tests.unit.ledger.making import (
    Clock,
    Say,
    answer,
    claimed,
    delivering,
    done,
    failed,
    forked,
    found,
    opened,
    page,
    queued,
    spooled,
    taken_next,
)

SHARE_GONE = JobError(kind="share-gone", message="not mounted", hint="Mount it.")


def claim_all(say: Say, path: Path, together: Barrier) -> None:
    with Ledger.open(path, busy_s=300) as ledger:  # its lock is no queue
        together.wait()
        while job := taken_next(ledger, now=0.0):
            say(job.id)


class TestClaim:
    def test_takes_the_oldest_of_the_highest_priority(self, ledger: Ledger) -> None:
        ledger.record(
            [found("a.pdf"), found("b.pdf", priority=5), found("c.pdf", "letters", priority=5)]
        )
        ledger.record([found("d.pdf", "letters"), found("e.pdf", priority=-1)])
        order = [taken_next(ledger, now=0.0) for _ in range(6)]
        assert [job and job.source for job in order] == [
            "b.pdf",
            "c.pdf",
            "a.pdf",
            "d.pdf",
            "e.pdf",
            None,
        ]

    def test_gives_each_job_to_one_of_two_processes(self, path: Path) -> None:
        with opened(path) as ledger:
            jobs = ledger.record([found(f"{number}.pdf") for number in range(200)])
        together = multiprocessing.get_context("fork").Barrier(2)
        both = [forked(claim_all, path, together) for _ in range(2)]
        taken = [[int(line) for line in answer(*process).split()] for process in both]
        assert sorted(taken[0] + taken[1]) == [job.id for job in jobs if job]
        with opened(path) as ledger:
            assert all(job.attempts == 1 for job in ledger.jobs(limit=1000))

    def test_gives_each_job_to_one_of_eight_threads(self, ledger: Ledger) -> None:
        ledger.record([found(f"{number}.pdf") for number in range(100)])
        with ThreadPoolExecutor(8) as threads:
            taken = list(threads.map(lambda _: taken_next(ledger, now=0.0), range(104)))
        assert sorted(job.id for job in taken if job) == list(range(1, 101))


class TestRelease:
    def test_puts_the_job_back_for_later_with_its_reason(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        job = spooled(ledger)
        later = clock.now + 60
        back = ledger.release(job, not_before=later, error=SHARE_GONE, refund=False)
        assert (back.state, back.place, back.attempts) == (JobState.QUEUED, Place.SPOOL, 1)
        assert (back.not_before, back.error) == (later, SHARE_GONE)
        assert taken_next(ledger, now=later - 0.1) is None
        again = taken_next(ledger, now=later)
        assert again is not None and (again.id, again.attempts, again.error) == (job.id, 2, None)

    def test_waits_no_longer_than_a_day(self, ledger: Ledger, clock: Clock) -> None:
        job = claimed(ledger)
        back = ledger.release(job, not_before=clock.now + 1e9, error=None, refund=True)
        assert back.not_before == clock.now + LONGEST_WAIT_S

    def test_does_not_wait_for_years_after_the_clock_was_set_back(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        job = claimed(ledger)
        ledger.release(job, not_before=clock.now + 60, error=None, refund=True)
        clock.now -= 10 * 365 * 86_400
        again = taken_next(ledger, now=clock.now)
        assert again is not None and again.id == job.id

    def test_ends_a_job_whose_file_was_replaced_meanwhile(self, ledger: Ledger) -> None:
        old = claimed(ledger)
        (new,) = ledger.record([found(inode=3, sha256="ab" * 32)])
        ended = ledger.release(old, not_before=0.0, error=None, refund=True)
        assert (ended.state, ended.place) == (JobState.CANCELLED, Place.GONE)
        assert ended.error is not None and ended.error.kind == "source-changed"
        assert new is not None and ledger.jobs(state=JobState.QUEUED) == [new]

    def test_goes_by_where_the_original_is_not_by_what_the_caller_last_saw(
        self, ledger: Ledger
    ) -> None:
        stale = claimed(ledger)
        ledger.moved(stale)
        ledger.record([found(inode=3, sha256="ab" * 32)])
        back = ledger.release(stale, not_before=0.0, error=None, refund=True)
        assert (back.state, back.place) == (JobState.QUEUED, Place.SPOOL)


class TestAfterARestart:
    def test_what_was_under_way_is_known(self, ledger: Ledger) -> None:
        queued(ledger, "waits.pdf", "other")
        done(ledger, "done.pdf")
        failed(ledger, "failed.pdf")
        under_way = [spooled(ledger, "a.pdf"), delivering(ledger, "b.pdf")]
        under_way += [
            ledger.intend_failure(make(ledger, name), SHARE_GONE, f"/failed/{name}")
            for make, name in ((queued, "c.pdf"), (spooled, "d.pdf"))
        ]
        assert ledger.unfinished() == under_way

    @pytest.mark.parametrize("refund", [False, True])
    @pytest.mark.parametrize("make", [spooled, delivering])
    def test_a_job_is_claimed_anew_at_the_cost_of_an_attempt_or_none(
        self, ledger: Ledger, make: Callable[[Ledger], Job], refund: bool
    ) -> None:
        old = make(ledger)
        cost = int(old.state is JobState.RUNNING and not refund)
        assert ledger.resume(old, refund=refund) == replace(old, attempts=1 + cost, epoch=2)

    def test_a_waiting_job_on_its_way_to_failed_is_taken_up_too(self, ledger: Ledger) -> None:
        old = ledger.intend_failure(queued(ledger), SHARE_GONE, "/failed/scan.pdf")
        new = ledger.resume(old)
        assert new == replace(old, epoch=1)
        assert ledger.failed(new).state is JobState.FAILED

    def test_a_job_that_simply_waits_is_claimed_and_not_resumed(self, ledger: Ledger) -> None:
        job = queued(ledger)
        with pytest.raises(FencedError):
            ledger.resume(job)
        assert ledger.job(job.id) == job

    def test_the_owner_of_files_in_the_spool_is_found(self, ledger: Ledger) -> None:
        job = spooled(ledger)
        assert ledger.owner(job.token) == job
        assert ledger.owner("nobody") is None
        finished = done(ledger, "other.pdf")
        assert ledger.owner(finished.token) is None


class TestFencing:
    """Once a job was claimed anew, its former claimant can do nothing to it."""

    STEPS: ClassVar[dict[str, Callable[[Ledger, Job], object]]] = {
        "moved": lambda ledger, job: ledger.moved(job),
        "set_pages": lambda ledger, job: ledger.set_pages(job, 3),
        "progress": lambda ledger, job: ledger.progress(job, [page_row(page(1), "{}", "r")]),
        "rerecord": lambda ledger, job: ledger.rerecord(job, found(sha256="ab" * 32)),
        "release": lambda ledger, job: ledger.release(
            job, not_before=0.0, error=None, refund=False
        ),
        "deliver": lambda ledger, job: ledger.deliver(job, outputs=None, archived_to="/a"),
        "redeliver": lambda ledger, job: ledger.redeliver(job, outputs="/o"),
        "done": lambda ledger, job: ledger.done(job),
        "intend_failure": lambda ledger, job: ledger.intend_failure(job, SHARE_GONE, "/f"),
        "failed": lambda ledger, job: ledger.failed(job),
        "cancelled": lambda ledger, job: ledger.failed(job, cancelled=True),
        "gone": lambda ledger, job: ledger.gone(job),
        "resume": lambda ledger, job: ledger.resume(job),
    }

    @pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
    def test_a_step_of_an_earlier_claim_changes_nothing(
        self, ledger: Ledger, step: Callable[[Ledger, Job], object]
    ) -> None:
        old = spooled(ledger)
        ledger.set_pages(old, 1)
        ledger.progress(old, [page_row(page(1), '{"text":"kept"}', "r")])
        now = ledger.resume(old)
        events = ledger.events(old.id)
        with pytest.raises(FencedError) as fenced:
            step(ledger, old)
        assert fenced.value.kind == "fenced"
        assert ledger.job(old.id) == now
        assert ledger.events(old.id) == events
        assert list(ledger.payloads(now, "r")) == [(page(1), '{"text":"kept"}')]

    def test_a_step_of_a_job_that_was_pruned_says_so(self, ledger: Ledger, clock: Clock) -> None:
        job = done(ledger)
        assert ledger.prune(clock.now + 1) == 1
        with pytest.raises(FencedError, match="not in the ledger"):
            ledger.moved(job)

    @pytest.mark.parametrize("name", ["set_pages", "progress", "deliver"])
    def test_a_cancel_stops_the_claimant_at_its_next_step(self, ledger: Ledger, name: str) -> None:
        job = spooled(ledger)
        ledger.request_cancel([job.id])
        with pytest.raises(FencedError) as stopped:
            self.STEPS[name](ledger, job)
        assert stopped.value.kind == "cancelled"

    def test_a_cancel_does_not_hide_where_the_original_went(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        ledger.request_cancel([job.id])
        assert ledger.moved(job).place is Place.SPOOL
