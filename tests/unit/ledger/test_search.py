"""The search index: words as people type them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ocrd.errors import LedgerError, OcrdError, UsageError
from ocrd.ledger.search import Hit, SearchIndex, search

PAGES = {
    1: ["Müller's invoice, 12 March 2026", "Terms and conditions"],
    2: ["発票 求書", "L'été à Genève"],
    3: ["The invoice of Mueller", ""],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    index = SearchIndex(tmp_path / "search.db")
    for job, texts in PAGES.items():
        index.add(job, texts)
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
    index.add(1, PAGES[1])
    assert len(search(path, "invoice", 10)) == 2
    index.clear()
    assert search(path, "invoice", 10) == []
    index.add(1, PAGES[1])
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
                index.add(job, ["one word after another " * 50] * 5)
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
