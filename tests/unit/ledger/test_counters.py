"""Numbers for the names of outputs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ocrd.ledger.ledger import Ledger


def test_each_folder_counts_for_itself_from_one(ledger: Ledger) -> None:
    told = [ledger.next_number(folder) for folder in ("a", "a", "b", "a")]
    assert told == [1, 2, 1, 3]


def test_the_count_goes_on_after_a_restart(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert ledger.next_number("a") == 1
    with Ledger.open(path) as ledger:
        assert ledger.next_number("a") == 2


def test_many_at_once_get_different_numbers(ledger: Ledger) -> None:
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(ledger.next_number, ["a"] * 40))
    assert sorted(told) == list(range(1, 41))
