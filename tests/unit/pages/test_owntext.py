"""A PDF that carries its own text is taken at its word, where that word is good."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pymupdf as _pymupdf
import pytest

from ocrd.document.markdown import page as markdown
from ocrd.modes import AnswerFormat
from ocrd.page import Block, Box, Line, Markup, PageResult, Word, WordsFrom
from ocrd.pages.columns import tables
from ocrd.pages.reading import OwnText, in_order, merged
from ocrd.pages.work import own_text

pymupdf: Any = _pymupdf  # its functions carry no annotations

PROSE = (
    "The municipal water board met on Tuesday evening to discuss the repair of the northern "
    "pipeline. Eleven valves had been replaced since March, and the remaining fourteen would "
    "follow before winter. The treasurer asked whether the estimate included labour."
)
OTHER = (
    "A second column tells of other things: the harvest was good, the harbour was frozen, and "
    "nobody had seen the lighthouse keeper since the beginning of the long and bitter month."
)


def read(folder: Path, draw: Any, *, rotation: int = 0) -> OwnText | None:
    """What the one page says that `draw` draws on."""
    with pymupdf.open() as document:
        page = document.new_page(width=595, height=842)
        draw(page)
        page.set_rotation(rotation)
        document.save(str(folder / "a.pdf"))
    return own_text(folder / "a.pdf", 1)


def sound(found: OwnText | None) -> PageResult:
    assert found is not None
    assert found.fault == ""
    assert found.whole
    assert found.result.words_from is WordsFrom.PDF
    return found.result


@pytest.mark.parametrize(("mark", "drawn"), [("✔", "4"), ("✘", "8"), ("✗", "7")])
@pytest.mark.parametrize("over_white", [False, True])
def test_a_box_that_is_ticked_says_so(
    tmp_path: Path, mark: str, drawn: str, over_white: bool
) -> None:
    """Codes of ZapfDingbats as ISO 32000-1 has them in annex D.6; forms write their ticks so."""

    def form(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 200), PROSE)
        for place, said in enumerate(("I agree to the terms", "Send me the newsletter")):
            page.draw_rect((60, 300 + 40 * place, 72, 312 + 40 * place))
            page.insert_text((80, 310 + 40 * place), said)
        if over_white:
            page.insert_text((61, 310), "no", fontsize=6)
            page.draw_rect((60, 300, 72, 312), fill=(1, 1, 1))
        page.clean_contents()
        document, resources = page.parent, page.xref
        font = document.get_new_xref()
        document.update_object(font, "<</Type/Font/Subtype/Type1/BaseFont/ZapfDingbats>>")
        document.xref_set_key(resources, "Resources/Font/ZaDb", f"{font} 0 R")
        stream = page.get_contents()[0]
        tick = f" q BT /ZaDb 11 Tf 62 532 Td ({drawn}) Tj ET Q".encode()
        document.update_stream(stream, document.xref_stream(stream) + tick)

    texts = [
        line for block in sound(read(tmp_path, form)).blocks for line in block.text.split("\n")
    ]
    assert f"• {mark} I agree to the terms" in texts
    assert "Send me the newsletter" in texts


def letter(page: Any) -> None:
    html = (
        "<h1>Minutes of the board</h1><p>" + PROSE + "</p><h2>What was decided</h2>"
        "<ul><li>Repair the pipeline</li><li>Pay the contractor</li></ul><p>" + OTHER + "</p>"
    )
    page.insert_htmlbox((60, 60, 535, 700), html)
    page.insert_text((290, 815), "- 3 -", fontsize=9)


def test_a_letter_comes_out_with_its_structure_and_every_word(tmp_path: Path) -> None:
    blocks = sound(read(tmp_path, letter)).blocks
    assert markdown(blocks, AnswerFormat.DOCUMENT, {}).split("\n") == [
        "# Minutes of the board",
        "",
        PROSE,
        "",
        "## What was decided",
        "",
        "- Repair the pipeline",
        "- Pay the contractor",
        "",
        OTHER,
        "",
        "<sub>- 3 -</sub>",
    ]


def test_columns_are_read_one_after_the_other_under_what_spans_them(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((60, 60), "A headline over both of the columns", fontsize=22)
        page.insert_textbox((310, 90, 540, 400), OTHER, fontsize=11)
        page.insert_textbox((60, 90, 290, 400), PROSE, fontsize=11)
        page.insert_text((60, 600), "At the foot " + "of both of them " * 5, fontsize=11)

    said = [block.text for block in sound(read(tmp_path, draw)).blocks]
    assert said[:3] == ["A headline over both of the columns", PROSE, OTHER]
    assert said[3].startswith("At the foot")


def test_a_ruled_table_has_its_cells(tmp_path: Path) -> None:
    cells = [("Item", "Amount", "Price"), ("Paper", "12", "3.50"), ("Toner", "15", "89.00")]

    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 160), PROSE, fontsize=11)
        for y, row in enumerate(cells):
            for x, cell in enumerate(row):
                page.draw_rect((60 + 150 * x, 200 + 30 * y, 210 + 150 * x, 230 + 30 * y))
                page.insert_text((70 + 150 * x, 220 + 30 * y), cell, fontsize=11)

    blocks = sound(read(tmp_path, draw)).blocks
    assert [block.label for block in blocks] == ["text", "table"]
    assert blocks[1].rows == tuple(cells)


INVOICE = [
    ("Pos", "Description", "Qty", "Price"),
    ("1", "Printer paper, white", "12", "42.00"),
    ("2", "Toner cartridge for the", "1", "89.50"),
    ("", "large printer", "", ""),
    ("3", "Envelopes", "500", "19.90"),
]
SHOWN = """\
| Pos | Description | Qty | Price |
| --- | --- | --- | --- |
| 1 | Printer paper, white | 12 | 42.00 |
| 2 | Toner cartridge for the large printer | 1 | 89.50 |
| 3 | Envelopes | 500 | 19.90 |"""


@pytest.mark.parametrize("size", [9, 11])
def test_a_table_without_rules_has_its_cells(tmp_path: Path, size: int) -> None:
    """Numbers stand flush right, and a long cell goes on in a second line."""

    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 160), PROSE, fontsize=size)
        at = 200.0
        for row in INVOICE:
            at += 12 if not row[0] else 20
            for cell, left, right in zip(row, (60, 95, 0, 0), (0, 0, 400, 520), strict=True):
                width = pymupdf.get_text_length(cell, fontsize=size)
                page.insert_text((left or right - width, at), cell, fontsize=size)
        page.insert_textbox((60, 330, 535, 460), OTHER, fontsize=size)

    blocks = sound(read(tmp_path, draw)).blocks
    assert markdown(blocks, AnswerFormat.DOCUMENT, {}) == f"{PROSE}\n\n{SHOWN}\n\n{OTHER}"


@pytest.mark.parametrize("align", [0, 3])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_prose_is_no_table(tmp_path: Path, columns: int, align: int) -> None:
    """Ragged or justified, in columns whose lines are level."""
    dice = random.Random(columns)

    def draw(page: Any) -> None:
        width = 500 / columns
        for column in range(columns):
            words = (PROSE + " " + OTHER).split()
            dice.shuffle(words)
            left = 50 + width * column
            area = (left, 60, left + width - 12, 800)
            page.insert_textbox(area, " ".join(words * 3), fontsize=9, align=align)

    blocks = sound(read(tmp_path, draw)).blocks
    assert {block.label for block in blocks} == {"text"}


def test_what_a_program_types_keeps_its_lines(tmp_path: Path) -> None:
    code = ["for page in pages:", "    print(page * 2)  # _all_ of them"]

    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 130), PROSE, fontsize=11)
        for at, line in enumerate(code):
            page.insert_text((60, 150 + 13 * at), line, fontname="cour", fontsize=10)
        page.insert_textbox((60, 180, 535, 260), OTHER, fontsize=11)

    shown = markdown(sound(read(tmp_path, draw)).blocks, AnswerFormat.DOCUMENT, {})
    assert shown == "\n".join([PROSE, "", "```", *code, "```", "", OTHER])


def test_a_page_typed_in_equal_widths_throughout_is_prose(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 260), PROSE, fontname="cour", fontsize=10)

    (block,) = sound(read(tmp_path, draw)).blocks
    assert (block.label, block.text) == ("text", PROSE)


def test_a_centred_line_is_no_part_of_the_paragraph_below(tmp_path: Path) -> None:
    html = f"<h1>Annual Report</h1><p style='text-align:center'>by the Office</p><p>{PROSE}</p>"
    found = read(tmp_path, lambda page: page.insert_htmlbox((60, 60, 535, 700), html))
    assert [block.text for block in sound(found).blocks] == [
        "Annual Report", "by the Office", PROSE,
    ]  # fmt: skip


def test_a_link_of_several_words_is_one_link(tmp_path: Path) -> None:
    """As word processors write it: a place for each piece, a space among them."""
    html = "<p>See <a href='https://example.org/x'>the site</a> or ask. Fish office.</p>"
    found = read(tmp_path, lambda page: page.insert_htmlbox((60, 60, 535, 700), html))
    shown = markdown(sound(found).blocks, AnswerFormat.DOCUMENT, {})
    assert shown == "See [the site](<https://example.org/x>) or ask. Fish office."


def test_a_link_leads_where_it_led(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((60, 100), "Write to the office at example.org for a copy", fontsize=12)
        (place,) = page.search_for("example.org")
        uri = "https://example.org/a(1)"
        page.insert_link({"kind": pymupdf.LINK_URI, "from": place, "uri": uri})

    (block,) = sound(read(tmp_path, draw)).blocks
    assert markdown([block], AnswerFormat.DOCUMENT, {}) == (
        "Write to the office at [example.org](<https://example.org/a(1)>) for a copy"
    )


@pytest.mark.parametrize(
    ("end", "start", "whole"),
    [
        ("along the Rhine-", "Main railway until noon", "Rhine-Main"),
        ("after a COVID-", "19 infection in the north", "COVID-19"),
        ("zwischen Ein-", "und Ausgang des Hauses", "Ein- und Ausgang"),
        ("that met to dis-", "cuss the old pipeline", "to discuss the old"),
    ],
)
def test_a_hyphen_stays_where_it_is_printed_in_the_word_itself(
    tmp_path: Path, end: str, start: str, whole: str
) -> None:
    def draw(page: Any) -> None:
        for number, line in enumerate((f"It was seen by everybody {end}", start)):
            page.insert_text((60, 100 + 14 * number), line, fontsize=11)

    assert whole in sound(read(tmp_path, draw)).text


def html(body: str, style: str = "") -> Any:
    """Draws a document as a browser would set it."""
    return lambda page: page.insert_htmlbox((60, 60, 535, 780), body, css=style)


@pytest.mark.parametrize(
    "style",
    [
        "h2 {font-size: 12px; font-weight: bold}",
        "h2 {font-size: 12px; font-weight: normal; font-style: italic}",
        "h2 {font-size: 12px; font-weight: normal; color: #246}",
        "h2 {font-size: 18px; font-weight: normal}",
    ],
)
def test_headings_of_the_size_of_text_stand_out_by_their_style(tmp_path: Path, style: str) -> None:
    heads = ["Where the money went", "What is left"]
    body = "".join(f"<h2>{head}</h2><p>{PROSE}</p><p>{OTHER}</p>" for head in heads)
    found = sound(read(tmp_path, html(body, "body {font-size: 12px}" + style))).blocks
    assert [block.text for block in found if block.level] == heads


def test_a_heading_in_capitals_is_no_part_of_its_paragraph(tmp_path: Path) -> None:
    body = f"<p style='margin: 0'>WHAT WAS SAID</p><p style='margin: 0'>{PROSE} {OTHER}</p>"
    found = sound(read(tmp_path, html(body))).blocks
    assert [(block.level > 0, block.text) for block in found] == [
        (True, "WHAT WAS SAID"), (False, f"{PROSE} {OTHER}"),
    ]  # fmt: skip


def test_answers_in_a_form_are_no_headings_of_its_labels(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((60, 60), "Application for a card", fontsize=16, fontname="hebo")
        for at, (label, said) in enumerate([("First name", "Anna"), ("Town", "Oxford")] * 4):
            page.insert_text((60, 100 + 40 * at), label, fontsize=8, fontname="hebo")
            page.insert_text((60, 114 + 40 * at), said, fontsize=11)

    found = sound(read(tmp_path, draw)).blocks
    assert [block.text for block in found if block.level] == ["Application for a card"]


ITEMS = ["Repair the pipeline", "Replace eleven valves", "Ask for prices", "Pay the contractor"]
DEPTHS = [0, 1, 1, 0]


def typed_marks(page: Any, at: float, left: float) -> None:
    page.insert_text((left - 12, at), "\u2022", fontsize=11, fontname="symb")


def drawn_marks(page: Any, at: float, left: float) -> None:
    page.draw_circle((left - 10, at - 3.5), 1.8, fill=(0, 0, 0))


@pytest.mark.parametrize("mark", [typed_marks, drawn_marks])
def test_items_lie_in_items_whether_their_marks_are_typed_or_drawn(
    tmp_path: Path, mark: Any
) -> None:
    """Browsers draw the marks; others set them all before or after the text of the items."""

    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 130), PROSE, fontsize=11)
        lefts = [90 + 30 * depth for depth in DEPTHS]
        for number, (said, left) in enumerate(zip(ITEMS, lefts, strict=True)):
            page.insert_text((left, 150 + 14 * number), said, fontsize=11)
        for number, left in enumerate(lefts):
            mark(page, 150 + 14 * number, left)

    shown = markdown(sound(read(tmp_path, draw)).blocks, AnswerFormat.DOCUMENT, {})
    lines = [f"{'    ' * depth}- {said}" for depth, said in zip(DEPTHS, ITEMS, strict=True)]
    assert shown == "\n".join([PROSE, "", *lines])


def test_numbers_without_a_dot_before_items_count_them(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 130), PROSE, fontsize=11)
        for number, said in enumerate(ITEMS):
            page.insert_text((60, 150 + 14 * number), str(number + 1), fontsize=11)
            page.insert_text((80, 150 + 14 * number), said, fontsize=11)

    shown = markdown(sound(read(tmp_path, draw)).blocks, AnswerFormat.DOCUMENT, {})
    assert shown.split("\n")[2:] == [f"{at}. {said}" for at, said in enumerate(ITEMS, start=1)]


def test_a_title_in_the_middle_of_columns_comes_first(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((250, 60), "A short title", fontsize=18)
        page.insert_text((60, 95), "To begin with", fontsize=11, fontname="hebo")
        page.insert_textbox((60, 100, 285, 400), PROSE, fontsize=11)
        page.insert_textbox((310, 84, 535, 400), OTHER, fontsize=11)

    said = [block.text for block in sound(read(tmp_path, draw)).blocks]
    assert said == ["A short title", "To begin with", PROSE, OTHER]


def test_what_stands_beside_each_other_above_other_things_is_read_line_by_line() -> None:
    table = Block("table", "", (Box(0.4, 0.5, 0.6, 0.6),), rows=(("a", "b"), ("c", "d")))
    caption = Block("text", "Table 1", (Box(0.1, 0.62, 0.35, 0.64),))
    assert in_order([caption, table]) == [table, caption]


def test_a_paragraph_goes_on_in_the_next_column(tmp_path: Path) -> None:
    words = PROSE.split()

    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 285, 300), " ".join(words[:20]), fontsize=11)
        page.insert_textbox((310, 40, 535, 300), " ".join(words[20:]), fontsize=11)

    (block,) = sound(read(tmp_path, draw)).blocks
    assert block.text == PROSE
    assert len(block.boxes) == 2


@pytest.mark.parametrize("flush_right", [False, True])
def test_the_lines_of_an_address_stay_lines(tmp_path: Path, flush_right: bool) -> None:
    address = ["Mrs Jane Doe", "Apartment 4", "99 Long Road", "Oxford OX1 2AB"]

    def draw(page: Any) -> None:
        for at, line in enumerate(address):
            width = pymupdf.get_text_length(line, fontsize=11)
            page.insert_text((535 - width if flush_right else 60, 60 + 14 * at), line)
        page.insert_textbox((60, 150, 535, 240), PROSE, fontsize=11)

    said = [block.text for block in sound(read(tmp_path, draw)).blocks]
    assert said == ["\n".join(address), PROSE]


def test_an_address_and_facts_beside_it_are_no_table_together(tmp_path: Path) -> None:
    address = ["Mrs Jane Doe", "Apartment 4", "99 Long Road", "Oxford OX1 2AB"]
    facts = [("Invoice", "2025-42"), ("Date", "12 March"), ("Due", "12 April"), ("For", "K-9")]

    def draw(page: Any) -> None:
        for at, (line, (label, said)) in enumerate(zip(address, facts, strict=True)):
            for x, text in ((60, line), (370, label), (450, said)):
                page.insert_text((x, 60 + 14 * at), text)

    blocks = sound(read(tmp_path, draw)).blocks
    assert [block.rows for block in blocks] == [(), tuple(facts)]
    assert blocks[0].text == "\n".join(address)


def test_heads_and_feet_that_all_pages_have_are_no_text(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        for number in range(1, 5):
            page = document.new_page(width=595, height=842)
            page.insert_text((60, 70), "Minutes of the water board", fontsize=9, fontname="hebo")
            page.insert_textbox((60, 100, 535, 400), f"{PROSE} {OTHER}", fontsize=11)
            page.insert_text((60, 790), f"Oxford, sheet {number} of 4", fontsize=9)
        document.save(str(tmp_path / "a.pdf"))
    for number in range(1, 5):
        labels = [block.label for block in sound(own_text(tmp_path / "a.pdf", number)).blocks]
        assert labels == ["header", "text", "footer"]


def test_headings_have_the_same_level_on_all_pages(tmp_path: Path) -> None:
    sizes = {1: (24, 16), 2: (16,), 3: (13, 16)}
    with pymupdf.open() as document:
        for heads in sizes.values():
            page, top = document.new_page(width=595, height=842), 90
            for size in heads:
                page.insert_text((60, top), f"In {size} points", fontsize=size)
                page.insert_textbox((60, top + 20, 535, top + 120), PROSE, fontsize=10)
                top += 150
        document.save(str(tmp_path / "a.pdf"))
    found = [
        (block.text, block.level)
        for number in sizes
        for block in sound(own_text(tmp_path / "a.pdf", number)).blocks
        if block.level
    ]
    assert found == [(f"In {size} points", {24: 1, 16: 2, 13: 3}[size])
                     for heads in sizes.values() for size in heads]  # fmt: skip


def test_links_of_the_same_words_lead_where_each_led(tmp_path: Path) -> None:
    """Nor is a link put into a longer word, and one over two lines is one."""
    body = (
        "<p>Others ask at the harbour, or <a href='https://a.example/1'>here</a> and "
        "<a href='https://a.example/2'>here</a>. There is also a rather long story about the "
        "<a href='https://a.example/3'>keeper of the lighthouse and his long and bitter month "
        "upon the frozen sea</a>.</p>"
    )
    shown = markdown(sound(read(tmp_path, html(body))).blocks, AnswerFormat.DOCUMENT, {})
    assert shown == (
        "Others ask at the harbour, or [here](<https://a.example/1>) and "
        "[here](<https://a.example/2>). There is also a rather long story about the [keeper of the "
        "lighthouse and his long and bitter month upon the frozen sea](<https://a.example/3>)."
    )


@pytest.mark.parametrize("unit", [1, 2.5])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_words_lie_where_they_are_seen_on_a_turned_page(
    tmp_path: Path, rotation: int, unit: float
) -> None:
    def draw(page: Any) -> None:
        page.set_rotation(rotation)
        shown = page.rect
        at = pymupdf.Point(shown.width / 4, shown.height / 4) * page.derotation_matrix
        page.insert_text(at, "Somewhere on the page", fontsize=20, rotate=rotation)
        page.parent.xref_set_key(page.xref, "UserUnit", str(unit))

    (line,) = sound(read(tmp_path, draw, rotation=rotation)).lines
    assert line.text == "Somewhere on the page"
    assert line.box.x1 == pytest.approx(0.25, abs=0.01)
    assert line.box.y1 < 0.25 < line.box.y2


def test_a_page_without_words_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, lambda page: page.draw_rect((60, 60, 200, 200), fill=(0, 0, 0))) is None


def shifted(text: str) -> str:
    return "".join(chr(ord(char) + 3) if char.isalpha() else char for char in text)


def shuffled(text: str) -> str:
    letters = list("abcdefghijklmnopqrstuvwxyz")
    random.Random(3).shuffle(letters)
    return text.lower().translate(dict(zip(range(97, 123), letters, strict=True)))


@pytest.mark.parametrize(
    ("spoilt", "fault"),
    [
        (shifted, "not those that are printed"),
        (shuffled, "not those that are printed"),
        (lambda text: " ".join(text), "taken apart"),
        (lambda text: "".join(chr(0xE000 + ord(char)) for char in text), "no meaning"),
    ],
)
def test_text_that_is_none_is_found_out(tmp_path: Path, spoilt: Any, fault: str) -> None:
    def draw(page: Any) -> None:
        font = "<style>p {font-family: sans-serif}</style>"
        page.insert_htmlbox((60, 60, 535, 700), f"{font}<p>{spoilt(PROSE)}</p>")

    found = read(tmp_path, draw)
    assert found is None or fault in found.fault


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "Der Ausschuss trat am Dienstagabend zusammen, um über die Reparatur der nördlichen "
        "Leitung zu beraten. Elf Ventile waren seit März ersetzt worden.",
        "Rada zebrała się we wtorek wieczorem, aby omówić naprawę północnego rurociągu. Od marca "
        "wymieniono jedenaście zaworów, a pozostałe czternaście wymieni się przed zimą.",
        "Valtuusto kokoontui tiistai-iltana keskustelemaan pohjoisen putkilinjan korjauksesta. "
        "Yksitoista venttiiliä oli vaihdettu maaliskuun jälkeen.",
        "Совет собрался во вторник вечером, чтобы обсудить ремонт северного трубопровода.",
        "理事会は火曜日の夜に会合を開き、北部パイプラインの修理について話し合った。",
        "ABX-1207 14.50 C7 Q2 1,250.75 ZRH-WAW 48213 KLM 9",
    ],
)
def test_no_language_is_taken_for_garbage(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, lambda page: page.insert_htmlbox((60, 60, 535, 700), f"<p>{text}</p>"))
    assert found is not None
    assert found.fault == ""


def test_a_scanned_picture_beside_the_text_is_left_to_an_engine(tmp_path: Path) -> None:
    picture = pymupdf.Pixmap(pymupdf.csGRAY, (0, 0, 200, 200), False)

    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 160), PROSE, fontsize=11)
        page.insert_image((60, 300, 535, 700), pixmap=picture, keep_proportion=False)

    found = read(tmp_path, draw)
    assert found is not None
    assert not found.whole
    engine = PageResult(
        text="read",
        blocks=(
            Block("text", "The municipa1 water", (Box(0.1, 0.07, 0.9, 0.19),), Markup.PLAIN),
            Block("text", "In the picture", (Box(0.2, 0.5, 0.6, 0.53),), Markup.PLAIN),
        ),
        lines=(Line("In the picture", Box(0.2, 0.5, 0.6, 0.53)),),
    )
    both = merged(found.result, engine)
    assert [block.text for block in both.blocks] == [PROSE, "In the picture"]
    assert both.words_from is WordsFrom.BOTH
    assert both.lines[-1].text == "In the picture"
    assert PageResult.from_json(both.to_json()).words_from is WordsFrom.BOTH


def test_columns_below_a_form_stay_columns() -> None:
    def block(text: str, x: float, y: float, width: float, height: float) -> Block:
        return Block("text", text, (Box(x, y, x + width, y + height),), Markup.PLAIN)

    form = [
        block(f"{name} {n}", x, 0.1 + 0.03 * n, 0.1, 0.015)
        for n in range(4)
        for name, x in (("label", 0.1), ("value", 0.5))
    ]
    ends = {"left": (0.4, 0.5, 0.6, 0.7), "right": (0.4, 0.52, 0.61, 0.7)}
    below = [
        block(f"{side} {n} " * 8, x + indent, top, 0.35 - indent, ends[side][n + 1] - top - 0.005)
        for side, x in (("left", 0.1), ("right", 0.55))
        for n, (indent, top) in enumerate(zip((0.0, 0.03, 0.0), ends[side], strict=False))
    ]
    assert in_order([*below[3:], *form, *below[:3]]) == [*form, *below]


def test_a_map_full_of_words_takes_no_minutes() -> None:
    """Nobody counts the minutes here: that nothing is looked for shows."""
    words = [
        Word("a", Box(x / 60, y / 60, (x + 0.4) / 60, (y + 0.6) / 60))
        for x in range(60)
        for y in range(60)
    ]
    some = [word for word in words if word.box.x1 < 0.2]
    assert list(tables(words, [], [], 600, 800)) == []
    assert [len(table.rows) for table in tables(some, [], [], 600, 800)] == [60]


def test_three_columns_of_several_blocks_stay_apart() -> None:
    def block(column: int, row: int) -> Block:
        x, y = 0.05 + 0.31 * column, 0.2 + 0.1 * row
        return Block("text", f"{column}{row}", (Box(x, y, x + 0.29, y + 0.09),))

    blocks = [block(column, row) for row in range(6) for column in range(3)]
    title = Block("title", "title", (Box(0.05, 0.05, 0.95, 0.1),))
    said = [each.text for each in in_order([*blocks, title])]
    assert said == ["title", *(f"{column}{row}" for column in range(3) for row in range(6))]


@pytest.mark.parametrize(
    ("columns", "ends", "articles"),
    [
        (3, (0.3, 0.3, 0.3), True),
        (2, (0.3, 0.2), True),
        (2, (0.3, 0.3), False),
    ],
    ids=["three", "two, one ends early", "two of one text"],
)
def test_headings_level_over_all_columns_begin_other_articles(
    columns: int, ends: tuple[float, ...], articles: bool
) -> None:
    def block(text: str, column: int, top: float, end: float, level: int = 0) -> Block:
        x = 0.05 + 0.31 * column
        return Block("text", text, (Box(x, top, x + 0.29, end),), Markup.PLAIN, level=level)

    above = [block(f"above {n}", n, 0.1, end) for n, end in zip(range(columns), ends, strict=True)]
    heads = [block(f"head {n}", n, 0.32, 0.34, level=2) for n in range(columns)]
    below = [block(f"below {n}", n, 0.35, 0.6 - 0.02 * n) for n in range(columns)]
    rows = [above, [it for pair in zip(heads, below, strict=True) for it in pair]]
    one_text = [it for column in zip(above, heads, below, strict=True) for it in column]
    expected = [it for row in rows for it in row] if articles else one_text
    assert in_order(expected[::-1]) == expected


FIGURES = [
    ("Valve", "Bar", "Litres"),
    ("North gate", "2.5", "1310"),
    ("South gate", "3.1", "986"),
    ("Mill lane", "2.8", "1204"),
]


def set_table(
    page: Any, left: float, top: float, cells: Sequence[tuple[str, ...]], *, step: float
) -> None:
    for number, row in enumerate(cells):
        for column, cell in enumerate(row):
            page.insert_text((left + step * column, top + 12 * number), cell, fontsize=8)


@pytest.mark.parametrize("beside", [285, 310])
@pytest.mark.parametrize("ruled", [False, True])
def test_a_table_in_one_of_two_columns_is_read_in_its_place(
    tmp_path: Path, beside: float, ruled: bool
) -> None:
    """With rules above and below its head and at its foot, or with none."""

    def draw(page: Any) -> None:
        page.insert_textbox((50, 60, 270, 200), PROSE, fontsize=9)
        set_table(page, 54, 220, FIGURES, step=70)
        for y in (211, 223.5, 260) if ruled else ():
            page.draw_line((50, y), (270, y), width=0.6)
        page.insert_textbox((50, 280, 270, 420), OTHER, fontsize=9)
        page.insert_textbox((beside, 63, 535, 420), f"{OTHER} {PROSE} {OTHER}", fontsize=9)
        page.insert_text((293, 820), "7", fontsize=9)

    found = sound(read(tmp_path, draw)).blocks
    assert [it.rows or it.text for it in found if it.label != "page_number"] == [
        PROSE, tuple(FIGURES), OTHER, f"{OTHER} {PROSE} {OTHER}",
    ]  # fmt: skip


def test_columns_between_rules_may_stand_closer_than_half_an_em(tmp_path: Path) -> None:
    cells = [("Now", "And", "Said"), *[("146.22", "284.17", "306.81")] * 3]
    step = pymupdf.get_text_length("146.22", fontsize=8) + 3.6

    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 130), PROSE, fontsize=11)
        set_table(page, 64, 200, cells, step=step)
        for y in (191, 203.5, 240):
            page.draw_line((60, y), (68 + 3 * step, y), width=0.6)
        page.insert_textbox((60, 300, 535, 430), OTHER, fontsize=11)

    found = sound(read(tmp_path, draw)).blocks
    assert [block.rows or block.text for block in found] == [PROSE, tuple(cells), OTHER]


def test_two_rows_between_rules_are_a_table_and_the_text_to_the_next_is_none(
    tmp_path: Path,
) -> None:
    def draw(page: Any) -> None:
        for top in (200, 300):
            set_table(page, 64, top, FIGURES[:2], step=150)
            for y in (top - 10, top + 4, top + 16):
                page.draw_line((60, y), (535, y), width=0.6)
        page.insert_textbox((60, 230, 535, 280), OTHER, fontsize=9)

    found = sound(read(tmp_path, draw)).blocks
    table = tuple(FIGURES[:2])
    assert [block.rows or block.text for block in found] == [table, OTHER, table]


@pytest.mark.parametrize("marks", ["(1) (2) (3)", "2.1 2.2 2.3", "a) b) c)"])
def test_clauses_behind_their_numbers_are_no_table(tmp_path: Path, marks: str) -> None:
    clauses = ["The lessee pays at once.", "Repairs are the lessor's.", "Animals are allowed."]

    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 130), PROSE, fontsize=11)
        for number, (mark, said) in enumerate(zip(marks.split(), clauses, strict=True)):
            page.insert_text((60, 160 + 16 * number), mark, fontsize=11)
            page.insert_text((84, 160 + 16 * number), said, fontsize=11)

    result = sound(read(tmp_path, draw))
    assert "table" not in {block.label for block in result.blocks}
    pairs = " ".join(f"{mark} {said}" for mark, said in zip(marks.split(), clauses, strict=True))
    assert " ".join(result.text.split()).endswith(pairs)


def test_what_was_filled_in_beside_labels_is_read_line_by_line(tmp_path: Path) -> None:
    labels = ["Profession:", "Bank:", "Street:", "Date of accident:", "Town:", "E-mail:"]
    answers = ["", "8564128", "Mill Lane 6", "2 May", "", "ann@example.org"]
    fields = list(zip(labels, answers, strict=True))

    def draw(page: Any) -> None:
        page.insert_text((60, 60), "Report of an accident", fontsize=16)
        for number, (label, said) in enumerate(fields):
            x, y = 60 + 250 * (number % 2), 100 + 34 * (number // 2)
            page.insert_text((x, y), label, fontsize=10)
            page.insert_text((x + 100, y), said, fontsize=10)

    said = sound(read(tmp_path, draw)).text.split()
    assert said == ["Report", "of", "an", "accident", *" ".join(map(" ".join, fields)).split()]


@pytest.mark.parametrize(
    ("marks", "apart"),
    [("118 119 120", 26), ("118 119 120", 44), ("7.1 7.2 7.3", 44), ("§ 4 § 5 § 6", 20)],
)
def test_numbers_in_the_margin_are_read_with_their_clauses(
    tmp_path: Path, marks: str, apart: float
) -> None:
    numbers = marks.replace("§ ", "§_").split()
    said = [f"{number.replace('_', ' ')} {PROSE}" for number in numbers]

    def draw(page: Any) -> None:
        for n, number in enumerate(numbers):  # numbers come first in the file
            left = 110 - apart
            page.insert_text((left, 110 + 100 * n), number.replace("_", " "), fontsize=10)
        for n in range(3):
            page.insert_textbox((130, 100 + 100 * n, 535, 200 + 100 * n), PROSE, fontsize=10)

    result = sound(read(tmp_path, draw))
    assert [block.text for block in result.blocks] == said


def test_numbers_in_the_right_margin_are_read_before_their_clauses(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        for n in range(3):
            page.insert_textbox((60, 100 + 100 * n, 480, 200 + 100 * n), PROSE, fontsize=10)
            page.insert_text((505, 110 + 100 * n), str(23 + n), fontsize=10)

    said = [block.text for block in sound(read(tmp_path, draw)).blocks]
    assert said == [f"{23 + n} {PROSE}" for n in range(3)]


@pytest.mark.parametrize("step", [1, 5])
def test_numbers_of_lines_stand_in_no_sentence(tmp_path: Path, step: int) -> None:
    line = "of the boats that lay in the harbour for most of the winter"

    def draw(page: Any) -> None:
        for n in range(1, 21):
            if n % step == 0:
                page.insert_text((60, 100 + 18 * n), str(n), fontsize=9)
            page.insert_text((90, 100 + 18 * n), line, fontsize=11)

    said = [block.text for block in sound(read(tmp_path, draw)).blocks]
    assert said == [" ".join([line] * 20), " ".join(map(str, range(step, 21, step)))]


@pytest.mark.parametrize("top", [640, 588])
def test_a_page_number_between_the_columns_comes_after_both(tmp_path: Path, top: float) -> None:
    """Also where it stands higher than most do, and its line reaches into the last of a column."""

    def draw(page: Any) -> None:
        left = page.insert_textbox((50, top, 280, top + 200), f"{PROSE} {PROSE}", fontsize=9)
        page.insert_textbox((315, top, 545, top + 200), f"{OTHER} {OTHER}", fontsize=9)
        end = top + 200 - left
        page.insert_text((289, 800 if top == 640 else end + 10), "471", fontsize=9)

    blocks = sound(read(tmp_path, draw)).blocks
    assert [block.text for block in blocks] == [f"{PROSE} {PROSE}", f"{OTHER} {OTHER}", "471"]


@pytest.mark.parametrize("by_column", [True, False])
def test_small_columns_at_the_foot_of_a_letter_are_read_column_by_column(
    tmp_path: Path, by_column: bool
) -> None:
    columns = [
        ["Berg & Sons", "Mill Lane 6", "20457 Hamburg"],
        ["Old Bank", "IBAN DE12 2005", "BIC OLDBANK"],
        ["Local Court", "HRB 4711", "VAT DE 123"],
    ]
    placed = [(n, k) for n in range(3) for k in range(3)]

    def draw(page: Any) -> None:
        page.insert_textbox((60, 60, 535, 300), f"{PROSE} {OTHER}", fontsize=11)
        for n, k in placed if by_column else sorted(placed, key=lambda it: it[1]):
            page.insert_text((60 + 170 * n, 785 + 9 * k), columns[n][k], fontsize=7)

    blocks = sound(read(tmp_path, draw)).blocks
    assert [block.text for block in blocks[1:]] == ["\n".join(column) for column in columns]


@pytest.mark.parametrize("salutation", ["Dear Ms Berg,", "Dear Ms Berg:", "Dear Ms Berg"])
@pytest.mark.parametrize("letterhead", ["", "<h1>Harbour Office</h1>"])
def test_the_subject_above_a_salutation_is_a_heading(
    tmp_path: Path, salutation: str, letterhead: str
) -> None:
    body = f"<p><b>Repair of the northern pipeline</b></p><p>{salutation}</p><p>{PROSE}</p>"
    found = sound(read(tmp_path, html(letterhead + body)))
    assert [b.text for b in found.blocks if b.level][-1] == "Repair of the northern pipeline"


@pytest.mark.parametrize("left", [True, False])
def test_a_side_note_is_read_with_its_paragraph(tmp_path: Path, left: bool) -> None:
    def draw(page: Any) -> None:
        for number, text in enumerate((PROSE, OTHER, PROSE)):
            y, x = 100 + 150 * number, 170 if left else 60
            page.insert_textbox((x, y, x + 340, y + 120), text, fontsize=11)
            page.insert_text(
                (60 if left else 430, y + 11.8), f"Of note {'abc'[number]}", fontsize=9
            )

    said = [block.text for block in sound(read(tmp_path, draw)).blocks]
    pairs = [("Of note a", PROSE), ("Of note b", OTHER), ("Of note c", PROSE)]
    assert said == [text for pair in pairs for text in (pair if left else pair[::-1])]


@pytest.mark.parametrize("number", ["12", "Page 3 of 12"])
def test_a_number_is_read_behind_the_running_head_on_its_line(tmp_path: Path, number: str) -> None:
    def draw(page: Any) -> None:
        page.insert_text((60, 40), "Harbour Act", fontsize=9)
        page.insert_text((480, 40), number, fontsize=9)
        page.insert_textbox((60, 90, 535, 300), PROSE, fontsize=11)

    blocks = sound(read(tmp_path, draw)).blocks
    assert [block.text for block in blocks] == ["Harbour Act", number, PROSE]


def test_a_number_in_the_gutter_leaves_two_columns_two(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_textbox((60, 90, 285, 400), f"{PROSE} {OTHER}", fontsize=11)
        page.insert_textbox((310, 90, 535, 400), f"{OTHER} {PROSE}", fontsize=11)
        page.insert_text((292, 170), "47", fontsize=9)

    said = [block.text for block in sound(read(tmp_path, draw)).blocks]
    assert sorted(said, key=len)[-2:] == [f"{PROSE} {OTHER}", f"{OTHER} {PROSE}"]


def test_items_counted_with_a_degree_sign_are_no_table(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        for number in range(4):
            page.insert_text((60, 100 + 20 * number), f"{number + 1}\u00b0", fontsize=11)
            page.insert_text((85, 100 + 20 * number), "Les bateaux au port ;", fontsize=11)

    blocks = sound(read(tmp_path, draw)).blocks
    assert [block.label for block in blocks] == ["list"]


def test_news_between_rules_are_read_from_rule_to_rule(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        for band, top in enumerate((100, 260)):
            for column, x in enumerate((60, 230, 400)):
                text = f"Item {'abc'[column]}{'xy'[band]} {OTHER}"
                page.insert_textbox((x, top, x + 135, top + 145), text, fontsize=8)
            page.draw_line((60, top - 8), (535, top - 8))

    said = "\n".join(block.text for block in sound(read(tmp_path, draw)).blocks)
    items = [f"Item {column}{band}" for band in "xy" for column in "abc"]
    assert sorted(items, key=said.index) == items


def grid(page: Any, top: float, cells: Sequence[Sequence[str]]) -> None:
    for y in range(len(cells) + 1):
        page.draw_line((60, top + 24 * y), (480, top + 24 * y))
    for x in range(len(cells[0]) + 1):
        page.draw_line((60 + 140 * x, top), (60 + 140 * x, top + 24 * len(cells)))
    for y, row in enumerate(cells):
        for x, text in enumerate(row):
            page.insert_text((66 + 140 * x, top + 16 + 24 * y), text)


@pytest.mark.parametrize("paragraph", [True, False], ids=["with a paragraph", "alone"])
def test_the_words_of_a_ruled_table_have_their_places(tmp_path: Path, *, paragraph: bool) -> None:
    cells = [["Port", "Ships", "Lamps"], ["Oslo", "12", "eleven"], ["Bergen", "9", "none"]]

    def draw(page: Any) -> None:
        grid(page, 300, cells)
        if paragraph:
            page.insert_text((60, 100), "Each lamp was lit at dusk and put out at dawn.")

    result = sound(read(tmp_path, draw))
    assert [block.rows for block in result.blocks if block.label == "table"] == [
        tuple(map(tuple, cells))
    ]
    words = [word for line in result.lines for word in line.words]
    assert {text for row in cells for text in row} <= {word.text for word in words}
    assert {line.confidence for line in result.lines} == {1.0}


SENTENCES = "The harbour office keeps the books and decides on dues and moorings each week"


def margin(page: Any, head: str, body: str, **font: Any) -> None:
    for n in range(4):
        page.insert_text((60, 100 + 150 * n), head, **font)
        for line in range(7):
            page.insert_text((200, 100 + 150 * n + 14 * line), body, fontsize=9)


def test_a_heading_in_the_margin_is_one(tmp_path: Path) -> None:
    draw = partial(margin, head="EMPLOYMENT", body=SENTENCES, fontname="hebo", fontsize=11)
    blocks = sound(read(tmp_path, draw)).blocks
    assert [block.level > 0 for block in blocks] == [True, False] * 4


def test_a_note_beside_a_paragraph_that_goes_on_is_no_part_of_it(tmp_path: Path) -> None:
    draw = partial(margin, head="Harbour dues", body=SENTENCES.lower(), fontsize=9)
    texts = [block.text for block in sound(read(tmp_path, draw)).blocks]
    assert texts[::2] == ["Harbour dues"] * 4
    assert all(text.startswith("the harbour office") for text in texts[1::2])


@pytest.mark.parametrize("align", ["left", "centre", "right"])
@pytest.mark.parametrize("pitch", [16, 24])
def test_bold_heads_stand_in_the_table_below_them(tmp_path: Path, align: str, pitch: int) -> None:
    """As LibreOffice sets them: each in the middle of its column, however narrow its cells are."""
    heads = ["Ship", "Arrived", "Tons", "Master"]
    cells = [["Anna", "3 May", "120", "Lie"], ["Eva", "4 May", "98", "Moe"]]
    cells += [["Carl", "9 May", "310", "Lie"], ["Dora", "2 May", "77", "Lund"]]

    def draw(page: Any) -> None:
        page.insert_textbox((57, 60, 540, 120), PROSE, fontsize=11)
        for number, row in enumerate([heads, *cells]):
            for column, said in enumerate(row):
                font = "helv" if number else "hebo"
                spare = 115 - pymupdf.get_text_length(said, font, 12)
                share = 0 if number else {"left": 0, "centre": 0.5, "right": 1}[align]
                at = (57 + 121 * column + share * spare, 150 + pitch * number)
                page.insert_text(at, said, fontname=font, fontsize=12)
        page.insert_textbox((57, 300, 540, 360), PROSE, fontsize=11)

    own = read(tmp_path, draw)
    assert own is not None
    assert [block.rows for block in own.result.blocks if block.rows] == [
        tuple(map(tuple, [heads, *cells]))
    ]
    assert not any(block.level for block in own.result.blocks)
