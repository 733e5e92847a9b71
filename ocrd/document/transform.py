"""A page as displayed (cropped, turned, y downward) and in PDF coordinates (y upward).  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ocrd.pdffile import PdfPage

Matrix = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class PageFrame:
    """The visible part of a page.

    Attributes:
        crop: The crop box in PDF's own coordinates: left, bottom, right, top.
        rotation: The page's /Rotate: 0, 90, 180 or 270, clockwise.
    """

    crop: tuple[float, float, float, float]
    rotation: int = 0

    @classmethod
    def of(cls, page: PdfPage) -> PageFrame:
        """The frame of a PyMuPDF page, whose `cropbox` is measured from the media box's top."""
        media, crop = page.mediabox, page.cropbox
        left, right = max(crop.x0, media.x0), min(crop.x1, media.x1)
        bottom = max(media.y1 - crop.y1, media.y0)
        top = min(media.y1 - crop.y0, media.y1)
        return cls((left, bottom, right, top), page.rotation % 360)

    @property
    def width(self) -> float:
        """The displayed width in PDF units."""
        left, bottom, right, top = self.crop
        return top - bottom if self.rotation in (90, 270) else right - left

    @property
    def height(self) -> float:
        """The displayed height in PDF units."""
        left, bottom, right, top = self.crop
        return right - left if self.rotation in (90, 270) else top - bottom

    @property
    def matrix(self) -> Matrix:
        """Maps a displayed point to PDF coordinates: `a b c d e f` as in a `cm`."""
        left, bottom, right, top = self.crop
        return {
            0: (1.0, 0.0, 0.0, -1.0, left, top),
            90: (0.0, 1.0, 1.0, 0.0, left, bottom),
            180: (-1.0, 0.0, 0.0, 1.0, right, bottom),
            270: (0.0, -1.0, -1.0, 0.0, right, top),
        }[self.rotation]


def concat(first: Matrix, second: Matrix) -> Matrix:
    """The matrix that applies `first`, then `second`."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return (
        a * g + b * i,
        a * h + b * j,
        c * g + d * i,
        c * h + d * j,
        e * g + f * i + k,
        e * h + f * j + m,
    )


def numbers(*values: float) -> str:
    """Numbers as PDF writes them: at most three decimals, no exponents, no trailing zeros."""
    return " ".join(f"{value:.3f}".rstrip("0").rstrip(".") for value in values)
