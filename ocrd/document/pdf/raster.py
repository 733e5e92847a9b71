"""A page as a picture: how large, by MuPDF, and the right way up."""

from __future__ import annotations

import math
from typing import Any

from PIL import Image

from ocrd.document.pdf.mupdf import PdfPage, pymupdf

_TURNS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


def zoom_within(most: int, dpi: int, points: float) -> float:
    """Pixels a point at a resolution, or fewer: an area has no more than `most` pixels.

    Args:
        most: Pixels.
        dpi: The resolution.
        points: The area, in square points.
    """
    return min(dpi / 72, math.sqrt(most / max(points, 1.0)))


def rendered(page: PdfPage, zoom: float, mode: str, **how: Any) -> Image.Image:
    """What MuPDF makes of a page, in grey (`L`) or colour (`RGB`).

    Args:
        page: The page.
        zoom: Pixels a point.
        mode: Of the image.
        how: What else to tell `get_pixmap`.
    """
    colours = pymupdf.csGRAY if mode == "L" else pymupdf.csRGB
    matrix = pymupdf.Matrix(zoom, zoom)
    pixmap = page.get_pixmap(matrix=matrix, colorspace=colours, alpha=False, **how)
    size = (pixmap.width, pixmap.height)
    return Image.frombytes(mode, size, pixmap.samples_mv, "raw", mode, pixmap.stride)


def upright(image: Image.Image, turned: int) -> Image.Image:
    """Turned clockwise by 0, 90, 180 or 270 degrees."""
    return image.transpose(_TURNS[turned]) if turned in _TURNS else image
