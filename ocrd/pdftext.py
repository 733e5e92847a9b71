"""The text that a PDF page itself has, and whether it can be trusted.  In child processes only.

A page's text may be the true words of its print, another program's recognition under a scan, or
garbage: a font whose codes have no meaning or the wrong one, words split into letters.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from itertools import groupby
from typing import Any

from PIL import Image

from ocrd.page import Box, Word
from ocrd.pdffile import PdfPage, pymupdf

# Letters in running text, per cent, pooled from English, French, German, Spanish and Italian.
_USUAL = {
    "e": 14.5, "a": 8.5, "n": 7.6, "i": 7.4, "t": 7.2, "s": 6.8, "r": 6.7, "o": 6.5, "d": 4.4,
    "l": 4.4, "u": 4.0, "c": 3.3, "m": 2.7, "p": 2.6, "h": 2.4, "g": 1.7, "b": 1.4, "f": 1.3,
    "v": 1.3, "w": 0.9, "y": 0.8, "q": 0.6, "z": 0.6, "k": 0.5, "j": 0.3, "x": 0.3,
}  # fmt: skip
_ENOUGH = 60  # letters that it takes for their frequencies to mean anything
_LEAST_LIKELY = -3.35  # mean logarithm of a letter's frequency; running text has -2.9 ± 0.15
_MOST_ODD = 0.05  # share of characters that occur in no text
_LEAST_WORD = 1.8  # mean letters of a word; fewer means that words are split into letters
_WORDS = 20  # words that it takes for their length to mean anything
_SCAN_COVERS = 0.85  # share of a scanned page that its images cover
_PATCH = 0.01  # share of a page: smaller images are stamps and specks
_INVISIBLE = 3  # PDF's text rendering mode (ISO 32000-1, 9.3.6)
ONCE: int = pymupdf.TEXT_COLLECT_STYLES  # merges text printed twice for bold or a shadow
_PIXELS = 4_000_000
_PRINTED = 40  # of 255: the paper of a scan has less contrast than this
_FADED = 0.3  # share of the whole page's contrast: even faded print has more
_WORDS_ONCE = pymupdf.TEXTFLAGS_WORDS | ONCE
NO_PICTURES: int = pymupdf.TEXTFLAGS_DICT & ~pymupdf.TEXT_PRESERVE_IMAGES


def words_of(page: PdfPage) -> list[list[Word]]:
    """The words of a page that have a letter or a digit, line by line, at their visible places.

    PyMuPDF gives places as if the page were not rotated (and writes to the page meanwhile, so it
    must be a page that is never saved).
    """
    lines: dict[tuple[int, int], list[Word]] = {}
    for *corners, word, block, line, _ in page.get_text("words", flags=_WORDS_ONCE):
        if _has_letters(word):
            lines.setdefault((block, line), []).append(Word(word, seen_box(page, corners)))
    return [*lines.values()]


def letters_of(page: PdfPage, once: int = ONCE) -> list[dict[str, Any]]:
    """The lines of a page as in PyMuPDF's `rawdict`, with a `text` added to each span.

    With `once` 0, text that is printed twice is in them twice.
    """
    blocks = page.get_text("rawdict", flags=NO_PICTURES | once)["blocks"]
    lines = [line for block in blocks for line in block.get("lines", ())]
    for span in (span for line in lines for span in line["spans"]):
        span["text"] = "".join(char["c"] for char in span["chars"])
    return lines


def words_in(page: PdfPage, line: dict[str, Any]) -> Iterator[Word]:
    """The words of a line from `rawdict`, selected and placed as by `words_of`."""
    chars = [char for span in line["spans"] for char in span["chars"]]
    for visible, group in groupby(chars, key=lambda char: bool(char["c"].strip())):
        word = [*group]
        text = "".join(char["c"] for char in word)
        if visible and _has_letters(text):
            yield Word(text, Box.around(seen_box(page, char["bbox"]) for char in word))


def _has_letters(text: str) -> bool:
    return any(unicodedata.category(char)[0] in "LN" for char in text)


def seen_box(page: PdfPage, corners: Sequence[float]) -> Box:
    """The box that a rectangle of PyMuPDF's has on the page as it is displayed."""
    width, height = max(page.rect.width, 1e-6), max(page.rect.height, 1e-6)
    x1, y1, x2, y2 = pymupdf.Rect(corners) * _turn(page) if page.rotation else corners
    return Box(x1 / width, y1 / height, x2 / width, y2 / height)


def _turn(page: PdfPage) -> Any:
    """PyMuPDF's rotation matrix in the units of its rectangles: it ignores the user unit."""
    turn, unit = page.rotation_matrix, user_unit(page)
    return pymupdf.Matrix(turn.a, turn.b, turn.c, turn.d, turn.e * unit, turn.f * unit)


def user_unit(page: PdfPage) -> float:
    """The page's user unit in points (ISO 32000-1, table 30)."""
    kind, value = page.parent.xref_get_key(page.xref, "UserUnit")
    return float(value) if kind in ("int", "float") and float(value) > 0 else 1.0


def fault_of(words: Iterable[str]) -> str:
    """What is wrong with a page's words, in a few words; empty if they read like text."""
    said = list(words)
    text = "".join(said)
    odd = sum(c == "\ufffd" or unicodedata.category(c) in ("Co", "Cn", "Cc") for c in text)
    if odd > _MOST_ODD * len(text):
        return "its characters have no meaning"
    letters = sum(char.isalpha() for char in text)
    spelt = [word for word in said if any("a" <= char <= "z" for char in word.lower())]
    if len(spelt) >= _WORDS and sum(map(len, spelt)) < _LEAST_WORD * len(spelt):
        return "its words are taken apart into letters"
    counts = Counter(_plain(char) for char in text.lower() if char.isalpha())
    latin = sum(counts[char] for char in _USUAL)
    if latin >= _ENOUGH and latin > letters / 2:
        likely = sum(counts[char] * math.log(_USUAL[char] / 100) for char in _USUAL) / latin
        if likely < _LEAST_LIKELY:
            return "its letters are not those that are printed"
    return ""


def fault_of_page(words: Sequence[Word], scan: Image.Image | None) -> str:
    """`fault_of` a page's words; of a layer under a `scan`, also whether print is above them."""
    if fault := fault_of(word.text for word in words):
        return fault
    if words and scan is not None:
        least = min(_PRINTED, _FADED * contrast(scan, Box(0, 0, 1, 1)))
        bare = sum(contrast(scan, word.box) < least for word in words)
        if bare > len(words) / 2:
            return "its words do not stand where the print is"
    return ""


def drawn(page: PdfPage, mode: str) -> Image.Image:
    """The page in `L` or `RGB`, at most one pixel per point, to see where there is ink."""
    area = max(page.rect.width * page.rect.height, 1.0)
    zoom = min(1.0, math.sqrt(_PIXELS / area))
    space = pymupdf.csGRAY if mode == "L" else pymupdf.csRGB
    pixels = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), colorspace=space, alpha=False)
    return Image.frombytes(mode, (pixels.width, pixels.height), pixels.samples)


def contrast(grey: Image.Image, box: Box) -> int:
    """The difference between the lightest and the darkest pixel in a box, 0 to 255."""
    darkest, lightest = extremes(grey, box)[0]
    return lightest - darkest


def extremes(image: Image.Image, box: Box) -> tuple[tuple[int, int], ...]:
    """The lowest and highest value (0 to 255) of each band in a box, at least one pixel large."""
    at = box.scaled(image.width, image.height)
    left, top = min(max(int(at.x1), 0), image.width - 1), min(max(int(at.y1), 0), image.height - 1)
    right, foot = max(min(int(at.x2) + 1, image.width), left + 1), int(at.y2) + 1
    part = image.crop((left, top, right, max(min(foot, image.height), top + 1)))
    found: Any = part.getextrema()
    bands: tuple[tuple[int, int], ...] = (found,) if part.mode == "L" else found
    return bands


def is_hidden(page: PdfPage) -> bool:
    """Whether a page's text is never drawn: a layer under a scan."""
    traces = page.get_texttrace()
    return bool(traces) and all(trace["type"] == _INVISIBLE for trace in traces)


def visible_fonts(page: PdfPage) -> set[str]:
    """The names of the fonts in which a page shows anything but spaces."""
    return {
        trace["font"]
        for trace in page.get_texttrace()
        if trace["type"] != _INVISIBLE
        and not all(chr(letter).isspace() for letter, *_ in trace["chars"])
    }


def pictures_of(page: PdfPage) -> list[Box]:
    """The boxes of the images on a page, clipped to it."""
    return [box for box, _ in _pictures(page)]


def _pictures(page: PdfPage) -> Iterator[tuple[Box, float]]:
    """The box of each image, and its resolution in dpi along the axis where that is higher."""
    for image in page.get_image_info():
        x1, y1, x2, y2 = astuple(seen_box(page, image["bbox"]))
        box = Box(max(x1, 0.0), max(y1, 0.0), min(x2, 1.0), min(y2, 1.0))
        if box.x1 < box.x2 and box.y1 < box.y2:
            a, b, c, d, *_ = image["transform"]
            sides = ((image["width"], math.hypot(a, b)), (image["height"], math.hypot(c, d)))
            yield box, max(pixels * 72 / points if points else 0.0 for pixels, points in sides)


def is_scan(page: PdfPage) -> bool:
    """Whether images cover the page."""
    return sum(box.area for box in pictures_of(page)) >= _SCAN_COVERS


def scan_dpi(page: PdfPage) -> float | None:
    """The highest resolution of the images that cover a scanned page, in dpi; None if none do."""
    if not page.get_images():
        return None
    found = list(_pictures(page))
    native = max((dpi for box, dpi in found if box.area > _PATCH), default=0.0)
    covered = sum(box.area for box, _ in found)
    return native if covered >= _SCAN_COVERS and native > 0 else None


def _plain(char: str) -> str:
    return unicodedata.normalize("NFD", char)[0]
