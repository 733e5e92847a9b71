"""What is a side note, from the places of a page's lines alone."""

from __future__ import annotations

import pytest

from ocrd.layout.notes import line_numbers, notes
from ocrd.layout.pieces import Piece
from tests.unit.layout.printed import lines, piece, row

TEXT = "\n".join(["x" * 50] * 12)


def found(page: list[Piece]) -> list[str]:
    return [" ".join(piece.text for line in note for piece in line) for note in notes(page)]


@pytest.mark.parametrize("left", [30, 720], ids=["left", "right"])
def test_short_texts_on_a_level_with_lines_of_the_text_are_its_notes(left: float) -> None:
    page = lines(TEXT, 200, 100)
    page += lines("Of ships\nat sea", left, 101, pitch=20) + lines("Of harbours", left, 251)
    assert found(page) == ["Of ships at sea", "Of harbours"]


def test_short_last_lines_of_paragraphs_are_text_beside_notes_as_well() -> None:
    paragraph = f"{'x' * 50}\n{'x' * 50}\nends here"
    page = lines("\n".join([paragraph] * 4), 200, 100)
    for n in range(4):
        page += lines("Of ships\nat sea", 720, 100 + 75 * n, pitch=20)
    assert found(page) == ["Of ships at sea"] * 4


def test_a_title_over_text_and_margin_takes_no_note_away() -> None:
    page = [piece("A title that reaches over margin and text", 150, 40), *lines(TEXT, 200, 100)]
    assert found([*page, piece("Of ships", 30, 100)]) == ["Of ships"]


@pytest.mark.parametrize("mark", ["{}", "({})", "{}.", "§ {}"])
def test_numbers_of_clauses_are_no_notes(mark: str) -> None:
    marks = [piece(mark.format(n + 1), 100, 100 + 75 * n) for n in range(4)]
    assert found([*lines(TEXT, 200, 100), *marks]) == []


def test_a_column_off_the_lines_of_the_text_is_no_note() -> None:
    partners = lines("Ada Berg\nNotary", 720, 112) + lines("Ole Dahl\nLawyer", 720, 212)
    assert found([*lines(TEXT, 200, 100), *partners]) == []


def test_a_column_as_long_as_the_text_is_no_note() -> None:
    assert found([*lines(TEXT, 200, 100), *lines("\n".join(["word"] * 12), 720, 100)]) == []


def test_names_before_long_cells_are_no_notes() -> None:
    page = [
        it
        for n in range(8)
        for it in row(100 + 25 * n, (f"Name {'abcdefgh'[n]}", 50), ("x" * 50, 200))
    ]
    assert found(page) == []


def test_a_column_half_as_wide_as_the_text_is_no_note() -> None:
    assert found([*lines(TEXT, 200, 100), piece("y" * 26, 720, 100)]) == []


def test_a_narrow_column_of_paragraphs_is_no_note() -> None:
    text = [it for n in range(4) for it in lines("\n".join(["x" * 50] * 8), 200, 100 + 225 * n)]
    aside = [it for n in range(4) for it in lines("\n".join(["word"] * 6), 20, 100 + 225 * n)]
    assert found([*text, *aside]) == []


SENTENCE = "of the boats that lay in the harbour"


def numbered(step: int, x: float, text: str = SENTENCE) -> list[Piece]:
    """Fifteen lines, every so many with its number, which ends at `x` + 20."""
    page = lines("\n".join([text] * 15), 100, 100)
    for n in range(step, 16, step):
        page.append(piece(str(n), x + 20 - 10 * len(str(n)), 78 + 25 * n))
    return page


@pytest.mark.parametrize("step", [1, 5])
@pytest.mark.parametrize("x", [40, 520], ids=["left", "right"])
def test_numbers_in_the_margin_that_count_the_lines_are_told(step: int, x: float) -> None:
    said = [[it.text for it in row] for row in line_numbers(numbered(step, x))]
    assert said == [[str(n) for n in range(step, 16, step)]]


def test_a_line_number_that_was_not_read_leaves_the_others() -> None:
    page = [it for it in numbered(1, 40) if it.text != "7"]
    assert len(line_numbers(page)[0]) == 14


@pytest.mark.parametrize(
    "page",
    [
        numbered(1, 40, "The tenant of the house pays all of it."),
        numbered(1, 40, "rope of hemp"),
        numbered(1, 40, "the rent of the house, on the first day;"),
        [piece(str(n), 40, 178 + 100 * n) for n in range(4)] + lines(TEXT, 100, 100),
        [piece(str(2 * n), 40, 103 + 25 * n) for n in range(15)] + lines(TEXT, 100, 100),
        numbered(5, 40)[:17],
    ],
    ids=["of clauses", "of short items", "of items", "of paragraphs", "of pages", "two"],
)
def test_other_numbers_in_a_margin_count_no_lines(page: list[Piece]) -> None:
    assert line_numbers(page) == []


def cells(*columns: tuple[list[str], float], top: float = 103) -> list[Piece]:
    """Columns of cells, each with its left end."""
    return [
        piece(text, x, top + 25 * n) for texts, x in columns for n, text in enumerate(texts) if text
    ]


def counting(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


UP, TEXTS = counting(*range(1, 13)), [SENTENCE] * 12
EVERY_FIFTH = [str(n) if n % 5 == 0 else "" for n in range(1, 21)]


@pytest.mark.parametrize(
    "page",
    [
        cells((UP[:9], 40), (TEXTS[:9], 100)),
        cells((UP, 40), (TEXTS, 100), (counting(*range(20, 32)), 500), (["7.50"] * 12, 560)),
        cells((UP, 40), (TEXTS, 100), (["7:30"] * 12, 560)),
        cells((["A"] * 12, 10), (UP, 40), (TEXTS, 100)),
        cells((counting(1, 2, 3) * 4, 40), (TEXTS, 100)),
        cells((TEXTS, 100), (counting(1, 2, 3) * 4, 520)),
        cells((UP, 40), (TEXTS, 100)) + lines("\n".join([SENTENCE] * 4), 100, 500),
        numbered(2, 40),
        cells((["" if n % 2 else str(n + 3) for n in range(12)], 40), (TEXTS, 100)),
        cells((TEXTS, 100), (counting(*range(4, 16)), 500), (["7.50"] * 12, 560)),
        cells(
            ([*[SENTENCE] * 4, ""] * 4, 100), (EVERY_FIFTH, 100), ([*[""] * 4, SENTENCE] * 4, 140)
        ),
    ],
    ids=[
        "of few items",
        "of an invoice",
        "of a time sheet",
        "behind a letter",
        "of quantities",
        "of quantities on the right",
        "of items above a paragraph",
        "of every second line",
        "of items of two lines",
        "of notes before amounts",
        "within the text",
    ],
)
def test_numbers_of_items_and_cells_count_no_lines(page: list[Piece]) -> None:
    assert line_numbers(page) == []


def test_numbers_between_two_columns_count_the_lines_of_both() -> None:
    text = [*TEXTS, *TEXTS[:8]]
    page = cells((text, 100), (EVERY_FIFTH, 500), (text, 560))
    page.append(piece("A title over both of the columns, and the numbers", 200, 40))
    assert [[it.text for it in row] for row in line_numbers(page)] == [["5", "10", "15", "20"]]


@pytest.mark.parametrize("step", [5, 10])
def test_numbers_of_every_fifth_or_tenth_line_are_told_beside_short_lines(step: int) -> None:
    page = lines("\n".join(["Rope of hemp,", "and tar"] * 20), 100, 103)
    page += [piece(str(n), 40, 78 + 25 * n) for n in range(step, 41, step)]
    assert [len(row) for row in line_numbers(page)] == [40 // step]


def test_lines_without_text_are_numbered_as_the_others() -> None:
    page = cells((counting(*range(1, 29)), 40), ([SENTENCE, SENTENCE, SENTENCE, ""] * 7, 100))
    assert [len(row) for row in line_numbers([*page, piece("Page 3", 300, 850)])] == [28]
