"""Sets text on a clean page and remembers where every word's ink stands.

Lengths are points (1/72 inch), y grows downward.  PyMuPDF brings the fonts: the base fonts of PDF
and Droid Sans Fallback for Chinese.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pymupdf
from PIL import Image

from ocrd.page import Box
from tests.support.samples.lines import FIRST_WIDE, bare, broken
from tests.support.samples.model import SamplePage, TrueWord

A4 = (595.0, 842.0)
SANS, SANS_BOLD, SERIF, SERIF_BOLD, CHINESE = "helv", "hebo", "tiro", "tibo", "china-s"
LEADING = 1.35
IDEOGRAPHIC_COMMA = "\u3001"


@functools.cache
def _font(name: str) -> pymupdf.Font:
    return pymupdf.Font(name)


@dataclass(frozen=True, slots=True)
class Style:
    """How text looks: a font PyMuPDF has built in, and its size in points."""

    font: str = SERIF
    size: float = 11

    def width(self, text: str) -> float:
        """How far the pen moves, in points."""
        return float(_font(self.font).text_length(text, fontsize=self.size))

    @property
    def pitch(self) -> float:
        """From one baseline to the next, in points."""
        return self.size * LEADING


class Sheet:
    """One page under way: what is set on it, word by word."""

    def __init__(self, width: float = A4[0], height: float = A4[1]) -> None:
        self.width = width
        self.height = height
        self._document = pymupdf.open()
        self._page = self._document.new_page(width=width, height=height)
        self._blocks: list[str] = []
        self._words: list[TrueWord] = []

    def says(self, text: str) -> None:
        """Add a paragraph to the truth about the page."""
        self._blocks.append(bare(text))

    def rule(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Draw a thin straight line."""
        self._page.draw_line((x1, y1), (x2, y2), width=0.6)

    def line(self, text: str, x: float, y: float, style: Style, *, anchor: float = 0) -> None:
        """Set one line, baseline at y; x is its left end, middle or right end (anchor 0, 0.5, 1).

        The truth is not told: see `says`.
        """
        self._set(text, x - anchor * style.width(text), y, style, style.width(" "))

    def paragraph(
        self, text: str, x: float, y: float, width: float, style: Style, *, justify: bool = False
    ) -> float:
        """Set a paragraph, first baseline at y; return the baseline after its last line."""
        self.says(text)
        lines = broken(text, width, style.width)
        for number, line in enumerate(lines, start=1):
            space = style.width(" ")
            if justify and number < len(lines) and " " in line:
                space += (width - style.width(line)) / line.count(" ")
            self._set(line, x, y, style, space)
            y += style.pitch
        return y

    def _set(self, line: str, x: float, y: float, style: Style, space: float) -> None:
        writer = pymupdf.TextWriter(self._page.rect)
        for word in line.split(" "):
            writer.append((x, y), word, font=_font(style.font), fontsize=style.size)
            for part, offset in _parts(word):
                ink = self._ink(part, x + style.width(word[:offset]), y, style)
                self._words.append(TrueWord(part, ink))
            x += style.width(word) + space
        writer.write_text(self._page)

    def _ink(self, word: str, x: float, y: float, style: Style) -> Box:
        boxes = []
        for char in word:
            x1, y1, x2, y2 = (style.size * ems for ems in _glyph(style.font, char))
            boxes.append((x + x1, y - y2, x + x2, y - y1))
            x += style.width(char)
        left, top, right, bottom = zip(*boxes, strict=True)
        return Box(
            min(left) / self.width,
            min(top) / self.height,
            max(right) / self.width,
            max(bottom) / self.height,
        )

    def truth(self) -> SamplePage:
        """The text and word boxes so far."""
        return SamplePage(text="\n\n".join(self._blocks), words=tuple(self._words))

    def image(self, dpi: int) -> Image.Image:
        """The clean page in grey, at `dpi` pixels an inch."""
        drawn = self._page.get_pixmap(dpi=dpi, colorspace=pymupdf.csGRAY)
        return Image.frombytes("L", (drawn.width, drawn.height), drawn.samples)


def _parts(word: str) -> Iterator[tuple[str, int]]:
    """A word and its offset; a run of Chinese is parted at its punctuation, which is left out."""
    start = 0
    for end, char in enumerate(word + IDEOGRAPHIC_COMMA):
        if char >= FIRST_WIDE and unicodedata.category(char).startswith("P"):
            if start < end:
                yield word[start:end], start
            start = end + 1


@functools.cache
def _glyph(font: str, char: str) -> Sequence[float]:
    """A glyph's ink (x1, y1, x2, y2) in ems, y upward from the baseline."""
    if font == CHINESE:  # this font reports the box of its widest glyph for each
        return (0.05, -0.08, _font(font).glyph_advance(ord(char)) - 0.05, 0.83)
    return tuple(_font(font).glyph_bbox(ord(char)))
