"""Cleans a cut-out line for Tesseract: without upright rules and without grain.

Tesseract scales a line by the height of its ink, and reads marks at its ends: grain makes it scale
letters too small, and it reads the rule beside a table's cell as `|`, `]` or a digit.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from ocrd.engine.rapid.crops import INKED, upright_rules

LEAST_CONTRAST = 40  # of 255; with less there is nothing to enhance
GRAINY = 5  # of 255: the standard deviation of paper with grain; clean print reads worse blurred
PAPER = 0.12  # of the contrast: less is grain of the paper
AROUND = np.ones((3, 3), np.uint8)  # covers the soft edge of ink


def tidied(grey: MatLike) -> MatLike:
    """The line, cleaned; `grey` may be dark on light or light on dark."""
    paper = int(np.median(grey))
    strongest = np.percentile(_contrast(grey, paper), 98)
    if strongest < LEAST_CONTRAST:
        return grey
    ink = _contrast(grey, paper) > INKED * strongest
    rules = cv2.dilate(upright_rules(ink).astype(np.uint8), AROUND) > 0
    cleaned = np.where(rules, np.uint8(paper), grey)
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


def _contrast(grey: MatLike, paper: int) -> npt.NDArray[np.int16]:
    contrast: npt.NDArray[np.int16] = np.abs(grey.astype(np.int16) - np.int16(paper))
    return contrast
