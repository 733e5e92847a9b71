"""Finished pages are kept, counted once, and used again for the same content."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.errors import FencedError, OcrdError
from ocrd.job import Job, JobError, JobState, Page, PageState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.pages import page_row
from ocrd.page import Box, Finish, Line, PageResult
from tests.unit.ledger.making import claimed, done, found, page, queued, spooled, work

DOUBT = JobError(kind="partial", message="cut off", hint="Look at the page.")
RESULT = PageResult(
    text="Ümläute, 中文, \x00 and a lone \ud800 surrogate",
    finish=Finish.LENGTH,
    lines=(Line("Ümläute", Box(0.1, 0.2, 0.3, 0.4)),),
    notes=("retried",),
)


def opened(ledger: Ledger, pages: int = 3) -> Job:
    return ledger.set_pages(spooled(ledger), pages)


class TestAFinishedPage:
    @pytest.mark.parametrize(
        "finished",
        [
            page(2),
            page(2, PageState.PARTIAL, error=DOUBT),
            Page(number=2, state=PageState.FAILED, tries=3, error=DOUBT),
            Page(number=2, state=PageState.DONE, reused=True),
        ],
        ids=lambda finished: f"{finished.state}{' reused' * finished.reused}",
    )
    def test_is_kept_with_all_that_is_known_of_it(self, path: Path, finished: Page) -> None:
        with Ledger.open(path) as ledger:
            job = opened(ledger)
            payload = None if finished.state is PageState.FAILED else RESULT.to_json()
            ledger.progress(job, [page_row(finished, payload, "r")])
        with Ledger.open(path) as ledger:
            assert ledger.pages(job.id)[1] == finished
            assert list(ledger.payloads(job, "r")) == [(finished, payload)]
            after = ledger.job(job.id)
            assert after is not None and (after.pages, after.pages_done) == (3, 1)

    def test_counts_once_however_often_it_is_finished(self, ledger: Ledger) -> None:
        job = opened(ledger)
        for payload in ("{}", '{"better":1}'):
            ledger.progress(job, [page_row(page(1), payload, "r")])
        after = ledger.job(job.id)
        assert after is not None and after.pages_done == 1
        assert [payload for _, payload in ledger.payloads(job, "r")] == ['{"better":1}']

    def test_survives_the_next_attempt(self, ledger: Ledger) -> None:
        job = opened(ledger)
        ledger.progress(job, [page_row(page(1), "{}", "r")])
        again = ledger.set_pages(ledger.resume(job), 3)
        assert again.pages_done == 1
        assert [known.number for known, _ in ledger.payloads(again, "r")] == [1]

    def test_of_another_recipe_does_not_count(self, ledger: Ledger) -> None:
        job = opened(ledger)
        ledger.progress(job, [page_row(page(1), "{}", "old")])
        assert list(ledger.payloads(job, "new")) == []
        again = ledger.set_pages(ledger.resume(job), 3, recipe="new")
        assert again.pages_done == 0
        assert list(ledger.payloads(again, "old")) == []

    def test_beyond_the_last_page_of_a_shorter_file_is_forgotten(self, ledger: Ledger) -> None:
        job = opened(ledger, 3)
        ledger.progress(job, [page_row(page(3), "{}", "r")])
        assert ledger.set_pages(job, 2).pages_done == 0
        assert [each.number for each in ledger.pages(job.id)] == [1, 2]

    def test_whose_result_is_kept_elsewhere_is_shown_and_not_given(self, ledger: Ledger) -> None:
        job = opened(ledger)
        ledger.progress(job, [page_row(page(1), "{}", "r")])
        ledger.progress(job, [page_row(page(1), None, "r"), page_row(page(2), None, "r")])
        assert [known.state for known in ledger.pages(job.id)][:2] == [PageState.DONE] * 2
        assert list(ledger.payloads(job, "r")) == [(page(1), "{}")]
        assert ledger.reusable(job.sha256, "r", 2) is None

    def test_is_not_accepted_for_a_page_number_below_one(self, ledger: Ledger) -> None:
        job = opened(ledger)
        with pytest.raises(OcrdError, match="CHECK") as refused:
            ledger.progress(job, [page_row(page(0), "{}", "r")])
        assert refused.value.kind == "ledger-defect"
        assert ledger.job(job.id) == job


class TestPagesOfADelivery:
    """Written with the step itself, over what was told of them while they were read."""

    ALL = (
        page(1),
        page(2, PageState.PARTIAL, error=DOUBT),
        page(3, PageState.FAILED, error=DOUBT),
    )
    ROWS = tuple(page_row(each, "{}", "r") for each in ALL)

    def test_are_recorded_with_the_intent_to_deliver(self, ledger: Ledger) -> None:
        job = opened(ledger)
        ledger.progress(job, [page_row(page(1, reused=True), '{"old":1}', "old")])
        job = ledger.deliver(job, outputs="/o", archived_to="/a", pages=self.ROWS)
        assert (job.state, job.pages_done) == (JobState.DELIVERING, 3)
        assert ledger.pages(job.id) == list(self.ALL)
        assert ledger.reusable(job.sha256, "r", 1) == "{}"
        assert ledger.reusable(job.sha256, "old", 1) is None
        assert ledger.verify() == []

    def test_are_recorded_with_the_intent_to_fail(self, ledger: Ledger) -> None:
        job = ledger.intend_failure(opened(ledger), DOUBT, "/f", pages=self.ROWS[2:])
        assert job.pages_done == 1
        assert [known.state for known in ledger.pages(job.id)] == [
            PageState.PENDING,
            PageState.PENDING,
            PageState.FAILED,
        ]

    def test_stay_as_they_were_where_the_step_is_fenced(self, ledger: Ledger) -> None:
        old = opened(ledger)
        ledger.progress(old, [page_row(page(1), "{}", "r")])
        ledger.resume(old)
        with pytest.raises(FencedError):
            ledger.deliver(old, outputs=None, archived_to="/a", pages=self.ROWS)
        assert ledger.reusable(old.sha256, "r", 1) == "{}"
        assert ledger.verify() == []


class TestReuse:
    @pytest.mark.parametrize(
        ("sha256", "recipe", "number"),
        [("ab" * 32, "r", 2), (found().sha256, "other", 2), (found().sha256, "r", 1)],
    )
    def test_other_content_recipe_or_page_does_not(
        self, ledger: Ledger, sha256: str, recipe: str, number: int
    ) -> None:
        ledger.progress(opened(ledger), [page_row(page(2), "{}", "r")])
        assert ledger.reusable(sha256, recipe, number) is None

    @pytest.mark.parametrize("state", [PageState.PARTIAL, PageState.FAILED])
    def test_a_doubtful_or_failed_page_is_never_used_again(
        self, ledger: Ledger, state: PageState
    ) -> None:
        job = opened(ledger)
        ledger.progress(job, [page_row(page(1, state, error=DOUBT), "{}", "r")])
        assert ledger.reusable(job.sha256, "r", 1) is None

    def test_lasts_as_long_as_the_job(self, ledger: Ledger) -> None:
        job = opened(ledger)
        ledger.progress(job, [page_row(page(1), "{}", "r")])
        ledger.done(ledger.deliver(job, outputs=None, archived_to="/archive/scan.pdf"))
        assert ledger.reusable(job.sha256, "r", 1) == "{}"
        assert ledger.prune(before=1e12) == 1
        assert ledger.reusable(job.sha256, "r", 1) is None


class TestAChangedOriginal:
    def test_that_cannot_be_kept_is_a_defect_and_no_damage(self, ledger: Ledger) -> None:
        job = opened(ledger)
        for digest in ("no hex digits", "ab\ud800"):
            with pytest.raises(OcrdError) as refused:
                ledger.rerecord(job, found(sha256=digest))
            assert refused.value.kind == "ledger-defect"
        assert ledger.job(job.id) == job

    def test_takes_its_new_identity_and_loses_its_pages(self, ledger: Ledger) -> None:
        job = opened(ledger)
        ledger.progress(job, [page_row(page(1), "{}", "r")])
        after = ledger.rerecord(job, found(size=1, mtime_ns=2, inode=2**64 - 1, sha256="ab" * 32))
        assert (after.size, after.mtime_ns, after.inode) == (1, 2, 2**64 - 1)
        assert (after.sha256, after.pages, after.pages_done) == ("ab" * 32, None, 0)
        assert ledger.pages(job.id) == []

    def test_keeps_later_pages_under_its_new_content(self, ledger: Ledger) -> None:
        stale = opened(ledger)
        ledger.rerecord(stale, found(size=1, mtime_ns=2, inode=3, sha256="ab" * 32))
        ledger.progress(stale, [page_row(page(1), "{}", "r")])
        assert ledger.reusable("ab" * 32, "r", 1) == "{}"
        assert ledger.reusable(stale.sha256, "r", 1) is None


class TestAThickDocument:
    def test_has_its_pages_without_a_row_for_each(self, ledger: Ledger) -> None:
        small, large = spooled(ledger, "a.pdf"), spooled(ledger, "b.pdf")
        few = work(ledger, lambda: ledger.set_pages(small, 3))
        many = work(ledger, lambda: ledger.set_pages(large, 3_000))
        assert many == few
        pages = ledger.pages(large.id)
        assert [each.number for each in pages] == list(range(1, 3_001))
        assert {each.state for each in pages} == {PageState.PENDING}

    def test_gives_its_payloads_in_order_whatever_the_order_they_came_in(
        self, ledger: Ledger
    ) -> None:
        job = opened(ledger, 200)
        mixed = sorted(range(1, 201), key=lambda n: n * 7919 % 211)
        ledger.progress(job, [page_row(page(n), f'{{"page":{n}}}', "r") for n in mixed])
        assert list(ledger.payloads(job, "r")) == [
            (page(number), f'{{"page":{number}}}') for number in range(1, 201)
        ]

    def test_may_be_added_to_while_its_payloads_are_read(self, ledger: Ledger) -> None:
        job = opened(ledger, 2)
        ledger.progress(job, [page_row(page(1), "{}", "r")])
        stream = ledger.payloads(job, "r")
        next(stream)
        ledger.progress(job, [page_row(page(2), "{}", "r")])
        assert [each.number for each, _ in stream] == [2]


def test_pages_are_known_as_far_as_their_count(ledger: Ledger) -> None:
    assert ledger.pages(queued(ledger, "a.pdf").id) == []
    assert ledger.pages(999) == []
    job = ledger.set_pages(ledger.moved(claimed(ledger, "b.pdf", "x")), 2)
    ledger.progress(job, [page_row(page(2), "{}", "r")])
    assert ledger.pages(job.id) == [Page(number=1, state=PageState.PENDING), page(2)]


def test_only_running_jobs_take_pages(ledger: Ledger) -> None:
    job = done(ledger)
    with pytest.raises(FencedError):
        ledger.progress(job, [page_row(page(1), "{}", "r")])
    assert ledger.pages(job.id) == []
