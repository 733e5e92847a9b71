"""Titles, paragraphs, lists, tables, heads and feet: by size, distance and place alone."""

from __future__ import annotations

from ocrd.engine.rapid.blocks import blocks
from ocrd.engine.rapid.pieces import Piece
from tests.unit.engine.rapid.printed import PAGE, lines, piece, row

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


def test_the_lines_of_an_address_stay_lines() -> None:
    page = lines("Ingrid Solberg\nHarbour Road 3\nTromsdal", 100, 100) + lines(
        f"{FULL}\n{FULL}\n{FULL}", 100, 300
    )
    assert words(page)[0] == "Ingrid Solberg\nHarbour Road 3\nTromsdal"


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


def test_the_second_of_two_columns_begins_its_own_paragraph() -> None:
    left = lines("\n".join(["a" * 30] * 4), 50, 100)
    right = lines("\n".join(["b" * 30] * 4), 400, 100)
    assert words(left + right) == [" ".join(["a" * 30] * 4), " ".join(["b" * 30] * 4)]


def test_an_empty_page_has_no_blocks() -> None:
    assert blocks([], PAGE) == []
