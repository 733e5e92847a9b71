"""Barcodes are found as scanners deliver them, and only where they are looked for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pymupdf
import pytest
from PIL import Image

from ocrd.children import ChildPool, Limits
from ocrd.page import PageImage
from ocrd.pages.base import Rendering
from ocrd.pages.source import ChildPageSource
from ocrd.pages.work import barcodes as codes
from tests.support.grain import grain, saved
from tests.support.samples import scan_of
from tests.unit.pages.barcodes import barcode, sheet


def seen(page: Image.Image) -> PageImage:
    return PageImage(page.width, page.height, page.convert("RGB").tobytes())


@pytest.mark.parametrize("kind", ["Code128", "Code39", "QRCode", "DataMatrix", "Aztec", "PDF417"])
def test_a_code_of_each_usual_kind_says_what_was_put_into_it(kind: str) -> None:
    assert codes(seen(sheet(barcode("PATCHT", kind, scale=3)))) == ("PATCHT",)


def test_all_codes_of_a_page_are_told_each_once() -> None:
    one, other = barcode("PATCHT"), barcode("Müller & Söhne", "QRCode", scale=3)
    assert sorted(codes(seen(sheet(one, other, one)))) == ["Müller & Söhne", "PATCHT"]


@pytest.mark.parametrize("turned", [0, 90, 180, 270, 2, -3])
def test_however_the_sheet_lay_in_the_feeder(turned: int) -> None:
    lying = sheet(barcode("PATCHT")).rotate(turned, expand=True, fillcolor=255)
    assert codes(seen(lying)) == ("PATCHT",)


def test_a_worn_copy_is_read_as_well() -> None:
    page = sheet(barcode("PATCHT", scale=3))
    worn = Image.blend(page, grain(page.size, 60), 0.35)
    assert codes(seen(Image.open(io.BytesIO(saved(worn, quality=40))))) == ("PATCHT",)


def test_text_is_no_code() -> None:
    page = scan_of("Invoice 48213 | || ||| | 14 March 2021\n" * 20, width=420, height=594, dpi=130)
    assert codes(seen(Image.open(io.BytesIO(page.data)))) == ()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[ChildPageSource]:
    pool = ChildPool(
        name="page worker",
        processes=1,
        limits=Limits(memory_mib=1024, cpu_s=60, wall_s=60.0),
        preload=("ocrd.pages.pdf", "ocrd.imaging", "zxingcpp"),
        threads=1,
    )
    yield ChildPageSource(
        pool, Rendering(dpi=144, max_pixels=10**8, max_pages=100), page_wall_s=60.0
    )
    pool.stop()


async def test_confined_children_find_them_on_the_pages_of_a_pdf(
    source: ChildPageSource, tmp_path: Path
) -> None:
    pile = tmp_path / "pile.pdf"
    document = pymupdf.open()
    for page in (sheet(barcode("PATCHT")), sheet()):
        made = document.new_page()
        made.insert_image(made.rect, stream=saved(page, "PNG"))
    document.save(str(pile))
    first, second, unasked = [
        await source.page(pile, 1, codes=True),
        await source.page(pile, 2, codes=True),
        await source.page(pile, 1),
    ]
    assert (first.codes, second.codes, unasked.codes) == (("PATCHT",), (), ())
    assert first.rgb == unasked.rgb
