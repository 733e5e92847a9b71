"""Every page of every file comes exactly once, and a back follows its front."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.errors import BadFileError
from ocrd.job import Job
from ocrd.pages.base import DocumentInfo
from ocrd.worker.original import REVERSED, SAME, SINGLE, Original, Part, collated

COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=8)
ORDERS = st.sampled_from([SAME, REVERSED])


def order_of(counts: list[int], duplex: str) -> list[int | str] | None:
    infos = [DocumentInfo(kind="image", pages=many) for many in counts]
    parts = tuple(Part(what=cast(Job, None), path=Path("scan"), info=info) for info in infos)
    places = collated(counts, duplex)
    return Original(path=Path("scans"), parts=parts, duplex=duplex, places=places).order


@given(COUNTS)
def test_files_follow_one_another(counts: list[int]) -> None:
    expected = [(file, page + 1) for file, many in enumerate(counts) for page in range(many)]
    assert collated(counts, SINGLE) == expected


@given(st.integers(1, 40), ORDERS)
def test_a_pile_in_one_file_comes_front_back_front_back(sheets: int, order: str) -> None:
    backs = range(sheets + 1, 2 * sheets + 1)
    turned = backs if order == SAME else reversed(backs)
    expected = [
        (0, page) for sheet in zip(range(1, sheets + 1), turned, strict=True) for page in sheet
    ]
    assert collated([2 * sheets], order) == expected


@given(st.integers(1, 40), ORDERS)
def test_with_two_files_the_first_are_the_fronts(sheets: int, order: str) -> None:
    found = collated([sheets, sheets], order)
    assert [file for file, _ in found] == [0, 1] * sheets
    assert [page for _, page in found[0::2]] == list(range(1, sheets + 1))
    backs = list(range(1, sheets + 1))
    assert [page for _, page in found[1::2]] == (backs if order == SAME else backs[::-1])


@given(COUNTS, ORDERS)
def test_no_page_is_lost_or_doubled(counts: list[int], order: str) -> None:
    even = [*counts, *counts]
    every = {(file, page + 1) for file, many in enumerate(even) for page in range(many)}
    found = collated(even, order)
    assert len(found) == len(every)
    assert set(found) == every


def test_files_of_a_page_each_are_fronts_and_then_backs() -> None:
    """Six pictures of three sheets, the pile turned over for the backs."""
    found = collated([1] * 6, REVERSED)
    assert [file for file, _ in found] == [0, 5, 1, 4, 2, 3]


@pytest.mark.parametrize(
    ("counts", "told"),
    [([3], "3 pages"), ([1], "1 page,"), ([3, 2], "3 fronts and 2 backs"), ([1] * 7, "7 pages")],
)
def test_an_uneven_pile_is_refused_with_a_remedy(counts: list[int], told: str) -> None:
    with pytest.raises(BadFileError) as caught:
        collated(counts, SAME)
    assert caught.value.kind == "uneven-pile"
    assert told in caught.value.message
    assert "scan it again" in caught.value.hint


def test_two_files_of_different_length_are_refused_even_if_their_sum_is_even() -> None:
    with pytest.raises(BadFileError):
        collated([4, 2], REVERSED)


def test_results_are_told_apart_by_all_that_moves_pages() -> None:
    keys = [
        order_of(counts, duplex)
        for counts, duplex in (([4], SINGLE), ([4], SAME), ([4], REVERSED), ([2, 2], SAME))
    ]
    keys += [order_of([1, 3], SINGLE), order_of([3, 1], SINGLE)]
    assert keys[0] is None
    assert len({repr(key) for key in keys}) == len(keys)
