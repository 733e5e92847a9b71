"""From what was recognised in the parts of a line to its words and where they stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ocrd.engine.rapid.crops import cut
from ocrd.engine.rapid.lines import Gap, Part, Pose, Recognised, joined, mended, once, spans


def even(text: str) -> Part:
    """A line of letters of equal width from end to end."""
    places = tuple((n + 0.5) / len(text) for n, char in enumerate(text) if not char.isspace())
    return Part(text, places, 0.9, parted=True)


def spaces(text: str) -> Gap:
    """A `Gap` that finds the spaces of such a line."""

    def gap(start: float, end: float) -> tuple[float, float] | None:
        inside = [
            (n / len(text), (n + 1) / len(text))
            for n, char in enumerate(text)
            if char == " " and start <= n / len(text) < end
        ]
        return inside[0] if inside else None

    return gap


def found(text: str) -> list[tuple[str, float, float]]:
    return [
        (text[span.first : span.last], round(span.start, 3), round(span.end, 3))
        for span in spans(even(text), spaces(text))
    ]


def test_words_end_where_the_gap_begins() -> None:
    assert found("ab cdef gh") == [("ab", 0, 0.2), ("cdef", 0.3, 0.7), ("gh", 0.8, 1)]


def test_a_line_of_one_word_is_that_word() -> None:
    assert found("word") == [("word", 0, 1)]


def test_words_that_touch_are_parted_in_the_middle() -> None:
    line = Part("ab cd", (0.1, 0.3, 0.7, 0.9), 0.9, parted=True)
    first, second = spans(line, lambda _start, _end: None)
    assert first.end == second.start == pytest.approx(0.5)


def test_a_chinese_sentence_is_parted_behind_its_marks() -> None:
    text = "各位，请安静。谢谢"  # noqa: RUF001 - Chinese
    assert [part for part, _, _ in found(text)] == ["各位，", "请安静。", "谢谢"]  # noqa: RUF001


def test_an_empty_line_has_no_words() -> None:
    assert spans(Part("", (), 0.0, parted=True), lambda _start, _end: None) == []


@pytest.mark.parametrize("gap", [8, 24])
def test_a_piece_tells_how_much_of_it_is_white_between_its_words(gap: int) -> None:
    page = np.full((40, 200, 3), 255, np.uint8)
    lefts = [10, 25, 35 + gap, 50 + gap]
    for left in lefts:
        page[8:32, left : left + 10] = 0
    quad = ((0, 0), (200, 0), (200, 40), (0, 40))
    read = Part("ab cd", tuple((left + 5) / 200 for left in lefts), 0.9, parted=True)
    (piece,) = Recognised(quad, cut(page, quad), read).pieces(Pose(200, 40, 0, 0.0))
    assert piece.spaces == pytest.approx(gap, abs=1)


def test_parts_are_joined_with_a_space_only_at_a_gap() -> None:
    parts = [
        Part("The light", (0.1, 0.2), 1.0, parted=True),
        Part("house", (0.3,), 1.0, parted=False),
        Part("keeper", (0.5,), 1.0, parted=True),
    ]
    assert joined(parts).text == "The lighthouse keeper"


def test_parts_of_chinese_are_joined_without_a_space() -> None:
    parts = [Part("图书", (0.1, 0.2), 1.0, parted=True), Part("馆", (0.5,), 1.0, parted=True)]
    assert joined(parts).text == "图书馆"


def test_a_part_without_text_leaves_no_trace() -> None:
    parts = [Part("one", (0.1, 0.2, 0.3), 0.8, parted=True), Part("", (), 0.0, parted=True)]
    line = joined(parts)
    assert (line.text, line.places) == ("one", (0.1, 0.2, 0.3))
    assert line.score == pytest.approx(0.8)


def test_the_score_of_a_line_is_that_of_its_average_character() -> None:
    parts = [
        Part("aaa", (0.1, 0.2, 0.3), 1.0, parted=True),
        Part("b", (0.9,), 0.6, parted=True),
    ]
    assert joined(parts).score == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("read", "printed"),
    [
        ("1'homme et I'île", "l'homme et l'île"),
        ("I'Italie, 1\u2019Église, I'ÉTÉ", "l'Italie, l\u2019Église, l'ÉTÉ"),
        ("L'ltalie, d\u2019lran, 1'lnde", "L'Italie, d\u2019Iran, l'Inde"),
        ("I'm sure I've seen it, I'LL, I'M", "I'm sure I've seen it, I'LL, I'M"),
        ("she'll, y'll, 1'1 of lx", "she'll, y'll, 1'1 of lx"),
        ("I337.78 and 322.II", "1337.78 and 322.11"),
        ("1.5l of oil, 100l of water, No. II", "1.5l of oil, 100l of water, No. II"),
    ],
)
def test_letters_that_look_alike_are_told_by_their_neighbours(read: str, printed: str) -> None:
    assert mended(read) == printed


def test_and_by_neighbours_in_other_parts_of_the_line() -> None:
    def line(*parts: tuple[str, bool]) -> str:
        return joined(replace(even(text), parted=parted) for text, parted in parts).text

    assert line(("de 1", False), ("'histoire", False)) == "de l'histoire"
    assert line(("en 1911 I", True), ("'amie", False)) == "en 1911 l'amie"
    assert line(("I", True), ("337.7", False), ("8", False)) == "1337.78"


def test_a_letter_that_is_seen_twice_is_printed_once() -> None:
    assert once("sœeur et cœeur, l''an") == "sœur et cœur, l'an"
