"""Cleans a cut-out line for Tesseract: dark on white, without rules or parts of other lines.

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
PAPER = 0.12  # of the contrast: less is grain of the paper
OUTER = 0.25  # of the height: ink that reaches no farther from an edge belongs to another line
AROUND = np.ones((3, 3), np.uint8)  # covers the soft edge of ink


def tidied(grey: MatLike) -> MatLike:
    """The line, cleaned; `grey` may be dark on light or light on dark."""
    paper = int(np.median(grey))
    strongest = np.percentile(_contrast(grey, paper), 98)
    if strongest < LEAST_CONTRAST:
        return grey
    foreign = _foreign(_contrast(grey, paper) > INKED * strongest).astype(np.uint8)
    cleaned = np.where(cv2.dilate(foreign, AROUND) > 0, np.uint8(paper), grey)
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


def _foreign(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The ink of upright rules, and of other lines that extend into this one."""
    height, rules = len(ink), upright_rules(ink)
    left = ink & (cv2.dilate(rules.astype(np.uint8), AROUND) == 0)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(left.astype(np.uint8), connectivity=8)
    tops = stats[:, cv2.CC_STAT_TOP]
    feet = tops + stats[:, cv2.CC_STAT_HEIGHT]
    outside = ((tops <= 1) & (feet <= OUTER * height)) | (
        (feet >= height - 1) & (tops >= (1 - OUTER) * height)
    )
    outside[0] = False  # the paper
    foreign: npt.NDArray[np.bool_] = rules | outside[labels]
    return foreign
