"""The lines and words of a page with their positions, computed once for all artefacts.

The PDF's text layer, ALTO and hOCR agree on a page because they all take it from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ocrd.document import font, placing, plain
from ocrd.document.incremental_pdf import PdfPages
from ocrd.document.placing import Placed
from ocrd.document.records import ReadPage, noted
from ocrd.document.sheet import Sheet
from ocrd.document.view import PageSize, PageView
from ocrd.job import PageState
from ocrd.modes import AnswerFormat
from ocrd.page import Block, Box, Line, PageResult, WordsFrom

_LINES = 12  # of a page that are tried, to find its typeface
_FITS = 0.06  # ems: a misfit below this means that the typeface is right


@dataclass(frozen=True, slots=True)
class PrintedBlock:
    """A block as printed; its box encloses its lines, and each line's box encloses the words."""

    label: str
    box: Box
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The lines of a page.

    Attributes:
        sheet: The sheet on which they are placed.
        lines: In reading order, as far as the engine gives it.
    """

    sheet: Sheet
    lines: tuple[Placed, ...] = ()

    def blocks(self, blocks: Sequence[Block]) -> Iterator[PrintedBlock]:
        """The blocks that have a place, in reading order; lines without a block come last."""
        for index, block in enumerate(blocks):
            lines = tuple(self._lines(index))
            if lines or block.boxes:
                yield PrintedBlock(
                    block.label, Box.around([*block.boxes, *(line.box for line in lines)]), lines
                )
        stray = tuple(self._lines(None))
        if stray:
            yield PrintedBlock("text", Box.around(line.box for line in stray), stray)

    def _lines(self, block: int | None) -> Iterator[Line]:
        for item in self.lines:
            if item.block == block:
                words = tuple(replace(w, box=self.sheet.seen(w.box)) for w in item.words())
                box = Box.around([self.sheet.seen(item.box), *(word.box for word in words)])
                yield Line(item.text, box, words, item.confidence)


class Layouts:
    """The layouts of a document's pages, one at a time."""

    def __init__(self, pages: PdfPages, dpi: int) -> None:
        self._pages = pages
        self._dpi = dpi
        self._known: tuple[int, Layout] | None = None

    def view(self, page: ReadPage) -> PageView:
        """The page as displayed.

        Raises:
            IndexError: The document has no such page.
        """
        return self._pages.view(page.record.number, self._dpi)

    def of(self, page: ReadPage) -> Layout:
        """The layout of a page.

        Raises:
            FAULTS: MuPDF cannot render the page.
        """
        number = page.record.number
        if self._known is None or self._known[0] != number:
            self._known = (number, self._laid(page))
        return self._known[1]

    def printed(self, page: ReadPage, who: str) -> tuple[PageSize | None, list[PrintedBlock]]:
        """A page's size and, if it is kept and was read, its blocks; a fault is noted for `who`."""
        size = None
        with noted(page, f"{who} says nothing of it"):
            size = self.view(page).size
            if not page.dropped and page.record.state is not PageState.FAILED:
                return size, list(self.of(page).blocks(page.blocks))
        return size, []

    def _laid(self, page: ReadPage) -> Layout:
        view, result = self.view(page), page.record.result
        if result is None or not page.blocks:
            return Layout(Sheet.blank(view))
        if result.words_from is WordsFrom.PDF:  # its words have exact positions
            sheet = Sheet.blank(view)
            lines = placing.place_lines(result.lines, sheet)
        else:
            sheet = Sheet.of(view, result.turned)
            lines = place(sheet, result, page.blocks, page.answers)
        return Layout(sheet, tuple(_owned(lines, page.blocks, sheet)))


def place(
    sheet: Sheet, result: PageResult, blocks: Sequence[Block], answers: AnswerFormat
) -> list[Placed]:
    """The page's text in place: by the engine's lines, its blocks' boxes, or the ink alone."""
    if result.lines:
        face = _face(lambda face: placing.place_lines(result.lines[:_LINES], sheet, face))
        return placing.place_lines(result.lines, sheet, face)
    said = [(plain.rows(block), block.boxes) for block in blocks]
    if not any(boxes for _, boxes in said):
        rows = [row for rows, _ in said for row in rows]
        return placing.place_rows(
            rows, (), sheet, _face(lambda face: placing.place_rows(rows, (), sheet, face))
        )
    most = 1 if answers is AnswerFormat.SPANS else None  # a span's other boxes are other places
    longest = max(said, key=lambda it: sum(len(cell) for row in it[0] for cell in row))
    face = _face(lambda face: placing.place_rows(longest[0], longest[1][:most], sheet, face))
    return [
        replace(item, block=index)
        for index, (rows, boxes) in enumerate(said)
        for item in placing.place_rows(rows, boxes[:most], sheet, face)
    ]


def _owned(lines: Sequence[Placed], blocks: Sequence[Block], sheet: Sheet) -> Iterator[Placed]:
    """The lines, each with its block: that of the smallest box in which the line's middle lies."""
    places = [
        (box.area, index, sheet.box(box))
        for index, block in enumerate(blocks)
        for box in block.boxes
    ]
    places.sort(key=lambda place: place[:2])
    for line in lines:
        if line.block is None:
            held = (index for _, index, box in places if box.holds(line.box))
            line = replace(line, block=next(held, None))
        yield line


def _face(placed: Callable[[str], list[Placed]]) -> str:
    """The typeface whose letter widths fit the ink best, or the first that fits well."""
    best, fit = font.FACES[0], math.inf
    for face in font.FACES:
        found = placing.unfitness(placed(face), face)
        if found < fit:
            best, fit = face, found
        if fit < _FITS:
            break
    return best
