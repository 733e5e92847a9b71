"""Whether a page is an empty sheet: paper, and what a sheet has without anyone's writing on it.

That is dust, punch holes, a staple, and the dark edges that a scanner adds.  Everything else is
something, a lone page number too.  In children only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from ocrd.page import Box
from ocrd.tone import LEAST_CONTRAST

_SIDE = 640  # pixels of the longer side: 54 dpi of A4, where the grain of paper averages out
_MOST_INK = 0.02  # of the page: with more it is looked at no further
_DUST, _MOST_DUST = 2, 0.0005  # pixels across; of the page
_NEAR, _MOST_NEAR = 6, 3  # pixels; so many specks side by side are small print, broken up
_MARGIN = 0.04  # of the longer side: the scanner's edges are no broader
_BORDER = 2  # pixels of white that may be around them
_EDGE = 0.1  # of the longer side: a line in the margin is at least so long
# of the longer side: a hole is 5 to 8 mm wide, its middle 7 to 20 mm from the edge
_NARROWEST, _WIDEST = 0.0135, 0.045
_NEAREST, _FARTHEST = 0.015, 0.085
_APART = 3.0  # diameters from one hole to the next, at least
_ALIKE = 1.25  # times as wide is another hole
_ROUND = 1.2  # times as high as wide, or the other way round
_UNROUND = 0.12  # of its box: by so much a hole's outline is off a disc's; a square's is by 0.21
_ASKEW = 0.06  # of the way from one hole to another
# of the longer side: a staple is 8 to 15 mm long and 1 mm thick
_SHORTEST, _LONGEST, _CORNER = 0.024, 0.056, 0.14
_SLENDER = 7.0  # times as long as thick
_MOST_STAPLES = 2

_INK = re.compile(b"\1+")


@dataclass(frozen=True, slots=True)
class _Run:
    """Pixels side by side in a row, from `start` to before `end`."""

    row: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """Pixels that touch each other."""

    runs: tuple[_Run, ...]

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return (
            min(run.start for run in self.runs),
            self.runs[0].row,
            max(run.end for run in self.runs),
            self.runs[-1].row + 1,
        )

    @property
    def size(self) -> tuple[int, int]:
        """Across and down."""
        left, top, right, bottom = self.sides
        return right - left, bottom - top

    @property
    def area(self) -> int:
        """Pixels."""
        return sum(run.end - run.start for run in self.runs)

    @property
    def is_disc(self) -> bool:
        """Whether its outline is that of a disc, full or hollow."""
        left, top, right, bottom = self.sides
        x, y = self.middle
        rows = range(top, bottom)
        starts = [min(run.start for run in self.runs if run.row == row) for row in rows]
        ends = [max(run.end for run in self.runs if run.row == row) for row in rows]
        off = 0.0
        for row, start, end in zip(rows, starts, ends, strict=True):
            height = (row + 0.5 - y) / ((bottom - top) / 2)
            half = math.sqrt(max(0.0, 1 - height * height)) * (right - left) / 2
            off += abs(start - (x - half)) + abs(end - (x + half))
        return off <= _UNROUND * (right - left) * (bottom - top)

    @property
    def axes(self) -> tuple[float, float]:
        """Length and thickness of a bar with the same moments, pixels."""
        points = [(x + 0.5, run.row + 0.5) for run in self.runs for x in range(run.start, run.end)]
        count = len(points)
        x, y = (sum(side) / count for side in zip(*points, strict=True))
        xx = sum((p[0] - x) ** 2 for p in points) / count
        yy = sum((p[1] - y) ** 2 for p in points) / count
        xy = sum((p[0] - x) * (p[1] - y) for p in points) / count
        middle, spread = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
        return math.sqrt(12 * (middle + spread) + 1), math.sqrt(12 * max(middle - spread, 0) + 1)

    @property
    def middle(self) -> tuple[float, float]:
        """Across and down."""
        left, top, right, bottom = self.sides
        return (left + right) / 2, (top + bottom) / 2


def is_blank(image: Image.Image) -> bool:
    """Whether a page is an empty sheet."""
    return marks(image) is not None


def marks(image: Image.Image) -> list[Box] | None:
    """Where an empty sheet has its holes, staples and dark edges; None of one that is not empty."""
    scale = min(1.0, _SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    grey = image.convert("L").resize(size, Image.Resampling.BOX)
    counts = grey.histogram()
    paper = max(range(256), key=counts.__getitem__)
    ink = grey.point([abs(shade - paper) > LEAST_CONTRAST for shade in range(256)])
    ink = _without_rim(ink)
    if ink.histogram()[1] > _MOST_INK * math.prod(size):
        return None
    found = list(_marks(ink))
    dust = [mark for mark in found if max(mark.size) <= _DUST]
    if sum(mark.area for mark in dust) > max(_MOST_DUST * math.prod(size), 1.0):
        return None
    if any(sum(_are_near(mark, other) for other in dust) >= _MOST_NEAR for mark in dust):
        return None
    known = [mark for mark in found if mark not in dust]
    left = [mark for mark in known if not _is_edge(mark, size)]
    holes = _holes(left, size)
    left = [mark for mark in left if mark not in holes]
    if len(left) > _MOST_STAPLES or not all(_is_staple(mark, size) for mark in left):
        return None
    return [
        Box(x1 / size[0], y1 / size[1], x2 / size[0], y2 / size[1])
        for x1, y1, x2, y2 in (mark.sides for mark in known)
    ]


def _without_rim(ink: Image.Image) -> Image.Image:
    """Without what is dark from the page's edges on, as the lid of a scanner is."""
    broadest = round(_MARGIN * max(ink.size))
    for _ in range(2):
        rows = bytearray(ink.tobytes())
        for start in range(0, len(rows), ink.width):
            row = bytes(rows[start : start + ink.width])
            for run in _INK.finditer(row):
                at_edge = run.start() <= _BORDER or run.end() >= ink.width - _BORDER
                if at_edge and len(run[0]) <= broadest:
                    rows[start + run.start() : start + run.end()] = bytes(len(run[0]))
        ink = Image.frombytes("L", ink.size, bytes(rows)).transpose(Image.Transpose.TRANSPOSE)
    return ink


def _marks(ink: Image.Image) -> Iterator[_Mark]:
    """What of the ink touches, corners included."""
    pixels, width = ink.tobytes(), ink.width
    whole: dict[_Run, list[_Run]] = {}  # of what mark a run is
    above: list[_Run] = []
    for row in range(ink.height):
        line = pixels[row * width : (row + 1) * width]
        here = [_Run(row, run.start(), run.end()) for run in _INK.finditer(line)]
        for run in here:
            whole[run] = [run]
            for other in above:
                if other.start <= run.end and run.start <= other.end:
                    _join(whole, run, other)
        above = here
    for runs in {id(runs): runs for runs in whole.values()}.values():
        yield _Mark(tuple(sorted(runs, key=lambda run: run.row)))


def _join(whole: dict[_Run, list[_Run]], one: _Run, other: _Run) -> None:
    few, many = sorted((whole[one], whole[other]), key=len)
    if few is many:
        return
    many += few
    for run in few:
        whole[run] = many


def _are_near(one: _Mark, other: _Mark) -> bool:
    return all(abs(a - b) <= _NEAR for a, b in zip(one.middle, other.middle, strict=True))


def _is_edge(mark: _Mark, size: tuple[int, int]) -> bool:
    """Whether it is a line along an edge of the page, in its margin."""
    longer = max(size)
    margin = _MARGIN * longer
    left, top, right, bottom = mark.sides
    across, down = mark.size
    level = bottom <= margin or top >= size[1] - margin
    upright = right <= margin or left >= size[0] - margin
    return (level and across >= _EDGE * longer) or (upright and down >= _EDGE * longer)


def _holes(found: Sequence[_Mark], size: tuple[int, int]) -> list[_Mark]:
    """Round marks of one size in a line along one edge, two at least; those of all edges."""
    round_ = [mark for mark in found if _is_round(mark, max(size))]
    return [
        mark
        for mark in round_
        if any(
            _are_punched(mark, other, along, size)
            for other in round_
            if other is not mark
            for along in (0, 1)
        )
    ]


def _is_round(mark: _Mark, longer: int) -> bool:
    """Whether it is a disc of the size of a hole, or the rim of one."""
    across, down = mark.size
    widest, narrowest = max(across, down), min(across, down)
    fits = _NARROWEST * longer <= narrowest and widest <= _WIDEST * longer
    return fits and widest <= _ROUND * narrowest + 1 and mark.is_disc


def _are_punched(one: _Mark, other: _Mark, along: int, size: tuple[int, int]) -> bool:
    """Whether two marks are holes along an edge that runs across (0) or down (1) the page."""
    longer, across = max(size), 1 - along
    widths = sorted(sum(mark.size) / 2 for mark in (one, other))
    apart = abs(one.middle[along] - other.middle[along])
    off = abs(one.middle[across] - other.middle[across])
    near = [
        min(mark.middle[across], size[across] - mark.middle[across]) / longer
        for mark in (one, other)
    ]
    same_edge = (one.middle[across] < size[across] / 2) == (other.middle[across] < size[across] / 2)
    return (
        widths[1] <= _ALIKE * widths[0] + 1
        and apart >= _APART * widths[1]
        and off <= _ASKEW * apart + 1
        and same_edge
        and all(_NEAREST <= distance <= _FARTHEST for distance in near)
    )


def _is_staple(mark: _Mark, size: tuple[int, int]) -> bool:
    """Whether it is a short straight line in a corner."""
    longer = max(size)
    length, thickness = mark.axes
    x, y = mark.middle
    corner = _CORNER * longer
    in_corner = min(x, size[0] - x) < corner and min(y, size[1] - y) < corner
    fits = _SHORTEST * longer <= length <= _LONGEST * longer
    return in_corner and fits and length >= _SLENDER * thickness
