"""What is printed is read, or the page says that it was not."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import product

import numpy as np
import pymupdf
import pytest
from PIL import Image, ImageDraw, ImageFilter

from ocrd.engine.rapid import child
from ocrd.engine.rapid.reader import Lost
from ocrd.page import Box, PageImage, PageResult
from tests.support.grain import grain
from tests.support.needs import few

A4, SLIP = (595, 842), (420, 200)  # points; what needs no whole page is read in a third of the time
SENTENCES = {
    "china-t": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι",  # noqa: RUF001 - Greek
    "korea": "모든 인간은 태어날 때부터 자유로우며",
}


def typeset(
    *lines: tuple[str, float, float],
    font: str = "helv",
    size: float = 10,
    paper: tuple[int, int] = A4,
    dpi: int = 200,
) -> Image.Image:
    """Lines of text, each with where it stands, in points."""
    with pymupdf.open() as document:
        page = document.new_page(width=paper[0], height=paper[1])
        for text, x, y in lines:
            page.insert_text((x, y), text, fontname=font, fontsize=size)
        drawn = page.get_pixmap(dpi=dpi)
        return Image.frombytes("RGB", (drawn.width, drawn.height), drawn.samples)


def read(image: Image.Image, form: str = "ocr") -> PageResult:
    rgb = image.convert("RGB")
    return child.read(PageImage(rgb.width, rgb.height, rgb.tobytes()), form, 1)


@pytest.mark.parametrize(
    ("said", "size", "dpi", "bilevel"),
    few(
        [
            (*printed, bilevel)
            for printed in (
                ("Received with thanks on 4 May.", 10, 200),
                ("Paid in full", 10, 300),
                ("See the enclosed letter, please.", 8, 200),
                ("The keys are at the porter's.", 12, 300),
                ("Page left empty on purpose", 11, 200),
            )
            for bilevel in (False, True)
        ]
    ),
)
def test_a_line_that_stands_alone_amid_white_is_read(
    said: str, size: float, dpi: int, bilevel: bool
) -> None:
    page = typeset((said, 90, 300), size=size, dpi=dpi)
    result = read(page.convert("1") if bilevel else page)
    assert result.text == said
    assert result.partial is None


@pytest.mark.parametrize("said", ["i", "l", "1", "|"])
def test_a_slim_sign_alone_is_read_or_makes_the_page_partial(said: str) -> None:
    """It looks like a line on end, but no page is laid on its side for it."""
    result = read(typeset((said, 90, 120), paper=SLIP))
    assert result.turned == 0
    assert result.text or result.partial


def test_lines_far_apart_are_all_read() -> None:
    said = ["Top of the page", "left alone", "In the middle", "The very end of it"]
    page = typeset(*((text, 60 + 90 * n, 80 + 230 * n) for n, text in enumerate(said)), size=9)
    assert read(page).text.split("\n\n") == said


@pytest.mark.parametrize("font", SENTENCES)
def test_a_script_that_the_model_does_not_know_makes_the_page_partial(font: str) -> None:
    result = read(typeset((SENTENCES[font], 60, 90), font=font, size=14))
    assert result.partial is not None
    assert 'language = "' in result.partial
    assert result.turned == 0, "what cannot be read is not turned over either"


@pytest.mark.parametrize(
    ("leaves", "seed"), few([*product([(40, 30), (80, 60), (16, 12)], range(4))])
)
def test_a_photo_without_a_word_is_no_empty_page(seed: int, leaves: tuple[int, int]) -> None:
    shades = np.random.default_rng(seed).normal(128, 120, leaves[::-1]).clip(0, 255)
    page = Image.new("RGB", (900, 700), "white")
    page.paste(Image.fromarray(shades.astype(np.uint8)).resize((800, 600)), (50, 50))
    result = read(page)
    assert result.text == ""
    assert result.partial is not None


@pytest.mark.parametrize(
    ("said", "font", "soft"),
    few(
        [
            (*char, soft)
            for char in (("福", "china-s"), ("国", "china-s"), ("B", "helv"))
            for soft in (0, 2)
        ]
    ),
)
def test_a_character_as_high_as_a_poster_has_is_read(said: str, font: str, soft: int) -> None:
    page = typeset((said, 90, 120), font=font, size=60, paper=SLIP)
    assert read(page.filter(ImageFilter.GaussianBlur(soft))).text == said


@pytest.mark.parametrize("said", ["", "The repair of the northern bridge"])
def test_holes_and_staples_are_no_characters(said: str) -> None:
    page = typeset((said, 90, 200), size=11)
    draw = ImageDraw.Draw(page)
    for top, shade in ((660, 0), (1660, 120)):
        draw.ellipse((80, top, 168, top + 88), fill=(shade,) * 3)
    draw.line((400, 130, 412, 210), fill=(70, 70, 70), width=6)
    assert [line.text for line in read(page).lines] == [said] * bool(said)


def test_a_line_on_ruled_paper_is_not_cut_through_its_letters() -> None:
    """No gap in it is free of ink, and letters that are cut are read twice."""
    said = "the repair of the northern bridge and its cost."
    page = typeset((said, 60, 90), font="tiro", size=12, paper=SLIP)
    draw = ImageDraw.Draw(page)
    for top in (195, 253, 311):
        draw.line((90, top, 1100, top), fill=(170, 170, 170), width=2)
    assert read(page).text == said


def test_a_line_that_is_not_read_is_told_of_with_its_place() -> None:
    reading = Lost(Box(0.25, 0.4, 0.5, 0.42), "Kefl m", 0.43)
    assert child._guess(reading) == '40% down and 25% across the page perhaps "Kefl m" (0.43)'
    assert child._guess(replace(reading, text="-")) == "40% down and 25% across the page"


def test_an_empty_page_with_a_little_dust_is_whole() -> None:
    page = Image.new("RGB", (1654, 2339), "white")
    page.putpixel((300, 400), (0, 0, 0))
    result = read(page)
    assert (result.text, result.partial) == ("", None)


@pytest.mark.parametrize(
    ("shade", "size"),
    few([*product([255, None], [(3, 2000), (1, 1), (2, 2), (33, 31), (2000, 3)])]),
)
def test_pages_of_odd_shapes_are_read_like_any_other(
    size: tuple[int, int], shade: int | None
) -> None:
    grey = grain(size, 90) if shade is None else Image.new("L", size, shade)
    for block in read(grey, "document").blocks:
        assert all(box.x1 < box.x2 and box.y1 < box.y2 for box in block.boxes)


def test_vertical_writing_does_not_turn_the_page() -> None:
    columns = [
        "吾輩は猫である名前はまだ無い",
        "何処で生れたか頓と見当がつか",
        "何でも薄暗いじめじめした所で",
    ]
    with pymupdf.open() as document:
        page = document.new_page(width=300, height=400)
        for number, column in enumerate(columns):
            for place, char in enumerate(column):
                at = (230 - 40 * number, 50 + 22 * place)
                page.insert_text(at, char, fontname="japan", fontsize=20)
        drawn = page.get_pixmap(dpi=200)
    result = read(Image.open(io.BytesIO(drawn.tobytes("png"))))
    assert result.turned == 0
    assert result.text.split()[0] == columns[0]


GOODS = [
    ("Art", "Thing", "Count"),
    ("1", "Rope of hemp", "12"),
    ("2", "Anchor", "1"),
    ("3", "Lantern", "3"),
    ("4", "Oar", "40"),
]


def test_the_heads_of_narrow_columns_are_cells_of_their_own() -> None:
    cells = [
        (said, x, 60 + 20 * n)
        for n, row in enumerate(GOODS)
        for said, x in zip(row, (40, 57, 180), strict=True)
    ]
    (table,) = read(typeset(*cells, paper=(300, 180)), "document").blocks
    assert table.rows == tuple(GOODS)


def test_cells_between_rules_are_a_table_on_a_page_that_was_laid_askew() -> None:
    with pymupdf.open() as document:
        page = document.new_page(width=300, height=200)
        for x in (30, 120, 270):
            page.draw_line((x, 40), (x, 100), width=0.6)
        for y in (40, 70, 100):
            page.draw_line((30, y), (270, y), width=0.6)
        for said, x, y in (
            ("Name", 36, 60), ("What became of it", 126, 60),
            ("Anna", 36, 90), ("sold in the autumn", 126, 90),
        ):  # fmt: skip
            page.insert_text((x, y), said, fontsize=11)
        drawn = page.get_pixmap(dpi=200)
    image = Image.frombytes("RGB", (drawn.width, drawn.height), drawn.samples)
    askew = image.rotate(1.5, resample=Image.Resampling.BICUBIC, fillcolor="white")
    (table,) = read(askew, "document").blocks
    assert table.rows == (("Name", "What became of it"), ("Anna", "sold in the autumn"))


def test_angle_brackets_and_stars_are_text_like_any_other() -> None:
    said = "From: Anna <anna@example.org> a*b <td>"
    (block,) = read(typeset((said, 70, 100), size=12, paper=SLIP), "document").blocks
    assert block.text == said
    assert block.markup == "plain"


def test_an_invoice_keeps_its_addresses_apart_and_its_items_with_their_prices() -> None:
    addresses = (
        ("Bill to", "Meredith Kwan", "880 Larkspur Avenue", "Portland, OR 97205"),
        ("Ship to", "Kwan Interiors", "2216 Canal Street", "Portland, OR 97210"),
    )
    items = [("Description", "Amount"), ("Walnut writing desk", "$640.00"),
             ("Desk lamp of brushed steel", "$117.00"), ("Cable tray", "$34.50")]  # fmt: skip
    sums = [("Subtotal", "$791.50"), ("Tax", "$63.32"), ("Total due", "$854.82")]
    printed = [(text, 60 + 240 * n, 80 + 14 * k) for n, address in enumerate(addresses)
               for k, text in enumerate(address)]  # fmt: skip
    for n, (name, amount) in enumerate(items):
        printed += [(name, 60, 190 + 26 * n), (amount, 480, 190 + 26 * n)]
    for n, (name, amount) in enumerate(sums):
        printed += [(name, 390, 308 + 18 * n), (amount, 480, 308 + 18 * n)]
    result = read(typeset(*printed, dpi=150), "document")
    assert [block.text for block in result.blocks[:2]] == ["\n".join(each) for each in addresses]
    assert [block.rows for block in result.blocks[2:]] == [tuple(items), tuple(sums)]
