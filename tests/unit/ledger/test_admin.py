"""What an operator asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from ocrd.errors import OcrdError, UsageError
from ocrd.job import Job, JobError, JobState, Page, PageState, Place
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.pages import page_row
from ocrd.ledger.transitions import Happening
from tests.unit.ledger.making import (
    NO_TEXT,
    Clock,
    claimed,
    delivering,
    done,
    failed,
    found,
    many,
    page,
    queued,
    spooled,
    taken_next,
)


def leaving(ledger: Ledger) -> Job:
    """A job whose original is on its way to failed/."""
    return ledger.intend_failure(spooled(ledger), NO_TEXT, "/failed/scan.pdf")


def gone(ledger: Ledger) -> Job:
    """A job whose original a person took away: nobody can bring it back."""
    return ledger.gone(queued(ledger))


class TestLooking:
    def test_a_job_is_found_by_its_number(self, ledger: Ledger) -> None:
        job = done(ledger)
        assert ledger.job(job.id) == job
        assert ledger.job(job.id + 1) is None

    def test_jobs_come_newest_first(self, ledger: Ledger) -> None:
        jobs = [queued(ledger, f"{number}.pdf") for number in range(5)]
        assert ledger.jobs() == jobs[::-1]
        assert ledger.jobs(limit=2) == [jobs[4], jobs[3]]

    def test_one_answer_leads_to_the_next(self, ledger: Ledger) -> None:
        jobs = [queued(ledger, f"{number}.pdf") for number in range(5)]
        first = ledger.jobs(limit=3)
        assert first + ledger.jobs(limit=3, before_id=first[-1].id) == jobs[::-1]

    def test_jobs_can_be_picked_by_state_and_folder(self, ledger: Ledger) -> None:
        made = [
            make(ledger, f"{number}.pdf", f"{make.__name__}-{number}")
            for number in range(2)
            for make in (done, failed, delivering, claimed, queued)
        ]
        made.append(ledger.gone(queued(ledger, "gone.pdf", "gone-0")))
        for state in JobState:
            of_state = [job for job in made if job.state is state][::-1]
            assert ledger.jobs(state=state) == of_state != []
            one = of_state[0]
            assert ledger.jobs(state=state, folder=one.folder) == [one]
            assert ledger.jobs(folder=one.folder, before_id=one.id) == []
            assert ledger.jobs(state=state, folder="unheard-of") == []

    def test_jobs_can_be_picked_by_time_and_name(self, ledger: Ledger, clock: Clock) -> None:
        old = queued(ledger, "sub/Rechnung 100%.pdf")
        clock.now += 60
        new = [queued(ledger, name) for name in ("rechnung_7.pdf", "brief.pdf")]
        picks: list[tuple[dict[str, Any], list[Job]]] = [
            ({"since": clock.now}, new[::-1]),
            ({"since": clock.now + 1}, []),
            ({"name": "RECHNUNG"}, [new[0], old]),
            ({"name": "100%"}, [old]),
            ({"name": "g_7"}, [new[0]]),
            ({"name": "sub/", "since": clock.now}, []),
        ]
        for pick, expected in picks:
            assert ledger.jobs(**pick) == expected
            assert ledger.count(**pick) == len(expected)

    def test_all_that_a_listing_leaves_out_is_counted(self, ledger: Ledger) -> None:
        for number in range(5):
            queued(ledger, f"{number}.pdf", f"folder-{number % 2}")
        done(ledger, "done.pdf", "folder-9")
        assert len(ledger.jobs(limit=2)) == 2
        assert ledger.count() == 6
        assert ledger.count(folder="folder-0") == 3
        assert ledger.count(state=JobState.DONE) == 1
        assert ledger.count(state=JobState.QUEUED, name=".pdf") == 5

    def test_the_history_of_an_unknown_job_is_empty(self, ledger: Ledger) -> None:
        assert ledger.events(12) == []


class TestRetry:
    def test_puts_a_failed_job_back_as_if_it_were_new(self, ledger: Ledger) -> None:
        job = failed(ledger)
        (back,) = ledger.retry([job.id])
        assert back == replace(
            job,
            state=JobState.QUEUED,
            attempts=0,
            error=None,
            started_at=None,
            finished_at=None,
        )
        assert (back.place, back.failed_to) == (Place.FAILED, "/failed/scan.pdf")
        assert ledger.events(job.id)[-1].name is Happening.RETRIED
        again = taken_next(ledger, now=0.0)
        assert again is not None and (again.id, again.attempts) == (job.id, 1)

    def test_keeps_finished_pages_and_drops_failed_ones(self, ledger: Ledger) -> None:
        job = ledger.set_pages(spooled(ledger), 4)
        ledger.progress(job, [page_row(page(1), "{}", "r")])
        ledger.progress(job, [page_row(page(2, PageState.PARTIAL, error=NO_TEXT), "{}", "r")])
        ledger.progress(job, [page_row(page(3, PageState.FAILED, error=NO_TEXT), None, "r")])
        ledger.failed(ledger.intend_failure(job, NO_TEXT, "/failed/scan.pdf"))
        (back,) = ledger.retry([job.id])
        assert (back.pages, back.pages_done) == (4, 2)
        assert [known.number for known, _ in ledger.payloads(back, "r")] == [1, 2]
        assert ledger.pages(job.id)[2:] == [
            Page(number=3, state=PageState.PENDING),
            Page(number=4, state=PageState.PENDING),
        ]

    def test_of_all_takes_what_failed_and_not_what_was_cancelled(self, ledger: Ledger) -> None:
        first, second = failed(ledger, "1.pdf"), failed(ledger, "2.pdf")
        third = ledger.intend_failure(spooled(ledger, "3.pdf"), NO_TEXT, "/f/3.pdf", cancelled=True)
        cancelled = ledger.failed(third, cancelled=True)
        done(ledger, "4.pdf")
        assert [job.id for job in ledger.retry()] == [first.id, second.id]
        assert ledger.job(cancelled.id) == cancelled

    def test_of_a_cancelled_job_needs_its_number(self, ledger: Ledger) -> None:
        job = ledger.intend_failure(spooled(ledger), NO_TEXT, "/f/3.pdf", cancelled=True)
        job = ledger.failed(job, cancelled=True)
        assert [back.id for back in ledger.retry([job.id])] == [job.id]

    @pytest.mark.parametrize("make", [queued, claimed, delivering, done, gone])
    def test_leaves_other_jobs_alone(self, ledger: Ledger, make: Callable[[Ledger], Job]) -> None:
        job = make(ledger)
        assert ledger.retry([job.id, 999]) == []
        assert ledger.job(job.id) == job

    def test_does_not_put_two_jobs_on_one_file(self, ledger: Ledger) -> None:
        old = ledger.failed(claimed(ledger), place=Place.INBOX)
        (new,) = ledger.record([found(inode=3, sha256="ab" * 32)])
        assert new is not None and new.id == old.id  # the same job, renewed
        other = ledger.failed(claimed(ledger, "b.pdf", "x"), place=Place.INBOX)
        assert [job.id for job in ledger.retry([other.id])] == [other.id]
        assert ledger.record([found("b.pdf", "x")]) == [None]

    def test_of_a_file_whose_name_a_newer_job_has_is_refused(self, ledger: Ledger) -> None:
        old = claimed(ledger)
        ledger.record([found(inode=3, sha256="ab" * 32)])
        old = ledger.failed(old, place=Place.INBOX)
        assert ledger.retry([old.id]) == []
        assert ledger.job(old.id) == old

    def test_takes_thousands_at_once(self, ledger: Ledger, path: Path) -> None:
        many(path, 1_100, "failed", "inbox")
        assert len(ledger.retry()) == 1_100
        assert {state for _, state in ledger.counts()} == {JobState.QUEUED}
        assert ledger.verify() == []


class TestCancel:
    def test_of_a_waiting_job_is_seen_by_the_daemon_once(self, ledger: Ledger) -> None:
        job = queued(ledger)
        (asked,) = ledger.request_cancel([job.id, job.id])
        assert asked == replace(job, cancel_requested=True)
        assert ledger.request_cancel([job.id]) == []
        assert len(ledger.events(job.id)) == 2
        assert ledger.cancellations() == [asked]
        assert taken_next(ledger, now=0.0) is None

    def test_goes_to_failed_and_ends_as_cancelled(self, ledger: Ledger, clock: Clock) -> None:
        (job,) = ledger.request_cancel([spooled(ledger).id])
        wish = JobError(kind="cancelled", message="by an operator", hint="`ocrd retry`")
        job = ledger.intend_failure(job, wish, "/failed/scan.pdf", cancelled=True)
        assert job.ending is JobState.CANCELLED
        assert ledger.cancellations() == [job]
        job = ledger.failed(job, cancelled=True)
        assert (job.state, job.place, job.error) == (JobState.CANCELLED, Place.FAILED, wish)
        assert (job.cancel_requested, job.ending, job.finished_at) == (False, None, clock.now)
        assert ledger.cancellations() == []

    def test_survives_a_release(self, ledger: Ledger) -> None:
        job = spooled(ledger)
        ledger.request_cancel([job.id])
        back = ledger.release(job, not_before=0.0, error=None, refund=True)
        assert ledger.cancellations() == [back]
        assert taken_next(ledger, now=0.0) is None

    @pytest.mark.parametrize("make", [delivering, leaving, done, failed])
    def test_comes_too_late_for_a_job_that_delivers_or_ended(
        self, ledger: Ledger, make: Callable[[Ledger], Job]
    ) -> None:
        job = make(ledger)
        assert ledger.request_cancel([job.id, 999]) == []
        assert ledger.job(job.id) == job

    def test_is_forgotten_by_a_retry(self, ledger: Ledger) -> None:
        (job,) = ledger.request_cancel([spooled(ledger).id])
        job = ledger.failed(
            ledger.intend_failure(job, NO_TEXT, "/f", cancelled=True), cancelled=True
        )
        (back,) = ledger.retry([job.id])
        assert not back.cancel_requested
        assert taken_next(ledger, now=0.0) is not None


class TestTrees:
    def test_an_installation_is_the_same_for_good_and_no_other_is(self, tmp_path: Path) -> None:
        seen = []
        for name in ("a.db", "a.db", "b.db"):
            with Ledger.open(tmp_path / name) as ledger:
                seen.append(ledger.installation())
        assert seen[0] == seen[1] != seen[2]
        assert len(seen[0]) == 32

    def test_a_tree_is_known_by_where_it_was_last(self, path: Path) -> None:
        with Ledger.open(path) as ledger:
            assert ledger.known_trees() == {}
            ledger.know_tree("/srv/archive", "1f")
            ledger.know_tree("/srv/caf\udce9", "2f")
            ledger.know_tree("/srv/archive", "3f")
        with Ledger.open(path) as ledger:
            assert ledger.known_trees() == {"/srv/archive": "3f", "/srv/caf\udce9": "2f"}


class TestBackup:
    def test_is_a_ledger_of_one_moment(self, ledger: Ledger, tmp_path: Path) -> None:
        before, copy = done(ledger), tmp_path / "copy.db"
        ledger.backup(copy)
        queued(ledger, "later.pdf")
        with Ledger.open(copy) as restored:
            assert restored.jobs() == [before]
            assert restored.installation() == ledger.installation()
            assert restored.verify() == []

    def test_is_for_no_more_eyes_and_replaces_nothing(self, ledger: Ledger, tmp_path: Path) -> None:
        ledger.path.chmod(0o640)
        copy = tmp_path / "copy.db"
        ledger.backup(copy)
        assert copy.stat().st_mode & 0o777 == 0o640
        before = copy.read_bytes()
        queued(ledger)
        with pytest.raises(UsageError):
            ledger.backup(copy)
        assert copy.read_bytes() == before

    def test_where_it_cannot_be_written_says_so(self, ledger: Ledger, tmp_path: Path) -> None:
        with pytest.raises(OcrdError) as refusal:
            ledger.backup(tmp_path / "missing" / "copy.db")
        assert "missing" in refusal.value.message and refusal.value.hint
        assert "inbox" not in refusal.value.hint  # what is said of a scan that is gone


@pytest.fixture
def statements() -> Iterator[set[str]]:
    """What any ledger asks of SQLite, each different text once."""
    asked: set[str] = set()

    def hear(_c: object, _d: object, statement: str, *_: object) -> None:
        asked.add(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    yield asked
    event.remove(Engine, "before_cursor_execute", hear)


def test_batches_of_all_sizes_are_few_statements(ledger: Ledger, statements: set[str]) -> None:
    """Every connection keeps those that it prepared: else people's retries grow the daemon."""
    jobs = [done(ledger, f"{number}.pdf") for number in range(40)]
    few = 0
    for size in range(1, 41):
        numbers = [job.id for job in jobs[:size]]
        ledger.retry(numbers)
        ledger.request_cancel(numbers)
        ledger.record([found(f"new {size}-{number}.pdf") for number in range(size)])
        ledger.refiled(jobs[:size])
        few = few or (len(statements) if size == 8 else 0)
    assert len(statements) <= few + 20
