"""Printed lines with their style, and the marks that begin items among them.  Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ocrd.page import Box

WORDY = 40  # characters of a line of text, at least
OUTDENT = 0.004  # of the page's width: a line so far left of an item is no part of it
DEEPER = 0.012  # of the page's width: an item so far to the right is nested in the last
TICKS = "✓✔✕✖✗✘☐☑☒"  # marks that have a meaning, and so stay in the text
MARK = rf"[•·●▪◦‣∙■□○◆►▸➢{TICKS}\u2013\u2014*\uf0a7\uf0b7\uf0d8\uf0fc-]|\uf06f|o(?=\s[^\W\d_])"
_ENUM = r"\(?\d{1,3}[.)]|\d{1,2}[\u00b0\u00ba]|\(?[a-zA-Z][.)]|\(?[ivxIVX]{1,5}[.)]"
ITEM = re.compile(rf"({MARK}|{_ENUM})\s+\S")


@dataclass(frozen=True, slots=True)
class Style:
    """How a line is set; sizes are in points.  The colour of a link is None: it means nothing."""

    size: float
    bold: bool = False
    italic: bool = False
    colour: int | None = 0
    face: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the page and how it is set.

    Attributes:
        style: The style of most of it.
        code: The text with its spaces, if all of it is monospaced; otherwise empty.
        marked: Whether it begins with a mark that was set apart from it.
    """

    text: str
    box: Box
    style: Style
    code: str = ""
    marked: bool = False

    @property
    def capitals(self) -> bool:
        """Whether it is all in capitals and has more than three letters."""
        return self.text.isupper() and sum(map(str.isalpha, self.text)) > 3
