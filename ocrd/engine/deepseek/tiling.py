"""Computes how a page is divided into views and how many tokens they take.  Pure.

The model sees a page as one *global view*, a square of `base` pixels, and, if the resolution has
tiles, as a grid of *tiles*, squares of `tile` pixels.  The rules are those of the code DeepSeek
published with the models (`image_process.py` of DeepSeek-OCR and DeepSeek-OCR-2).

There are two ways to the same bytes.  A page that is not much larger than its views is sent whole
to the model's process, and `device_views` makes the views there; for any other page `views` makes
them beforehand.  Either way pixels stay bytes until the encoder scales them to -1 … 1, which gives
the same numbers and moves a quarter of the memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ocrd.modes import Resolution

PATCH = 16  # pixels along the side of one patch of the encoder
MERGE = 4  # patches along the side of one token, after the encoder's two strided convolutions
MIN_CROPS = 2
MAX_CROPS = 9
SMALLEST_SIDE = 64  # one token
LARGEST_SIDE = 1536  # up to here every attention kernel accepts the encoder's folded vectors

GREY = 127  # fills the global view beside a page that is not square
# A page sent whole may have this many times the pixels of its views.  Moving them costs a tenth of
# what Pillow needs to make the views, but a batch of such pages takes memory on the device.
WORTH_MOVING = 3
# Pages narrower than this (pixels), or longer than so many times their width, are not sent whole:
# the thinnest would have no pixel in the global view.  Pillow reports that in this process; the
# model's process must never meet such a page.
NARROWEST = 64
LONGEST = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The differences between the models.

    Attributes:
        row_ends: Whether a newline token follows each row of tokens.
        squash: An untiled page is distorted into a square of up to this side, in pixels; into a
            larger one it is padded.
        sides: The only sides of views, in pixels, that its weights support; empty for any.
    """

    row_ends: bool
    squash: int
    sides: frozenset[int] = frozenset()


DEEPSEEK_OCR = Geometry(row_ends=True, squash=640)
DEEPSEEK_OCR_2 = Geometry(row_ends=False, squash=768, sides=frozenset({768, 1024}))


def tiles(resolution: Resolution) -> bool:
    """Whether pages larger than a tile are cut into tiles."""
    return resolution.tile > 0 and resolution.max_crops >= MIN_CROPS


def processor_kwargs(resolution: Resolution) -> dict[str, int]:
    """The resolution as a request's `mm_processor_kwargs`; `max_crops` 0 means no tiles."""
    if not tiles(resolution):
        return {"base_size": resolution.base, "image_size": resolution.base, "max_crops": 0}
    return {
        "base_size": resolution.base,
        "image_size": resolution.tile,
        "max_crops": resolution.max_crops,
    }


def from_processor_kwargs(kwargs: Mapping[str, Any]) -> Resolution:
    """The inverse of `processor_kwargs`.

    Raises:
        ValueError: One of the three is missing or is not an integer.
    """
    values = []
    for name in ("base_size", "image_size", "max_crops"):
        value = kwargs.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            message = f"`{name}` of `mm_processor_kwargs` must be an integer, got {value!r}"
            raise ValueError(message)  # noqa: TRY004 - vLLM refuses the request on a ValueError
        values.append(value)
    base, tile, max_crops = values
    return Resolution(name="request", base=base, tile=tile if max_crops else 0, max_crops=max_crops)


def problem(resolution: Resolution, geometry: Geometry = DEEPSEEK_OCR) -> str | None:
    """None if the model supports the resolution; otherwise a phrase that says what is wrong."""
    sides = [("base", resolution.base)]
    if resolution.tile or resolution.max_crops:
        sides.append(("tile", resolution.tile))
        if not MIN_CROPS <= resolution.max_crops <= MAX_CROPS:
            return f"max_crops must be {MIN_CROPS} to {MAX_CROPS}, not {resolution.max_crops}"
    for name, side in sides:
        if geometry.sides and side not in geometry.sides:
            known = " or ".join(str(known) for known in sorted(geometry.sides))
            return f"{name} must be {known} for this model, not {side}"
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE or side % PATCH:
            return (
                f"{name} must be a multiple of {PATCH} from {SMALLEST_SIDE} to {LARGEST_SIDE}, "
                f"not {side}"
            )
    return None


@functools.cache
def _shapes(max_crops: int) -> tuple[tuple[int, int], ...]:
    """Grids (columns, rows) by number of tiles; among grids with as many tiles, narrow ones first.

    In the published code the order among the latter is that of a Python set.  It matters only for
    1 by 2 and 2 by 1: for any other such pair there is a grid in between that is nearer.
    """
    sides = range(1, max_crops + 1)
    found = [
        (columns, rows)
        for columns in sides
        for rows in sides
        if MIN_CROPS <= columns * rows <= max_crops
    ]
    return tuple(sorted(found, key=lambda shape: (shape[0] * shape[1], shape)))


def grid(resolution: Resolution, width: int, height: int) -> tuple[int, int]:
    """Columns and rows of tiles for a page of this size in pixels; (1, 1) means no tiles."""
    tile = resolution.tile
    if not tiles(resolution) or (width <= tile and height <= tile):
        return 1, 1
    ratio = width / height
    best, nearest = (1, 1), float("inf")
    for columns, rows in _shapes(resolution.max_crops):
        distance = abs(ratio - columns / rows)
        large = width * height > 0.5 * tile * tile * columns * rows
        if distance < nearest or (distance == nearest and large):
            best, nearest = (columns, rows), distance
    return best


def side_tokens(side: int) -> int:
    """Tokens along the side of a view, which is in pixels."""
    return -(-(side // PATCH) // MERGE)


def _tokens(resolution: Resolution, shape: tuple[int, int], geometry: Geometry) -> int:
    end = 1 if geometry.row_ends else 0
    across = side_tokens(resolution.base)
    count = across * (across + end) + 1  # 1: the separator between the views and the text
    if shape != (1, 1):
        columns, rows = shape
        along = side_tokens(resolution.tile)
        count += rows * along * (columns * along + end)
    return count


def prompt_tokens(
    resolution: Resolution, width: int, height: int, geometry: Geometry = DEEPSEEK_OCR
) -> int:
    """Tokens that an image of this size in pixels takes in the prompt."""
    return _tokens(resolution, grid(resolution, width, height), geometry)


def most_tokens(resolution: Resolution, geometry: Geometry = DEEPSEEK_OCR) -> int:
    """Tokens of the costliest image at this resolution, whatever its shape."""
    return _tokens(resolution, costliest_shape(resolution, geometry), geometry)


def costliest_shape(resolution: Resolution, geometry: Geometry = DEEPSEEK_OCR) -> tuple[int, int]:
    """Columns and rows of the grid that takes the most tokens."""
    if not tiles(resolution):
        return 1, 1
    return max(
        _shapes(resolution.max_crops), key=lambda shape: _tokens(resolution, shape, geometry)
    )


def within(
    resolution: Resolution, room: Iterable[Resolution], geometry: Geometry = DEEPSEEK_OCR
) -> Resolution:
    """The resolution if it costs no more than the costliest of `room`; otherwise the nearest.

    The nearest is the same with fewer tiles, or the costliest of `room` itself.
    """
    most = costliest(room, geometry)
    limit = most_tokens(most, geometry)
    fewer = range(resolution.max_crops - 1, MIN_CROPS - 1, -1) if tiles(resolution) else ()
    candidates = [resolution, *(replace(resolution, max_crops=crops) for crops in fewer)]
    fit = (one for one in candidates if most_tokens(one, geometry) <= limit)
    return next(fit, most)


def costliest(resolutions: Iterable[Resolution], geometry: Geometry = DEEPSEEK_OCR) -> Resolution:
    """The resolution whose pages can take the most tokens: an engine must have room for it.

    Give its `processor_kwargs` to the engine as its default `mm_processor_kwargs`; requests that
    need more are refused one by one.
    """
    return max(resolutions, key=lambda resolution: most_tokens(resolution, geometry))


@dataclass(frozen=True, slots=True)
class Layout:
    """The sizes of a page's views, in pixels, and the grid of its tiles.

    Attributes:
        base: The side of the global view.
        width: The page's width within the global view, where it is centred on grey.
        height: The page's height there.
        tile: The side of a tile.
        columns: Columns of tiles; 1 by 1 means no tiles.
        rows: Rows of tiles.
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
        """Pixels of all views together."""
        return self.base**2 + (self.columns * self.rows * self.tile**2 if self.cut else 0)


def lay_out(
    width: int, height: int, resolution: Resolution, geometry: Geometry = DEEPSEEK_OCR
) -> Layout:
    """The views of a page of this size in pixels, as in the published code."""
    columns, rows = grid(resolution, width, height)
    base = resolution.base
    inner = base, base
    if tiles(resolution) or base > geometry.squash:  # as large as fits, like `ImageOps.contain`
        across, down = round(width / height * base), round(height / width * base)
        inner = (base, down) if width > height else (across, base)
    return Layout(base, *inner, resolution.tile or base, columns, rows)


def goes_whole(width: int, height: int, layout: Layout) -> bool:
    """Whether a page of this size in pixels is sent whole, and cut where the model runs."""
    short, long = sorted((width, height))
    if short < NARROWEST or long > LONGEST * short:
        return False
    return width * height <= WORTH_MOVING * layout.pixels


def largest_whole(layout: Layout) -> int:
    """The most times larger than its tiles, or its global view, that a page may be to go whole.

    The factor is for each side.  vLLM measures with such a page how much memory it must leave.
    """
    shown = layout.columns * layout.rows * layout.tile**2 if layout.cut else layout.base**2
    return math.isqrt(WORTH_MOVING * layout.pixels // shown)
