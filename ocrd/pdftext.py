"""The text that a page of a PDF has of its own, and whether it can be trusted.  In children only.

A page's text may be a print's true words, somebody else's recognition under a scan, or garbage: a
font whose codes say nothing or the wrong thing, words taken apart into letters.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from ocrd.page import Box, Word
from ocrd.pdffile import PdfPage, pymupdf

# Letters of running text in a hundred, pooled from English, French, German, Spanish and Italian.
_USUAL = {
    "e": 14.5, "a": 8.5, "n": 7.6, "i": 7.4, "t": 7.2, "s": 6.8, "r": 6.7, "o": 6.5, "d": 4.4,
    "l": 4.4, "u": 4.0, "c": 3.3, "m": 2.7, "p": 2.6, "h": 2.4, "g": 1.7, "b": 1.4, "f": 1.3,
    "v": 1.3, "w": 0.9, "y": 0.8, "q": 0.6, "z": 0.6, "k": 0.5, "j": 0.3, "x": 0.3,
}  # fmt: skip
_ENOUGH = 60  # letters from which their frequencies say anything
_LEAST_LIKELY = -3.35  # mean logarithm of a letter's frequency; running text has -2.9 ± 0.15
_MOST_ODD = 0.05  # share of characters that no text has
_LEAST_WORD = 1.8  # letters of a word in the mean; less is words taken apart
_WORDS = 20  # from which their length says anything
_SCAN_COVERS = 0.85  # of a page, by its images
_INVISIBLE = 3  # PDF's text rendering mode (ISO 32000-1, 9.3.6)


def words_of(page: PdfPage) -> list[Word]:
    """The words that a page has, with letters in them, where they are seen.

    PyMuPDF gives places as if the page were not turned (and writes to the page on the way, so it
    has to be one that is never saved).
    """
    found = []
    for *corners, word, _, _, _ in page.get_text("words"):
        if any(unicodedata.category(char)[0] in "LN" for char in word):
            found.append(Word(word, seen_box(page, corners)))
    return found


def seen_box(page: PdfPage, corners: Sequence[float]) -> Box:
    """Where a rectangle of PyMuPDF's stands on the page as it is seen."""
    width, height = max(page.rect.width, 1e-6), max(page.rect.height, 1e-6)
    x1, y1, x2, y2 = pymupdf.Rect(corners) * page.rotation_matrix if page.rotation else corners
    return Box(x1 / width, y1 / height, x2 / width, y2 / height)


def fault_of(words: Iterable[str]) -> str:
    """What is wrong with a page's words, in a few words; empty if they read like text."""
    said = list(words)
    text = "".join(said)
    odd = sum(_is_odd(char) for char in text)
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


def is_hidden(page: PdfPage) -> bool:
    """Whether a page's text is never drawn: a layer under a scan."""
    traces = page.get_texttrace()
    return bool(traces) and all(trace["type"] == _INVISIBLE for trace in traces)


def pictures_of(page: PdfPage) -> list[Box]:
    """Where images stand on a page, clipped to it."""
    found = []
    for image in page.get_image_info():
        box = pymupdf.Rect(image["bbox"]) & pymupdf.Rect(page.rect * page.derotation_matrix)
        if box.is_valid and not box.is_empty:
            found.append(seen_box(page, box))
    return found


def is_scan(page: PdfPage) -> bool:
    """Whether images cover the page."""
    return sum(box.area for box in pictures_of(page)) >= _SCAN_COVERS


def _is_odd(char: str) -> bool:
    return char == "\ufffd" or unicodedata.category(char) in ("Co", "Cn", "Cc")


def _plain(char: str) -> str:
    return unicodedata.normalize("NFD", char)[0]
