"""Pages made of text and numbers, for tests of geometry.  A letter is 10 pixels wide."""

from __future__ import annotations

from ocrd.layout.pieces import Piece
from ocrd.page import Box, Line

PAGE = 1000  # pixels, both ways
LETTER = 10


def piece(
    text: str,
    x: float,
    y: float,
    *,
    width: float | None = None,
    size: float = 1,
    weight: float = 2,
) -> Piece:
    """A line of text whose left end and middle are given; `size` enlarges the type."""
    width = LETTER * size * len(text) if width is None else width
    box = Box(x, y - 10 * size, x + width, y + 10 * size)
    place = Box(box.x1 / PAGE, box.y1 / PAGE, box.x2 / PAGE, box.y2 / PAGE)
    return Piece(Line(text, place), box, weight=weight)


def lines(text: str, x: float, y: float, *, pitch: float = 25) -> list[Piece]:
    """Lines of text below each other, as they are given."""
    return [piece(line, x, y + pitch * n) for n, line in enumerate(text.splitlines())]


def row(y: float, *cells: tuple[str, float]) -> list[Piece]:
    """Cells beside each other, each with its left end."""
    return [piece(text, x, y) for text, x in cells]
