"""The search index: words as people type them."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ocrd.errors import LedgerError, OcrdError, UsageError
from ocrd.ledger.search import RANKED, Hit, SearchIndex, search

PAGES = {
    1: ["Müller's invoice, 12 March 2026", "Terms and conditions"],
    2: ["発票 求書", "L'été à Genève"],
    3: ["The invoice of Mueller", ""],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    index = SearchIndex(tmp_path / "search.db")
    for job, texts in PAGES.items():
        index.add(job, "scans", texts)
    index.close()
    return tmp_path / "search.db"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("invoice", {(1, 1), (3, 1)}),
        ("INVOICE march", {(1, 1)}),
        ("muller", {(1, 1)}),
        ("été geneve", {(2, 2)}),
        ("ete", {(2, 2)}),
        ("発票", {(2, 1)}),
        ("求書", {(2, 1)}),
        ("票求", {(2, 1)}),  # a phrase across a space: what stands between is not a character
        ("票書", set()),
        ('"terms and conditions"', {(1, 2)}),
        ('"conditions and terms"', set()),
        ('he said "invoice" OR NEAR(x) -*^', set()),
        ("nothing-like-this", set()),
    ],
)
def test_words_are_found_where_they_stand(
    path: Path, words: str, found: set[tuple[int, int]]
) -> None:
    assert {(hit.job, hit.page) for hit in search(path, words, 10)} == found


@pytest.mark.parametrize("words", ["", "  ", "?!", '""'])
def test_without_a_word_there_is_nothing_to_look_for(path: Path, words: str) -> None:
    with pytest.raises(UsageError):
        search(path, words, 10)


def test_a_job_told_again_is_there_once_and_the_index_can_be_made_anew(path: Path) -> None:
    index = SearchIndex(path)
    index.add(1, "scans", PAGES[1])
    assert len(search(path, "invoice", 10)) == 2
    index.clear()
    assert search(path, "invoice", 10) == []
    index.add(1, "scans", PAGES[1])
    assert (index.knows([1, 2]), search(path, "terms", 10)) == ({1}, [Hit(1, 2)])
    index.close()


def test_where_there_is_no_index_nothing_is_found(tmp_path: Path) -> None:
    assert search(tmp_path / "none.db", "word", 10) == []


def test_a_damaged_index_is_said_to_be(path: Path) -> None:
    path.write_bytes(b"no database at all, " * 500)
    with pytest.raises(LedgerError):
        search(path, "invoice", 10)


def refused_while_closing(path: Path) -> list[OcrdError]:
    """What a thread that adds is told when another one closes the index meanwhile."""
    index, began, refused = SearchIndex(path), threading.Event(), list[OcrdError]()

    def add() -> None:
        try:
            for job in range(1, 10_000):
                index.add(job, "scans", ["one word after another " * 50] * 5)
                began.set()
        except OcrdError as error:
            refused.append(error)

    adding = threading.Thread(target=add)
    adding.start()
    assert began.wait(60)
    index.close()
    adding.join()
    return refused


def test_an_index_that_is_closed_while_it_is_written_to_refuses_the_rest(tmp_path: Path) -> None:
    """A stop waits for no thread that adds; SQLite would crash the whole process."""
    for number in range(20):
        (error,) = refused_while_closing(tmp_path / f"{number}.db")
        assert "closed" in error.message


def test_of_more_pages_than_are_ranked_the_newest_are_found(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path / "search.db")
    index.add(1, "rare", ["a common word and another"])
    for job in range(2, 12):
        index.add(job, "scans", ["common"] * (RANKED // 10))
    index.close()
    found = search(tmp_path / "search.db", "common", 3)
    assert found == [Hit(11, RANKED // 10 - each) for each in range(3)]
    assert search(tmp_path / "search.db", "common", 3, {"rare"}) == [Hit(1, 1)]
    assert search(tmp_path / "search.db", "common", 3, {"rare", "elsewhere"}) == [Hit(1, 1)]
    assert search(tmp_path / "search.db", "common", 3, set()) == []


def test_an_index_of_an_earlier_version_is_made_anew(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "search.db")) as db, db:
        db.executescript(
            "CREATE VIRTUAL TABLE words USING fts5(text, content='');"
            "CREATE TABLE pages (id INTEGER PRIMARY KEY, job INTEGER, page INTEGER);"
            "INSERT INTO pages VALUES (1, 7, 1); INSERT INTO words (rowid, text) VALUES (1, 'old');"
        )
    index = SearchIndex(tmp_path / "search.db")
    assert index.knows([7]) == set()
    index.add(7, "scans", ["anew"])
    index.close()
    assert search(tmp_path / "search.db", "anew", 5) == [Hit(7, 1)]
    assert search(tmp_path / "search.db", "old", 5) == []
