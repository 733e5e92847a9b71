"""The measures of `bench.accuracy`, on answers whose score can be counted by hand."""

from __future__ import annotations

import pytest

from bench.accuracy import cer, f1, from_markdown, in_order, teds

TRUTH = "The keeper wrote down the wind"


@pytest.mark.parametrize(
    ("said", "unordered", "ordered"),
    [
        (TRUTH, 0, 0),
        ("wrote down the wind The keeper", 0, 18),
        ("The keeper wrote dawn the wind", 1, 1),
        ("The keeper wrote the wind", 4, 4),
        ("", 25, 25),
    ],
)
def test_characters_are_counted_with_and_without_their_order(
    said: str, unordered: int, ordered: int
) -> None:
    assert cer(TRUTH, said, ordered=False) == unordered / 25
    assert cer(TRUTH, said, ordered=True) == ordered / 25


def test_words_count_as_often_as_they_stand() -> None:
    assert f1("a b b", "a b c") == pytest.approx(4 / 6)


def test_blocks_in_another_order_are_counted_pair_by_pair() -> None:
    blocks = ["the first of them", "second it came", "last of all they"]
    assert in_order(blocks, " ".join(blocks)) == (2, 2)
    assert in_order(blocks, " ".join([blocks[1], blocks[0], blocks[2]])) == (1, 2)


def test_a_table_without_one_of_its_rows_lacks_that_rows_nodes() -> None:
    rows = [["a", "b"], ["c", "d"], ["e", "f"]]
    assert teds(rows, rows) == 1
    assert teds(rows, rows[:2]) == pytest.approx(1 - 3 / 10)
    assert teds(rows, [["a", "b"], ["c", "x"], ["e", "f"]]) == pytest.approx(1 - 1 / 10)


def test_markdown_is_read_without_its_marks() -> None:
    answer = from_markdown("# The *title\\*\n\n| a | b \\| c |\n|---|---|\n| 1 | 2 |\n\ntext")
    assert answer.headings == ["The *title*"]
    assert answer.tables == [[["a", "b | c"], ["1", "2"]]]
    assert answer.text.split() == ["The", "*title*", "a", "b", "|", "c", "1", "2", "text"]
