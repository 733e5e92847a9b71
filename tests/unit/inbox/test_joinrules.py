"""Names and times say which files are one document, and in which order its pages come."""

from __future__ import annotations

import os
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.inbox.join import NS, ByPattern, ByPause, Document, natural
from tests.unit.inbox.test_join import file, names

BY_NAME = ByPattern(r"(?P<document>.+?)(_(?P<page>\w+))?\.jpg")


def joined(*paths: str) -> Document:
    (document,) = BY_NAME.documents([file(path) for path in paths])
    return document


class TestByPattern:
    def test_a_file_that_is_named_otherwise_stands_alone(self) -> None:
        assert BY_NAME.bin("letter_1.pdf") is None
        assert BY_NAME.bin("letter_1.jpg.part") is None  # the whole name must match

    @pytest.mark.parametrize("name", [" _1.jpg", "._1.jpg", ".._1.jpg", ".hidden_1.jpg"])
    def test_a_name_that_no_folder_should_bear_is_no_documents(self, name: str) -> None:
        assert BY_NAME.bin(name) is None

    def test_a_page_without_a_number_comes_first_and_other_words_last(self) -> None:
        document = joined("a_index.jpg", "a_2.jpg", "a.jpg", "a_cover.jpg")
        assert names(document) == ["a.jpg", "a_2.jpg", "a_cover.jpg", "a_index.jpg"]

    def test_an_absurd_number_costs_nothing(self) -> None:
        document = joined("a_1.jpg", f"a_{10**200}.jpg")
        assert document.missing == tuple(range(2, 22))

    def test_names_that_are_not_text_are_names_too(self) -> None:
        odd = os.fsdecode(b"caf\xe9\n_1.jpg")
        assert (
            ByPattern(r"(?s)(?P<document>.+)_(?P<page>\d+)\.jpg").bin(odd)
            == os.fsdecode(b"caf\xe9\n").strip()
        )

    @given(st.sets(st.integers(0, 500), min_size=1), st.randoms())
    def test_no_order_of_arrival_changes_the_document(
        self, pages: set[int], dice: random.Random
    ) -> None:
        paths = [f"a_{page}.jpg" for page in pages]
        dice.shuffle(paths)
        document = joined(*paths)
        assert names(document) == [f"a_{page}.jpg" for page in sorted(pages)]
        expected = sorted(set(range(min(pages), max(pages))) - pages)
        assert document.missing == tuple(expected[:20])


class TestByPause:
    @given(st.lists(st.floats(0, 1000), min_size=1, max_size=40), st.floats(1, 60))
    def test_each_file_is_in_one_document_and_gaps_are_where_they_should_be(
        self, times: list[float], pause: float
    ) -> None:
        files = [file(f"{number}.jpg", at) for number, at in enumerate(times)]
        documents = ByPause(pause).documents(files)
        assert sorted(path for each in documents for path in names(each)) == sorted(
            each.path for each in files
        )
        spans = [sorted(part.seen.mtime_ns for part in each.parts) for each in documents]
        limit = int(pause * NS)
        for span in spans:
            assert all(b - a <= limit for a, b in pairwise(span))
        for one, other in pairwise(spans):
            assert other[0] - one[-1] > limit


@given(st.lists(st.text(max_size=12), max_size=20))
def test_any_names_have_an_order(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural, reverse=True), key=natural) == sorted(
        names, key=natural
    )
