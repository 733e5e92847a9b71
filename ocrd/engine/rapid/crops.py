"""Cuts pages into bands for the detector, and pieces of text into parts for the recogniser.

The recogniser scales every crop to a height of 48 pixels.  Crops about forty times as wide as high
are sometimes read as garbage, and take no less time than their parts; so they are cut at gaps
between words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from ocrd.engine.rapid import quads
from ocrd.engine.rapid.quads import Quad

Pixels = MatLike  # height x width x 3, blue first

LONGEST_BAND = 2.5  # times the shorter side of the page
LONGEST_PART = 12  # times its height, about
SEARCH = 1.5  # heights to either side in which to look for a gap to cut at
WORD_GAP = 0.16  # heights: a wider gap separates words, if the line has no other gaps to compare
LIKE_OTHERS = 0.6  # of the width of other gaps between words
INKED = 0.35  # of the strongest contrast: more counts as ink
FULL = 0.7  # of the strongest contrast: the middle of a stroke has more, its edge less
EDGE = 0.15  # of the height, ignored above and below: neighbouring lines may extend there
RULED = 0.6  # of the length: a row with more ink, and twice that of other rows, is a rule
THROUGH = 0.9  # of the height of a crop: an upright rule is at least as high
THIN = 0.12  # of the height of a crop: an upright rule is no wider
CLEAR = 0.06  # of the height: the least room above and below text beside an upright rule
SPECK = 2  # pixels of ink in a row that are ignored
DOT_GAP = 0.12  # heights between the dot of an i and its stem
HIGHEST = 64  # pixels: larger crops are scaled down here, which gives better quality


@dataclass(frozen=True, slots=True)
class Crop:
    """A piece of text, cut out and straightened.

    Attributes:
        pixels: Its pixels.
        ink: For each pixel, whether it is ink.
        inked: For each column, whether it has ink that does not belong to a rule.
        top: Where the ink of the line begins, as a fraction of the height.
        bottom: Where the ink of the line ends, likewise.
    """

    pixels: Pixels
    ink: npt.NDArray[np.bool_]
    inked: npt.NDArray[np.bool_]
    top: float
    bottom: float

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[1])

    def parts(self) -> list[tuple[int, int]]:
        """The first column and the last + 1 of parts that are short enough for the recogniser."""
        count = math.ceil(self.width / (LONGEST_PART * self.height))
        cuts = [0]
        for number in range(1, count):
            target, reach = self.width * number // count, round(SEARCH * self.height)
            found = self.gap(target - reach, target + reach)
            cuts.append(
                sum(found) // 2 if found else self._thinnest(target - reach, target + reach)
            )
        return list(pairwise([*cuts, self.width]))

    def stretch(self, first: int, last: int, *, mirrored: bool = False) -> Crop:
        """The part between two columns, as a crop; its mirror image if `mirrored`."""
        seen = slice(first, last)
        pixels, ink, inked = self.pixels[:, seen], self.ink[:, seen], self.inked[seen]
        if mirrored:
            pixels, ink, inked = pixels[:, ::-1], ink[:, ::-1], inked[::-1]
        return replace(self, pixels=np.ascontiguousarray(pixels), ink=ink, inked=inked)

    def apart(self, first: int, last: int, least: float) -> list[tuple[int, int]]:
        """The stretches between two columns, split in the middle of gaps of `least` pixels or more.

        No stretch is empty: if both columns are the same, the list is.
        """
        columns = np.flatnonzero(self.inked[first:last]) + first
        gaps = np.flatnonzero(np.diff(columns) > least)
        cuts = [int(columns[gap] + columns[gap + 1]) // 2 for gap in gaps]
        return [(start, end) for start, end in pairwise([first, *cuts, last]) if start < end]

    def _thinnest(self, first: int, last: int) -> int:
        """The column with the least ink between two columns, for use if a rule fills all gaps."""
        start, end = max(first, 0), min(last, self.width)
        width = max(1, round(DOT_GAP * self.height))
        ink = np.convolve(self.ink.sum(axis=0), np.ones(width), "same")[start:end]
        least = np.flatnonzero(ink == ink.min())
        middle = (first + last) // 2 - start
        return start + int(least[np.abs(least - middle).argmin()])

    def gap(self, first: int, last: int) -> tuple[int, int] | None:
        """The widest stretch without ink between two columns, if there is one."""
        best, start = (0, 0), max(first, 0)
        end = min(last, self.width)
        for column in range(start, end + 1):
            if column == end or self.inked[column]:
                best = max(best, (start, column), key=lambda stretch: stretch[1] - stretch[0])
                start = column + 1
        return best if best[1] > best[0] else None

    def gap_between(self, start: float, end: float) -> tuple[float, float] | None:
        """Like `gap`, with all columns as fractions of the length."""
        found = self.gap(round(start * self.width), round(end * self.width))
        return (found[0] / self.width, found[1] / self.width) if found else None

    def word_gap(self, spaces: int) -> float:
        """The least width of a gap between words, in pixels; `spaces` were read in the line.

        The gaps between words of a line are about equal, and far wider than those between letters.
        """
        steps = np.diff(np.flatnonzero(self.inked)) - 1
        widths = sorted(steps[steps > 0])[-spaces:] if spaces else []
        return LIKE_OTHERS * median(widths) if widths else self.height * WORD_GAP

    def parted(self, column: int, least: float) -> bool:
        """Whether there is a gap of at least `least` pixels at the column."""
        reach = round(2 * max(least, 1.0))
        start, end = self.gap(column - reach, column + reach) or (column, column)
        return end - start >= least

    def solid(self) -> float:
        """The share of ink with full contrast: print has one tone, a photo many."""
        contrast = _contrast(self.pixels)
        full = int((contrast > FULL * np.percentile(contrast, 98)).sum())
        return full / max(1, int(self.ink.sum()))

    def weight(self, start: float, end: float) -> float:
        """The breadth of strokes between two fractions of the length, in heights."""
        ink = self.ink[:, round(start * self.width) : round(end * self.width)]
        strokes = int((ink[:, 1:] & ~ink[:, :-1]).sum())
        return int(ink.sum()) / max(1, strokes) / self.height


def cut(page: Pixels, quad: Quad) -> Crop:
    """The part of a page at `quad`, cut out and straightened."""
    width, height = max(1, round(quads.width(quad))), max(1, round(quads.height(quad)))
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    matrix = cv2.getPerspectiveTransform(np.array(quad, np.float32), corners)
    laid = partial(cv2.warpPerspective, page, matrix, (width, height), flags=cv2.INTER_CUBIC)
    pixels = laid(borderMode=cv2.BORDER_REPLICATE)
    high, broad = page.shape[:2]
    if not all(0 <= x <= broad and 0 <= y <= high for x, y in quad):  # letters end with the page
        pixels = laid(borderMode=cv2.BORDER_CONSTANT, borderValue=np.median(pixels, axis=(0, 1)))
    if height > HIGHEST:
        pixels = shrunk(pixels, HIGHEST / height)
    ink = _ink(pixels)
    print_ = ink & ~upright_rules(ink)
    edge = int(len(ink) * EDGE)
    rows = print_[edge : len(ink) - edge]
    full = rows.mean(axis=1)
    ruled = (full > RULED) & (full > 2 * np.median(full))
    columns = np.logical_or.reduce(rows[~ruled])
    return Crop(pixels, ink, columns, *_reach(print_.sum(axis=1)))


def upright_rules(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The ink of upright rules, as beside a table's cells.

    Some letters are as narrow, and as high as a tight crop.  So the text must be clear of the rule
    and of the upper and lower edge, and must not have such a stroke among its letters.
    """
    height, edge = len(ink), int(len(ink) * EDGE)
    wide = cv2.dilate(ink.astype(np.uint8), np.ones((1, 3), np.uint8))  # some rules are slanted
    middle = wide[edge : height - edge]  # a table's level rules may touch them above and below
    _, labels, stats, _ = cv2.connectedComponentsWithStats(middle, connectivity=8)
    thin = stats[:, cv2.CC_STAT_WIDTH] - 2 <= math.ceil(THIN * height)
    thin &= stats[:, cv2.CC_STAT_HEIGHT] == len(middle)
    thin[0] = False  # the paper
    text = np.flatnonzero((middle > 0).any(axis=0, where=~thin[labels]))
    beside = thin[labels].any(axis=0)
    if not len(text) or beside[text[0] : text[-1] + 1].any():
        return np.zeros_like(ink)
    through = np.ones((max(1, round(THROUGH * height)), 1), np.uint8)
    rules: npt.NDArray[np.bool_] = (cv2.morphologyEx(wide, cv2.MORPH_OPEN, through) > 0) & ink
    rules &= beside
    top, bottom = _reach((ink & ~rules).sum(axis=1))
    return rules & (top > CLEAR and bottom < 1 - CLEAR)


def shrunk(pixels: Pixels, scale: float) -> Pixels:
    """The picture scaled down; each pixel is the average of the area that it covers."""
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def bands(page: Pixels) -> list[tuple[int, int, Pixels]]:
    """Left, top and pixels of a page's bands: one, or of a long page several, cut where empty."""
    height, width = page.shape[:2]
    longest = round(width * LONGEST_BAND)
    if width > height * LONGEST_BAND:
        return [(y, x, band.transpose(1, 0, 2)) for x, y, band in bands(page.transpose(1, 0, 2))]
    if height <= longest:
        return [(0, 0, page)]
    contrast = np.ptp(page[:, :, 1], axis=1)
    cuts = [0]
    while height - cuts[-1] > longest:
        last = cuts[-1] + longest
        cuts.append(last - int(contrast[last - longest // 2 : last][::-1].argmin()))
    return [(0, top, page[top:bottom]) for top, bottom in pairwise([*cuts, height])]


def _ink(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """Where there is ink: pixels that differ enough from the median shade, dark or light."""
    contrast = _contrast(pixels)
    marked: npt.NDArray[np.bool_] = contrast > INKED * np.percentile(contrast, 98)
    return marked


def _contrast(pixels: Pixels) -> npt.NDArray[np.int16]:
    """How much each pixel differs from the median shade, of 255."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.int16)
    contrast: npt.NDArray[np.int16] = np.abs(grey - np.int16(np.median(grey)))
    return contrast


def _reach(ink: npt.NDArray[np.int_]) -> tuple[float, float]:
    """Where the line's ink begins and ends, in fractions of the height, by the ink in each row."""
    height = len(ink)
    ends = []
    for rows in (range(height // 2, -1, -1), range(height // 2, height)):
        end = height // 2
        for row in rows:
            if ink[row] > SPECK:
                end = row
            elif abs(row - end) > DOT_GAP * height:
                break
        ends.append(end)
    return ends[0] / height, (ends[1] + 1) / height
