"""SIGKILL at any moment: what was acknowledged is there, what was not is whole or absent."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from ocrd.job import Job, JobState
from ocrd.ledger.ledger import Ledger, writing
from ocrd.ledger.pages import page_row
from ocrd.ledger.store import Transaction
from tests.unit.ledger.making import Say, forked, found, page, taken_next


def work(say: Say, path: Path, first: int) -> None:
    """Files are recorded and one of each batch is done; each step is told after the ledger's."""
    ledger = Ledger.open(path)
    say("ready")
    for batch in range(first, first + 1_000_000):
        ledger.record([found(f"{batch}-{number}.pdf") for number in range(7)])
        say("recorded", batch)
        taken = taken_next(ledger, now=0.0)
        assert taken is not None
        job = ledger.moved(taken)
        say("claimed", job.id)
        job = ledger.set_pages(job, 2)
        for number in (1, 2):
            ledger.progress(job, [page_row(page(number), f"{job.id}:{number}", "r")])
            say("page", job.id, number)
        job = ledger.deliver(job, outputs=f"/outbox/{job.id}", archived_to=f"/archive/{job.id}")
        say("delivering", job.id)
        ledger.done(job)
        say("done", job.id)


REACHED = {
    "claimed": {JobState.RUNNING, JobState.DELIVERING, JobState.DONE},
    "delivering": {JobState.DELIVERING, JobState.DONE},
    "done": {JobState.DONE},
}


def killed_after(path: Path, first: int, lines: int, seconds: float) -> list[list[str]]:
    """What a process had acknowledged when it was killed, so long after so many lines."""
    process, told = forked(work, path, first)
    with told:
        assert told.readline() == "ready\n"
        said = [told.readline() for _ in range(lines)]
        time.sleep(seconds)
        process.kill()
        said += [line for line in told if line.endswith("\n")]
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return [line.split() for line in said]


@pytest.mark.parametrize("seed", range(2))
def test_nothing_acknowledged_is_lost(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: list[list[str]] = []
    for life in range(2):
        lines, seconds = chance.randrange(60), chance.uniform(0.0, 0.01)
        acknowledged += killed_after(path, life * 1_000_000, lines, seconds)
    with Ledger.open(path) as ledger:
        assert ledger.verify() == []
        jobs = ledger.jobs(limit=1_000_000)
        check_recorded(jobs, {int(words[1]) for words in acknowledged if words[0] == "recorded"})
        check_states(jobs, acknowledged)
        check_pages(ledger, acknowledged)


def check_recorded(jobs: list[Job], batches: set[int]) -> None:
    """Each batch is there whole or not at all, and each acknowledged one is there."""
    files = Counter(int(job.source.split("-")[0]) for job in jobs)
    assert set(files.values()) <= {7}
    assert batches <= set(files)
    assert len(set(files) - batches) <= 2  # one for each life, committed but not yet said


def check_states(jobs: list[Job], acknowledged: list[list[str]]) -> None:
    state = {job.id: job.state for job in jobs}
    for word, number, *_ in acknowledged:
        if word in REACHED:
            assert state[int(number)] in REACHED[word]


def check_pages(ledger: Ledger, acknowledged: list[list[str]]) -> None:
    for words in acknowledged:
        if words[0] == "page":
            job, number = int(words[1]), int(words[2])
            found_again = ledger.job(job)
            assert found_again is not None and found_again.pages_done >= number
            payloads = ledger.payloads(found_again, "r")
            kept = {known.number: payload for known, payload in payloads}
            assert kept[number] == f"{job}:{number}"


def spoil_and_die(tx: Transaction) -> None:
    tx.connection.exec_driver_sql("UPDATE jobs SET priority = 9")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_transaction_killed_in_its_middle_never_happened(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.record([found("before.pdf")])
    child = os.fork()
    if child == 0:
        torn = Ledger.open(path)
        writing(spoil_and_die)(torn)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with Ledger.open(path) as ledger:
        assert [job.priority for job in ledger.jobs()] == [0]
        assert taken_next(ledger, now=0.0) is not None  # and its lock died with it
