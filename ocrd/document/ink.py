"""Finds the printed lines and words of a page by their ink, in a small rendering of it.

A model's box for a paragraph says nothing about the lines in it, but the rendering shows them:
text lines are bands of dark rows between light ones, and words are runs of dark columns between
the widest gaps.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from operator import mul

from PIL import Image, ImageChops

from ocrd.page import Box
from ocrd.tone import LEAST_CONTRAST, quantile

_STRIPS = 16  # pieces in which each row is judged, lest a short last line pass for a speck
_LEAST_INK = 14  # of 255, in a piece of a row or a column
_STEEPEST = 3.0  # degrees: the most by which a feeder skews a page
_COLUMN = 12  # pixels across which even the steepest line falls by less than one
_WORTHWHILE = 1.04  # how much sharper the rows must become for a page to count as skewed
_IS_INK = bytes(value >= _LEAST_INK for value in range(256))  # a table for `bytes.translate`
_MARKED = re.compile(rb"\x01+")
_SQUARES = tuple(value * value for value in range(256))

Stretch = tuple[float, float]


@dataclass(frozen=True, slots=True)
class InkLine:
    """A printed line.

    Attributes:
        box: As wide as its ink, in fractions of the picture.
        dark: The total width of its dark stretches, as a fraction of the picture's width.
        gaps: The widths of the light stretches between them, likewise.
    """

    box: Box
    dark: float
    gaps: tuple[float, ...] = ()


class Ink:
    """A page as grey levels, 255 being the darkest ink and 0 the paper."""

    def __init__(self, grey: Image.Image) -> None:
        self._grey = grey

    @classmethod
    def on(cls, image: Image.Image) -> Ink:
        """The ink on a grey picture of a page; `NO_INK` if the contrast is too low."""
        histogram = image.histogram()
        paper, darkest = quantile(histogram, 0.5), quantile(histogram, 0.0005)
        contrast = paper - darkest
        if contrast < LEAST_CONTRAST:
            return NO_INK
        return cls(image.point([_level(paper - value, 255 / contrast) for value in range(256)]))

    def skew(self) -> float:
        """Degrees by which the printed lines fall to the right; rising ones are negative."""
        columns = _Columns(self._grey)
        straight = columns.sharpness(0.0)
        best, _ = columns.sharpest(0.0, 0.5, int(_STEEPEST / 0.5))
        best, _ = columns.sharpest(best, 0.25, 1)
        best, sharpest = columns.sharpest(best, 0.1, 1)
        return best if sharpest > straight * _WORTHWHILE else 0.0

    def straightened(self, skew: float) -> Ink:
        """The same page with its lines level."""
        return Ink(self._grey.rotate(skew, Image.Resampling.BILINEAR)) if skew else self

    def lines(self, box: Box) -> list[InkLine]:
        """The printed lines in `box`, top to bottom."""
        area = self._pixels(box)
        if area is None:
            return []
        left, top, _, _ = area
        part = self._grey.crop(area)
        found = []
        for first, last in _bands(part):
            runs = _runs(_dark_columns(part.crop((0, first, part.width, last))))
            if runs:
                place = self._box(left + runs[0][0], top + first, left + runs[-1][1], top + last)
                width = self._grey.width
                dark = sum(end - start for start, end in runs) / width
                gaps = tuple((later[0] - one[1]) / width for one, later in pairwise(runs))
                found.append(InkLine(place, dark, gaps))
        return found

    def runs(self, line: Box) -> list[Stretch]:
        """The dark stretches of a printed line, left to right: letters, or several that touch."""
        area = self._pixels(line)
        if area is None:
            return []
        left, top, right, bottom = area
        lean = (bottom - top) // 6  # letters of neighbouring lines reach into the box
        dark = _dark_columns(self._grey.crop((left, top + lean, right, bottom - lean)))
        width = self._grey.width
        return [((left + start) / width, (left + end) / width) for start, end in _runs(dark)]

    def segments(self, line: Box) -> list[Box]:
        """The pieces of a printed line between wide gaps, such as the cells of a table row."""
        area = self._pixels(line)
        if area is None:
            return []
        left, top, _, bottom = area
        gap = max(int((bottom - top) * 0.9), 3)
        runs = _joined(_runs(_dark_columns(self._grey.crop(area))), gap)
        return [self._box(left + start, top, left + end, bottom) for start, end in runs]

    def _pixels(self, box: Box) -> tuple[int, int, int, int] | None:
        width, height = self._grey.size
        area = (
            max(int(box.x1 * width), 0),
            max(int(box.y1 * height), 0),
            min(int(box.x2 * width) + 1, width),
            min(int(box.y2 * height) + 1, height),
        )
        return area if area[2] - area[0] > 2 and area[3] - area[1] > 2 else None

    def _box(self, x1: int, y1: int, x2: int, y2: int) -> Box:
        width, height = self._grey.size
        return Box(x1 / width, y1 / height, x2 / width, y2 / height)


NO_INK = Ink(Image.new("L", (1, 1)))  # of a page that is empty or was not examined


def _level(depth: int, scale: float) -> int:
    """The ink for a difference from the paper; the faintest fifth is grain and show-through."""
    level = int(depth * scale)
    return min(level, 255) if level > 50 else 0


class _Columns:
    """A page as a few grey columns; shifting them up or down is like turning the page a little."""

    def __init__(self, grey: Image.Image) -> None:
        count = max(grey.width // _COLUMN, 2)
        self._grey = grey.resize((count, grey.height), Image.Resampling.BOX)
        self._pitch = grey.width / count
        self._known: dict[float, int] = {}

    def sharpest(self, around: float, step: float, reach: int) -> tuple[float, int]:
        """The angle near `around` at which neighbouring rows differ most, and by how much."""
        angles = [around + step * turn for turn in range(-reach, reach + 1)]
        sharpness, angle = max((self.sharpness(angle), angle) for angle in angles)
        return angle, sharpness

    def sharpness(self, angle: float) -> int:
        """How much neighbouring rows differ at an angle: most where text lines follow the rows."""
        if angle not in self._known:
            self._known[angle] = self._contrast(angle)
        return self._known[angle]

    def _contrast(self, angle: float) -> int:
        grey = self._grey
        slope = math.tan(math.radians(angle)) * self._pitch
        shift = (1.0, 0.0, 0.0, slope, 1.0, -slope * grey.width / 2)
        level = grey.transform(grey.size, Image.Transform.AFFINE, shift) if angle else grey
        rows = level.resize((2, grey.height), Image.Resampling.BOX)
        above, below = rows.crop((0, 0, 2, grey.height - 1)), rows.crop((0, 1, 2, grey.height))
        return sum(map(mul, ImageChops.difference(above, below).histogram(), _SQUARES))


def _bands(part: Image.Image) -> list[tuple[int, int]]:
    """Runs of dark rows that are tall enough to be lines."""
    strips = min(_STRIPS, max(part.width // 12, 1))
    rows = part.resize((strips, part.height), Image.Resampling.BOX)
    dark = Image.frombytes("L", rows.size, rows.tobytes().translate(_IS_INK))
    bands = _runs(bytes(dark.getprojection()[1]))
    if not bands:
        return []
    tall = sorted(last - first for first, last in bands)[len(bands) * 3 // 4]
    joined: list[tuple[int, int]] = []
    for first, last in bands:  # dots and accents belong to the line they nearly touch
        close = joined and first - joined[-1][1] <= tall * 0.2
        if close and min(last - first, joined[-1][1] - joined[-1][0]) < tall * 0.4:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return [(first, last) for first, last in joined if last - first >= max(tall * 0.4, 3)]


def _dark_columns(band: Image.Image) -> bytes:
    """For each column, whether it has ink: 1 or 0."""
    columns = band.resize((band.width, 1), Image.Resampling.BOX)
    return columns.tobytes().translate(_IS_INK)


def _runs(flags: bytes) -> list[tuple[int, int]]:
    """Runs of set flags, as half-open ranges."""
    return [match.span() for match in _MARKED.finditer(flags)]


def _joined(runs: list[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """The runs, with those less than `gap` apart joined."""
    found: list[tuple[int, int]] = []
    for start, end in runs:
        if found and start - found[-1][1] < gap:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
