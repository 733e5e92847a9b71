"""SIGKILL at any moment, then another start: everything once, nothing lost, nothing half."""

import random
import subprocess
import time
from pathlib import Path

import pymupdf

from ocrd.errors import OcrdError
from ocrd.job import Job, PageState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.readonly import read_ledger
from tests.integration.tree import Tree, killed_on_the_way, scan
from tests.support.needs import slow
from tests.support.waiting import wait_for

POSITIONS = 16  # places between a file's first and last system call at which it is killed
FILES = 35
KILLS = 8


def book(pages: int) -> bytes:
    document = pymupdf.open()
    for number in range(pages):
        page = document.new_page(width=200, height=80)
        page.insert_text((10, 40), f"Page {number + 1}")
    return bytes(document.tobytes())


def test_killed_between_any_two_steps_a_file_still_arrives_once(tmp_path: Path) -> None:
    """Positions are spread evenly over all system calls that one file's way makes."""

    def dropped(root: Path) -> Tree:
        tree = Tree(root)
        tree.drop("a.pdf", book(2))
        return tree

    for tree in killed_on_the_way(tmp_path, dropped, POSITIONS):
        tree.check_whole()
        tree.work_off()
        tree.check_done()
        tree.check_nothing_twice()


@slow
def test_killed_at_random_moments_all_files_arrive_once(tree: Tree) -> None:
    for number in range(FILES - 1):
        tree.drop(f"scan-{number}.jpg", scan(number))
    tree.drop("book.pdf", book(30))
    rng = random.Random(20261122)
    for _ in range(KILLS):
        with tree.start("--engine-delay", "0.05") as daemon:
            try:
                daemon.wait(timeout=rng.uniform(0.8, 3.0))
            except subprocess.TimeoutExpired:
                daemon.kill()
        time.sleep(0.05)
        tree.check_whole()
    tree.work_off()
    tree.check_done()
    tree.check_nothing_twice()


def test_how_far_a_job_has_come_is_told_and_a_cancel_and_a_retry_later_it_goes_on_there(
    tree: Tree,
) -> None:
    tree.drop("book.pdf", book(12))
    nine = ("--engine-gate", str(tree.root / "never"), "--engine-first", "9")
    with tree.start("--engine-delay", "0.6", *nine) as daemon:
        job = _under_way(tree)
        daemon.kill()
    assert job.pages == 12 and 0 < job.pages_done < 12
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        ledger.request_cancel([job.id])
    tree.run()
    assert tree.visible("failed") == ["book.pdf", "book.pdf.error.json"]
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        (back,) = ledger.retry([job.id])
        assert back.pages_done >= job.pages_done
    tree.work_off()
    tree.check_done()
    tree.check_nothing_twice()


def _under_way(tree: Tree) -> Job:
    """The only job, once some of its pages are finished."""
    found: list[Job] = []

    def begun() -> bool:
        for job, pages in read_ledger(tree.root / ".ocrd" / "ledger.db", _jobs_and_pages):
            if job.pages_done:
                assert pages.count(PageState.DONE) >= job.pages_done
                found.append(job)
        return bool(found)

    wait_for(begun, despite=(OcrdError,))  # there is no ledger yet
    return found[0]


def _jobs_and_pages(ledger: Ledger) -> list[tuple[Job, list[PageState]]]:
    """Each job, and then where its pages stand: a moment later, more may be finished."""
    return [(job, [page.state for page in ledger.pages(job.id)]) for job in ledger.jobs()]
