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


def replaced(it: Piece, text: str, lower: float = 0) -> Piece:
    """The piece with another text, and so much lower on the page."""
    return piece(text, it.box.x1, it.middle + lower)


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
@pytest.mark.parametrize("leader", ["", " .", " . .", "......", " …"])
def test_entries_are_lines_however_long_their_leaders(leader: str, marks: bool) -> None:
    (found,) = blocks(page(leader, marks=marks), PAGE)
    lead = " ... " if leader else " "
    said = [
        f"{mark} {title}{lead}{number}"[0 if marks else len(mark) + 1 :]
        for mark, title, number in ENTRIES
    ]
    assert (found.label, found.text) == ("text", "\n".join(said))


def test_numbers_that_were_read_with_the_dots_before_them_are_page_numbers_as_well() -> None:
    (found,) = blocks(page(" ..... ", joined=True), PAGE)
    assert found.text == "\n".join(f"{mark} {title} ... {page}" for mark, title, page in ENTRIES)


def test_a_title_without_a_number_stays_between_the_entries() -> None:
    found = [it for it in page(" . .") if it.middle != 156]
    found.append(piece("Second part", 120, 156))
    (block,) = blocks(found, PAGE)
    assert block.text.split("\n")[2] == "Second part"


def test_entries_whose_numbers_were_not_read_or_read_as_letters_are_entries() -> None:
    numbers = ["", "5", "", "", "", "IO", "ll8", "119", ". 121", "xii"]
    found = []
    for n, number in enumerate(numbers):
        found += row(100 + 28 * n, ("The harbour .......", 120))
        found += row(104 + 28 * n, (number, 900 - 10 * len(number))) if number else []
    (block,) = blocks(found, PAGE)
    lead = [f"The harbour ... {number.removeprefix('. ')}".strip() for number in numbers]
    assert block.text.split("\n") == lead


def test_a_title_keeps_its_own_full_stop() -> None:
    found = [replaced(it, "Roads, etc.") if it.text == "Roads" else it for it in page("")]
    (block,) = blocks(found, PAGE)
    assert block.text.split("\n")[1] == "1.1 Roads, etc. 5"


def test_a_heading_parts_the_lists_below_each_other() -> None:
    below = [replaced(it, it.text, 220) for it in page(" ......")]
    found = blocks([*page(" ......"), piece("Figures", 60, 278), *below], PAGE)
    assert [it.text.count("\n") for it in found] == [4, 0, 4]
    assert found[1].text == "Figures"


@pytest.mark.parametrize("said", ["......", "...... 12 Mill Lane"], ids=["blank", "filled in"])
def test_dotted_blanks_of_a_form_are_no_entries(said: str) -> None:
    names = ["Name", "Street", "Town", "Country", "Telephone"]
    found = [piece(f"{name} {said}", 60, 100 + 28 * n) for n, name in enumerate(names)]
    text = "\n".join(block.text for block in blocks(found, PAGE))
    assert text.count("......") == len(names)


@pytest.mark.parametrize(
    "rows",
    [
        [("", "Crop", "Tons"), *((a, f"{b} .....", c) for a, b, c in reversed(ENTRIES))],
        [("", "Name", "Count"), *ENTRIES],
        [*ENTRIES[:4], ("3", "Trains", "2"), ("4", "Mills", "4"), ("5", "Ships", "1")],
        [(mark, title, f"{number}.50") for mark, title, number in ENTRIES],
    ],
    ids=["below a head that dots lead to", "below a head", "that fall", "of amounts"],
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
