"""Pages that are one JPEG are seen by a short way, and no worse for it; others are not."""

from __future__ import annotations

import struct
from typing import Any

import pymupdf
import pytest
from PIL import Image, ImageDraw

from ocrd.document.view import PageView
from ocrd.page import Box
from tests.support.grain import saved
from tests.unit.document.scans import off

SIZE = (300, 400)


def scanned(mode: str = "RGB") -> bytes:
    """A page with lines of different greys and colours."""
    image = Image.new("RGB", SIZE, (250, 248, 240))
    draw = ImageDraw.Draw(image)
    for line in range(12):
        draw.rectangle((30, 30 + 28 * line, 270, 40 + 28 * line), fill=(line * 20, 30, 60))
    return saved(image.convert(mode), quality=95)


def page_of(jpeg: bytes, place: tuple[float, ...] = (0, 0, *SIZE)) -> Any:
    page = pymupdf.open().new_page(width=SIZE[0], height=SIZE[1])
    page.insert_image(pymupdf.Rect(place), stream=jpeg)
    return page


def truth(page: Any, dpi: int) -> Image.Image:
    """What MuPDF makes of it."""
    pixmap = page.get_pixmap(dpi=dpi)
    return Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("dpi", [120, 72, 50, 18])
def test_a_page_that_is_one_jpeg_is_seen_as_it_is_shown(mode: str, dpi: int) -> None:
    page = page_of(scanned(mode))
    if mode != "CMYK":
        colours = "/DeviceRGB" if mode == "RGB" else "/DeviceGray"
        page.parent.xref_set_key(page.get_images()[0][0], "ColorSpace", colours)
    assert off(PageView(page, dpi).colour, truth(page, dpi)) < 4


def test_grey_is_the_same_however_it_is_come_by() -> None:
    page = page_of(scanned())
    view = PageView(page, 200)
    alone = PageView(page, 200).grey
    assert view.colour.mode == "RGB"
    assert off(view.grey, alone) < 6


def test_a_page_is_drawn_once_for_all_who_look_at_it() -> None:
    view = PageView(page_of(scanned()), 100)
    assert view.colour is view.colour
    assert view.cut(Box(0.1, 0.1, 0.5, 0.2)).size == (168, 57)


def written_on(page: Any) -> None:
    page.insert_text((100, 20), "Received")


def cropped(page: Any) -> None:
    page.set_cropbox(pymupdf.Rect(10, 10, 200, 300))


def turned(page: Any) -> None:
    page.set_rotation(90)


def inverted(page: Any) -> None:
    page.parent.xref_set_key(page.get_images()[0][0], "Decode", "[1 0 1 0 1 0]")


def two(page: Any) -> None:
    page.insert_image(pymupdf.Rect(0, 0, 50, 50), stream=scanned("L"))


def torn(page: Any) -> None:
    image = page.get_images()[0][0]
    page.parent.update_stream(image, scanned()[:300], compress=0)
    page.parent.xref_set_key(image, "Filter", "/DCTDecode")


def boastful(page: Any) -> None:
    """Its frame header says 65,500 by 65,500 pixels (ITU-T T.81, B.2.2); the PDF knows better."""
    image = page.get_images()[0][0]
    jpeg = bytearray(page.parent.xref_stream_raw(image))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    page.parent.update_stream(image, bytes(jpeg), compress=0)
    page.parent.xref_set_key(image, "Filter", "/DCTDecode")


@pytest.mark.parametrize("change", [written_on, cropped, turned, inverted, two, torn, boastful])
def test_one_that_is_more_or_less_than_that_is_seen_as_it_is_shown(change: Any) -> None:
    page = page_of(scanned())
    page.parent.xref_set_key(page.get_images()[0][0], "ColorSpace", "/DeviceRGB")
    change(page)
    assert off(PageView(page, 72).colour, truth(page, 72)) < 4


def test_so_is_a_jpeg_that_does_not_fill_its_page() -> None:
    page = page_of(scanned(), (50, 50, 200, 250))
    assert off(PageView(page, 72).colour, truth(page, 72)) < 4
