"""Labels and what was filled in are read together, whether frames or distances show it."""

from __future__ import annotations

import pytest

from ocrd.engine.rapid.layout import blocks
from ocrd.layout.pieces import Piece
from ocrd.layout.ruled import Rule
from tests.unit.layout.printed import PAGE, piece, row

NAMES = (("Name", "Anna Lind"), ("Born", "4 May 1961"), ("Street", "Old Lane 4"), ("Town", "Oslo"))


def read(page: list[Piece], rules: list[Rule] | None = None) -> list[str]:
    return [block.text for block in blocks(page, PAGE, rules or [])]


def box(left: float, top: float, right: float, bottom: float) -> list[Rule]:
    return [
        (left, top, right, top), (left, bottom, right, bottom),
        (left, top, left, bottom), (right, top, right, bottom),
    ]  # fmt: skip


def fields(near: float, far: float, *, size: float, below: bool = False) -> list[Piece]:
    """Two fields beside each other, twice: a label of this size over or under what it names."""
    page = []
    for number, (label, value) in enumerate(NAMES):
        x, y = 100 + 400 * (number % 2), 100 + (near + far) * (number // 2)
        first, second = (value, label) if below else (label, value)
        page.append(piece(first, x, y, size=1 if below else size))
        page.append(piece(second, x + 5, y + near, size=size if below else 1))
    return page


STACKS = [f"{label}\n{value}" for label, value in NAMES]


@pytest.mark.parametrize("size", [0.7, 1.0], ids=["small labels", "labels of the same size"])
def test_labels_over_what_was_filled_in_are_read_with_it(size: float) -> None:
    assert read(fields(25, 60, size=size)) == STACKS


def test_labels_under_what_was_filled_in_are_read_with_it() -> None:
    assert read(fields(25, 60, size=0.7, below=True)) == [
        f"{value}\n{label}" for label, value in NAMES
    ]


def test_what_shares_a_frame_is_read_together_however_near_the_next_frame_is() -> None:
    rules = [
        rule
        for x, y in ((95, 85), (495, 85), (95, 140), (495, 140))
        for rule in box(x, y, x + 380, y + 45)
    ]
    assert read(fields(30, 25, size=0.7), rules) == STACKS


def test_frames_of_different_widths_are_read_row_by_row() -> None:
    rules = [*box(95, 85, 895, 140), *box(95, 140, 300, 195), *box(300, 140, 895, 195)]
    page = [
        *(piece("Name", 100, 95, size=0.7), piece("Anna Lind", 105, 125)),
        *(piece("Code", 100, 150, size=0.7), piece("0150", 105, 180)),
        *(piece("Town", 305, 150, size=0.7), piece("Oslo", 310, 180)),
    ]
    said = " ".join(" ".join(read(page, rules)).split())
    assert said == "Name Anna Lind Code 0150 Town Oslo"


def test_a_field_that_was_left_empty_is_a_label_alone() -> None:
    page = [it for it in fields(25, 60, size=0.7) if it.text != "4 May 1961"]
    assert read(page) == ["Name\nAnna Lind", "Born", "Street\nOld Lane 4", "Town\nOslo"]


def test_answers_in_large_type_below_their_labels_are_no_headings() -> None:
    labels = ("The name of the child as it is to be entered", "And of its mother", "Who asks")
    page = [
        it
        for n, label in enumerate(labels)
        for it in (piece(label, 100, 100 + 70 * n, size=0.7), piece("Lind", 105, 124 + 70 * n))
    ]
    assert {block.label for block in blocks(page, PAGE)} == {"text"}


def test_rows_of_a_table_in_pairs_stay_a_table() -> None:
    page = [
        cell
        for n, y in enumerate((100, 128, 180, 208, 260, 288))
        for cell in row(y, (f"Item {n}", 100), (f"{n} miles", 300), (f"{n}.50", 500))
    ]
    assert [block.label for block in blocks(page, PAGE)] == ["table"]


def test_a_framed_paragraph_is_a_paragraph() -> None:
    text = "x" * 60
    page = [piece(text, 100, 100 + 25 * n) for n in range(3)]
    assert read(page, box(90, 80, 750, 170)) == [" ".join([text] * 3)]


def test_an_item_with_its_price_is_no_label_of_its_second_line() -> None:
    page = row(100, ("Service", 100), ("Hours", 500), ("Fee", 700))
    for n, (name, more) in enumerate((("Logo", "Three drafts"), ("Style guide", "As a file"))):
        page += row(150 + 80 * n, (name, 100), (f"{n + 4}", 530), (f"{n + 1},430.00", 690))
        page.append(piece(more, 100, 175 + 80 * n, size=0.8))
    (table,) = (block.cells for block in blocks(page, PAGE) if block.cells)
    assert table == (
        ("Service", "Hours", "Fee"),
        ("Logo Three drafts", "4", "1,430.00"),
        ("Style guide As a file", "5", "2,430.00"),
    )
