"""What is asked often costs the same with many jobs as with few.

Cost is counted in instructions of SQLite's machine, which no busy computer changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ocrd.job import Job, JobState
from ocrd.ledger.ledger import Ledger, writing
from ocrd.ledger.pages import page_row
from tests.unit.ledger.making import (
    Clock,
    claimed,
    found,
    many,
    page,
    queued,
    spooled,
    taken_next,
    work,
)

FEW, MANY = 40, 8_000
DEEPER = 1.4  # a tree of many rows is a level or two deeper


def all_put_off(ledger: Ledger) -> None:
    put_off = "UPDATE jobs SET not_before = 5000 WHERE state = 'queued'"
    writing(lambda tx: tx.connection.exec_driver_sql(put_off))(ledger)


def all_but(folders: range) -> list[str]:
    return [f"folder-{number}" for number in folders]


def ready_to_end(ledger: Ledger) -> Job:
    return ledger.deliver(spooled(ledger), outputs=None, archived_to="/archive/scan.pdf")


# What is there before, and what is then asked of it.
ASKED_OFTEN: dict[str, tuple[Callable[[Ledger], Any], Callable[[Ledger, Any], object]]] = {
    "claim": (queued, lambda ledger, _: taken_next(ledger, exclude_folders=all_but(range(2)))),
    "claim in vain": (
        lambda ledger: None,
        lambda ledger, _: taken_next(ledger, exclude_folders=all_but(range(20))),
    ),
    "claim while all wait for later": (
        all_put_off,
        lambda ledger, _: taken_next(ledger, now=4000.0),
    ),
    "record": (lambda ledger: None, lambda ledger, _: ledger.record([found("new.pdf")])),
    "record what is known": (queued, lambda ledger, _: ledger.record([found()])),
    "record several": (
        lambda ledger: None,
        lambda ledger, _: ledger.record([found(name, folder="folder-1") for name in "abc"]),
    ),
    "bearer": (claimed, lambda ledger, job: ledger.bearer(job.token)),
    "owner": (claimed, lambda ledger, job: ledger.owner(job.token)),
    "page done": (
        lambda ledger: ledger.set_pages(claimed(ledger), 2),
        lambda ledger, job: ledger.progress(job, [page_row(page(1), "{}", "r")]),
    ),
    "reusable": (
        lambda ledger: None,
        lambda ledger, _: ledger.reusable(found().sha256, "r", 1),
    ),
    "done": (ready_to_end, lambda ledger, job: ledger.done(job)),
    "release": (
        claimed,
        lambda ledger, job: ledger.release(job, not_before=0.0, error=None, refund=True),
    ),
    "unfinished": (claimed, lambda ledger, _: ledger.unfinished()),
    "cancellations": (
        lambda ledger: ledger.request_cancel([queued(ledger).id]),
        lambda ledger, _: ledger.cancellations(),
    ),
    "newest": (lambda ledger: None, lambda ledger, _: ledger.jobs(limit=10)),
    "newest failed": (
        lambda ledger: None,
        lambda ledger, _: ledger.jobs(state=JobState.FAILED),
    ),
    "newest of a folder": (claimed, lambda ledger, _: ledger.jobs(folder="invoices")),
    "lately recorded": (lambda ledger: None, lambda ledger, _: ledger.count(since=1e9)),
    "counts": (lambda ledger: None, lambda ledger, _: ledger.counts()),
    "all counted": (lambda ledger: None, lambda ledger, _: ledger.count(state=JobState.DONE)),
}


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


@pytest.mark.parametrize(("before", "ask"), ASKED_OFTEN.values(), ids=ASKED_OFTEN)
def test_the_cost_does_not_grow(
    filled: Callable[[int], bytes],
    tmp_path: Path,
    clock: Clock,
    before: Callable[[Ledger], Any],
    ask: Callable[[Ledger, Any], object],
) -> None:
    cost = {}
    for count in (FEW, MANY):
        path = tmp_path / f"{count}.db"
        path.write_bytes(filled(count))
        with Ledger.open(path, clock=clock, check=False) as ledger:
            there = before(ledger)
            cost[count] = work(ledger, partial(ask, ledger, there))
    assert 0 < cost[MANY] <= cost[FEW] * DEEPER
