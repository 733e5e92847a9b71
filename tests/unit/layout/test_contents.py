"""Tables of contents are lines that end in the numbers of pages; other numbers are cells."""

from __future__ import annotations

import pytest

from ocrd.engine.rapid.layout import blocks
from ocrd.layout.pieces import Piece
from tests.unit.layout.printed import PAGE, piece, row

ENTRIES = [
    ("1", "The harbour at night", "3"),
    ("1.1", "Roads", "5"),
    ("1.2", "A winter without snow", "5"),
    ("2", "The price of bread", "18"),
    ("3", "Trains", "102"),
]


def page(leader: str, *, marks: bool = True, joined: bool = False) -> list[Piece]:
    found = []
    for n, (mark, title, number) in enumerate(ENTRIES):
        said = title + leader
        cells = [(mark, 60.0)] * marks + [(said, 120.0)]
        if joined:
            cells[-1] = (f"{said}{number}", 900 - 10.0 * len(f"{said}{number}"))
        else:
            cells.append((number, 900 - 10.0 * len(number)))
        found += row(100 + 28 * n, *cells)
    return found


@pytest.mark.parametrize("marks", [True, False], ids=["numbered", "unnumbered"])
@pytest.mark.parametrize("leader", ["", " . .", "......", " …"])
def test_entries_are_lines_without_their_leaders(leader: str, marks: bool) -> None:
    (found,) = blocks(page(leader, marks=marks), PAGE)
    said = [it if marks else it[1:] for it in ENTRIES]
    assert (found.label, found.text) == ("text", "\n".join(map(" ".join, said)))


def test_numbers_that_were_read_with_the_dots_before_them_are_page_numbers_as_well() -> None:
    (found,) = blocks(page(" ..... ", joined=True), PAGE)
    assert found.text == "\n".join(map(" ".join, ENTRIES))


def test_a_title_without_a_number_stays_between_the_entries() -> None:
    found = [it for it in page(" . .") if it.middle != 156]
    found.append(piece("Second part", 120, 156))
    (block,) = blocks(found, PAGE)
    assert block.text.split("\n")[2] == "Second part"


@pytest.mark.parametrize(
    "rows",
    [
        [("", "Name", "Count"), *ENTRIES],
        [*ENTRIES[:4], ("3", "Trains", "2"), ("4", "Mills", "4"), ("5", "Ships", "1")],
        [(mark, title, f"{number}.50") for mark, title, number in ENTRIES],
    ],
    ids=["below a head", "that fall", "of amounts"],
)
def test_numbers_of_a_table_are_cells(rows: list[tuple[str, str, str]]) -> None:
    found = blocks(
        [
            it
            for n, (mark, title, number) in enumerate(rows)
            for it in row(
                100 + 28 * n, (mark or "No", 60), (title, 120), (number, 900 - 10 * len(number))
            )
        ],
        PAGE,
    )
    assert any(len(block.cells) >= len(ENTRIES) for block in found)
