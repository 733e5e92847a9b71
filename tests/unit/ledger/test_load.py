"""What is asked often costs the same with many jobs as with few.

Cost is counted in instructions of SQLite's machine, which no busy computer changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrd.job import Job, JobState, Place
from ocrd.ledger.ledger import Ledger
from tests.unit.ledger.making import (
    Clock,
    claimed,
    found,
    many,
    page,
    plans,
    queued,
    taken_next,
    work,
)

FEW, MANY = 40, 8_000
DEEPER = 1.4  # a tree of many rows is a level or two deeper


def claim(ledger: Ledger) -> Callable[[], object]:
    queued(ledger)
    return lambda: taken_next(ledger, now=0.0, exclude_folders=["folder-1", "folder-2"])


def claim_in_vain(ledger: Ledger) -> Callable[[], object]:
    return lambda: taken_next(ledger, now=0.0, exclude_folders=[f"folder-{n}" for n in range(20)])


def claim_while_all_wait_for_later(ledger: Ledger) -> Callable[[], object]:
    put_off = "UPDATE jobs SET not_before = 5000 WHERE state = 'queued'"
    ledger._store.write(lambda tx: tx.connection.exec_driver_sql(put_off))
    return lambda: taken_next(ledger, now=4000.0)


def record(ledger: Ledger) -> Callable[[], object]:
    return lambda: ledger.record([found("new.pdf")])


def record_known(ledger: Ledger) -> Callable[[], object]:
    queued(ledger)
    return lambda: ledger.record([found()])


def record_several(ledger: Ledger) -> Callable[[], object]:
    names = ["one.pdf", "two.pdf", "three.pdf"]
    return lambda: ledger.record([found(name, folder="folder-1") for name in names])


def bearer_of_what_waits(ledger: Ledger) -> Callable[[], object]:
    job: Job = claimed(ledger)
    return lambda: ledger.bearer(job.token)


def page_done(ledger: Ledger) -> Callable[[], object]:
    job = ledger.set_pages(claimed(ledger), 2)
    return lambda: ledger.page_done(job, page(1), "{}", recipe="r")


def reusable(ledger: Ledger) -> Callable[[], object]:
    return lambda: ledger.reusable(found().sha256, "r", 1)


def done(ledger: Ledger) -> Callable[[], object]:
    job = ledger.moved(claimed(ledger), Place.SPOOL)
    job = ledger.deliver(job, outputs=None, archived_to="/archive/scan.pdf")
    return lambda: ledger.done(job)


def release(ledger: Ledger) -> Callable[[], object]:
    job = claimed(ledger)
    return lambda: ledger.release(job, not_before=0.0, error=None, refund=True)


def unfinished(ledger: Ledger) -> Callable[[], object]:
    claimed(ledger)
    return ledger.unfinished


def cancellations(ledger: Ledger) -> Callable[[], object]:
    ledger.request_cancel([queued(ledger).id])
    return ledger.cancellations


def owner(ledger: Ledger) -> Callable[[], object]:
    job: Job = claimed(ledger)
    return lambda: ledger.owner(job.token)


def newest(ledger: Ledger) -> Callable[[], object]:
    return lambda: ledger.jobs(limit=10)


def newest_failed(ledger: Ledger) -> Callable[[], object]:
    return lambda: ledger.jobs(state=JobState.FAILED)


def newest_of_a_folder(ledger: Ledger) -> Callable[[], object]:
    claimed(ledger)
    return lambda: ledger.jobs(folder="invoices")


def counts(ledger: Ledger) -> Callable[[], object]:
    return ledger.counts


ASKED_OFTEN = [
    claim,
    claim_in_vain,
    claim_while_all_wait_for_later,
    record,
    record_known,
    record_several,
    bearer_of_what_waits,
    page_done,
    reusable,
    done,
    release,
    unfinished,
    cancellations,
    owner,
    newest,
    newest_failed,
    newest_of_a_folder,
    counts,
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], bytes]:
    """Ledgers with so many done jobs and as many waiting, each made once."""
    made: dict[int, bytes] = {}

    def fill(count: int) -> bytes:
        if count not in made:
            path = tmp_path_factory.mktemp("filled") / "ledger.db"
            Ledger.open(path).close()
            many(path, count)
            many(path, count, "queued", "inbox")
            made[count] = path.read_bytes()
        return made[count]

    return fill


@pytest.mark.parametrize("ask", ASKED_OFTEN, ids=lambda ask: ask.__name__)
def test_the_cost_does_not_grow(
    filled: Callable[[int], bytes], tmp_path: Path, clock: Clock, ask: Callable[..., object]
) -> None:
    cost = {}
    for count in (FEW, MANY):
        path = tmp_path / f"{count}.db"
        path.write_bytes(filled(count))
        with Ledger.open(path, clock=clock) as ledger:
            call = ask(ledger)
            cost[count] = work(ledger, call)  # type: ignore[arg-type] # each makes a call
    assert 0 < cost[MANY] <= cost[FEW] * DEEPER


def test_a_claim_searches_the_indexes_made_for_it(ledger: Ledger) -> None:
    queued(ledger)
    lines = plans(ledger, lambda: taken_next(ledger, now=0.0))
    assert "SEARCH waiting USING INDEX jobs_ready (folder=?)" in lines
    assert "SEARCH jobs USING INDEX jobs_deferred (not_before<?)" in lines
    assert "SEARCH jobs USING INDEX jobs_deferred (not_before>?)" in lines
    assert not [line for line in lines if re.match("SCAN (jobs|waiting|first)", line)]
