"""A page's own text is not trusted further than what the page shows."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pymupdf as _pymupdf
import pytest

from ocrd.page import Block, Box, Line, Markup, PageResult, WordsFrom
from ocrd.pages.owntext import typed
from ocrd.pages.reading import OwnText, merged
from ocrd.pages.work import own_text
from tests.support.needs import few

pymupdf: Any = _pymupdf  # its functions carry no annotations
Draw: TypeAlias = Callable[[Any], object]

PROSE = (
    "The municipal water board met on Tuesday evening to discuss the repair of the northern "
    "pipeline. Eleven valves had been replaced since March, and the remaining fourteen would "
    "follow before winter."
)
GREY = pymupdf.Pixmap(pymupdf.csGRAY, (0, 0, 40, 40), False)
GREY.set_rect(GREY.irect, (128,))
WHITE, BLACK, PALE = (1, 1, 1), (0, 0, 0), (0.85, 0.85, 0.85)


ROSE = (0.75, 0.45, 0.45)


def equally_light(ink: tuple[float, ...]) -> tuple[float, ...]:
    """The green that is the same grey as an ink, as it is drawn."""
    greens = [(0.4, green / 255, 0.4) for green in range(256)]
    with pymupdf.open() as document:
        page = document.new_page(width=257, height=8)
        shape = page.new_shape()
        for x, colour in enumerate([ink, *greens]):
            shape.draw_rect((x, 0, x + 1, 8))
            shape.finish(color=None, fill=colour)
        shape.commit()
        grey, *greys = page.get_pixmap(colorspace=pymupdf.csGRAY).samples[:257]
    return min(zip(greens, greys, strict=True), key=lambda each: abs(each[1] - grey))[0]


def read(folder: Path, *draws: Draw, rotation: int = 0) -> OwnText:
    with pymupdf.open() as document:
        page = document.new_page(width=595, height=842)
        for draw in draws:
            draw(page)
        page.set_rotation(rotation)
        document.save(str(folder / "a.pdf"))
    found = own_text(folder / "a.pdf", 1)
    assert found is not None
    return found


def said(found: OwnText) -> list[str]:
    return [block.text for block in found.result.blocks if block.text]


def prose(page: Any) -> None:
    page.insert_textbox((60, 60, 535, 160), PROSE, fontsize=11)


def outlined(text: str, size: float = 11, at: float = 0.0) -> Draw:
    """Text as curves, as programs for print write it."""

    def draw(page: Any) -> None:
        with pymupdf.open() as document:
            letters = document.new_page(width=595, height=842)
            letters.insert_textbox((60, 300 + at, 535, 700), text, fontsize=size)
            curves = letters.get_svg_image(text_as_path=True).encode()
        with pymupdf.open("pdf", pymupdf.open("svg", curves).convert_to_pdf()) as vectors:
            page.show_pdf_page(page.rect, vectors, 0)

    return draw


@pytest.mark.parametrize("size", [7, 11, 24])
@pytest.mark.parametrize(
    "text", [PROSE, "Eleven valves, by March 1984", "TERMS AND CONDITIONS OF SALE IN 2031"]
)
def test_print_in_outlines_is_left_to_an_engine(tmp_path: Path, text: str, size: float) -> None:
    assert not read(tmp_path, prose, outlined(text, size)).whole


def test_outlines_whose_words_lie_under_them_are_told(tmp_path: Path) -> None:
    def layer(page: Any) -> None:
        page.insert_textbox((60, 300, 535, 700), PROSE, fontsize=11, render_mode=3)

    found = read(tmp_path, layer, outlined(PROSE))
    assert found.whole
    assert said(found) == [PROSE]


def marks(page: Any) -> None:
    for n in range(200):
        at = (100 + 20 * (n % 20), 300 + 30 * (n // 20))
        page.draw_circle(at, 3, fill=BLACK)


def bars(page: Any) -> None:
    for n in range(40):
        page.draw_rect((60 + 11 * n, 500 - 3 * n, 68 + 11 * n, 500), fill=BLACK)


def curve(page: Any) -> None:
    page.draw_polyline([(60 + n, 500 + 60 * (n % 17) / 17) for n in range(400)])


def bubbles(page: Any) -> None:
    chance = random.Random(1)
    for n in range(160):
        at = (80 + 22 * (n % 20), 250 + 40 * (n // 20))
        page.draw_circle(at, chance.uniform(2, 10), fill=(0.3, 0.5, 1))


def leaders(page: Any) -> None:
    """Dots from a chapter to its page, each line's a little larger."""
    shape = page.new_shape()
    for n in range(900):
        at = (130 + 4.2 * (n % 90), 250 + 20 * (n // 90))
        shape.draw_circle(at, 1.1 + 0.1 * (n // 90))
        shape.finish(color=None, fill=BLACK)
    shape.commit()


def houses(page: Any) -> None:
    """A map of a town: corners where rooms stand out."""
    chance = random.Random(2)
    shape = page.new_shape()
    for n in range(440):
        x, y = 80 + 20 * (n % 22), 220 + 20 * (n // 22)
        w, h = chance.uniform(6, 16), chance.uniform(6, 16)
        corners = [(x, y), (x + w, y), (x + w, y + h / 2), (x + w / 2, y + h / 2)]
        shape.draw_polyline([*corners, (x + w / 2, y + h), (x, y + h), (x, y)])
        shape.finish(fill=PALE)
    shape.commit()


def lakes(page: Any) -> None:
    """A map of water: round all over, and no two alike."""
    chance = random.Random(3)
    shape = page.new_shape()
    for _ in range(900):
        x, y = chance.uniform(80, 500), chance.uniform(220, 760)
        w, h = chance.uniform(4, 18), chance.uniform(4, 30)
        shape.draw_bezier((x, y), (x + w, y - h), (x + w, y + h), (x, y + h / 2))
        shape.finish(fill=PALE)
    shape.commit()


CHARTS = [marks, bars, curve, outlined("ACME Ltd", 30), bubbles, leaders, houses, lakes]


@pytest.mark.parametrize("drawn", few(CHARTS))
@pytest.mark.parametrize("rotation", [0, 180])
def test_charts_and_a_logo_need_no_engine(tmp_path: Path, drawn: Draw, rotation: int) -> None:
    level = prose if not rotation else _upside_down
    assert read(tmp_path, level, drawn, rotation=rotation).whole


def _upside_down(page: Any) -> None:
    page.insert_text((500, 700), "The municipal water board met", fontsize=11, rotate=180)


def picture(page: Any) -> None:
    page.insert_image((60, 200, 535, 780), pixmap=GREY, keep_proportion=False)


def strips(page: Any) -> None:
    for n in range(40):
        top = 200 + 14.5 * n
        page.insert_image((60, top, 535, top + 14.5), pixmap=GREY, keep_proportion=False)


def tiles(page: Any) -> None:
    for n in range(64):
        x, y = 60 + 59 * (n % 8), 200 + 72 * (n // 8)
        page.insert_image((x, y, x + 59, y + 72), pixmap=GREY, keep_proportion=False)


@pytest.mark.parametrize("drawn", [picture, strips, tiles])
@pytest.mark.parametrize("name", ["", "Scanned with a phone"])
def test_a_word_on_a_picture_does_not_tell_what_it_shows(
    tmp_path: Path, drawn: Draw, name: str
) -> None:
    assert not read(tmp_path, prose, drawn, lambda page: page.insert_text((90, 760), name)).whole


@pytest.mark.parametrize("drawn", [picture, strips, tiles])
def test_a_picture_with_its_text_on_it_needs_no_engine(tmp_path: Path, drawn: Draw) -> None:
    def text(page: Any) -> None:
        page.insert_textbox((70, 220, 525, 770), PROSE * 3, fontsize=16)

    assert read(tmp_path, drawn, text).whole


def test_small_pictures_apart_are_no_strips(tmp_path: Path) -> None:
    def icons(page: Any) -> None:
        for n in range(30):
            page.insert_image((60, 200 + 18 * n, 72, 212 + 18 * n), pixmap=GREY)

    assert read(tmp_path, prose, icons).whole


def box(colour: tuple[float, ...]) -> Draw:
    return lambda page: page.draw_rect((50, 385, 400, 410), color=None, fill=colour)


def words(**options: Any) -> Draw:
    return lambda page: page.insert_text((60, 400), "Nobody sees this", fontsize=11, **options)


@pytest.mark.parametrize(
    "draws",
    [
        (words(render_mode=3),),
        (words(fill_opacity=0, stroke_opacity=0),),
        (words(color=WHITE),),
        (words(color=(0.99, 1, 0.98)),),
        (words(), box(BLACK)),
        (words(color=WHITE), box(WHITE)),
        (box(PALE), words(color=PALE)),
        (box(BLACK), words()),
        (words(), box(WHITE)),
        (words(), box((1, 0.9, 0.4))),
        (words(), lambda page: page.insert_image((50, 385, 400, 410), pixmap=GREY)),
    ],
)
def test_words_that_nobody_sees_are_not_told(tmp_path: Path, draws: tuple[Draw, ...]) -> None:
    found = read(tmp_path, prose, *draws)
    assert said(found) == [PROSE]
    assert "Nobody" not in " ".join(line.text for line in found.result.lines)


@pytest.mark.parametrize(
    "draws",
    [
        (words(),),
        (words(color=PALE),),
        (words(color=(1, 1, 0.2)),),
        (words(render_mode=1),),
        (box(BLACK), words(color=WHITE)),
        (box(PALE), words()),
        (box(equally_light(ROSE)), words(color=ROSE)),
        (
            words(),
            lambda page: page.draw_rect((50, 385, 400, 410), fill=(1, 1, 0), fill_opacity=0.4),
        ),
        (outlined("Nobody sees this", 11, 89), words(render_mode=3)),
    ],
)
def test_words_of_any_colour_that_are_seen_are_told(
    tmp_path: Path, draws: tuple[Draw, ...]
) -> None:
    assert "Nobody sees this" in said(read(tmp_path, prose, *draws))


def over(left: float, right: float, colour: tuple[float, ...] = WHITE) -> Draw:
    return lambda page: page.draw_rect((left, 385, right, 404), color=None, fill=colour)


def typed_at(left: float, said: str, **options: Any) -> Draw:
    return lambda page: page.insert_text((left, 400), said, fontsize=11, **options)


def width(said: str) -> float:
    return float(pymupdf.get_text_length(said, fontsize=11))


OLD, NEW = "Due: 4,200 euros", "Due: 3,100 euros"
FRIDAY = " on Friday"
LEFT = 60 + width("Due: ")
RIGHT = LEFT + width("4,200")


@pytest.mark.parametrize(
    ("draws", "line"),
    [
        ((typed_at(60, OLD), over(58, 300), typed_at(60, NEW)), NEW),
        ((typed_at(60, OLD), over(58, 300, PALE), typed_at(60, NEW)), NEW),
        (
            (typed_at(60, OLD + FRIDAY), over(LEFT - 1, RIGHT + 1), typed_at(LEFT, "3,100")),
            NEW + FRIDAY,
        ),
        ((typed_at(60, OLD), over(LEFT - 1, RIGHT + 1, BLACK)), "Due: euros"),
    ],
    ids=["line", "on grey", "word", "blackened"],
)
def test_what_is_written_over_gives_way_to_what_is_seen(
    tmp_path: Path, draws: tuple[Draw, ...], line: str
) -> None:
    found = read(tmp_path, prose, *draws)
    assert said(found) == [PROSE, line]
    assert line.split() == [word.text for word in found.result.lines[-1].words]


MULTIPLY = "<</Type/ExtGState/BM/Multiply>>"


@pytest.mark.parametrize(
    "box",
    [
        "q 58 60 20 20 re W n 1 1 1 rg 0 0 595 842 re f Q",
        "q 58 500 m 300 500 l 180 400 l h W n 1 1 1 rg 0 0 595 842 re f Q",
        "q /GS gs 1 1 0.6 rg 0 0 595 842 re f Q",
    ],
    ids=["shown elsewhere only", "cut to no box", "let through"],
)
def test_a_box_that_covers_nothing_takes_no_words(tmp_path: Path, box: str) -> None:
    """Producers draw a whole ground and show a part of it, or mark words with it."""

    def drawn(page: Any) -> None:
        page.clean_contents()
        document, (stream,) = page.parent, page.get_contents()
        document.xref_set_key(page.xref, "Resources/ExtGState/GS", MULTIPLY)
        document.update_stream(stream, document.xref_stream(stream) + f" {box} ".encode())

    newer = typed_at(62, "Newer words")
    assert said(read(tmp_path, prose, drawn, newer)) == [PROSE, "Newer words"]


@pytest.mark.parametrize("seen", [0, 76])
def test_a_box_through_whose_mask_words_show_takes_none(tmp_path: Path, seen: int) -> None:
    """As slides have them, feathered; of 255 so much of the box is seen."""

    def drawn(page: Any) -> None:
        page.clean_contents()
        document, (stream,) = page.parent, page.get_contents()
        form = document.get_new_xref()
        group = "/Group<</S/Transparency/CS/DeviceGray>>"
        kind = "<</Type/XObject/Subtype/Form/BBox[0 0 595 842]"
        document.update_object(form, f"{kind}{group}>>")
        document.update_stream(form, f"{seen / 255} g 0 0 595 842 re f".encode())
        state = f"<</Type/ExtGState/SMask<</S/Luminosity/G {form} 0 R>>>>"
        document.xref_set_key(page.xref, "Resources/ExtGState/GS", state)
        box = " q /GS gs 1 1 0.6 rg 40 60 500 760 re f Q "
        document.update_stream(stream, document.xref_stream(stream) + box.encode())

    newer = typed_at(62, "Newer words")
    assert said(read(tmp_path, prose, drawn, newer)) == [PROSE, "Newer words"]


@pytest.mark.parametrize("apart", [0.0, 0.3, 1.0])
def test_what_is_printed_twice_is_told_once_where_something_is_written_over(
    tmp_path: Path, apart: float
) -> None:
    def bold(page: Any) -> None:
        for n in range(2):
            page.insert_text((60 + n * apart, 500 + n * apart), "All hills ill", fontsize=11)

    written_over = typed_at(60, OLD), over(58, 300), typed_at(60, NEW)
    assert said(read(tmp_path, prose, bold, *written_over)) == [PROSE, NEW, "All hills ill"]


def test_a_layer_under_a_picture_is_covered_by_no_box_before_it(tmp_path: Path) -> None:
    """A page that was read anew: words, a white ground, the scan, and a stamp on it."""

    def scan(page: Any) -> None:
        shown = page.get_pixmap(dpi=100)
        page.draw_rect(page.rect, color=None, fill=WHITE)
        page.insert_image(page.rect, pixmap=shown)

    found = read(tmp_path, prose, scan, typed_at(60, "Received"))
    assert "The municipal water board" in " ".join(said(found))


def test_a_note_typed_over_words_takes_their_place(tmp_path: Path) -> None:
    def note(page: Any) -> None:
        page.add_freetext_annot((58, 388, 300, 404), NEW, fontsize=11, fill_color=WHITE)

    assert said(read(tmp_path, prose, typed_at(60, OLD), note)) == [PROSE, NEW]


def test_what_nobody_sees_is_in_no_table_either(tmp_path: Path) -> None:
    def table(page: Any) -> None:
        for n in range(4):
            page.draw_line((60, 300 + 30 * n), (420, 300 + 30 * n))
            page.draw_line((60 + 120 * n, 300), (60 + 120 * n, 390))
        for n in range(9):
            at = (66 + 120 * (n % 3), 320 + 30 * (n // 3))
            page.insert_text(at, f"cell {n}", fontsize=11, color=WHITE if n == 4 else BLACK)

    found = read(tmp_path, prose, table)
    rows = next(block.rows for block in found.result.blocks if block.rows)
    told = [f"cell {n}" if n != 4 else "" for n in range(9)]
    assert [cell for row in rows for cell in row] == told


@pytest.mark.parametrize("shifts", [[0.0, 0.3], [0.0, 0.2, 0.4], [0.0, 1.0]])
@pytest.mark.parametrize("size", [11, 20])
def test_what_is_printed_twice_to_be_bold_is_told_once(
    tmp_path: Path, shifts: list[float], size: float
) -> None:
    def twice(page: Any) -> None:
        for shift in shifts:
            page.insert_text((60 + shift, 300), "Terms of payment", fontsize=size)

    found = read(tmp_path, prose, twice)
    assert said(found) == [PROSE, "Terms of payment"]
    assert [line.text for line in found.result.lines].count("Terms of payment") == 1


def test_what_is_said_twice_is_told_twice(tmp_path: Path) -> None:
    def twice(page: Any) -> None:
        for at in (300, 340):
            page.insert_text((60, at), "aa bb 1100 ll ll", fontsize=11)

    assert said(read(tmp_path, prose, twice)) == [PROSE, "aa bb 1100 ll ll", "aa bb 1100 ll ll"]


@pytest.mark.parametrize("ink", [20, 200, 225], ids=["black", "pale", "faded"])
def test_a_layer_beside_the_print_is_found_out(tmp_path: Path, ink: int) -> None:
    scanned = pymupdf.Pixmap(pymupdf.csGRAY, (0, 0, 595, 842), False)
    scanned.set_rect(scanned.irect, (250,))
    for top in range(70, 160, 14):
        for left in range(60, 520, 4):
            scanned.set_rect(pymupdf.IRect(left, top, left + 2, top + 8), (ink,))

    def scan(page: Any) -> None:
        page.insert_image(page.rect, pixmap=scanned)

    def layer(top: float) -> Draw:
        at = (60, top, 535, top + 100)
        return lambda page: page.insert_textbox(at, PROSE, fontsize=11, render_mode=3)

    assert read(tmp_path, scan, layer(65)).fault == ""
    assert read(tmp_path, scan, layer(500)).fault == "its words do not stand where the print is"


@pytest.mark.parametrize("top", [200, 380, 600, 800])
@pytest.mark.parametrize("last", ["3", "1250"])
def test_a_number_below_all_else_stays_there(tmp_path: Path, top: float, last: str) -> None:
    def draw(page: Any) -> None:
        page.insert_text((60, top), last, fontsize=11)

    assert said(read(tmp_path, prose, draw)) == [PROSE, last]


def test_a_pages_number_above_its_text_stays_there(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((530, 30), "17", fontsize=9)
        page.insert_text((60, 220), "below it stands text", fontsize=11)

    assert said(read(tmp_path, prose, draw))[0] == "17"


def font_of_all_scripts() -> str:
    found = next(Path("/usr/share/fonts").rglob("DejaVuSans.ttf"), None)
    if found is None:
        pytest.skip("there is no font with Hebrew: apt install fonts-dejavu-core")
    return str(found)


def test_letters_that_join_are_told_as_they_are_typed(tmp_path: Path) -> None:
    """What Arabic fonts map their shapes to are presentation forms, which no search finds."""
    font = font_of_all_scripts()

    def draw(page: Any) -> None:
        page.insert_font(fontname="F", fontfile=font)
        page.insert_text((60, 300), "\ufb01ve", fontname="F", fontsize=14)
        page.insert_text((60, 400), "\ufe8d\ufedf\ufecc", fontname="F", fontsize=14)

    told = " ".join(said(read(tmp_path, draw)))
    assert "five" in told
    assert sorted(told.replace("five", "").strip()) == sorted("\u0627\u0644\u0639")


def test_a_vowel_mark_by_itself_parts_no_word() -> None:
    """Its presentation form stands for one over a space."""
    assert typed("\u0645\ufc60\u0627") == "\u0645\u064e\u0651\u0627"
    assert typed("\u0645\ufe76\u0627 \ufb01n") == "\u0645\u064e\u0627 fin"


def test_a_soft_hyphen_shows_at_the_end_of_its_line_alone() -> None:
    assert typed("the muni\u00adcipal water re\u00ad") == "the municipal water re\u00ad"


HEBREW = ["שלום עולם זהו טקסט בעברית לבדיקה", "חשבון לתשלום עד יום שישי בבוקר"]


@pytest.mark.parametrize("size", [8, 11, 24])
def test_words_that_run_from_right_to_left_are_told_in_their_order(
    tmp_path: Path, size: float
) -> None:
    """Each word is set by itself, its letters as they stand from left to right."""
    file = font_of_all_scripts()
    font = pymupdf.Font(fontfile=file)

    def draw(page: Any) -> None:
        page.insert_font(fontname="F", fontfile=file)
        for number, line in enumerate(HEBREW):
            right = 535.0
            for word in line.split():
                right -= font.text_length(word, size)
                at = (right, 100 + 1.3 * size * number)
                page.insert_text(at, word[::-1], fontname="F", fontsize=size)
                right -= font.text_length(" ", size)

    assert " ".join(" ".join(said(read(tmp_path, draw))).split()) == " ".join(HEBREW)


def test_a_line_set_from_its_end_stays_in_its_order_where_it_runs_to_the_right(
    tmp_path: Path,
) -> None:
    def draw(page: Any) -> None:
        page.insert_text((120, 300), "second", fontsize=11)
        page.insert_text((80, 300), "first", fontsize=11)

    told = " ".join(said(read(tmp_path, prose, draw)))
    assert told.index("first") < told.index("second")


def text(said: str, box: Box) -> Block:
    return Block("text", said, (box,), Markup.PLAIN)


def page_of(*blocks: Block) -> PageResult:
    lines = tuple(Line(block.text, block.boxes[0]) for block in blocks)
    return PageResult(text="", blocks=blocks, lines=lines)


TABLE = Block("table", "", (Box(0.1, 0.2, 0.9, 0.6),), rows=(("Valve", "Bar"), ("North", "2.5")))


@pytest.mark.parametrize("engine", [TABLE, text("Eleven valves by March", TABLE.boxes[0])])
def test_a_stamp_on_what_is_read_does_not_take_its_place(engine: Block) -> None:
    stamp = text("No 7", Box(0.45, 0.3, 0.5, 0.32))
    aside = text("Filed", Box(0.1, 0.9, 0.2, 0.92))
    both = merged(page_of(stamp, aside), page_of(engine))
    assert both.blocks == (engine, aside)
    assert both.words_from is WordsFrom.BOTH


def test_a_line_of_which_a_word_was_known_is_told_and_found_once() -> None:
    known = text("The municipal", Box(0.1, 0.1, 0.3, 0.12))
    whole = text("The municipal water board met on Tuesday", Box(0.1, 0.1, 0.9, 0.12))
    both = merged(page_of(known), page_of(whole))
    assert [block.text for block in both.blocks] == [whole.text]
    assert [line.text for line in both.lines] == [whole.text]


def test_what_a_page_says_better_counts() -> None:
    own = text("The municipal water board met", Box(0.1, 0.1, 0.8, 0.12))
    read_ = text("The rnunicipa1 water b0ard met on", Box(0.1, 0.1, 0.9, 0.12))
    both = merged(page_of(own), page_of(read_))
    assert [block.text for block in both.blocks] == [own.text]
    assert [line.text for line in both.lines] == [own.text]
