"""Pages that are one JPEG are seen by a short way, and no worse for it; others are not."""

from __future__ import annotations

import io
import struct
from typing import Any

import pymupdf
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat

from ocrd.document.pdf import scan

SIZE = (300, 400)


def scanned(mode: str = "RGB") -> bytes:
    """A page with lines of different greys and colours."""
    image = Image.new("RGB", SIZE, (250, 248, 240))
    draw = ImageDraw.Draw(image)
    for line in range(12):
        draw.rectangle((30, 30 + 28 * line, 270, 40 + 28 * line), fill=(line * 20, 30, 60))
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def page_of(jpeg: bytes, place: tuple[float, ...] = (0, 0, *SIZE)) -> Any:
    page = pymupdf.open().new_page(width=SIZE[0], height=SIZE[1])
    page.insert_image(pymupdf.Rect(place), stream=jpeg)
    return page


def rendered(page: Any, zoom: float) -> Image.Image:
    pixmap = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), colorspace=pymupdf.csGRAY)
    size = (pixmap.width, pixmap.height)
    return Image.frombytes("L", size, pixmap.samples, "raw", "L", pixmap.stride)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("zoom", [1.0, 0.7, 0.25])
def test_a_page_that_is_one_jpeg_looks_as_if_rendered(mode: str, zoom: float) -> None:
    page = page_of(scanned(mode))
    truth = rendered(page, zoom)
    seen = scan.grey(page, *truth.size)
    assert seen is not None
    assert (seen.mode, seen.size) == ("L", truth.size)
    assert ImageStat.Stat(ImageChops.difference(seen, truth)).mean[0] < 6


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("zoom", [1.7, 1.0, 0.7, 0.25])
def test_so_does_it_in_colour(mode: str, zoom: float) -> None:
    page = page_of(scanned(mode))
    colours = "/DeviceRGB" if mode == "RGB" else "/DeviceGray"
    page.parent.xref_set_key(page.get_images()[0][0], "ColorSpace", colours)
    pixmap = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom))
    truth = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
    seen = scan.coloured(page, *truth.size)
    assert seen is not None
    assert (seen.mode, seen.size) == ("RGB", truth.size)
    assert max(ImageStat.Stat(ImageChops.difference(seen, truth)).mean) < 4


def test_colours_that_a_profile_explains_are_left_to_the_renderer() -> None:
    page = page_of(scanned())  # PyMuPDF gives each its own
    assert scan.coloured(page, 100, 100) is None
    assert scan.grey(page, 100, 100) is not None


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
def test_one_that_is_more_or_less_than_that_is_left_to_the_renderer(change: Any) -> None:
    page = page_of(scanned())
    page.parent.xref_set_key(page.get_images()[0][0], "ColorSpace", "/DeviceRGB")
    assert scan.coloured(page, 100, 100) is not None
    change(page)
    assert scan.grey(page, 100, 100) is None
    assert scan.coloured(page, 100, 100) is None


def test_so_is_a_jpeg_that_does_not_fill_its_page() -> None:
    assert scan.grey(page_of(scanned(), (50, 50, 200, 250)), 100, 100) is None


def test_so_is_one_for_print() -> None:
    assert scan.grey(page_of(scanned("CMYK")), 100, 100) is None
