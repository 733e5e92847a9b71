"""The measures of `bench.accuracy`, on answers whose score can be counted by hand."""

from __future__ import annotations

import pytest

from bench.accuracy import cer, from_markdown, teds

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
