"""Quadrilaterals around pieces of text, as the detector finds them.  Pure.

In pixels, with y downward; corners are clockwise from the beginning of the text, so that the first
side is the upper edge of the line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ocrd.page import Box

Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]

SLIM = 1.5  # a piece more than so many times as high as wide may stand on end
SLIMMEST = 2.1  # a lone i, l or 1 has less
TOUCH = 0.1  # heights between pieces that touch
LIKE_SLOPE = 0.15  # radians


def width(quad: Quad) -> float:
    """The length along the text."""
    return max(math.dist(quad[0], quad[1]), math.dist(quad[3], quad[2]))


def height(quad: Quad) -> float:
    """The height across the text."""
    return max(math.dist(quad[0], quad[3]), math.dist(quad[1], quad[2]))


def thickness(quad: Quad) -> float:
    """The shorter side."""
    return min(width(quad), height(quad))


def taller(quad: Quad, share: float) -> Quad:
    """The piece with more room above and below: `share` of its height on each side."""
    a, b, c, d = quad
    return _along(a, d, -share), _along(b, c, -share), _along(c, b, -share), _along(d, a, -share)


def lying(quads: Iterable[Quad]) -> bool:
    """Whether more of a page's text, by length, stands on end than is level."""
    level = stands = 0.0
    for quad in quads:
        if height(quad) > SLIMMEST * width(quad):
            stands += height(quad)
        elif width(quad) > SLIMMEST * height(quad):
            level += width(quad)
    return stands > level


def mended(quads: Iterable[Quad]) -> list[Quad]:
    """The pieces, with those that touch end to end joined: the detector may break large words."""
    done: list[Quad] = []
    for quad in sorted(quads, key=lambda quad: (quad[0], quad)):
        for number, other in enumerate(done):
            if _touch(other, quad):
                done[number] = _joined(other, quad)
                break
        else:
            done.append(quad)
    return done


def _touch(left: Quad, right: Quad) -> bool:
    """Whether `right` begins where `left` ends, on the same line and with a similar height."""
    low, high = sorted((height(left), height(right)))
    across, down = (
        (right[0][axis] + right[3][axis] - left[1][axis] - left[2][axis]) / 2 for axis in (0, 1)
    )
    alike = high < SLIM * low and abs(slope(left) - slope(right)) < LIKE_SLOPE
    return alike and abs(down) < low / 3 and -high / 2 < across < TOUCH * low


def _joined(a: Quad, b: Quad) -> Quad:
    """The rectangle around both, with the slope of the longer one."""
    angle = slope(max(a, b, key=width))
    cos, sin = math.cos(angle), math.sin(angle)
    xs = [x * cos + y * sin for x, y in (*a, *b)]
    ys = [y * cos - x * sin for x, y in (*a, *b)]
    corners = ((min(xs), min(ys)), (max(xs), min(ys)), (max(xs), max(ys)), (min(xs), max(ys)))
    p, q, r, s = ((x * cos - y * sin, x * sin + y * cos) for x, y in corners)
    return p, q, r, s


def holds(quad: Quad, other: Quad) -> bool:
    """Whether the middle of the other piece is within the upright box around a piece."""
    x, y = (sum(point[axis] for point in other) / 4 for axis in (0, 1))
    xs, ys = zip(*quad, strict=True)
    return min(xs) <= x <= max(xs) and min(ys) <= y <= max(ys)


def on_end(quad: Quad, line: float) -> bool:
    """Whether a piece stands on end: it is higher than two usual lines, unlike a slim digit."""
    return height(quad) > SLIM * width(quad) and height(quad) > 2 * line


def from_top(quad: Quad) -> Quad:
    """A piece that stands on end, with its corners in the order for reading downward."""
    return quad[1], quad[2], quad[3], quad[0]


def from_end(quad: Quad) -> Quad:
    """The same piece, with its corners in the order for reading from its other end."""
    return quad[2], quad[3], quad[0], quad[1]


def turned_over(quad: Quad, page_width: float, page_height: float) -> Quad:
    """The piece's place after its page is turned upside down; it begins on its new left."""
    a, b, c, d = ((page_width - x, page_height - y) for x, y in from_end(quad))
    return a, b, c, d


def between(quad: Quad, start: float, end: float) -> Quad:
    """The stretch of a piece between two fractions of its length."""
    return (
        _along(quad[0], quad[1], start),
        _along(quad[0], quad[1], end),
        _along(quad[3], quad[2], end),
        _along(quad[3], quad[2], start),
    )


def trimmed(quad: Quad, top: float, bottom: float) -> Quad:
    """The part of a piece between two fractions of its height."""
    return (
        _along(quad[0], quad[3], top),
        _along(quad[1], quad[2], top),
        _along(quad[1], quad[2], bottom),
        _along(quad[0], quad[3], bottom),
    )


def _along(a: Point, b: Point, part: float) -> Point:
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part


def slope(quad: Quad) -> float:
    """How much the text slopes downward, in radians."""
    return math.atan2(quad[1][1] - quad[0][1], quad[1][0] - quad[0][0])


def skew(quads: Iterable[Quad]) -> float:
    """The slope of a page in radians: the median of its lines, weighted by their length squared."""
    return weighted_median(
        (slope(quad), width(quad) ** 2) for quad in quads if width(quad) > 2 * height(quad)
    )


def weighted_median(found: Iterable[tuple[float, float]]) -> float:
    """The median of pairs of a number and its weight; 0 if there are none."""
    ordered = sorted(found)
    half = sum(weight for _, weight in ordered) / 2
    for figure, weight in ordered:
        half -= weight
        if half <= 0:
            return figure
    return 0.0


def straight(quad: Quad, angle: float) -> Box:
    """A piece's box in pixels, after the page is turned about its corner to remove its slope."""
    x, y = (sum(point[axis] for point in quad) / 4 for axis in (0, 1))
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = x * cos + y * sin, y * cos - x * sin
    across, down = width(quad) / 2, height(quad) / 2
    if math.pi / 4 < abs(slope(quad) - angle) < math.pi * 3 / 4:
        across, down = down, across
    return Box(x - across, y - down, x + across, y + down)


def around(quad: Sequence[Point], page_width: float, page_height: float) -> Box:
    """The upright box around points, in fractions of the page and clamped to it."""
    xs = [min(max(x / page_width, 0.0), 1.0) for x, _ in quad]
    ys = [min(max(y / page_height, 0.0), 1.0) for _, y in quad]
    return Box(min(xs), min(ys), max(xs), max(ys))
