"""Makes the samples: lays out the pages, degrades them, writes the files."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pymupdf
from PIL import Image

from tests.support.samples import compose
from tests.support.samples.degrade import photographed, scanned
from tests.support.samples.model import Sample, SamplePage, Scan, TrueWord
from tests.support.samples.typeset import SANS, Sheet, Style

DPI = 200
EXIF_ORIENTATION = 0x0112
SHOW_TURNED_CLOCKWISE = 6  # EXIF: a viewer turns the stored picture by 90 degrees clockwise

Drawn = tuple[Image.Image, SamplePage]
TITLES = {
    "letter.jpg": "A letter",
    "two-columns.png": "Two columns",
    "table.tif": "A table",
    "photo.jpg": "A photo, turned by its EXIF tag",
    "chinese.jpg": "Chinese",
    "report.pdf": "Three pages",
}


def write_samples(into: Path, names: Iterable[str] = TITLES) -> list[Sample]:
    """Write scans of `ocrd demo` into a folder (made if missing): the same every time."""
    into.mkdir(parents=True, exist_ok=True)
    return [_sample(into / name) for name in names]


def scan_of(
    text: str,
    *,
    width: float = 300,
    height: float = 120,
    size: float = 12,
    dpi: int = 150,
    seed: int = 0,
    turned: int = 0,
) -> Scan:
    """A page with `text` (a blank line parts paragraphs) as a scanned JPEG: small, soon read.

    Args:
        text: What it says.
        width: Of the page as one reads it, points.
        height: Likewise.
        size: Of the type, points.
        dpi: Pixels an inch.
        seed: Another seed, another scan: skew, grey and dust differ.
        turned: Degrees clockwise (0, 90, 180, 270) by which the page lies turned in the file.
    """
    sheet, style, baseline = Sheet(width, height), Style(SANS, size), 2 * size
    for paragraph in filter(None, text.split("\n\n")):
        baseline = sheet.paragraph(paragraph, size, baseline, width - 2 * size, style) + size / 2
    image, page = _scan(sheet, seed, dpi)
    words = tuple(TrueWord(word.text, word.box.turned(turned)) for word in page.words)
    data = _jpeg(image.rotate(-turned, expand=True), dpi)
    return Scan(data=data, page=SamplePage(text=page.text, words=words))


def _scan(sheet: Sheet, seed: int, dpi: int = DPI) -> Drawn:
    rng = random.Random(seed)
    degrees = rng.choice((-1, 1)) * rng.uniform(0.2, 0.7)
    return scanned(sheet.image(dpi), sheet.truth(), rng, degrees=degrees)


def _photo(sheet: Sheet, seed: int) -> Drawn:
    rng = random.Random(seed)
    return photographed(sheet.image(DPI), sheet.truth(), rng)


def _sample(path: Path) -> Sample:
    drawn, data = _drawn(path.name)
    path.write_bytes(data)
    return Sample(path=path, title=TITLES[path.name], pages=tuple(page for _, page in drawn))


def _drawn(name: str) -> tuple[list[Drawn], bytes]:
    """Its pages, and the file that they make."""
    if name == "report.pdf":
        report = [_scan(sheet, 40 + number) for number, sheet in enumerate(compose.report())]
        return report, _pdf([image for image, _ in report])
    ways: dict[str, tuple[Callable[[], Drawn], Callable[[Image.Image], bytes]]] = {
        "letter.jpg": (lambda: _scan(compose.letter(), 1), _small_jpeg),
        "two-columns.png": (lambda: _scan(compose.columns(), 2), _png),
        "table.tif": (lambda: _scan(compose.table(), 3), _fax),
        "photo.jpg": (lambda: _photo(compose.notice(), 5), _sideways),
        "chinese.jpg": (lambda: _scan(compose.chinese(), 6), _small_jpeg),
    }
    draw, write = ways[name]
    page = draw()
    return [page], write(page[0])


def _jpeg(image: Image.Image, dpi: int = DPI) -> bytes:
    return _saved(image, format="JPEG", quality=70, dpi=(dpi, dpi))


def _small_jpeg(image: Image.Image) -> bytes:
    return _saved(image, format="JPEG", quality=40, dpi=(DPI, DPI))


def _png(image: Image.Image) -> bytes:
    """Eight shades of grey: as small as scanners make them."""
    shades = image.point(lambda value: value // 32 * 255 // 7)
    return _saved(shades, format="PNG", optimize=True, dpi=(DPI, DPI))


def _fax(image: Image.Image) -> bytes:
    """Black and white, as fax machines and most office scanners write TIFF."""
    bilevel = image.convert("1", dither=Image.Dither.NONE)
    return _saved(bilevel, format="TIFF", compression="group4", dpi=(DPI, DPI))


def _sideways(image: Image.Image) -> bytes:
    """Stored lying on its side; the EXIF tag tells viewers how to show it."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = SHOW_TURNED_CLOCKWISE
    lying = image.transpose(Image.Transpose.ROTATE_90)
    return _saved(lying, format="JPEG", quality=60, exif=exif)


def _saved(image: Image.Image, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, **options)
    return data.getvalue()


def _pdf(images: list[Image.Image]) -> bytes:
    """A PDF as scanners make it: each page nothing but a JPEG."""
    document = pymupdf.open()
    for image in images:
        points = (image.width * 72 / DPI, image.height * 72 / DPI)
        page = document.new_page(width=points[0], height=points[1])
        page.insert_image(page.rect, stream=_small_jpeg(image))
    return bytes(document.tobytes(no_new_id=True))
