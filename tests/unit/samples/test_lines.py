"""Lines of the samples break where they may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocrd.samples.lines import bare, broken


def test_latin_text_breaks_at_spaces() -> None:
    assert broken("one two three", 8, len) == ["one two", "three"]


def test_a_word_is_broken_only_where_it_is_marked() -> None:
    assert broken("a light‧house", 7, len) == ["a", "lighthouse"]
    assert broken("a light‧house", 8, len) == ["a light-", "house"]
    assert broken("a light‧house", 20, len) == ["a lighthouse"]


def test_chinese_breaks_before_any_character_but_a_mark() -> None:
    assert broken("图书馆，开放", 3, len) == ["图书", "馆，开", "放"]  # noqa: RUF001 - Chinese


@given(st.text(alphabet="ab ‧图，", max_size=60), st.integers(4, 20))  # noqa: RUF001 - Chinese
def test_no_letter_is_lost_in_breaking(text: str, width: int) -> None:
    lines = broken(text, width, len)
    assert "".join("".join(lines).split()).replace("-", "") == "".join(bare(text).split())
