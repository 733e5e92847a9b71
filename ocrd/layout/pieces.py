"""Pieces of text, each a line or a cell that was found in one place, and how they join.  Pure.

Lines are joined by spaces, hyphenated words are made whole, and Chinese gets no spaces at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, starmap

from ocrd.page import Box, Line

_HYPHENS = "-\u00ad\u2010"
_UNSPACED = re.compile("[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff]")  # Thai to Khmer
_ITEM = re.compile(r"^(?:[-\u2013*•·●▪◦‣∙]\s*\S|\(?(?:\d{1,2}|[a-z])[.)]\s)")
_MARK = re.compile(
    r"[-\u2013*•·●▪◦‣∙]|\(?(?:\d{1,3}[a-z]?|[a-zA-Z]|[ivxIVX]{1,5})[.)]|\(?[a-z]{2}\)"
    r"|\[\d{1,4}\]|\d{1,3}[a-z\u00b0\u00ba]"
    r"|(?:§+|[Ss]\.|(?i:art(?:icle|ikel|\.)?|section))\s*\d+[a-z]?[.)]?"
)
_AMOUNT = re.compile(r"\d[.,]\d\d\D{0,4}$")
_COUNT = re.compile(r"\d{1,4}(?:\.\d{1,3})*\.?")
_NUMBERED = re.compile(
    r"(?:\d{1,2}(?:\.\d{1,2})*|[IVX]{1,5})\.?\s+[^\W\d_]|§+\s*\d"
    r"|(?:(?i:art(?:icle|ikel|ículo|icolo|\.)|section|chapter|kapitel|chapitre|capítulo))\s\d"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text.

    Attributes:
        line: Its text and its place on the page as it came.
        box: Its place on the page, upright and without skew: pixels, or points of a PDF's own text.
        on_end: Whether it runs up or down that page.
        weight: The width of its strokes in pixels; 0 if it was not measured.
        spaces: The total white between its words in pixels; 0 if it was not measured.
    """

    line: Line
    box: Box
    on_end: bool = False
    weight: float = 0.0
    spaces: float = 0.0

    @property
    def text(self) -> str:
        """The text of its line."""
        return self.line.text

    @property
    def height(self) -> float:
        """From top to bottom, in the unit of `box`."""
        return self.box.y2 - self.box.y1

    @property
    def width(self) -> float:
        """From left to right, in the unit of `box`."""
        return self.box.x2 - self.box.x1

    @property
    def middle(self) -> float:
        """From the top of the page to its middle, in the unit of `box`."""
        return (self.box.y1 + self.box.y2) / 2


def is_wide(char: str) -> bool:
    """Whether a character belongs to a script written without spaces (Chinese, Japanese)."""
    return unicodedata.east_asian_width(char) in "WF" and not is_hangul(char)


def is_hangul(char: str) -> bool:
    """Whether a character is a syllable of Korean, which has spaces between words."""
    return "\uac00" <= char <= "\ud7a3"


def is_unspaced(char: str) -> bool:
    """Whether a character belongs to a script whose words run together."""
    return is_wide(char) or _UNSPACED.match(char) is not None


def is_stop(char: str) -> bool:
    """Whether a character is one of the full-width marks that end a clause."""
    return is_wide(char) and unicodedata.category(char) == "Po"


def is_item(text: str) -> bool:
    """Whether a line begins like an item of a list."""
    return _ITEM.match(text) is not None


def is_mark(text: str) -> bool:
    """Whether a text is only the mark of an item or a clause: a bullet, (1), 1a, a), § 3."""
    return _MARK.fullmatch(text) is not None


def are_marks(texts: Sequence[str]) -> bool:
    """Whether successive texts mark items or clauses; bare numbers do if they count up."""
    numbers = [text for text in texts if not is_mark(text)]
    return all(map(is_count, numbers)) and all(starmap(follows, pairwise(numbers)))


def is_amount(text: str) -> bool:
    """Whether a text is, or ends in, an amount of money: 24.70, £ 1,343.50, 47,60 EUR."""
    return _AMOUNT.search(text) is not None


def is_count(text: str) -> bool:
    """Whether a text is a number that may count clauses, if others do: 1, 118, 2.1, 4.1.2."""
    return _COUNT.fullmatch(text) is not None


def follows(number: str, other: str) -> bool:
    """Whether `other` comes next after `number`: 2 after 1; 2.1.1, 2.2 and 3.1 after 2.1."""
    above, below = ([int(part) for part in text.split(".") if part] for text in (number, other))
    same = next((n for n, (a, b) in enumerate(zip(above, below, strict=False)) if a != b), None)
    if same is None:
        return len(below) > len(above) and set(below[len(above) :]) == {1}
    return below[same] == above[same] + 1 and set(below[same + 1 :]) <= {1}


def numbered(text: str) -> bool:
    """Whether a line begins like a numbered heading."""
    return _NUMBERED.match(text) is not None


def running(lines: Iterable[str]) -> str:
    """The lines of a paragraph joined: hyphenated words whole, Chinese without spaces."""
    text = ""
    for line in filter(None, (line.strip() for line in lines)):
        text = _follow(text, line) if text else line
    return text


def _follow(text: str, line: str) -> str:
    if is_unspaced(text[-1]) and is_unspaced(line[0]):
        return text + line
    if text[-1] in _HYPHENS and text[-2:-1].isalpha() and line[0].islower():
        return text[:-1] + line
    if text[-1] in _HYPHENS and text[-2:-1].isalnum():  # `forty-` `Six`, `2026-` `03`
        return text + line
    return f"{text} {line}"
