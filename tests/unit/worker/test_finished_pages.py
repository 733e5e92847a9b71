"""What was read of a job goes from its log into the ledger when the job is delivered, or fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.job import Job, JobState, Page, PageState
from ocrd.pagelog import Entry
from ocrd.worker.worker import CANCELLED
from tests.unit.worker.ground import Ground

PAGES = [
    Page(number=1, state=PageState.DONE, tries=1, tokens=9, seconds=0.5),
    Page(number=2, state=PageState.PARTIAL, tries=2, error=CANCELLED),
]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "srv")


def read(ground: Ground, *, content: str | None = None) -> Job:
    """A job of which two of three pages are finished."""
    job = ground.ledger.set_pages(ground.spooled(), 3, recipe="r")
    log = ground.spool.page_log(job)
    log.begin("r", content or job.sha256)
    for page in PAGES:
        log.append(Entry(page=page, result=f'{{"page":{page.number}}}'))
    return job


def test_a_delivery_records_them(ground: Ground) -> None:
    job = ground.recorded(read(ground))
    assert (job.state, job.pages_done) == (JobState.DELIVERING, 2)
    assert ground.ledger.pages(job.id)[:2] == PAGES
    assert ground.ledger.reusable(job.sha256, "r", 1) == '{"page":1}'


def test_a_failure_keeps_them_for_a_retry(ground: Ground) -> None:
    job = ground.delivery.fail(read(ground), ground.folder, CANCELLED, cancelled=True)
    (job,) = ground.ledger.retry([job.id])
    assert list(ground.ledger.payloads(job, "r")) == [
        (PAGES[0], '{"page":1}'),
        (PAGES[1], '{"page":2}'),
    ]


def test_those_of_contents_that_were_replaced_are_not_recorded(ground: Ground) -> None:
    job = ground.recorded(read(ground, content="ab" * 32))
    assert job.pages_done == 0
    assert ground.ledger.reusable(job.sha256, "r", 1) is None
