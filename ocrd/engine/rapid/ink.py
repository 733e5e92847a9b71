"""Finds print on a page without reading it: ink of the size of letters, lines of it, and rules.

The detector misses a line that is alone on a white page, and unreadable print cannot be found by
reading.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

import cv2
import numpy as np
from cv2.typing import MatLike

from ocrd.engine.rapid.crops import Pixels, shrunk
from ocrd.engine.rapid.quads import Quad, straight
from ocrd.layout.ruled import Rule
from ocrd.page import Box

CONTRAST = 70  # of 255, against the paper
LOOKED_AT = 2600  # pixels of the longer side, to look for letters
LOWEST, HIGHEST = 6, 120  # pixels of a letter's height
LEAST_MARK = 10  # pixels of its longer side: dust is smaller
LONGEST = 6  # heights: the length of a letter, or of a few that touch
MOST = 20_000  # parts of ink on a page; more are a halftone
FEWEST = 3  # letters of a line
REACH = 1.2  # heights from one letter of a line to the next
MARGIN = 60  # pixels around a line that is examined again
MOST_LOOKS = 12
RULED_AT = 1800  # pixels of the longer side, to look for rules
THICKEST = 5  # pixels of a rule
OVER_LINES = 1.7  # an upright rule is longer than so many heights of a line
BROKEN = 7  # pixels of a gap in a rule; stems of letters below each other are farther apart
FAINT = 35  # of 255: how much darker a rule is than the paper beside it
SHORTEST = 80, 36  # pixels of a level rule (print can look like shorter ones), of an upright one

Glyph = tuple[float, float, float, float]  # left, top, right, bottom: pixels


def glyphs(page: Pixels) -> list[Glyph]:
    """The parts of ink on a page that may be letters; none if the page looks like a halftone."""
    found = _parts(page)
    letters = [
        (left, top, right, bottom)
        for left, top, right, bottom in found
        if LOWEST <= bottom - top <= HIGHEST and right - left <= LONGEST * (bottom - top)
    ]
    return letters if len(found) <= MOST else []


def _parts(page: Pixels) -> list[Glyph]:
    """The connected parts of ink on a page, of any size."""
    scale = min(1.0, LOOKED_AT / max(page.shape[:2]))
    grey = cv2.cvtColor(shrunk(page, scale) if scale < 1 else page, cv2.COLOR_BGR2GRAY)
    paper = int(np.bincount(grey.ravel(), minlength=256).argmax())
    mask = (cv2.absdiff(grey, np.full_like(grey, paper)) > CONTRAST).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return [
        (left / scale, top / scale, (left + width) / scale, (top + height) / scale)
        for left, top, width, height, _ in stats[1:].tolist()
    ]


def anything(page: Pixels) -> bool:
    """Whether a page has more on it than dust, and shadows along its edges."""
    height, width = page.shape[:2]
    return any(
        max(bottom - top, right - left) >= LEAST_MARK
        and min(left, top) > 0
        and right < width
        and bottom < height
        for left, top, right, bottom in _parts(page)
    )


def turned_over(glyph: Glyph, width: float, height: float) -> Glyph:
    """The glyph's place after its page, of this size in pixels, is turned upside down."""
    left, top, right, bottom = glyph
    return width - right, height - bottom, width - left, height - top


def islands(found: Sequence[Glyph], read: Iterable[Quad], *, fewest: int = FEWEST) -> list[Glyph]:
    """The boxes around lines of at least `fewest` letters that are in none of the quads."""
    free = _outside(found, read)
    lines: list[list[Glyph]] = []
    for glyph in sorted(free):
        for line in reversed(lines[-40:]):
            if _goes_on(line[-1], glyph):
                line.append(glyph)
                break
        else:
            lines.append([glyph])
    return [_around(line) for line in lines if len(line) >= fewest and _alike(line)]


def around_islands(
    found: Iterable[Glyph], shape: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """The largest areas of a page with lines and a margin: left, top, right, bottom in pixels.

    Areas that touch are joined.  `shape` is the page's height and width.
    """
    height, width = shape
    parts: list[list[int]] = []
    for left, top, right, bottom in found:
        part = [
            max(0, int(left) - MARGIN),
            max(0, int(top) - MARGIN),
            min(width, int(right) + MARGIN),
            min(height, int(bottom) + MARGIN),
        ]
        while touching := next((one for one in parts if _touch(one, part)), None):
            parts.remove(touching)
            part = [*map(min, part[:2], touching[:2]), *map(max, part[2:], touching[2:])]
        parts.append(part)
    largest = sorted(parts, key=lambda part: (part[2] - part[0]) * (part[3] - part[1]))
    return [(a, b, c, d) for a, b, c, d in largest[-MOST_LOOKS:]]


def _outside(found: Sequence[Glyph], read: Iterable[Quad]) -> list[Glyph]:
    """The glyphs whose middle is in no quad."""
    if not found:
        return []
    boxes = np.array(found)
    middles = np.stack([boxes[:, [0, 2]].mean(1), boxes[:, [1, 3]].mean(1)], 1)
    inside = np.zeros(len(found), bool)
    for quad in read:
        corners = np.array(quad)
        sides = np.roll(corners, -1, 0) - corners
        to = middles[:, None] - corners
        length = np.maximum(np.hypot(*sides.T), 1e-6)
        off = (sides[:, 0] * to[..., 1] - sides[:, 1] * to[..., 0]) / length
        inside |= (off >= -0.2 * np.hypot(*sides[1])).all(1)
    return [glyph for glyph, within in zip(found, inside, strict=True) if not within]


def _goes_on(one: Glyph, other: Glyph) -> bool:
    """Whether the letter `other` follows `one` on the same line."""
    high = max(one[3] - one[1], other[3] - other[1])
    level = min(one[3], other[3]) - max(one[1], other[1])
    return level > 0 and other[0] - one[2] < REACH * high and other[2] > one[2]


def _alike(line: Sequence[Glyph]) -> bool:
    """Whether most parts have about the same height, as letters do and dots do not."""
    heights = [bottom - top for _, top, _, bottom in line]
    middle = median(heights)
    return sum(0.5 * middle <= height <= 2 * middle for height in heights) >= 0.7 * len(line)


def _around(line: Sequence[Glyph]) -> Glyph:
    lefts, tops, rights, bottoms = zip(*line, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _touch(one: Sequence[int], other: Sequence[int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def rules(page: Pixels, slope: float, read: Sequence[Quad]) -> list[Rule]:
    """Straight rules on a page, in pixels of the page turned about its corner to remove its slope.

    Strokes of letters can look like rules, but are not as long as two lines are high, and are not
    between lines.
    """
    height, width = page.shape[:2]
    scale = min(1.0, RULED_AT / max(height, width))
    grey = cv2.cvtColor(shrunk(page, scale) if scale < 1 else page, cv2.COLOR_BGR2GRAY)
    cos, sin = math.cos(slope), math.sin(slope)
    laid = cv2.warpAffine(
        grey,
        np.array([[cos, sin, 0], [-sin, cos, 0]]),
        grey.shape[::-1],
        borderMode=cv2.BORDER_REPLICATE,
    )
    level = [tuple(side / scale for side in rule) for rule in _level_rules(laid, SHORTEST[0])]
    upright = [(b, a, d, c) for a, b, c, d in _level_rules(laid.T, SHORTEST[1])]
    upright = [tuple(side / scale for side in rule) for rule in upright]
    boxes = [straight(quad, slope) for quad in read]
    line = median([box.y2 - box.y1 for box in boxes] or [0.0])
    level = [rule for rule in level if not any(_through(rule, box) for box in boxes)]
    return [*level, *(rule for rule in upright if rule[3] - rule[1] > OVER_LINES * line)]


def _through(rule: Rule, box: Box) -> bool:
    """Whether a level rule runs through a line of print rather than above or below it."""
    edge = (box.y2 - box.y1) / 5
    inside = min(rule[2], box.x2) - max(rule[0], box.x1)
    return box.y1 + edge < rule[1] < box.y2 - edge and 2 * inside > rule[2] - rule[0]


def _level_rules(grey: MatLike, shortest: int) -> Iterator[Rule]:
    """The level rules: dark, thin and at least `shortest` pixels long."""
    thin = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, np.ones((2 * THICKEST + 1, 1), np.uint8))
    along = cv2.blur(thin, (2 * THICKEST + 1, 1))
    mask = cv2.dilate((along > FAINT).astype(np.uint8), np.ones((3, 1), np.uint8))
    kept = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, shortest), np.uint8))
    joined = cv2.morphologyEx(kept, cv2.MORPH_CLOSE, np.ones((1, BROKEN), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    for left, top, across, down, _ in stats[1:].tolist():
        if down <= THICKEST + 4 and across >= shortest:
            yield left, top + down / 2, left + across, top + down / 2
