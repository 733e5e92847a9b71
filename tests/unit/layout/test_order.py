"""The order in which people read a page, from the places of its lines alone."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrd.layout.order import columns, rows
from ocrd.layout.pieces import Piece
from ocrd.page import Box
from tests.support.needs import examples
from tests.unit.layout.printed import lines, piece, row

LEFT = (
    "the first column of the page\nis read from its top down to\nits very last line of text\nleft."
)
RIGHT = (
    "then comes the second column\nwhich stands beside the other\nand ends the page with a\nlast."
)


def read(pieces: list[Piece]) -> list[str]:
    return [" | ".join(p.text for p in line) for column in columns(pieces) for line in column]


def test_one_column_is_read_from_top_to_bottom() -> None:
    page = lines("one\ntwo\nthree", 100, 100)
    assert read(page[::-1]) == ["one", "two", "three"]


@pytest.mark.parametrize("lower", [0, 12], ids=["level", "not level"])
def test_two_columns_are_read_one_after_the_other(lower: float) -> None:
    page = lines(LEFT, 50, 100) + lines(RIGHT, 400, 100 + lower)
    assert read(page) == LEFT.splitlines() + RIGHT.splitlines()


def test_a_title_across_both_columns_is_read_first_and_a_note_below_last() -> None:
    title = piece("A title that reaches across both columns", 150, 40)
    note = piece("A note that reaches across both columns too", 140, 240)
    page = [note, *lines(LEFT, 50, 100), *lines(RIGHT, 400, 100), title]
    assert read(page) == [title.text, *LEFT.splitlines(), *RIGHT.splitlines(), note.text]


def test_what_reaches_across_parts_the_columns_above_from_those_below() -> None:
    below = lines(LEFT.upper(), 50, 300) + lines(RIGHT.upper(), 400, 300)
    caption = piece("A picture of both columns, with a caption", 150, 240)
    page = lines(LEFT, 50, 100) + lines(RIGHT, 400, 100) + [caption] + below
    assert read(page) == [
        *LEFT.splitlines(),
        *RIGHT.splitlines(),
        caption.text,
        *LEFT.upper().splitlines(),
        *RIGHT.upper().splitlines(),
    ]


def test_three_columns_are_read_from_left_to_right() -> None:
    page = lines(LEFT, 20, 100) + lines(RIGHT, 340, 100) + lines(LEFT.upper(), 660, 100)
    assert read(page) == LEFT.splitlines() + RIGHT.splitlines() + LEFT.upper().splitlines()


def article(number: int, x: float, y: float, **type_: float) -> list[Piece]:
    return [piece(f"Head {number}", x, y, **type_), *lines(f"{number} {RIGHT}", x, y + 35)]


@pytest.mark.parametrize("type_", [{"size": 1.5}, {"weight": 3.0}], ids=["larger", "bold"])
@pytest.mark.parametrize(
    "places", [(20, 340, 660), (20, 340)], ids=["three", "two, one ends early"]
)
def test_headlines_level_over_all_columns_begin_other_articles(
    places: tuple[float, ...], type_: dict[str, float]
) -> None:
    above = [lines("\n".join([RIGHT] * (2 if n == 0 else 1)), x, 100) for n, x in enumerate(places)]
    below = [article(n, x, 350, **type_) for n, x in enumerate(places)]
    page = [it for column in (*above, *below) for it in column]
    assert read(page[::-1]) == [it.text for it in page]


def test_a_headline_over_two_columns_begins_an_article_beside_others() -> None:
    above = [lines("\n".join([RIGHT] * n), x, 100) for n, x in ((2, 20), (2, 340), (1, 660))]
    wide = [piece("A headline over two of them", 20, 350, size=1.5)]
    below = [lines(f"{n} {RIGHT}", x, 390) for n, x in enumerate((20, 340))]
    page = [
        it for column in (*above, wide, *below, article(2, 660, 352, size=1.5)) for it in column
    ]
    assert read(page[::-1]) == [it.text for it in page]


def test_headings_side_by_side_in_the_columns_of_one_text_end_none() -> None:
    columns_ = [
        [*lines(LEFT, x, 100), *article(n, x, 215, size=1.4)] for n, x in enumerate((50, 400))
    ]
    page = [it for column in columns_ for it in column]
    assert read(page[::-1]) == [it.text for it in page]


RAGGED = "ragged lines of text that are\nshort now and\nthen or long, as\nthey come in\na newspaper"


def test_ragged_columns_close_together_are_read_one_after_the_other() -> None:
    columns_ = [lines(RAGGED, 20 + 312 * n, 100 + 9 * n, pitch=24 + n) for n in range(3)]
    assert read([it for column in columns_ for it in column]) == RAGGED.splitlines() * 3


def test_what_shows_of_the_facing_page_is_read_apart() -> None:
    strip = lines("\n".join(["ing", "and", "ship", "ten", "oar", "ets", "the"]), 5, 100)
    text = lines(
        "\n".join([f"line {n} of the page that was scanned, set in full" for n in range(7)]),
        80,
        100,
    )
    assert read(strip + text) == [it.text for it in strip + text]


def test_a_column_that_ends_early_is_still_a_column() -> None:
    page = lines(LEFT, 50, 100) + lines(RIGHT, 400, 100)[:3]
    assert read(page) == LEFT.splitlines() + RIGHT.splitlines()[:3]


def test_the_cells_of_a_table_are_read_row_by_row() -> None:
    table = [
        *row(100, ("Item", 50), ("Quantity", 300), ("Price", 500)),
        *row(125, ("Rope", 50), ("12", 300), ("4.50", 500)),
        *row(150, ("Anchor", 50), ("1", 300), ("86.00", 500)),
        *row(175, ("Lantern", 50), ("3", 300), ("19.90", 500)),
    ]
    assert read(table) == [
        "Item | Quantity | Price",
        "Rope | 12 | 4.50",
        "Anchor | 1 | 86.00",
        "Lantern | 3 | 19.90",
    ]


def test_a_table_beside_text_is_read_apart_from_it() -> None:
    text = lines(
        "\n".join([f"line {n} of the text, which is set in full" for n in range(7)]), 50, 100
    )
    table = [it for n in range(5) for it in row(104 + 31 * n, ("Rope", 550), (f"{n}.50", 750))]
    assert read(text + table) == [it.text for it in text] + [f"Rope | {n}.50" for n in range(5)]


def test_short_paragraphs_in_columns_whose_lines_are_level_are_read_column_by_column() -> None:
    ends = "a line of text that is set in full\nand ends\nIts heading"
    text = "\n".join([ends, "another paragraph, which is long too", ends])
    assert read(lines(text, 50, 100) + lines(text, 500, 100)) == text.splitlines() * 2


def test_a_heading_below_columns_goes_with_the_wide_text_that_follows_it() -> None:
    heading, below = piece("What came of it", 50, 240), piece("x" * 80, 50, 270)
    page = [*lines(LEFT, 50, 100), *lines(RIGHT, 400, 100), heading, below]
    assert read(page) == [*LEFT.splitlines(), *RIGHT.splitlines(), heading.text, below.text]


def test_narrow_columns_of_codes_are_read_row_by_row() -> None:
    codes = [cell for n in range(4) for cell in row(100 + 25 * n, (f"A-{n}", 50), (f"B-{n}", 200))]
    assert read(codes) == ["A-0 | B-0", "A-1 | B-1", "A-2 | B-2", "A-3 | B-3"]


def test_wide_columns_with_little_in_them_are_read_row_by_row() -> None:
    names = ("Rope of hemp, tarred twice", "Anchor with a wooden stock", "Lantern, red, for port")
    goods = [
        cell
        for n, name in enumerate(names)
        for cell in row(100 + 25 * n, (name, 50), (str(n), 400), ("4.50", 600), ("9.00", 800))
    ]
    assert read(goods) == [f"{name} | {n} | 4.50 | 9.00" for n, name in enumerate(names)]


def test_questions_and_answers_set_far_apart_are_read_row_by_row() -> None:
    asked = [
        cell
        for n in range(4)
        for cell in row(
            100 + 60 * n, (f"Question number {n} of four", 50), (f"Answer {n}" * 3, 400)
        )
    ]
    assert read(asked) == [f"Question number {n} of four | {f'Answer {n}' * 3}" for n in range(4)]


def test_a_date_opposite_an_address_is_read_in_its_row() -> None:
    page = [*lines("Ingrid Solberg\nHarbour Road 3\nTromsdal", 50, 100), piece("4 May", 700, 125)]
    assert read(page) == ["Ingrid Solberg", "Harbour Road 3 | 4 May", "Tromsdal"]


def test_lines_that_are_closer_than_they_are_high_stay_apart() -> None:
    assert [len(line) for line in rows(lines("over\nunder", 100, 100, pitch=12))] == [1, 1]


def test_an_empty_page_has_no_columns() -> None:
    assert columns([]) == []


@given(st.permutations(lines(LEFT, 50, 100) + lines(RIGHT, 400, 107) + lines("Title", 50, 40)))
@settings(max_examples=examples(50))
def test_the_order_in_which_pieces_were_found_does_not_matter(page: list[Piece]) -> None:
    assert read(page) == ["Title", *LEFT.splitlines(), *RIGHT.splitlines()]


PLACES = st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(1, 40))


@given(st.lists(PLACES, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=examples(60), deadline=None)
def test_every_piece_of_any_page_is_read_once_and_in_one_order(
    places: list[tuple[int, int, int]], random: Random
) -> None:
    page = [piece("x" * length, x, y) for x, y, length in places]
    shuffled = random.sample(page, len(page))
    order = [p for column in columns(page) for line in column for p in line]
    assert sorted(order, key=repr) == sorted(page, key=repr)
    assert order == [p for column in columns(shuffled) for line in column for p in line]


VERSE = (
    "When all the ships are gone,\nwho waits at sea?\nThe old light on the stone,\nand you, and me."
)
TURNED = (
    "Sind alle Schiffe fort,\nwer wartet auf dem Meer?\nDas Licht am alten Ort,\nund du und wer?"
)


@pytest.mark.parametrize("stanzas", [1, 3])
def test_verse_beside_its_translation_is_read_one_after_the_other(stanzas: int) -> None:
    page = [
        it
        for n in range(stanzas)
        for text, x in ((VERSE, 50), (TURNED, 450))
        for it in lines(text, x, 100 + 130 * n)
    ]
    assert read(page) == VERSE.splitlines() * stanzas + TURNED.splitlines() * stanzas


def test_narrow_columns_of_news_are_read_one_after_the_other() -> None:
    news = "The council met late\non Monday to speak\nof the old harbour\nwall and its gate."
    page = [it for x in (50, 250, 450, 650) for it in lines(news, x, 100)]
    assert read(page) == news.splitlines() * 4


@pytest.mark.parametrize(("right", "parts"), [(700, True), (300, False)], ids=["wide", "short"])
def test_a_rule_from_side_to_side_ends_columns(right: float, parts: bool) -> None:
    above = lines(LEFT, 50, 100), lines(RIGHT, 400, 100)
    below = lines(LEFT.upper(), 50, 230), lines(RIGHT.upper(), 400, 230)
    order = (*above, *below) if parts else (above[0], below[0], above[1], below[1])
    page = [it for part in order for it in part]
    said = [line[0].text for column in columns(page, [Box(40, 203, right, 203)]) for line in column]
    assert said == [piece.text for piece in page]


@pytest.mark.parametrize("y", [100, 120, 175, 240])
def test_a_number_in_the_gutter_is_in_no_line(y: float) -> None:
    page = [*lines(LEFT, 50, 100), *lines(RIGHT, 400, 100), piece("7", 370, y)]
    assert read(page) == [*LEFT.splitlines(), *RIGHT.splitlines(), "7"]


def test_white_that_justified_lines_share_between_words_is_no_gutter() -> None:
    """As the detector parts a poor scan of a paragraph at 110 dpi."""
    torn = {
        752: (("Through", 69, 125), ("for harbour well he particular repair between", 133, 444)),
        772: (("Industrial thousand still", 116, 271), ("some", 277, 313),
              ("little for men water", 319, 444)),
        791: (("harbour", 70, 121), ("into understand", 127, 231), ("might", 236, 273),
              ("difference and of.", 277, 396)),
        811: (("Way industrial where", 69, 218), ("had answer well in small said", 228, 444)),
        830: (("very", 69, 98), ("from long", 102, 165), ("other.", 170, 209)),
        851: (("Hand", 70, 105), ("on it question yesterday but this.", 110, 329)),
    }  # fmt: skip
    page = [
        piece(text, left, y, width=right - left)
        for y, line in torn.items()
        for text, left, right in line
    ]
    assert read(page) == [" | ".join(text for text, _, _ in line) for line in torn.values()]


LONG = """harbour walls of stone and their gates
paper mills on the other side of town
industrial repair of what was built in
February by the village and its people
keepers of old houses along the river"""
WIDEST = 380  # of its lines, pixels; a line is 20 high


@pytest.mark.parametrize(("gap", "parted"), [(4, False), (6, False), (14, True), (20, True)])
def test_lines_torn_at_a_space_are_lines_and_a_narrow_gutter_parts_columns(
    gap: float, parted: bool
) -> None:
    """The detector tears full lines of a poor scan at their spaces, below each other by chance."""
    texts = LONG.splitlines()
    page = [
        piece(text, x, 100 + 25 * n, width=WIDEST)
        for x in (50, 50 + WIDEST + gap)
        for n, text in enumerate(texts)
    ]
    assert read(page) == (texts * 2 if parted else [f"{text} | {text}" for text in texts])
