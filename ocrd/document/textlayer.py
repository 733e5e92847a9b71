"""NAME.pdf: the pages as they are, with the recognised text placed invisibly where it is printed.

A failed or partial page has a note that says so.

A page with text of its own keeps it and gets no second copy, which a search would find as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ocrd import __version__
from ocrd.document import plain
from ocrd.document.archival_rules import disproof
from ocrd.document.base import BundleSpec
from ocrd.document.font import ASCENT, NAME, LayerFont, text_width
from ocrd.document.incremental_pdf import LayeredPdf, PdfPages
from ocrd.document.ink import Stretch
from ocrd.document.layout import Layouts
from ocrd.document.metadata import pdfa_claim, say_in_xmp, withdraw_claim
from ocrd.document.placing import Placed
from ocrd.document.records import ReadPage, noted
from ocrd.document.sheet import Sheet
from ocrd.document.transform import Matrix, PageFrame, concat, numbers
from ocrd.document.view import PageView
from ocrd.page import Box, Word, letters
from ocrd.pdffile import PdfPage
from ocrd.pdftext import fault_of_page, is_hidden, is_scan

_TIPS, _TAILS = 0.1, 0.15  # of a line's height: where only its tallest and deepest letters reach
_APART, _COLUMNS = 0.65, 1.6  # of a line's height: poppler separates columns from 0.7 on
_ENOUGH_TEXT = 0.5  # the share of the letters read at which a page's own text suffices


class SearchablePdf:
    """The artefact NAME.pdf: one document whose pages get their text, sharing one font."""

    def __init__(
        self,
        pdf: LayeredPdf,
        layouts: Layouts,
        spec: BundleSpec,
        original: Path,
        notes: list[str],
    ) -> None:
        self._pdf = pdf
        self._original = original
        self._notes = notes
        self._layouts = layouts
        self._spec = spec
        self._font = LayerFont(pdf)
        self._layered = False
        self._dropped: list[int] = []

    def add(self, page: ReadPage) -> None:
        """Put a page's text under it, turn it if wanted, and note its flaw."""
        if page.dropped:
            self._dropped.append(page.record.number)
        elif page.record.result is not None and page.blocks:
            with noted(page, "no text layer"):
                self._add_text(page)
            if self._spec.upright and page.turned:
                with noted(page, "not turned upright"):
                    self._pdf.turn(page.record.number, page.turned)
        if page.record.flaw:
            with noted(page, "no note on it"):
                self._pdf.note(self._pdf.page(page.record.number), page.record.flaw)
        self._pdf.done_with_page()

    def finish(self) -> str:
        """Complete the font and metadata, and save; the artefact's name, or empty if not wanted."""
        self._font.finish()
        self._check_claim()
        producer = f"ocrd {__version__}"
        if say_in_xmp(self._pdf.document, producer, untagged=self._layered):
            self._pdf.say_producer(producer)
        if 0 < len(self._dropped) < self._pdf.document.page_count:
            self._pdf.drop_pages(self._dropped)
        self._pdf.let_go()
        return self._pdf.path.name if "pdf" in self._spec.outputs else ""

    def _check_claim(self) -> None:
        """Withdraw a claim to be PDF/A that is false already in the original."""
        if pdfa_claim(self._pdf.document) is None:
            return
        with PdfPages(self._original) as pages:  # a look changes objects
            fault = disproof(pages.document)
        if fault:
            withdraw_claim(self._pdf.document)
            self._notes.append(
                f"the original claims to be PDF/A, but {plain.one_line(fault)}: the searchable PDF"
                " makes no such claim"
            )

    def _add_text(self, page: ReadPage) -> None:
        view = self._layouts.view(page)
        canvas = self._pdf.page(page.record.number)
        own = self._kept(page, view, canvas)
        if own is None:
            return
        laid = self._layouts.of(page)
        places = [laid.sheet.box(word.box) for word in own]
        most = _ENOUGH_TEXT if page.read_beside_own else 0.0
        placed = [line for line in laid.lines if not _is_told(line, own, places, most)]
        content = text_content(placed, laid.sheet, PageFrame.of(canvas), self._font)
        if content:
            self._pdf.draw(canvas, content, {NAME: self._font.xref}, under=True)
            self._layered = True

    def _kept(self, page: ReadPage, view: PageView, canvas: PdfPage) -> list[Word] | None:
        """The page's own words that stay beside a new layer; None if it gets no layer."""
        own, policy = view.words, self._spec.pdf_text
        if policy == "keep" and self._spec.kind == "pdf":
            page.notes.append("no text layer was added: the folder keeps PDFs as they are")
            return None
        if not own:
            return own
        is_layer = is_scan(view.page) and is_hidden(view.page)
        fault = fault_of_page(own, view.grey if is_layer else None)
        if (policy == "redo" or (policy == "auto" and fault)) and is_hidden(view.page):
            self._pdf.remove_text(canvas)
            page.notes.append(f"the hidden text of the page was replaced{fault and ': ' + fault}")
            return []
        if policy == "auto" and fault:
            page.notes.append(f"the page got a text layer beside its own text: {fault}")
            return []
        if page.read_beside_own:
            return own
        said = [cell for block in page.blocks for row in plain.rows(block) for cell in row]
        if letters(word.text for word in own) >= _ENOUGH_TEXT * letters(said):
            page.notes.append("the page has text of its own and got no second one")
            return None
        return own


def text_content(
    placed: Sequence[Placed], sheet: Sheet, frame: PageFrame, font: LayerFont
) -> bytes:
    """The content stream of invisible text; empty if there is no text."""
    matrix = concat(sheet.matrix, frame.matrix)
    lines = [_line(item, sheet, matrix, font) for item in placed]
    shown = [line for line in lines if line]
    return ("BT\n3 Tr\n" + "\n".join(shown) + "\nET\n").encode("ascii") if shown else b""


def _is_told(line: Placed, own: Sequence[Word], places: Sequence[Box], most: float) -> bool:
    """Whether a line holds words of the page's own with at least a share `most` of its letters."""
    within = [word.text for word, place in zip(own, places, strict=True) if line.box.holds(place)]
    return bool(within) and letters(within) >= most * letters([line.text])


def _line(item: Placed, sheet: Sheet, matrix: Matrix, font: LayerFont) -> str:
    item = item if item.down else replace(item, box=_core(item.box))
    across, size = item.box.width * sheet.width, item.box.height * sheet.height
    length, size = (size, across) if item.down else (across, size)
    if size <= 0 or length <= 0:
        return ""
    shown = [
        f"{numbers(100 * part / (width * size))} Tz <{font.encode(piece)}> Tj"
        for piece, part in _pieces(item, length, size, sheet)
        if (width := text_width(piece)) > 0 and part > 0
    ]
    place = concat(_text_matrix(item, sheet, size), matrix)
    head = f"/{NAME} {numbers(size)} Tf {numbers(*place)} Tm"
    return f"{head} {' '.join(shown)}" if shown else ""


def _core(line: Box) -> Box:
    """A line's box without the tips and tails of its letters.

    A word such as `now` has neither and is half as tall as its line: the highlight of a search
    would be more white than word.
    """
    return replace(line, y1=line.y1 + _TIPS * line.height, y2=line.y2 - _TAILS * line.height)


def _pieces(item: Placed, length: float, size: float, sheet: Sheet) -> list[tuple[str, float]]:
    """A line in pieces, each with its length in PDF units: word, gap, word …, or all in one."""
    if not item.stretches:
        return [(item.shown, length)]
    stretches = _together(item.stretches, size / sheet.width)
    pieces = []
    for index, (word, (start, end)) in enumerate(
        zip(item.shown.split(" "), stretches, strict=True)
    ):
        if index:
            pieces.append((" ", (start - stretches[index - 1][1]) * sheet.width))
        pieces.append((word, (end - start) * sheet.width))
    return pieces


def _together(stretches: Sequence[Stretch], size: float) -> list[Stretch]:
    """The stretches of typewritten words, extended towards each other, longer words by more.

    They are so far apart that poppler would copy them as columns.
    """
    grown = list(stretches)
    for index, ((start, end), (after, last)) in enumerate(itertools.pairwise(stretches)):
        gap, length = after - end, end - start + last - after
        if _APART * size < gap < _COLUMNS * size and length > 0:
            less = gap - _APART * size
            share = (end - start) / length
            grown[index] = grown[index][0], end + share * less
            grown[index + 1] = after - (1 - share) * less, last
    return grown


def _text_matrix(item: Placed, sheet: Sheet, size: float) -> Matrix:
    """Maps text space to the sheet: x along the line from its start, y up from the baseline."""
    drop = ASCENT * size
    x1, y1, x2 = item.box.x1 * sheet.width, item.box.y1 * sheet.height, item.box.x2 * sheet.width
    if item.down:
        return (0.0, 1.0, 1.0, 0.0, x2 - drop, y1)
    return (1.0, 0.0, 0.0, -1.0, x1, y1 + drop)
