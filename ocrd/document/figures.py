"""images/PAGE-N.jpg: the figures of a page, cut out of its rendering."""

from __future__ import annotations

from pathlib import Path

from ocrd.document.incremental_pdf import PdfPages
from ocrd.document.plain import FIGURES
from ocrd.document.records import ReadPage, noted
from ocrd.imaging import turned_clockwise
from ocrd.page import Box

_MOST = 100  # of a page; a model that repeats itself reports thousands
_QUALITY = 90


class Figures:
    """The artefact: the figures that the engine saw; only pages with figures are rendered."""

    def __init__(self, base: PdfPages, folder: Path, dpi: int) -> None:
        self._base = base
        self._folder = folder
        self._dpi = dpi

    def add(self, page: ReadPage) -> None:
        """Cut out a page's figures and record them in `page.figures`."""
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
        """Save the figure in `box`; its name, relative to the bundle."""
        name = f"{page.record.number}-{count}.jpg"
        figure = self._base.view(page.record.number, self._dpi).cut(box)
        self._folder.mkdir(exist_ok=True)
        turned_clockwise(figure, page.turned).save(self._folder / name, "JPEG", quality=_QUALITY)
        return f"{self._folder.name}/{name}"
