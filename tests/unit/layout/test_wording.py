"""Lines become sentences."""

from __future__ import annotations

import pytest

from ocrd.layout.pieces import is_item, running


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["the end of a line", "and the next"], "the end of a line and the next"),
        (["went into a cup-", "board. When"], "went into a cupboard. When"),
        (["Jean-", "Paul"], "Jean-Paul"),
        (["from 2026-", "03-01 on"], "from 2026-03-01 on"),
        (["a dash -", "between"], "a dash - between"),
        (["整理图书，下午", "两点照常开放。"], "整理图书，下午两点照常开放。"),  # noqa: RUF001 - Chinese
        (["结果会保存为", "PDF", "文件"], "结果会保存为 PDF 文件"),
        (["한국어", "문장"], "한국어 문장"),
        (["", "  alone  ", ""], "alone"),
    ],
)
def test_lines_are_joined_as_their_script_asks(lines: list[str], sentence: str) -> None:
    assert running(lines) == sentence


@pytest.mark.parametrize("text", ["- one", "• one", "1. one", "(2) two", "a) three", "12) twelve"])
def test_items_of_lists_are_known_by_their_beginning(text: str) -> None:
    assert is_item(text)


@pytest.mark.parametrize("text", ["one", "2026 was", "-", "3.5 metres", "A. Nother"])
def test_other_lines_are_no_items(text: str) -> None:
    assert not is_item(text)
