"""Titles, paragraphs, lists, tables, heads and feet: by size, distance and place alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.engine.rapid.layout import blocks
from ocrd.layout.pieces import Piece
from ocrd.page import Box, Line
from tests.unit.layout.printed import PAGE, lines, piece, row

FULL = "x" * 60  # a line that reaches from margin to margin


def labelled(page: list[Piece]) -> list[tuple[str, str]]:
    return [(block.label, block.text) for block in blocks(page, PAGE)]


def words(page: list[Piece]) -> list[str]:
    return [block.text for block in blocks(page, PAGE)]


def test_lines_at_the_usual_distance_are_one_paragraph() -> None:
    assert words(lines(f"{FULL}\n{FULL}\nends here", 100, 100)) == [f"{FULL} {FULL} ends here"]


def test_a_wider_gap_begins_a_paragraph() -> None:
    page = lines(f"{FULL}\n{FULL}\nfirst", 100, 100) + lines(f"{FULL}\n{FULL}\nsecond", 100, 190)
    assert words(page) == [f"{FULL} {FULL} first", f"{FULL} {FULL} second"]


def test_an_indent_begins_a_paragraph() -> None:
    first, rest = lines(f"{FULL}\n{FULL}", 100, 100), lines(f"{FULL}\n{FULL}", 100, 175)
    page = [*first, piece("y" * 57, 130, 150), *rest]
    assert words(page) == [f"{FULL} {FULL}", f"{'y' * 57} {FULL} {FULL}"]


def test_a_last_line_with_room_for_the_next_word_ends_a_paragraph() -> None:
    page = lines(f"{FULL}\n{FULL}\nshort end\nAnother {'y' * 52}\n{FULL}", 100, 100)
    assert words(page) == [f"{FULL} {FULL} short end", f"Another {'y' * 52} {FULL}"]


@pytest.mark.parametrize(
    ("rights", "spaces", "joint"),
    [
        ([600, 595, 590, 598], [70, 72, 68, 71], ""),  # full to the margin: broken anywhere
        ([600, 575, 560, 590], [70, 72, 68, 71], " "),  # ragged: broken between words
        ([600, 600, 600, 600], [70, 100, 130, 80], " "),  # justified, likewise
        ([600, 598], [70, 70], " "),  # too few lines to tell
    ],
)
def test_korean_lines_that_break_words_are_joined_without_a_space(
    rights: list[int], spaces: list[int], joint: str
) -> None:
    said = " ".join(["가나다라마"] * 8) + "바"
    text = [
        replace(piece(said, 100, 100 + 25 * n, width=right - 100), spaces=white)
        for n, (right, white) in enumerate(zip(rights, spaces, strict=True))
    ]
    last = piece("사아 끝.", 100, 100 + 25 * len(rights))
    assert words([*text, last]) == [joint.join([*[said] * len(rights), "사아 끝."])]


def test_marks_above_and_below_letters_have_no_width() -> None:
    page = [
        piece("ก" * 60, 100, 100),
        piece("กิ่" * 60, 100, 125, width=600),
        piece("กิ่" * 40, 100, 150, width=400),
    ]
    assert len(words(page)) == 1


def test_the_lines_of_an_address_stay_lines() -> None:
    page = lines("Ingrid Solberg\nHarbour Road 3\nTromsdal", 100, 100) + lines(
        f"{FULL}\n{FULL}\n{FULL}", 100, 300
    )
    assert words(page)[0] == "Ingrid Solberg\nHarbour Road 3\nTromsdal"


def test_an_address_of_lines_of_even_length_without_a_postal_code_stays_lines() -> None:
    said = "Albright & Sons\nVictor Lindqvist\n57 Mill Street\nHarbour Town"
    assert words(lines(said, 100, 100)) == [said]


def test_the_lines_of_a_heading_in_large_type_are_as_far_apart_as_its_type_is_large() -> None:
    page = [piece("Bridge closed to", 100, 100, size=1.6), piece("lorries", 100, 138, size=1.6)]
    page += lines(f"{FULL}\n{FULL}\n{FULL}\nends here.", 100, 180)
    assert labelled(page)[0] == ("title", "Bridge closed to lorries")


def test_a_heading_stays_apart_from_a_line_that_accents_make_higher() -> None:
    said = "Été comme hiver la forêt est belle et calme, et l'eau y est claire"
    high = piece(said, 50, 134, width=660, size=1.25)
    page = [piece("Ce il", 50, 100), high, *lines(f"{said.lower()}\n{said.lower()}", 50, 159)]
    assert labelled(page)[0][1] == "Ce il"


def test_a_sentence_between_an_info_block_and_the_items_parts_them() -> None:
    info = [("Albright & Sons", "Number", "2022-816"), ("Simon Dorsey", "Date", "26 March"),
            ("137 Mill Lane", "Customer", "99726"), ("Dublin", "Due", "9 April")]  # fmt: skip
    goods = [("Description", "Amount"), ("Oak shelf", "169.04"), ("Copper pipe", "10.14"),
             ("Ceiling fan", "47.04"), ("Total", "226.22")]  # fmt: skip
    page = [
        it
        for n, cells in enumerate(info)
        for it in row(100 + 28 * n, *zip(cells, (100, 660, 860), strict=True))
    ]
    page.append(piece("Dear customer, we charge the following items, as agreed:", 100, 230))
    page += [it for n, (a, b) in enumerate(goods) for it in row(270 + 28 * n, (a, 100), (b, 880))]
    found = blocks(page, PAGE)
    assert [block.cells for block in found if block.cells][-1] == tuple(goods)


def test_a_list_keeps_its_items_and_their_further_lines() -> None:
    page = lines(f"1. one {FULL[7:]}\nand more of one\n2. two\n3. three", 100, 100)
    assert labelled(page) == [("list", f"1. one {FULL[7:]} and more of one\n2. two\n3. three")]


def test_larger_type_makes_a_title_and_less_larger_a_sub_title() -> None:
    page = [
        piece("The title", 100, 150, size=2),
        piece("A heading", 100, 220, size=1.35),
        *lines(f"{FULL}\n{FULL}\nends here.", 100, 270),
    ]
    assert labelled(page) == [
        ("title", "The title"),
        ("sub_title", "A heading"),
        ("text", f"{FULL} {FULL} ends here."),
    ]


def test_a_short_line_in_the_type_of_the_text_is_no_title() -> None:
    page = [piece("Yours sincerely", 100, 400), *lines(f"{FULL}\n{FULL}\n{FULL}", 100, 200)]
    assert [label for label, _ in labelled(page)] == ["text", "text"]


@pytest.mark.parametrize(
    "heading",
    [
        piece("What was found", 100, 100, weight=2.6),
        piece("WHAT WAS FOUND", 100, 100),
        piece("3. What was found", 100, 100),
        piece("What was found", 330, 100),
    ],
    ids=["bold", "in capitals", "numbered", "centred"],
)
def test_a_line_that_stands_out_above_text_is_a_heading(heading: Piece) -> None:
    page = [heading, *lines(f"{FULL}\n{FULL}\nends here.", 100, 140)]
    assert [label for label, _ in labelled(page)] == ["sub_title", "text"]


@pytest.mark.parametrize(
    ("heading", "below"),
    [
        ("\u00a7 3 What was found", "(1) It was found"),
        ("III. What was found", "It was found"),
        ("Article 4", "It was found"),
        ("2. What was found", "2.1 It was found"),
    ],
)
def test_a_numbered_heading_close_above_its_text_is_one(heading: str, below: str) -> None:
    text = f"{below} {'y' * (59 - len(below))}"
    page = [
        *lines(f"{FULL}\n{FULL}\nends.", 100, 100),
        *lines(f"{heading}\n{text}\n{FULL}", 100, 200),
    ]
    assert ("sub_title", heading) in labelled(page)


def test_a_bold_heading_in_slightly_larger_type_stands_above_short_lines() -> None:
    page = [
        it
        for n in range(3)
        for it in (
            piece(f"Part {'abc'[n]} of the form", 100, 100 + 200 * n, size=1.1, weight=2.8),
            *lines(
                "here a choice of some kind\nthere another one, of two",
                100,
                140 + 200 * n,
                pitch=40,
            ),
        )
    ]
    assert [label for label, _ in labelled(page)].count("sub_title") == 3


@pytest.mark.parametrize(
    "other",
    [
        piece("it was found.", 100, 100, weight=2.6),
        piece("TOTAL 24.70", 100, 100, weight=2.6),
        piece("What was found", 100, 100, weight=2.2),
        piece("12 March 2026", 100, 100),
        piece("3 mai 1911", 100, 100),
        piece("1 What was found", 400, 100),
    ],
    ids=[
        "a bold sentence",
        "a bold sum",
        "a little darker",
        "a date",
        "a date in French",
        "a number elsewhere",
    ],
)
def test_other_lines_above_text_are_text(other: Piece) -> None:
    page = [other, *lines(f"{FULL}\n{FULL}\nends here.", 100, 140)]
    assert {label for label, _ in labelled(page)} == {"text"}


def test_bold_answers_above_the_next_label_are_no_headings() -> None:
    form = [
        it
        for n in range(6)
        for it in (
            piece(f"label {n}", 100, 100 + 60 * n, size=0.7, weight=1.4),
            piece("An answer", 105, 122 + 60 * n),
        )
    ]
    assert "sub_title" not in {label for label, _ in labelled(form)}


def test_large_print_below_a_title_is_text() -> None:
    notice = [
        piece("Take care", 200, 100, size=3),
        *(
            piece("y" * 25, 100, 200 + 150 * n + 45 * line, size=1.6)
            for n in range(4)
            for line in range(2)
        ),
        *lines("a small line\nand another", 100, 850),
    ]
    assert [label for label, _ in labelled(notice)].count("title") <= 1


def test_cells_between_rules_are_a_table_whatever_they_say() -> None:
    rules = [(90.0, y, 690.0, y) for y in (80.0, 120.0, 160.0)]
    rules += [(x, 80.0, x, 160.0) for x in (90.0, 290.0, 690.0)]
    page = [
        *lines(f"{FULL}\n{FULL}", 100, 20),
        *row(100, ("Name", 100), ("What became of it", 300)),
        *row(140, ("Anna", 100), ("was sold in the autumn", 300)),
        *lines(f"{FULL}\n{FULL}", 100, 200),
    ]
    found = blocks(page, PAGE, rules)
    assert [block.label for block in found] == ["text", "table", "text"]
    assert found[1].cells == (("Name", "What became of it"), ("Anna", "was sold in the autumn"))


def test_a_frame_around_text_is_no_table() -> None:
    rules = [(90, 80, 750, 80), (90, 300, 750, 300), (90, 80, 90, 300), (750, 80, 750, 300)]
    found = blocks(lines("\n".join([FULL] * 6), 100, 100), PAGE, rules)
    assert [block.label for block in found] == ["text"]


def test_a_running_head_and_a_page_number_are_told_from_the_text() -> None:
    body = lines("\n".join([FULL] * 8), 100, 200)
    page = [piece("Harbour Survey", 100, 40), *body, piece("- 12 -", 450, 960)]
    assert [label for label, _ in labelled(page)] == ["header", "text", "page_number"]


def test_the_first_line_of_a_page_that_follows_closely_is_no_head() -> None:
    page = lines("\n".join([FULL] * 8), 100, 40)
    assert [label for label, _ in labelled(page)] == ["text"]


def test_a_slip_has_no_head_or_foot() -> None:
    page = [piece("Harbour ferry", 100, 40), *lines("Ticket 4711\nPaid\nThanks", 100, 400)]
    assert {label for label, _ in labelled(page)} == {"text"}


def test_a_table_stands_between_the_paragraphs_around_it() -> None:
    page = [
        *lines(f"{FULL}\n{FULL}", 100, 100),
        *row(180, ("Rope", 100), ("12", 300), ("4.50", 500)),
        *row(210, ("Anchor", 100), ("1", 300), ("86.00", 500)),
        *row(240, ("Lantern", 100), ("3", 300), ("19.90", 500)),
        *lines(f"{FULL}\n{FULL}", 100, 320),
    ]
    assert [label for label, _ in labelled(page)] == ["text", "table", "text"]


def test_a_title_above_the_middle_of_three_columns_is_read_first() -> None:
    title = piece("Harbour", 410, 60, size=2.5)
    page = [
        title,
        *(it for n in range(3) for it in lines("\n".join(["abc def " * 3] * 5), 50 + 320 * n, 150)),
    ]
    assert labelled(page)[0] == ("title", "Harbour")


def test_the_second_of_two_columns_begins_its_own_paragraph() -> None:
    left = lines("\n".join(["a" * 30] * 4), 50, 100)
    right = lines("\n".join(["b" * 30] * 4), 400, 100)
    assert words(left + right) == [" ".join(["a" * 30] * 4), " ".join(["b" * 30] * 4)]


def test_an_empty_page_has_no_blocks() -> None:
    assert blocks([], PAGE) == []


INVOICE = [
    piece("Brandt & Sons", 100, 60, size=1.6),
    piece("Brandt & Sons", 700, 63),
    piece("12 Harbour Road", 700, 83),
    *row(200, ("Mr", 100), ("Number", 560), ("R-317", 700)),
    *row(220, ("Ian Lee", 100), ("Date", 560), ("5 May", 700)),
    *row(240, ("4 Old Lane", 100), ("Customer", 560), ("K-442", 700)),
    piece("Invoice", 100, 320, size=1.6),
    *row(400, ("Pos", 100), ("What", 160), ("Count", 500), ("Each", 600), ("Sum", 700)),
    *row(440, ("1", 100), ("Drill, 230 V", 160), ("1", 500), ("249.00", 600), ("249.00", 700)),
    *row(480, ("2", 100), ("Screws", 160), ("2", 500), ("34.50", 600), ("69.00", 700)),
    *row(520, ("3", 100), ("Goggles", 160), ("10", 500), ("4.99", 600), ("49.90", 700)),
    *row(600, ("Total", 600), ("367.90", 700)),
]


def test_an_invoice_has_its_items_in_a_table_and_its_address_beside_its_facts() -> None:
    found = blocks(INVOICE, PAGE)
    tables = [block.cells for block in found if block.label == "table"]
    assert tables[1][0] == ("Pos", "What", "Count", "Each", "Sum")
    assert tables[1][1] == ("1", "Drill, 230 V", "1", "249.00", "249.00")
    assert tables[0] == (("Number", "R-317"), ("Date", "5 May"), ("Customer", "K-442"))
    assert "Mr\nIan Lee\n4 Old Lane" in [block.text for block in found]


def test_a_title_at_the_top_and_a_total_at_the_foot_are_no_margins() -> None:
    body = lines("\n".join([FULL] * 8), 100, 200)
    page = [piece("Harbour Survey", 100, 40, size=2), *body, piece("TOTAL 24.70", 100, 960)]
    assert [label for label, _ in labelled(page)] == ["title", "text", "text"]


def test_what_runs_up_a_page_is_a_block_of_its_own() -> None:
    goods = [
        cell
        for n in range(5)
        for cell in row(100 + 30 * n, (f"Item {n}", 100), (f"{n} miles", 300), (f"{n} months", 500))
    ]
    box = Box(700, 100, 720, 220)
    chapter = Piece(Line("Chapter 7", Box(0.7, 0.1, 0.72, 0.22)), box, on_end=True)
    assert [(it.label, len(it.cells)) for it in blocks([*goods, chapter], PAGE)] == [
        ("text", 0), ("table", 5),
    ]  # fmt: skip


numbers = st.floats(0, 1000, allow_nan=False)


@given(st.lists(st.tuples(numbers, numbers, st.sampled_from([0, 0, 9, 20, 400]), st.booleans())))
def test_whatever_is_found_where_nothing_of_it_is_lost_or_said_twice(
    places: list[tuple[float, float, int, bool]],
) -> None:
    page = [
        Piece(Line(f"w{number}", Box(0, 0, 1, 1)), Box(x, y, x + side, y + side / 2), on_end)
        for number, (x, y, side, on_end) in enumerate(places)
    ]
    found = [it.text for block in blocks(page, PAGE) for line in block.rows for it in line]
    assert sorted(found) == sorted(it.text for it in page)
    for block in blocks(page, PAGE):
        said = " ".join(map(" ".join, block.cells)) if block.cells else block.text
        assert sorted(said.split()) == sorted(it.text for line in block.rows for it in line)


@pytest.mark.parametrize(("left", "order"), [(20, (1, 0)), (860, (0, 1))], ids=["left", "right"])
def test_a_side_note_is_read_with_the_paragraph_beside_it(
    left: float, order: tuple[int, int]
) -> None:
    page, said = [], []
    for number, name in enumerate(("ships", "nets", "men")):
        page += lines(f"{FULL}\n{FULL}\n{FULL}\nends", 200, 100 + 140 * number)
        page += lines(f"Of {name}\nat sea", left, 101 + 140 * number, pitch=22)
        both = f"{FULL} {FULL} {FULL} ends", f"Of {name} at sea"
        said += [both[n] for n in order]
    assert words(page) == said


def test_numbers_of_lines_stand_in_no_sentence() -> None:
    page = lines("\n".join([FULL] * 20), 100, 100)
    page += [piece(str(n), 60, 75 + 25 * n) for n in (5, 10, 15, 20)]
    assert labelled(page) == [("text", " ".join([FULL] * 20)), ("aside_text", "5 10 15 20")]


@pytest.mark.parametrize(
    ("letters", "weight", "width", "heads"),
    [(24, 2.3, 240, True), (24, 2.15, 240, False), (24, 2.1, 260, True), (24, 2, 260, False),
     (7, 2.3, 70, False), (7, 2.6, 70, True)],
)  # fmt: skip
def test_a_long_line_is_bold_from_a_smaller_difference(
    letters: int, weight: float, width: float, heads: bool
) -> None:
    """Of its strokes, and of its letters' width together with theirs."""
    subject = piece("y" * letters, 100, 100, weight=weight, width=width)
    page = [subject, piece("Dear Sir,", 100, 140, weight=2.4), *lines(f"{FULL}\n{FULL}", 100, 180)]
    assert (("sub_title", subject.text) in labelled(page)) is heads


@pytest.mark.parametrize("words", ["yyyyyy zzzzzz", "yyyy zzzz wwwww", "yyyyyyyyyyyyy zzzzzzz"])
def test_a_line_whose_words_are_pulled_apart_is_in_no_larger_type(words: str) -> None:
    letters = sum(map(str.isalpha, words))
    pulled = replace(piece(words, 100, 150, width=300), spaces=300 - 10 * letters)
    line = "x" * 30
    page = [*lines(f"{line}\n{line}", 100, 100), pulled, *lines(f"{line}\n{line}", 100, 175)]
    assert labelled(page) == [("text", f"{line} {line} {words} {line} {line}")]
