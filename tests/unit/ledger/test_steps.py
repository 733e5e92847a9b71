"""The steps of a job, from the claim to its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocrd.errors import FencedError
from ocrd.job import Job, JobError, JobState, Place
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.transitions import KEPT, KEPT_FIRST, Happening
from tests.unit.ledger.making import (
    NO_TEXT,
    Clock,
    claimed,
    delivering,
    done,
    failed,
    queued,
    spooled,
    taken_next,
)

BROKEN_NAME = "/srv/outbox/caf\udce9\n.pdf"


def names(ledger: Ledger, job: Job) -> list[Happening]:
    return [entry.name for entry in ledger.events(job.id)]


class TestTheWayToDone:
    def test_each_step_is_kept(self, ledger: Ledger, clock: Clock) -> None:
        job = claimed(ledger)
        moved = ledger.moved(job)
        assert moved == replace(job, place=Place.SPOOL)
        named = ledger.deliver(moved, outputs=BROKEN_NAME, archived_to="/archive/scan.pdf")
        assert named == replace(
            moved,
            state=JobState.DELIVERING,
            outputs=BROKEN_NAME,
            archived_to="/archive/scan.pdf",
        )
        clock.now += 9
        finished = ledger.done(named)
        assert finished == replace(
            named, state=JobState.DONE, place=Place.ARCHIVE, finished_at=clock.now
        )
        assert ledger.job(job.id) == finished
        assert names(ledger, job) == [
            Happening.QUEUED,
            Happening.CLAIMED,
            Happening.MOVED,
            Happening.DELIVERING,
            Happening.DONE,
        ]

    def test_a_name_taken_meanwhile_is_replaced(self, ledger: Ledger) -> None:
        job = delivering(ledger)
        renamed = ledger.redeliver(job, outputs="/outbox/scan (2)")
        assert renamed == replace(job, outputs="/outbox/scan (2)")
        again = ledger.redeliver(renamed, archived_to="/archive/scan (2).pdf")
        assert again == replace(renamed, archived_to="/archive/scan (2).pdf")

    @pytest.mark.parametrize("early", [queued, claimed, spooled, failed])
    def test_nothing_is_done_that_was_not_delivering(self, ledger: Ledger, early: type) -> None:
        job = early(ledger)
        with pytest.raises(FencedError):
            ledger.done(job)
        assert ledger.job(job.id) == job

    def test_what_is_done_stays_done(self, ledger: Ledger) -> None:
        job = done(ledger)
        for step in (ledger.failed, ledger.gone, ledger.done, ledger.resume):
            with pytest.raises(FencedError):
                step(job)
        assert ledger.job(job.id) == job


class TestTheWayToFailed:
    @pytest.mark.parametrize("make", [queued, claimed, spooled, delivering])
    def test_the_intent_is_kept_before_the_move(
        self, ledger: Ledger, clock: Clock, make: type
    ) -> None:
        job = make(ledger)
        intended = ledger.intend_failure(job, NO_TEXT, BROKEN_NAME)
        assert intended == replace(
            job, ending=JobState.FAILED, failed_to=BROKEN_NAME, error=NO_TEXT
        )
        assert ledger.unfinished() == [intended]
        ended = ledger.failed(intended)
        assert ended == replace(
            intended,
            state=JobState.FAILED,
            place=Place.FAILED,
            ending=None,
            finished_at=clock.now,
        )
        assert ledger.unfinished() == []

    def test_a_name_taken_meanwhile_is_replaced(self, ledger: Ledger) -> None:
        job = ledger.intend_failure(spooled(ledger), NO_TEXT, "/failed/scan.pdf")
        again = ledger.intend_failure(job, NO_TEXT, "/failed/scan (2).pdf")
        assert again == replace(job, failed_to="/failed/scan (2).pdf")

    def test_an_error_may_name_a_name_that_is_no_text(self, ledger: Ledger) -> None:
        error = JobError(kind="damaged", message="caf\udce9.pdf is damaged", hint="\udcff")
        job = ledger.intend_failure(spooled(ledger), error, BROKEN_NAME)
        assert job.error == JobError(
            kind="damaged", message="caf\\udce9.pdf is damaged", hint="\\udcff"
        )

    def test_a_retried_job_knows_where_its_original_lies(self, ledger: Ledger) -> None:
        (job,) = ledger.retry([failed(ledger).id])
        assert (job.place, job.failed_to) == (Place.FAILED, "/failed/scan.pdf")
        again = taken_next(ledger, now=0.0)
        assert again is not None
        taken = ledger.moved(again)
        assert (taken.place, taken.failed_to) == (Place.SPOOL, None)

    def test_a_retried_job_that_fails_at_once_keeps_its_place(self, ledger: Ledger) -> None:
        (job,) = ledger.retry([failed(ledger).id])
        intended = ledger.intend_failure(job, NO_TEXT, "/failed/scan (2).pdf")
        assert intended.failed_to == "/failed/scan.pdf"


class TestGone:
    def test_a_file_taken_away_by_a_person_ends_its_job(self, ledger: Ledger, clock: Clock) -> None:
        job = ledger.gone(queued(ledger))
        assert (job.state, job.place) == (JobState.CANCELLED, Place.GONE)
        assert (job.finished_at, job.error and job.error.kind) == (clock.now, "source-gone")

    def test_a_claimed_file_may_be_gone_too(self, ledger: Ledger) -> None:
        assert ledger.gone(claimed(ledger)).place is Place.GONE

    def test_its_name_is_free_again(self, ledger: Ledger) -> None:
        old = ledger.gone(queued(ledger))
        assert queued(ledger).id != old.id


class TestHistory:
    def test_says_when_and_why(self, ledger: Ledger, clock: Clock) -> None:
        job = claimed(ledger)
        clock.now += 5
        ledger.release(job, not_before=0.0, error=NO_TEXT, refund=False)
        last = ledger.events(job.id)[-1]
        assert (last.at, last.name, last.detail) == (
            clock.now,
            Happening.RELEASED,
            "damaged: cannot be opened",
        )

    def test_of_a_job_tried_for_weeks_keeps_its_beginning_and_its_end(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        first = clock.now
        job = queued(ledger)
        for _ in range(100):
            clock.now += 1
            claim = taken_next(ledger, now=clock.now)
            assert claim is not None
            ledger.release(claim, not_before=0.0, error=NO_TEXT, refund=True)
        entries = ledger.events(job.id)
        assert len(entries) == KEPT
        assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
        assert (entries[0].at, entries[0].name) == (first, Happening.QUEUED)
        assert [entry.at - first for entry in entries[KEPT_FIRST - 1 : KEPT_FIRST + 2]] == [
            4,
            73,
            73,
        ]
        assert (entries[-1].at, entries[-1].name) == (clock.now, Happening.RELEASED)
