"""Scans whose every word and its place are known, and what readers of PDF find in the results."""

from __future__ import annotations

import html
import io
import json
import math
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pymupdf as _pymupdf
import pypdfium2 as pdfium
from PIL import Image, ImageChops, ImageStat

from ocrd.document.base import OUTPUTS, BundleSpec
from ocrd.document.pile import build
from ocrd.engine.deepseek.grounding import with_blocks
from ocrd.modes import AnswerFormat
from ocrd.page import Box, Line, PageResult, Word
from tests.support.grain import grain, saved
from tests.support.needs import need

pymupdf: Any = _pymupdf  # its functions carry no annotations

WIDTH, HEIGHT = 612.0, 792.0
LETTER = (
    "The quick brown fox jumps over the lazy dog while seven wizards quietly juggle boxes.",
    "A complaint was sent to the municipal office on 14 March 2021 regarding invoice",
    "number 48213, amounting to 1,250.75 euros, which remains unpaid until today.",
    "We kindly ask for settlement of this matter within fourteen days of receipt.",
    "Yours faithfully, Zdenka Wojciechowska",
)


@dataclass(frozen=True)
class Truth:
    """A page that was set in type: its picture and its words, line by line."""

    png: bytes
    lines: tuple[tuple[Word, ...], ...]

    @property
    def words(self) -> list[Word]:
        return [word for line in self.lines for word in line]

    def as_lines(self) -> tuple[Line, ...]:
        return tuple(
            Line(" ".join(word.text for word in line), Box.around(word.box for word in line))
            for line in self.lines
        )


@cache
def typeset(
    lines: tuple[str, ...] = LETTER,
    *,
    font: str = "helv",
    size: float = 12,
    left: float = 72,
    top: float = 90,
    leading: float = 1.5,
    dpi: int = 110,
) -> Truth:
    """Set lines of text on a letter page and take its picture."""
    with pymupdf.open() as document:
        page = document.new_page(width=WIDTH, height=HEIGHT)
        for index, line in enumerate(lines):
            at = (left, top + index * size * leading)
            page.insert_text(at, line, fontname=font, fontsize=size)
        rows: dict[int, list[Word]] = {}
        for x1, y1, x2, y2, text, *_ in page.get_text("words"):
            box = Box(x1 / WIDTH, y1 / HEIGHT, x2 / WIDTH, y2 / HEIGHT)
            rows.setdefault(round(y2), []).append(Word(text, box))
        png = page.get_pixmap(dpi=dpi, colorspace=pymupdf.csGRAY).tobytes("png")
    return Truth(png, tuple(tuple(rows[key]) for key in sorted(rows)))


def inked(truth: Truth) -> Truth:
    """The same, each word's box no larger than its ink, as on a scan."""
    ink = Image.open(io.BytesIO(truth.png)).point(lambda grey: 255 * (grey < 128))

    def shrunk(word: Word) -> Word:
        at = word.box.scaled(*ink.size)
        left, top = int(at.x1), int(at.y1)
        found = ink.crop((left, top, math.ceil(at.x2), math.ceil(at.y2))).getbbox()
        assert found
        x1, y1, x2, y2 = found
        box = Box(left + x1, top + y1, left + x2, top + y2)
        return Word(word.text, box.scaled(1 / ink.width, 1 / ink.height))

    return Truth(truth.png, tuple(tuple(map(shrunk, line)) for line in truth.lines))


def scan_pdf(path: Path, *truths: Truth, rotation: int = 0, margin: float = 0) -> Path:
    """A PDF of pictures only; with `rotation` and `margin`, each page is seen as its truth is.

    The picture lies turned on the page and /Rotate turns it back; around it is a margin that the
    crop box hides, and the media box does not begin at the origin.
    """
    with pymupdf.open() as document:
        sideways = rotation in (90, 270)
        width, height = (HEIGHT, WIDTH) if sideways else (WIDTH, HEIGHT)
        for truth in truths:
            page = document.new_page(width=width + 3 * margin, height=height + 2 * margin)
            rect = pymupdf.Rect(margin, margin, margin + width, margin + height)
            page.insert_image(rect, stream=truth.png, rotate=rotation)  # counter-clockwise
            if margin:
                page.insert_text((margin / 2, margin / 2), "hidden", fontsize=5)
                low, high = -margin, height + margin
                box = (-margin, low, width + 2 * margin, high)
                document.xref_set_key(page.xref, "MediaBox", _pdf_rect(*box))
                content = b"q 1 0 0 1 %f %f cm\n" % (-margin, low) + page.read_contents() + b" Q"
                document.update_stream(page.get_contents()[0], content)
                document.xref_set_key(page.xref, "Contents", f"{page.get_contents()[0]} 0 R")
                crop = (0, 0, width, height)
                document.xref_set_key(page.xref, "CropBox", _pdf_rect(*crop))
            document.xref_set_key(page.xref, "Rotate", str(rotation))
        document.save(str(path))
    return path


@cache
def two_columns() -> Truth:
    """A heading over two columns of justified text, whose gaps are as wide as each line asks."""
    text = " ".join(LETTER[:4])
    with pymupdf.open() as document:
        page = document.new_page(width=WIDTH, height=HEIGHT)
        page.insert_text((72, 70), "Annual Report of the Office", fontname="hebo", fontsize=20)
        for left in (60, 315):
            area = (left, 100, left + 235, 430)
            page.insert_textbox(area, f"{text} {text}", fontname="tiro", fontsize=10, align=3)
        rows: dict[tuple[int, bool], list[Word]] = {}
        for x1, y1, x2, y2, said, *_ in page.get_text("words"):
            box = Box(x1 / WIDTH, y1 / HEIGHT, x2 / WIDTH, y2 / HEIGHT)
            rows.setdefault((round(y2), x1 > 310 and y1 > 90), []).append(Word(said, box))
        png = page.get_pixmap(dpi=200, colorspace=pymupdf.csGRAY).tobytes("png")
    keys = sorted(rows, key=lambda key: (key[1], key[0]))
    return Truth(png, tuple(tuple(rows[key]) for key in keys))


@cache
def worn(truth: Truth, skew: float, turned: int = 0) -> Truth:
    """The page as a poor scanner sees it: falling to the right by `skew` degrees, noisy, a JPEG.

    With `turned`, it lies on the glass so that it has to be turned by it, clockwise, to be read.
    The words' places are the upright boxes around them where they then are.
    """
    image = Image.open(io.BytesIO(truth.png)).convert("L")
    image = image.rotate(-skew, Image.Resampling.BICUBIC, fillcolor=255)
    image = Image.blend(image, grain(image.size, 20), 0.12)
    back = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180}
    image = image.transpose(back[turned]) if turned else image
    sine, cosine = math.sin(math.radians(skew)), math.cos(math.radians(skew))

    def moved(box: Box) -> Box:
        corners = [
            (0.5 + (cosine * x - sine * y) / WIDTH, 0.5 + (sine * x + cosine * y) / HEIGHT)
            for x in ((box.x1 - 0.5) * WIDTH, (box.x2 - 0.5) * WIDTH)
            for y in ((box.y1 - 0.5) * HEIGHT, (box.y2 - 0.5) * HEIGHT)
        ]
        places = [{0: (x, y), 90: (y, 1 - x), 180: (1 - x, 1 - y)}[turned] for x, y in corners]
        return Box.around(Box(x, y, x, y) for x, y in places)

    lines = tuple(tuple(Word(w.text, moved(w.box)) for w in line) for line in truth.lines)
    return Truth(saved(image, quality=60), lines)


def _pdf_rect(*corners: float) -> str:
    return f"[{' '.join(map(str, corners))}]"


def record(
    number: int,
    result: PageResult | None = None,
    *,
    state: str = "done",
    error: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A page as the worker hands it over."""
    page = {
        "number": number,
        "state": state,
        "tries": 1,
        "tokens": 10 * number,
        "seconds": 0.5,
        "reused": False,
        "error": error,
        "result": json.loads(result.to_json()) if result else None,
    }
    return understood(page, AnswerFormat.DOCUMENT)


def understood(page: dict[str, Any], answers: AnswerFormat) -> dict[str, Any]:
    """The page with its blocks, where a test only said what the model answered."""
    result = page["result"]
    if result is None or any("markup" in block for block in result.get("blocks", ())):
        return page
    old = json.dumps({key: value for key, value in result.items() if key != "blocks"})
    return page | {"result": json.loads(with_blocks(old, answers))}


def bundle(
    folder: Path, source: Path, pages: Iterable[dict[str, Any]], **options: Any
) -> tuple[str, ...]:
    """Build a bundle named `scan` in `folder/out`; what is in it."""
    lines = folder / "pages.jsonl"
    with lines.open("w", encoding="utf-8") as file:
        answers = options.get("answers", AnswerFormat.DOCUMENT)
        file.writelines(json.dumps(understood(page, answers)) + "\n" for page in pages)
    into = folder / "out"
    into.mkdir()
    settings: dict[str, Any] = {
        "name": "scan",
        "kind": "pdf",
        "outputs": OUTPUTS - {"pdfa", "alto", "hocr"},
        "answers": AnswerFormat.DOCUMENT,
        "dpi": 144,
        "facts": {"source": source.name},
        **options,
    }
    return build(BundleSpec(source=source, pages=lines, into=into, **settings))


def sidecar(folder: Path) -> dict[str, Any]:
    """The sidecar of the bundle in `folder/out`."""
    told: dict[str, Any] = json.loads((folder / "out" / "scan.json").read_text(encoding="utf-8"))
    return told


def by_mupdf(pdf: Path, page: int = 0) -> list[Word]:
    """The words that MuPDF finds on a page, as it is seen."""
    with pymupdf.open(str(pdf)) as document:
        shown = document[page]
        width, height = shown.rect.width, shown.rect.height
        words = []
        for *corners, said, _, _, _ in shown.get_text("words"):
            turn, unit = shown.rotation_matrix, user_unit(document, shown)
            turn = pymupdf.Matrix(*list(turn)[:4], turn.e * unit, turn.f * unit)
            at = pymupdf.Rect(corners) * turn
            box = Box(at.x0 / width, at.y0 / height, at.x1 / width, at.y1 / height)
            words.append(Word(said, box))
        return words


def user_unit(document: Any, page: Any) -> float:
    """Points in the page's unit, which PyMuPDF's matrices leave out and its rectangles do not."""
    kind, value = document.xref_get_key(page.xref, "UserUnit")
    return 1.0 if kind == "null" else float(value)


_PAGE = re.compile(r'<page width="([\d.]+)" height="([\d.]+)">(.*?)</page>', re.DOTALL)
_WORD = re.compile(
    r'<word xMin="([-\d.]+)" yMin="([-\d.]+)" xMax="([-\d.]+)" yMax="([-\d.]+)">(.*?)</word>'
)


def by_poppler(pdf: Path, page: int = 0) -> list[Word]:
    """The words that poppler's pdftotext finds on a page, as it is seen."""
    need("poppler")
    command = ["pdftotext", "-bbox", "-cropbox", str(pdf), "-"]
    out = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    width, height, body = _PAGE.findall(out)[page]
    with pymupdf.open(str(pdf)) as document:
        sideways = document[page].rotation in (90, 270)
    x, y = float(width), float(height)
    x, y = (y, x) if sideways else (x, y)  # it tells the size of the page before it is turned
    return [
        Word(
            html.unescape(said),
            Box(float(x1) / x, float(y1) / y, float(x2) / x, float(y2) / y),
        )
        for x1, y1, x2, y2, said in _WORD.findall(body)
    ]


def complaints(pdf: Path) -> str:
    """What poppler finds wrong with a PDF while it renders and reads every page."""
    command = ["pdftocairo", "-r", "20", "-svg", str(pdf), "/dev/null"]
    need("poppler")
    texts = ["pdftotext", str(pdf), "/dev/null"]
    runs = [subprocess.run(each, capture_output=True, check=False) for each in (command, texts)]
    said = [line for run in runs for line in run.stderr.decode().splitlines()]
    return "\n".join(line for line in said if "Error" in line)


def by_pdfium(pdf: Path, page: int = 0) -> list[Word]:
    """The words that PDFium (Chrome, Edge, Android) finds on a page, as it is seen."""
    with pdfium.PdfDocument(str(pdf)) as document:
        shown = document[page]
        left, bottom, right, top = shown.get_cropbox()
        text = shown.get_textpage()
        said = text.get_text_range()
        words: list[Word] = []
        for match in re.finditer(r"\S+", said):
            # it counts UTF-16 units, Python characters
            start = len(said[: match.start()].encode("utf-16-le")) // 2
            length = len(match[0].encode("utf-16-le")) // 2
            places = [text.get_charbox(index) for index in range(start, start + length)]
            x1, y1 = min(p[0] for p in places), min(p[1] for p in places)
            x2, y2 = max(p[2] for p in places), max(p[3] for p in places)
            across, down = right - left, top - bottom
            box = Box(
                (x1 - left) / across, (top - y2) / down, (x2 - left) / across, (top - y1) / down
            )
            words.append(Word(match[0], box.turned(shown.get_rotation())))
    return words


READERS = {
    "mupdf": by_mupdf,
    "pdfium": by_pdfium,
    "poppler": by_poppler,
}  # a machine may lack the last


def overlap(found: Box, true: Box) -> float:
    """Intersection over union: a box that is too wide counts as wrong as one beside the word."""
    width = min(found.x2, true.x2) - max(found.x1, true.x1)
    height = min(found.y2, true.y2) - max(found.y1, true.y1)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box.x2 - box.x1) * (box.y2 - box.y1) for box in (found, true)]
    return both / (sum(areas) - both)


def hits(found: Sequence[Word], true: Sequence[Word]) -> float:
    """The share of true words that are found with at least half of their place."""
    good = [
        any(word.text == other.text and overlap(other.box, word.box) >= 0.5 for other in found)
        for word in true
    ]
    return sum(good) / len(good)


def off(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures of a size are from each other, 0 … 255: the mean of the worst colour."""
    assert one.size == other.size
    difference = ImageChops.difference(one.convert("RGB"), other.convert("RGB"))
    return float(max(ImageStat.Stat(difference).mean))


def pixels(pdf: Path, page: int = 0, dpi: int = 50) -> bytes:
    """How a page looks."""
    with pymupdf.open(str(pdf)) as document:
        return bytes(document[page].get_pixmap(dpi=dpi).samples)


def book(path: Path, *texts: str) -> Path:
    """A PDF with a page for each text; an empty one makes an empty page."""
    with pymupdf.open() as document:
        for text in texts:
            document.new_page(width=300, height=200).insert_text((20, 50), text)
        path.write_bytes(document.tobytes())
    return path


def texts_on(path: Path) -> list[str]:
    """What stands on each page of a PDF."""
    with pymupdf.open(str(path)) as document:
        return [page.get_text().strip() for page in document]
