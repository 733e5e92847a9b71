"""Pages of many jobs share the engine: a book in one folder holds up no letter in another."""

import signal
from pathlib import Path

import pymupdf

from ocrd.job import Job, JobState
from ocrd.ledger.ledger import Ledger
from tests.integration.tree import Tree
from tests.support.needs import slow
from tests.support.samples import scan_of
from tests.support.waiting import wait_for

PAGES = 3000
HANG_S = 240


def book() -> bytes:
    with pymupdf.open() as document:
        for _ in range(PAGES):
            document.new_page(width=72, height=72)
        return bytes(document.tobytes())


def job(tree: Tree, number: int) -> Job:
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        found = ledger.job(number)
    assert found is not None
    return found


@slow
def test_a_letter_overtakes_a_book_of_three_thousand_pages(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    tree.config.write_text(tree.config.read_text() + '[[folder]]\nname = "letters"\n')
    letters = tree.root / "inbox" / "letters"
    letters.mkdir()
    tree.drop("book.pdf", book())
    with tree.start("--forever", "--engine-delay", "0.05") as daemon:
        wait_for(
            lambda: tree.diary.exists() and "finished" in tree.diary.read_text(), process=daemon
        )
        scan = scan_of("Dear Sir", width=200, height=80, dpi=72, seed=1)
        (letters / "letter.jpg").write_bytes(scan.data)
        wait_for((tree.root / "archive" / "letters" / "letter.jpg").exists, process=daemon)
        overtaken = job(tree, 1)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(HANG_S)
    assert (overtaken.source, overtaken.state) == ("book.pdf", JobState.RUNNING)
    assert overtaken.pages == PAGES
    asked = [line.split()[1] for line in tree.diary.read_text().splitlines() if "asked" in line]
    letter = asked.index("2")
    assert letter < PAGES / 2, "it did not wait for the book's turn to end"
