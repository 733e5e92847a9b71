"""What is a table, by the alignment of its cells alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ocrd.layout.order import rows
from ocrd.layout.pieces import Piece
from ocrd.layout.ruled import Grid, level_ruled
from ocrd.layout.tables import Cells, foot, groups
from tests.unit.layout.printed import lines, piece, row

GOODS = [
    *row(100, ("Item", 50), ("Quantity", 300), ("Price", 500)),
    *row(130, ("Rope", 50), ("12", 300), ("4.50", 510)),
    *row(160, ("Anchor", 50), ("1", 310), ("86.00", 500)),
    *row(190, ("Lantern", 50), ("3", 310), ("19.90", 500)),
]


def cells(page: list[Piece]) -> list[Cells]:
    found = (group.cells() for group in groups(rows(page)))
    return [it for it in found if it is not None]


def test_aligned_cells_are_a_table() -> None:
    assert cells(GOODS) == [
        (
            ("Item", "Quantity", "Price"),
            ("Rope", "12", "4.50"),
            ("Anchor", "1", "86.00"),
            ("Lantern", "3", "19.90"),
        )
    ]


def test_a_table_begins_and_ends_where_its_rows_do() -> None:
    before = lines("A sentence before\nand another one", 50, 20)
    found = groups(rows([*before, *GOODS, piece("A sentence after", 50, 260)]))
    assert [(len(it.rows), it.cells() is not None) for it in found] == [
        (2, False), (4, True), (1, False),
    ]  # fmt: skip


def test_a_table_begins_below_another_in_its_columns_where_the_white_is_wide() -> None:
    facts = row(0, ("Mill Lane 4", 50), ("Invoice", 500), ("2019-580", 620))
    facts += row(22, ("Dublin", 50), ("Date", 500), ("7 March", 620))
    facts += row(44, ("", 50), ("Due", 500), ("27 April", 620))
    goods = [("Description", "Amount"), ("Gloves", "51.31"), ("Screw", "68.14"), ("Sum", "119.45")]
    below = [it for n, (a, b) in enumerate(goods) for it in row(101 + 35 * n, (a, 50), (b, 600))]
    assert cells([it for it in facts if it.text] + below)[-1] == tuple(goods)


def test_an_empty_cell_stays_empty() -> None:
    page = [*GOODS, *row(220, ("Pitch", 50), ("7.00", 510))]
    assert ("Pitch", "", "7.00") in cells(page)[0]


def test_a_cell_over_several_columns_leaves_the_others_empty() -> None:
    page = [*GOODS, piece("x" * 52, 50, 220), *row(250, ("Oar", 50), ("2", 310), ("8.00", 510))]
    assert ("x" * 52, "", "") in cells(page)[0]


@pytest.mark.parametrize(("first", "left"), [(50, 200), (300, 50)], ids=["second", "first"])
def test_a_cell_of_two_lines_is_one_cell(first: int, left: int) -> None:
    page = [
        *row(100, ("1", first), ("Rope of hemp,", left), ("4.50", 500)),
        *row(120, ("tarred", left)),
        *row(155, ("2", first), ("Anchor", left), ("86.00", 500)),
        *row(190, ("3", first), ("Lantern", left), ("19.90", 500)),
        *row(225, ("4", first), ("Oar", left), ("8.00", 500)),
    ]
    cell = {200: ("1", "Rope of hemp, tarred", "4.50"), 50: ("Rope of hemp, tarred", "1", "4.50")}
    assert cells(page)[0][0] == cell[left]


def test_two_rows_of_pairs_are_no_table() -> None:
    assert (
        cells([*row(100, ("Date", 50), ("4 May", 300)), *row(130, ("Ref", 50), ("7", 300))]) == []
    )


def test_figures_below_their_names_are_a_table_of_two_rows() -> None:
    page = GOODS[:6]
    assert cells(page) == [(("Item", "Quantity", "Price"), ("Rope", "12", "4.50"))]


def test_a_sum_below_a_table_does_not_break_it() -> None:
    page = [*GOODS, *row(220, ("Sum", 400), ("110.40", 500))]
    assert cells(page)[0] == cells(GOODS)[0]


def test_sums_set_apart_below_the_items_are_their_own_table() -> None:
    sums = [
        *row(225, ("Net", 300), ("110.40", 500)),
        *row(247, ("Tax", 300), ("20.98", 500)),
        *row(269, ("Due", 300), ("131.38", 500)),
    ]
    assert [len(it) for it in cells([*GOODS, *sums])] == [4, 3]


def test_sums_in_rows_like_those_of_the_items_are_rows_of_their_table() -> None:
    sums = [*row(220, ("Net", 300), ("110.40", 500)), *row(250, ("Tax", 300), ("20.98", 500))]
    assert cells([*GOODS, *sums])[0][-2:] == (("", "Net", "110.40"), ("", "Tax", "20.98"))


def test_what_was_ordered_and_its_price_are_a_table_though_the_lines_are_long() -> None:
    goods = ("Site survey and marking out it", "Hedge laying, forty-two metres",
             "Removal of spoil to the tip is", "Replacement of the field gates")  # fmt: skip
    page = [
        it for n, text in enumerate(goods) for it in row(100 + 30 * n, (text, 50), ("9.50", 800))
    ]
    assert cells(page) == [tuple((text, "9.50") for text in goods)]


@pytest.mark.parametrize(
    ("name", "price"),
    [
        ("Anchor . . .", "86.00"), ("Anchor....", "86.00"), ("Anchor .", ". 86.00"),
        ("Anchor", ". . \u20ac 86.00"), ("Anchor ...", ".86.00"),
    ],
)  # fmt: skip
def test_dots_that_lead_to_a_price_are_in_no_cell(name: str, price: str) -> None:
    page = [*GOODS[:6], *row(160, (name, 50), ("1", 310), (price, 500)), *GOODS[9:]]
    assert cells(page)[0][2] == ("Anchor", "1", price.strip(". "))


@pytest.mark.parametrize("text", [".5", "...", "e.g.", "A. Lind", "5."])
def test_other_dots_stay_in_their_cells(text: str) -> None:
    page = [*GOODS[:6], *row(160, ("Anchor", 50), (text, 310), ("86.00", 500)), *GOODS[9:]]
    assert cells(page)[0][2] == ("Anchor", text, "86.00")


def test_a_sign_found_apart_from_its_amount_is_in_one_cell_with_it() -> None:
    page = [
        *row(100, ("Net", 300), ("$", 485), ("110.40", 500)),
        *row(130, ("Tax", 300), ("$ 20.98", 490)),
        *row(160, ("Due", 300), ("$", 485), ("131.38", 500)),
    ]
    assert cells(page) == [(("Net", "$ 110.40"), ("Tax", "$ 20.98"), ("Due", "$ 131.38"))]


def test_text_beside_its_margin_is_no_table() -> None:
    text = lines("\n".join(["x" * 44] * 6), 200, 100)
    margin = lines("\n".join(["note"] * 6), 50, 100)
    assert cells(text + margin) == []


def test_words_of_running_text_that_happen_to_line_up_are_no_table() -> None:
    page = [it for n in range(4) for it in row(100 + 25 * n, ("ten letter", 50), ("and more", 155))]
    assert cells(page) == []


def test_cells_that_do_not_line_up_are_no_table() -> None:
    page = [
        *row(100, ("Here a word", 50), ("and there", 300)),
        *row(130, ("Here some words more", 50), ("end", 700)),
        *row(160, ("A", 50), ("long way from the beginning", 120)),
    ]
    assert cells(page) == []


def test_lines_of_running_text_are_no_table() -> None:
    assert cells(lines("one line\nanother\na third\na fourth", 50, 100)) == []


RULES = [(40.0, y, 600.0, y) for y in (85.0, 112.0, 140.0)]


def test_a_head_and_a_row_between_level_rules_are_a_table() -> None:
    page = [*row(100, ("Harbour", 50), ("Depth", 310)), *row(126, ("Bergen", 50), ("deep", 310))]
    found = list(level_ruled(page, RULES, 8))
    assert [cells for _, cells in found] == [(("Harbour", "Depth"), ("Bergen", "deep"))]


def test_lines_below_level_rules_that_run_across_their_heads_are_no_cells() -> None:
    page = [*row(100, ("Harbour", 50), ("Depth", 310)), *lines("x" * 50, 50, 126)]
    assert list(level_ruled(page, RULES, 8)) == []


def test_a_head_needs_no_rule_above_it() -> None:
    page = [*row(72, ("Harbour", 50), ("Depth", 310)), *row(98, ("Bergen", 50), ("deep", 310)),
            *row(126, ("Malmo", 50), ("low", 310))]  # fmt: skip
    assert [len(cells) for _, cells in level_ruled(page, RULES, 8)] == [3]


def test_an_address_above_a_table_is_not_in_its_head() -> None:
    page = [
        *row(20, ("Anna Lind", 50), ("Oslo", 310)),
        *row(72, ("Harbour", 50), ("Depth", 310)),
        *row(98, ("Bergen", 50), ("deep", 310)),
        *row(126, ("Malmo", 50), ("low", 310)),
    ]
    assert [cells[0] for _, cells in level_ruled(page, RULES, 8)] == [("Harbour", "Depth")]


def test_a_cell_that_reaches_below_the_next_head_stays_in_its_table() -> None:
    page = [
        *row(72, ("Item", 50), ("Count", 200), ("Unit", 270), ("Each", 400), ("Sum", 500)),
        *row(98, ("Rope", 50), ("20 packs", 210), ("4.50", 400), ("90.00", 490)),
        *row(126, ("Sail", 50), ("2", 240), ("piece", 270), ("86.00", 390), ("172.00", 480)),
    ]
    ((_, found),) = level_ruled(page, [RULES[0], RULES[2]], 8)
    assert found[1] == ("Rope", "20 packs", "", "4.50", "90.00")


HEAD_AND_FOOT = [(50.0, 90.0, 950.0, 90.0), (50.0, 900.0, 950.0, 900.0)]
COLUMN = """the boats that lay in the harbour
were small and old, and nobody
who saw them went on board of
one without a look at the sky
or at the men who sailed them"""


@pytest.mark.parametrize(
    "body",
    [
        [*lines(COLUMN, 50, 120), *lines(COLUMN, 550, 120)],
        [
            *row(130, ("Harbour Office", 50), ("Quay 5", 550)),
            *row(155, ("Bergen", 50), ("Malmo", 550)),
            *row(260, ("Dear Sir", 50)),
            *row(330, ("Rope", 50), ("4.50", 550)),
            *row(355, ("Anchor", 50), ("86.00", 550)),
            *row(440, ("Yours", 50), ("90.50", 550)),
        ],
    ],
    ids=["columns", "letter"],
)
def test_the_rules_at_a_page_s_head_and_foot_make_no_table_of_it(body: list[Piece]) -> None:
    head = row(75, ("The Harbour", 50), ("Page 3", 550))
    assert list(level_ruled([*head, *body], HEAD_AND_FOOT, 8)) == []
    table = [*row(110, ("Rope", 50), ("4.50", 550)), *row(135, ("Anchor", 50), ("86.00", 550))]
    assert list(level_ruled([*head, *table], HEAD_AND_FOOT, 8)), "of this they do"


@pytest.mark.parametrize("margin", [[], [20.0], [400.0]], ids=["none", "left", "right"])
def test_items_behind_their_marks_are_no_table(margin: list[float]) -> None:
    """Nor are they with numbers in the margin."""
    page = [
        cell
        for n in range(1, 5)
        for cell in row(
            100 + 30 * n,
            *((str(30 + n), x) for x in margin),
            (f"({n})", 60),
            ("a clause", 150),
        )
    ]
    assert cells(page) == []


SHORT = ["The lessee pays.", "No animals are kept.", "Repairs are the lessor's.", "Rent is due."]


@pytest.mark.parametrize(
    "marks",
    ["(1) (2) (3) (4)", "8 9 10 11", "118 119 120 121", "2.9 2.10 2.11 2.12", "3.1 3.1.1 3.2 4.1",
     "12a 12b 12c 13", "[7] [8] [9] [10]", "aa) bb) cc) dd)"],
)  # fmt: skip
def test_short_clauses_behind_any_kind_of_number_are_no_table(marks: str) -> None:
    page = [
        cell
        for n, (mark, said) in enumerate(zip(marks.split(), SHORT, strict=True))
        for cell in row(100 + 25 * n, (mark, 60), (said, 150))
    ]
    assert cells(page) == []


def test_clauses_with_two_levels_of_numbers_are_no_table() -> None:
    marks = ["7.1", "7.2", "7.3", "7.4"]
    page = [
        cell
        for n, (mark, said) in enumerate(zip(marks, SHORT, strict=True))
        for cell in row(100 + 25 * n, (mark, 60), (f"({'abcd'[n]})", 120), (said, 180))
    ]
    assert cells(page) == []


def test_a_sentence_between_clauses_makes_no_table_of_them() -> None:
    page = [piece("These rules hold for all of the houses", 60, 150)]
    for y, first in ((100, 1), (175, 3)):
        for n in (0, 1):
            page += row(y + 25 * n, (f"({first + n})", 60), (SHORT[n], 150))
    assert cells(page) == []


@pytest.mark.parametrize(
    ("first", "last"),
    [("7 3 12 1", "Oak Elm Ash Fir"), ("2.5 1.9 8.4 3.3", "Oak Elm Ash Fir"),
     ("1 2 3 4", "9.50 7.10 8.00 4.20")],
    ids=["counts of goods", "measures", "ranks and prices"],
)  # fmt: skip
def test_figures_before_words_or_figures_are_a_table(first: str, last: str) -> None:
    rows_ = list(zip(first.split(), last.split(), strict=True))
    page = [it for n, (a, b) in enumerate(rows_) for it in row(100 + 25 * n, (a, 60), (b, 250))]
    assert cells(page) == [tuple(rows_)]


def test_the_rows_of_a_price_list_are_a_table_though_they_are_numbered() -> None:
    page = [
        cell
        for n, said in enumerate(SHORT)
        for cell in row(100 + 25 * n, (f"{n + 1}.", 60), (said, 150), (f"{90 - 7 * n}.00", 500))
    ]
    assert [len(found) for found in cells(page)] == [4]


LETTER = lines("\n".join(["text of a letter, set in larger type"] * 8), 50, 300, pitch=30)
COLUMNS = ["Berg Ltd\nMill Lane 6\nHamburg", "Old Bank\nIBAN DE12 2005\nBIC OLDBANK",
           "Local Court\nHRB 4711"]  # fmt: skip


def small(texts: list[str], y: float, size: float) -> list[Piece]:
    return [
        piece(line, 50 + 300 * n, y + 18 * k, size=size)
        for n, text in enumerate(texts)
        for k, line in enumerate(text.split("\n"))
    ]


def test_small_columns_at_the_foot_of_a_letter_are_read_one_after_the_other() -> None:
    number = piece("3", 500, 985, size=0.7)
    found = foot([*LETTER, *small(COLUMNS, 900, 0.7), number], 1000)
    said = ["\n".join(" ".join(it.text for it in row) for row in column) for column in found]
    assert said == COLUMNS


def test_numbers_of_accounts_and_registers_are_no_figures_of_a_table() -> None:
    texts = ["Rope & Sons\nQuay 5", "Savings Bank\nDE44 7656 0060 0000 1234 56",
             "Tax number\n203/218/40117"]  # fmt: skip
    assert len(foot([*LETTER, *small(texts, 900, 0.7)], 1000)) == 3


@pytest.mark.parametrize(
    ("texts", "y", "size"),
    [
        (COLUMNS, 500, 0.7),
        (COLUMNS, 900, 1),
        (["Valve\nNorth\nSouth", "Bar\n2.5\n3.1", "Litres\n1310\n986"], 900, 0.7),
        (["one", "line", "alone"], 900, 0.7),
        (COLUMNS[:2], 900, 0.7),
    ],
    ids=["higher up", "in large type", "with figures", "of one line", "of two columns"],
)
def test_other_columns_are_no_foot(texts: list[str], y: float, size: float) -> None:
    assert foot([*LETTER, *small(texts, y, size)], 1000) == []


@pytest.mark.parametrize("left", [110, 310], ids=["first", "second"])
def test_rules_around_one_column_of_text_make_no_table(left: float) -> None:
    grid = Grid((100, 300, 500), (90, 120, 150))
    assert grid.cells(lines("Ada Berg\nOslo", left, 105, pitch=30)) is None
    both = [*lines("Ada Berg\nOslo", 110, 105, pitch=30), piece("1", 310, 105)]
    assert grid.cells(both) == (("Ada Berg", "1"), ("Oslo", ""))


VERSE = "When all the ships are gone,\nwho waits at sea?\nThe old light on the stone"
COUPLETS = "The ships are gone,\nWho waits at sea?\nThe old light burns,\nAnd nobody sleeps;"


@pytest.mark.parametrize("verse", [VERSE, COUPLETS], ids=["long lines", "lines of a few words"])
def test_verse_beside_its_translation_is_no_table(verse: str) -> None:
    assert cells([*lines(verse, 50, 100), *lines(verse, 450, 100)]) == []


LEFTS = (50, 450, 850)
STATIONS = (
    "Central Station North Exit|Blue Line every day|Lift out of order",
    "Old Town Hall Square|Red Line on weekdays|No step free access",
    "New Harbour Ferry Pier|Blue Line every day|Lift from the street",
    "West Park Main Gate|Green Line at night|Ramp at the side",
)


@pytest.mark.parametrize("columns", [2, 3])
def test_cells_of_several_words_are_a_table(columns: int) -> None:
    said = tuple(tuple(line.split("|")[:columns]) for line in STATIONS)
    assert cells([it for n, texts in enumerate(said) for it in set_at(100 + 25 * n, texts)]) == [
        said
    ]


def test_long_cells_between_rules_are_a_table() -> None:
    first = "What the keepers of it are paid"
    said = ((first, "and who has paid them until now"), ("When it was lit", first), (first, first))
    page = [it for n, texts in enumerate(said) for it in set_at(100 + 25 * n, texts)]
    rules = [(40, 90 + 25 * n, 1200, 90 + 25 * n) for n in range(4)]
    assert [found for _, found in level_ruled(page, rules, 5)] == [said]


def set_at(y: float, texts: Sequence[str]) -> list[Piece]:
    return row(y, *zip(texts, LEFTS, strict=False))
