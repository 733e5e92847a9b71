"""Cleans a cut-out line for Tesseract: without rules, specks and grain.

Tesseract scales a line by the height of its ink, and reads marks at its ends: grain, and rules
above and below, make it scale letters too small, and it reads the rule beside a table's cell as
`|`, `]` or a digit.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from ocrd.engine.rapid.crops import INKED, THIN, upright_rules

LEAST_CONTRAST = 40  # of 255; with less there is nothing to enhance
GRAINY = 5  # of 255: the standard deviation of paper with grain; clean print reads worse blurred
SPECK = 0.1  # of a stroke's breadth squared: the dots of Arabic letters have 0.2 and more
PAPER = 0.12  # of the contrast: less is grain of the paper
OUTER = 0.25  # of the height, above and below: where a table's level rules are
LONG = 0.5  # of the length, likewise of the height
BROKEN = 7  # pixels: a rule on a page of two tones has gaps
AROUND = np.ones((3, 3), np.uint8)  # covers the soft edge of ink


def tidied(grey: MatLike) -> MatLike:
    """The line, cleaned; `grey` may be dark on light or light on dark."""
    paper = int(np.median(grey))
    strongest = np.percentile(_contrast(grey, paper), 98)
    if strongest < LEAST_CONTRAST:
        return grey
    ink = _contrast(grey, paper) > INKED * strongest
    marks = upright_rules(ink) | _level_rules(ink) | _specks(ink)
    soft = cv2.dilate(marks.astype(np.uint8), AROUND) > 0
    cleaned = np.where(soft & ~(ink & ~marks), np.uint8(paper), grey)
    blank = cv2.dilate(ink.astype(np.uint8), AROUND) == 0
    if not blank.any() or grey[blank].std() < GRAINY:
        return cleaned
    smooth = cv2.GaussianBlur(cleaned, (3, 3), 0)
    darkest = float(np.percentile(smooth, 1))
    if paper - darkest < LEAST_CONTRAST:  # light print on dark
        return smooth
    white = paper - PAPER * (paper - darkest)
    levels = (np.arange(256) - darkest) * 255 / (white - darkest)
    return cv2.LUT(smooth, levels.clip(0, 255).astype(np.uint8))


def _level_rules(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The ink of level rules above and below the text, which go on beyond the crop."""
    height, width = ink.shape
    whole = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((1, BROKEN), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(whole, connectivity=8)
    left, top, wide, high, _ = stats.T
    outer = (top + high <= OUTER * height) | (top >= (1 - OUTER) * height)
    beyond = (left == 0) | (left + wide == width)
    rule = (high <= THIN * height) & (wide >= LONG * max(width, height)) & outer & beyond
    rule[0] = False  # the paper
    rules: npt.NDArray[np.bool_] = rule[labels] & ink
    return rules if (ink & ~rules).any() else np.zeros_like(ink)


def _specks(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Ink too small for a dot, which Tesseract reads as one, or as an accent."""
    across, down = (ink[:, 1:] & ~ink[:, :-1]).sum(), (ink[1:] & ~ink[:-1]).sum()
    breadth = int(ink.sum()) / max(1, across, down)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] <= SPECK * breadth**2
    specks: npt.NDArray[np.bool_] = small[labels] & ink
    return specks


def _contrast(grey: MatLike, paper: int) -> npt.NDArray[np.int16]:
    contrast: npt.NDArray[np.int16] = np.abs(grey.astype(np.int16) - np.int16(paper))
    return contrast
