"""What the model is shown of a page, in numbers, and where that is made.  Pure.

There are two ways to the same bytes.  A page that is not much larger than its views goes to the
model's process as it is, and `device_views` makes them there; of any other `views` makes them
before.  In both pixels stay bytes until the encoder scales them to -1 … 1, which gives the same
numbers and moves a quarter of the memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ocrd.engine.deepseek.tiling import DEEPSEEK_OCR, Geometry, page_grid, tiles
from ocrd.modes import Resolution

GREY = 127  # beside a page that is no square
# So many times the pixels of its views a page may have.  To move them costs a tenth of what Pillow
# needs to make the views, but they take memory of the device, for a batch of pages at once.
WORTH_MOVING = 3
# Thinner pages do not go as they are: at some shape no pixel is left of them in the global view,
# which Pillow says in this process and nobody must find out in the model's.
NARROWEST = 64
LONGEST = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """The views of a page, in numbers.

    Attributes:
        base: Side of the global view.
        width: Of the page within the global view; it stands in the middle, amid grey.
        height: Likewise.
        tile: Side of a tile.
        columns: Of tiles; 1 by 1 means none.
        rows: Likewise.
    """

    base: int
    width: int
    height: int
    tile: int
    columns: int
    rows: int

    @property
    def cut(self) -> bool:
        """Whether there are tiles."""
        return (self.columns, self.rows) != (1, 1)

    @property
    def margin(self) -> tuple[int, int]:
        """Grey columns to the left of the page and grey rows above it."""
        return round((self.base - self.width) * 0.5), round((self.base - self.height) * 0.5)

    @property
    def pixels(self) -> int:
        """Of all views."""
        return self.base**2 + (self.columns * self.rows * self.tile**2 if self.cut else 0)


def lay_out(
    width: int, height: int, resolution: Resolution, geometry: Geometry = DEEPSEEK_OCR
) -> Layout:
    """The views of a page of so many pixels, as the published code cuts them."""
    columns, rows = page_grid(resolution, width, height)
    base = resolution.base
    inner = base, base
    if tiles(resolution) or base > geometry.squash:
        inner = _within(width, height, base)
    return Layout(base, *inner, resolution.tile or base, columns, rows)


def _within(width: int, height: int, side: int) -> tuple[int, int]:
    """The page as large as a square holds it: `ImageOps.contain`."""
    if width > height:
        return side, round(height / width * side)
    return round(width / height * side), side


def goes_whole(width: int, height: int, layout: Layout) -> bool:
    """Whether a page is to be cut where the model runs."""
    short, long = sorted((width, height))
    if short < NARROWEST or long > LONGEST * short:
        return False
    return width * height <= WORTH_MOVING * layout.pixels


def largest_whole(layout: Layout) -> int:
    """How many times larger than its tiles, or its global view, such a page still goes whole.

    vLLM measures with such a page how much memory it must leave.
    """
    shown = layout.columns * layout.rows * layout.tile**2 if layout.cut else layout.base**2
    return math.isqrt(WORTH_MOVING * layout.pixels // shown)
