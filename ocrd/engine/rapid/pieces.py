"""Pieces of text: what the detector found in one place, a line or a cell.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ocrd.page import Box, Line


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text.

    Attributes:
        line: Its text and its place on the page as it came.
        box: Its place in pixels on the page as it is read: turned upright, without its skew.
    """

    line: Line
    box: Box

    @property
    def text(self) -> str:
        """What it says."""
        return self.line.text

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.box.y2 - self.box.y1

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.box.x2 - self.box.x1

    @property
    def middle(self) -> float:
        """Pixels from the top of the page to its middle."""
        return (self.box.y1 + self.box.y2) / 2


def union(boxes: Iterable[Box]) -> Box:
    """The box around boxes, of which there is at least one."""
    lefts, tops, rights, bottoms = zip(*((b.x1, b.y1, b.x2, b.y2) for b in boxes), strict=True)
    return Box(min(lefts), min(tops), max(rights), max(bottoms))
