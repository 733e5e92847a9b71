"""At how many dots per inch a PDF page is rendered.  Pure."""

from __future__ import annotations

import math

from ocrd.pages.base import Rendering

POINTS_PER_INCH = 72.0
_HIGHEST_DPI = 1200.0  # for pages the size of a stamp
_SNAP = 1.25  # a scan with up to so much more than the wish is not resampled for so little gain


def choose_dpi(width: float, height: float, wanted: Rendering, native: float | None) -> float:
    """The resolution for a page.

    The wish holds, except that a scan is not blown up beyond the pixels it has, nor resampled for
    next to nothing; that a small page (a receipt, a card) gets enough pixels to be read; and
    that a huge one stays within the limits, which come last and win.

    Args:
        width: Of the page, in points.
        height: Likewise.
        wanted: The wish and the limits.
        native: The resolution of the scan that the page consists of; None for any other page.
    """
    dpi = float(wanted.dpi)
    if native is not None and native < dpi * _SNAP:
        dpi = native
    dpi = max(dpi, _legible(width, height, wanted, native))
    return min(dpi, _allowed(width, height, wanted))


def _legible(width: float, height: float, wanted: Rendering, native: float | None) -> float:
    """What gives the longer side its least pixels; for a scan no more than its own, but the wish.

    A scan of wrong stated size (one pixel a point, or a thousand) thereby comes out as scanned.
    """
    needed = wanted.min_side * POINTS_PER_INCH / max(width, height)
    return min(needed, _HIGHEST_DPI) if native is None else min(needed, native)


def _allowed(width: float, height: float, wanted: Rendering) -> float:
    """What keeps the rendered page, sides rounded up, within the limits."""
    by_side = (wanted.max_side - 1) / max(width, height)
    room = max(1.0, wanted.max_pixels - wanted.max_side * 2.0)  # for the rounding
    by_area = math.sqrt(room / (width * height))
    return min(by_side, by_area) * POINTS_PER_INCH
