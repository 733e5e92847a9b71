"""images/PAGE-N.jpg: the figures of a page, cut out of its rendering."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ocrd.document.faults import noted
from ocrd.document.markdown import FIGURES
from ocrd.document.pdf import scan
from ocrd.document.pdf.layers import PdfPages
from ocrd.document.pdf.mupdf import PdfPage, pymupdf
from ocrd.document.pdf.raster import rendered, upright, zoom_within
from ocrd.document.records import ReadPage
from ocrd.page import Box

MOST_PIXELS = 30_000_000
_MOST = 100  # of a page; a model that goes in circles sees thousands
_QUALITY = 90
WHOLE = Box(0.0, 0.0, 1.0, 1.0)
_HAIR = 0.01  # points, lest a rounding error add a row of pixels
_LEAST_POINTS = 2.0  # a box thinner than this shows nothing


class Figures:
    """The artefact: cuts out what the engine called a figure; only such pages are rendered."""

    def __init__(self, base: PdfPages, folder: Path, dpi: int) -> None:
        self._base = base
        self._folder = folder
        self._dpi = dpi

    def add(self, page: ReadPage) -> None:
        """Cut out a page's figures and enter them in `page.figures`."""
        cut_out: dict[Box, str] = {}
        for index, block in enumerate(page.blocks):
            if block.label not in FIGURES or not block.boxes:
                continue
            box = block.boxes[0]
            if box not in cut_out and len(cut_out) < _MOST:
                with noted(page, f"figure {len(cut_out) + 1} is missing"):
                    cut_out[box] = self._cut_out(page, box, len(cut_out) + 1)
            if box in cut_out:
                page.figures[index] = cut_out[box]

    def finish(self) -> str:
        """The folder's name, if there was any figure."""
        return self._folder.name if self._folder.exists() else ""

    def _cut_out(self, page: ReadPage, box: Box, count: int) -> str:
        """The picture's name, relative to the bundle."""
        name = f"{page.record.number}-{count}.jpg"
        figure = cut(self._base.page(page.record.number), box, self._dpi)
        self._folder.mkdir(exist_ok=True)
        upright(figure, page.turned).save(self._folder / name, "JPEG", quality=_QUALITY)
        return f"{self._folder.name}/{name}"


def shown(page: PdfPage, dpi: int) -> Image.Image:
    """The whole of a page as it is seen."""
    width, height = page.rect.width, page.rect.height
    zoom = zoom_within(MOST_PIXELS, dpi, width * height)
    scanned = scan.coloured(page, max(round(width * zoom), 1), max(round(height * zoom), 1))
    return cut(page, WHOLE, dpi) if scanned is None else scanned


def cut(page: PdfPage, box: Box, dpi: int) -> Image.Image:
    """A part of a page as it is seen.

    Raises:
        ValueError: The box is too thin to show anything.
    """
    seen = page.rect
    x, y = seen.width, seen.height
    clip = pymupdf.Rect(
        box.x1 * x + _HAIR, box.y1 * y + _HAIR, box.x2 * x - _HAIR, box.y2 * y - _HAIR
    )
    if min(clip.width, clip.height) < _LEAST_POINTS:
        raise ValueError("its box is too thin")
    zoom = zoom_within(MOST_PIXELS, dpi, clip.width * clip.height)
    return rendered(page, zoom, "RGB", clip=clip)
