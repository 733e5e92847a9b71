"""An empty sheet may have holes, staples, dark edges and dust; all else is something."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from ocrd.blank import is_blank
from tests.support.grain import grain

LETTER = (1224, 1584)
SHEETS = {"A4": (210.0, 297.0), "A5": (148.0, 210.0), "Letter": (215.9, 279.4)}
HOLES = {  # how wide, and how far from the sheet's middle along its edge: mm
    "ISO 838": (6.0, (-40, 40)),
    "four of ISO 838": (6.0, (-120, -40, 40, 120)),
    "four of Sweden": (6.0, (-56, -35, 35, 56)),
    "three of the US": (8.0, (-108, 0, 108)),
    "two of the US": (6.4, (-35, 35)),
}


@dataclass(frozen=True)
class Scan:
    """How a sheet was scanned."""

    dpi: int = 200
    paper: tuple[int, int, int] = (255, 255, 255)
    skew: float = 0.0
    bilevel: bool = False
    noisy: bool = False


class Sheet:
    """A sheet under way; lengths are mm."""

    def __init__(self, scan: Scan, name: str = "A4") -> None:
        self.scan, self.sides = scan, SHEETS[name]
        self.dot = scan.dpi / 25.4
        size = (round(self.sides[0] * self.dot), round(self.sides[1] * self.dot))
        self.image = Image.new("RGB", size, scan.paper)
        self.draw = ImageDraw.Draw(self.image)

    def disc(self, x: float, y: float, wide: float, shade: int, rim: int | None = None) -> None:
        box = [side * self.dot for side in (x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2)]
        outline = None if rim is None else (rim,) * 3
        self.draw.ellipse(box, (shade,) * 3, outline, max(1, round(0.6 * self.dot)))

    def line(self, x1: float, y1: float, x2: float, y2: float, thick: float) -> None:
        ends = [side * self.dot for side in (x1, y1, x2, y2)]
        self.draw.line(ends, (40, 40, 40), max(1, round(thick * self.dot)))

    def text(self, said: str, x: float, y: float, points: float) -> None:
        at = (x * self.dot, y * self.dot)
        self.draw.text(at, said, (30, 30, 30), font_size=points / 72 * self.scan.dpi)

    def punched(
        self, kind: str, edge: str, shade: int = 0, rim: int | None = None, at: float = 12
    ) -> None:
        wide, offsets = HOLES[kind]
        across = edge in ("top", "bottom")
        middle = self.sides[0 if across else 1] / 2
        far = self.sides[1 if across else 0] - at
        near = at if edge in ("left", "top") else far
        for offset in offsets:
            along = middle + offset
            if 0 < along < 2 * middle:
                x, y = (along, near) if across else (near, along)
                self.disc(x, y, wide, shade, rim)

    def scanned(self) -> Image.Image:
        image, scan = self.image.filter(ImageFilter.GaussianBlur(0.6)), self.scan
        image = image.rotate(scan.skew, Image.Resampling.BICUBIC, fillcolor=scan.paper)
        if scan.noisy:
            image = Image.blend(image, grain(image.size, 25).convert("RGB"), 0.15)
        return image.convert("1", dither=Image.Dither.NONE) if scan.bilevel else image


few = settings(
    deadline=None, max_examples=25, phases=[Phase.generate]
)  # a smaller page is no clearer

scans = st.builds(
    Scan,
    dpi=st.sampled_from([100, 150, 200, 300]),
    paper=st.sampled_from([(255, 255, 255), (250, 246, 235), (235, 240, 250), (250, 240, 170)]),
    skew=st.floats(-2, 2),
    bilevel=st.booleans(),
    noisy=st.booleans(),
)
edges = st.sampled_from(["left", "right", "top", "bottom"])
holes = st.sampled_from(["ISO 838", "two of the US", "four of Sweden"])


@few
@given(scans, st.sampled_from(sorted(SHEETS)), holes, edges, st.integers(0, 120), st.booleans())
def test_a_sheet_with_punch_holes_is_blank(
    scan: Scan, name: str, kind: str, edge: str, shade: int, rim: bool
) -> None:
    sheet = Sheet(scan, name)
    sheet.punched(kind, edge, shade, 0 if rim else None)
    assert is_blank(sheet.scanned())


@pytest.mark.parametrize("dpi", [100, 200, 600])
@pytest.mark.parametrize("skew", [-1.5, 1.5])
@pytest.mark.parametrize("kind", ["four of ISO 838", "three of the US"])
def test_so_is_one_with_more_along_its_side(dpi: int, skew: float, kind: str) -> None:
    sheet = Sheet(Scan(dpi=dpi, skew=skew))
    sheet.punched(kind, "left")
    assert is_blank(sheet.scanned())


def test_holes_that_the_lid_shines_through_leave_their_rims() -> None:
    for shade in (255, 235, 215):
        sheet = Sheet(Scan())
        sheet.punched("ISO 838", "left", shade, 60)
        assert is_blank(sheet.scanned())


@few
@given(scans, st.sampled_from(["left", "right"]), st.sampled_from(["top", "bottom"]), st.booleans())
def test_so_is_one_with_a_staple_a_dark_edge_and_dust(
    scan: Scan, side: str, end: str, punched: bool
) -> None:
    sheet = Sheet(scan)
    width, height = sheet.sides
    x, y = (15.0, 18.0) if side == "left" else (width - 15, 18.0)
    slope = 4.5 if side == "left" else -4.5
    sheet.line(x - 4.5, y + slope, x + 4.5, y - slope, 0.8)
    along = 2.0 if end == "top" else height - 2
    sheet.line(0, along, width, along, 0.7)
    for at in (60, 130, 200):
        sheet.disc(at, at, 0.2, 0)
    if punched:
        sheet.punched("ISO 838", "right" if side == "left" else "left", 60)
    seen = sheet.scanned().convert("L")
    seen.paste(20, (0, 0, round(2 * sheet.dot), seen.height))  # by the scanner, so never askew
    assert is_blank(seen)


def one_line(sheet: Sheet) -> None:
    sheet.text("This page is left blank on purpose", 60, 140, 10)


def page_number(sheet: Sheet) -> None:
    sheet.text("7", sheet.sides[0] / 2, sheet.sides[1] - 20, 10)


def page_number_in_a_corner(sheet: Sheet) -> None:
    sheet.text("11", sheet.sides[0] - 22, 14, 11)


def two_page_numbers(sheet: Sheet) -> None:
    for x, said in ((50, "6"), (150, "8")):
        sheet.text(said, x, sheet.sides[1] - 18, 14)


def stamp(sheet: Sheet) -> None:
    sheet.draw.ellipse(
        [side * sheet.dot for side in (30, 30, 62, 62)], None, (30, 30, 30), round(sheet.dot)
    )
    sheet.text("PAID", 38, 43, 12)


def two_stamps(sheet: Sheet) -> None:
    for y in (40, 120):
        box = [side * sheet.dot for side in (6, y, 26, y + 20)]
        sheet.draw.ellipse(box, (30, 30, 30))


def bullets(sheet: Sheet) -> None:
    for number in range(4):
        sheet.disc(15, 60 + 12 * number, 2, 0)
        sheet.text("Bring it along", 20, 58 + 12 * number, 10)


def bullets_alone(sheet: Sheet) -> None:
    for number in range(4):
        sheet.disc(15, 60 + 12 * number, 2, 0)


def one_dot(sheet: Sheet) -> None:
    sheet.disc(12, 100, 6, 0)


def dots_amid_the_page(sheet: Sheet) -> None:
    for y in (100, 180):
        sheet.disc(90, y, 6, 0)


def unequal_dots(sheet: Sheet) -> None:
    sheet.disc(12, 100, 4.5, 0)
    sheet.disc(12, 180, 8, 0)


def squares(sheet: Sheet) -> None:
    for y in (100, 180):
        box = [side * sheet.dot for side in (9, y, 15, y + 6)]
        sheet.draw.rectangle(box, (0, 0, 0))


def letters_as_large_as_holes(sheet: Sheet) -> None:
    for y, said in ((60, "A"), (140, "B"), (220, "E")):
        sheet.text(said, 9, y, 22)


def a_tick(sheet: Sheet) -> None:
    sheet.line(180, 20, 184, 26, 0.8)
    sheet.line(184, 26, 194, 12, 0.8)


def an_initial(sheet: Sheet) -> None:
    sheet.text("M.", 20, 20, 20)


def a_dash(sheet: Sheet) -> None:
    sheet.line(100, 150, 112, 150, 0.8)


SOMETHING = (
    *(one_line, page_number, page_number_in_a_corner, two_page_numbers, stamp, two_stamps),
    *(bullets, bullets_alone, one_dot, dots_amid_the_page, unequal_dots, squares),
    *(letters_as_large_as_holes, a_tick, an_initial, a_dash),
)


@few
@given(scans, st.sampled_from(SOMETHING), st.booleans())
def test_what_was_put_there_is_something(scan: Scan, put: object, punched: bool) -> None:
    sheet = Sheet(scan)
    assert callable(put)
    put(sheet)
    if punched:
        sheet.punched("ISO 838", "right", 20)
    assert not is_blank(sheet.scanned())


@few
@given(scans, st.integers(0, 9999), st.sampled_from([6, 8, 10, 14, 24]), st.floats(0.05, 0.95),
       st.sampled_from([6, 10, 15, 25, 40]), st.booleans())  # fmt: skip
def test_a_number_near_an_edge_is_something(
    scan: Scan, number: int, points: float, across: float, margin: float, foot: bool
) -> None:
    assume(not scan.bilevel or scan.dpi * points >= 900)  # else hardly a stroke is left of it
    sheet = Sheet(scan)
    width, height = sheet.sides
    y = height - margin - points * 0.36 if foot else margin
    sheet.text(str(number), across * (width - 20), y, points)
    sheet.punched("ISO 838", "left")
    assert not is_blank(sheet.scanned())


@pytest.mark.parametrize("shade", [255, 250, 128, 0])
def test_a_page_of_one_shade_is_blank(shade: int) -> None:
    assert is_blank(Image.new("RGB", LETTER, (shade,) * 3))


def test_paper_with_the_noise_of_a_scanner_is_blank() -> None:
    noise = random.Random(1)
    image = Image.new("L", (400, 600))
    image.putdata([250 - noise.randrange(12) for _ in range(400 * 600)])
    assert is_blank(image)


def test_two_specks_of_dust_do_not_make_it_written() -> None:
    image = Image.new("RGB", LETTER, "white")
    for x, y in ((300, 400), (801, 1203)):
        image.paste((0, 0, 0), (x, y, x + 2, y + 2))
    assert is_blank(image)


def test_a_page_of_text_is_something() -> None:
    image = Image.new("RGB", LETTER, "white")
    for line in range(40):
        ImageDraw.Draw(image).text((80, 80 + 30 * line), "Some words on a line", fill="black")
    assert not is_blank(image)


def test_white_print_on_black_is_something() -> None:
    image = Image.new("L", LETTER, 0)
    ImageDraw.Draw(image).text((80, 800), "Some words on a line", 255, font_size=40)
    assert not is_blank(image)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 2000), (2000, 3), (7000, 9000)])
def test_a_page_of_any_size_can_be_asked(size: Sequence[int]) -> None:
    assert is_blank(Image.new("L", (size[0], size[1]), 255))
