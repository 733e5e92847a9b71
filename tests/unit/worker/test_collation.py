"""Every page of every file comes exactly once, and a back follows its front."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.errors import BadFileError
from ocrd.worker.original import REVERSED, SAME, SINGLE, Collation

COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=8)
ORDERS = st.sampled_from([SAME, REVERSED])


def places(collation: Collation) -> list[tuple[int, int]]:
    return [collation.place(number) for number in range(1, collation.pages + 1)]


@given(COUNTS)
def test_files_follow_one_another(counts: list[int]) -> None:
    expected = [(file, page + 1) for file, many in enumerate(counts) for page in range(many)]
    assert places(Collation(counts, SINGLE)) == expected


@given(st.integers(1, 40), ORDERS)
def test_a_pile_in_one_file_comes_front_back_front_back(sheets: int, order: str) -> None:
    backs = range(sheets + 1, 2 * sheets + 1)
    turned = backs if order == SAME else reversed(backs)
    expected = [
        (0, page) for sheet in zip(range(1, sheets + 1), turned, strict=True) for page in sheet
    ]
    assert places(Collation([2 * sheets], order)) == expected


@given(st.integers(1, 40), ORDERS)
def test_with_two_files_the_first_are_the_fronts(sheets: int, order: str) -> None:
    found = places(Collation([sheets, sheets], order))
    assert [file for file, _ in found] == [0, 1] * sheets
    assert [page for _, page in found[0::2]] == list(range(1, sheets + 1))
    backs = list(range(1, sheets + 1))
    assert [page for _, page in found[1::2]] == (backs if order == SAME else backs[::-1])


@given(COUNTS, ORDERS)
def test_no_page_is_lost_or_doubled(counts: list[int], order: str) -> None:
    even = [*counts, *counts]
    every = {(file, page + 1) for file, many in enumerate(even) for page in range(many)}
    found = places(Collation(even, order))
    assert len(found) == len(every)
    assert set(found) == every


def test_files_of_a_page_each_are_fronts_and_then_backs() -> None:
    """Six pictures of three sheets, the pile turned over for the backs."""
    found = places(Collation([1] * 6, REVERSED))
    assert [file for file, _ in found] == [0, 5, 1, 4, 2, 3]


@pytest.mark.parametrize(
    ("counts", "told"),
    [([3], "3 pages"), ([1], "1 page,"), ([3, 2], "3 fronts and 2 backs"), ([1] * 7, "7 pages")],
)
def test_an_uneven_pile_is_refused_with_a_remedy(counts: list[int], told: str) -> None:
    with pytest.raises(BadFileError) as caught:
        Collation(counts, SAME)
    assert caught.value.kind == "uneven-pile"
    assert told in caught.value.message
    assert "scan it again" in caught.value.hint


def test_two_files_of_different_length_are_refused_even_if_their_sum_is_even() -> None:
    with pytest.raises(BadFileError):
        Collation([4, 2], REVERSED)


def test_results_are_told_apart_by_all_that_moves_pages() -> None:
    keys = [
        Collation(counts, duplex).key()
        for counts, duplex in (([4], SINGLE), ([4], SAME), ([4], REVERSED), ([2, 2], SAME))
    ]
    keys += [Collation([1, 3], SINGLE).key(), Collation([3, 1], SINGLE).key()]
    assert keys[0] is None
    assert len({repr(key) for key in keys}) == len(keys)
