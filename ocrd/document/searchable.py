"""NAME.pdf: the pages as they are, with the recognised text lying invisibly where it is printed.

A page that is not read, or not whole, has a note that says so.

A page that brings its own text keeps it and gets no second one: a search would hit twice.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from ocrd import __version__
from ocrd.document import plain
from ocrd.document.base import BundleSpec
from ocrd.document.faults import noted
from ocrd.document.pdf import flow, font
from ocrd.document.pdf.flow import Placed
from ocrd.document.pdf.frame import Matrix, PageFrame, concat, numbers
from ocrd.document.pdf.layers import LayeredPdf, PdfPages
from ocrd.document.pdf.mupdf import PdfPage, pymupdf
from ocrd.document.pdf.sheet import Sheet
from ocrd.document.records import ReadPage
from ocrd.modes import Reader
from ocrd.page import Block, Box, PageResult

FONT = "OcrdText"
_ENOUGH_TEXT = 0.5  # a page with half as many letters of its own is a page with text


class SearchablePdf:
    """The artefact: one document whose pages get their text, sharing one font."""

    def __init__(self, pdf: LayeredPdf, pages: PdfPages, spec: BundleSpec) -> None:
        self._pdf = pdf
        self._pages = pages
        self._spec = spec
        self._codes = font.Codes()
        self._font: int | None = None
        self._to_unicode = 0
        self._dropped: list[int] = []

    def add(self, page: ReadPage) -> None:
        """Put a page's text under it."""
        if page.dropped:
            self._dropped.append(page.record.number)
        elif page.record.result is not None and page.blocks:
            with noted(page, "no text layer"):
                self._add_text(page, page.record.result)
            if self._spec.upright and page.turned:
                with noted(page, "not turned upright"):
                    self._pdf.turn(page.record.number, page.turned)
        if page.record.flaw:
            with noted(page, "no note on it"):
                self._pdf.note(self._pdf.page(page.record.number), page.record.flaw)
        self._pdf.done_with_page()

    def finish(self) -> str:
        """Complete the font and the document's information; the artefact's name."""
        if self._font is not None:
            self._pdf.put_stream(self._to_unicode, self._codes.to_unicode())
        self._pdf.say_producer(f"ocrd {__version__}")
        if 0 < len(self._dropped) < self._pdf.document.page_count:
            self._pdf.drop_pages(self._dropped)
        self._pdf.let_go()
        return self._pdf.path.name

    def _add_text(self, page: ReadPage, result: PageResult) -> None:
        original = self._pages.page(page.record.number)
        canvas = self._pdf.page(page.record.number)
        own = own_words(original)
        said = [block.text for block in page.blocks]
        if own and _letters(word for word, _ in own) >= _ENOUGH_TEXT * _letters(said):
            page.notes.append("the page has text of its own and got no second one")
            return
        sheet = Sheet.of(original, result.turned)
        lines = place(sheet, result, page.blocks, page.reader)
        places = [sheet.box(box) for _, box in own]
        placed = [line for line in lines if not _covered(line.box, places)]
        content = self._content(placed, sheet, PageFrame.of(canvas))
        if content:
            self._pdf.draw(canvas, content, {FONT: self._font_object()}, under=True)

    def _content(self, placed: Sequence[Placed], sheet: Sheet, frame: PageFrame) -> bytes:
        matrix = concat(sheet.matrix, frame.matrix)
        lines = [self._line(item, sheet, matrix) for item in placed]
        shown = [line for line in lines if line]
        return ("BT\n3 Tr\n" + "\n".join(shown) + "\nET\n").encode("ascii") if shown else b""

    def _line(self, item: Placed, sheet: Sheet, matrix: Matrix) -> str:
        across = (item.box.x2 - item.box.x1) * sheet.width
        size = (item.box.y2 - item.box.y1) * sheet.height
        length, size = (size, across) if item.down else (across, size)
        if size <= 0 or length <= 0:
            return ""
        shown = [
            f"{numbers(100 * part / (width * size))} Tz <{self._codes.encode(piece)}> Tj"
            for piece, part in _pieces(item, length, sheet)
            if (width := font.text_width(piece)) > 0 and part > 0
        ]
        place = concat(_text_matrix(item, sheet, size), matrix)
        return f"/{FONT} {numbers(size)} Tf {numbers(*place)} Tm {' '.join(shown)}" if shown else ""

    def _font_object(self) -> int:
        if self._font is None:
            self._font, self._to_unicode = _write_font(self._pdf, self._codes)
        return self._font


def place(
    sheet: Sheet, result: PageResult, blocks: Sequence[Block], reader: Reader
) -> list[Placed]:
    """Where the page's text lies: by its printed lines, its blocks, or the look of the page."""
    if result.lines:
        return flow.place_lines(result.lines, sheet)
    said = [(plain.rows(block), block.boxes) for block in blocks]
    if not any(boxes for _, boxes in said):
        return flow.place_rows([row for rows, _ in said for row in rows], (), sheet)
    most = 1 if reader is Reader.SPANS else None  # other boxes of a span are other places
    return [item for rows, boxes in said for item in flow.place_rows(rows, boxes[:most], sheet)]


def _pieces(item: Placed, length: float, sheet: Sheet) -> list[tuple[str, float]]:
    """A line in pieces, each with its length in points: word, gap, word … or all in one."""
    if not item.words:
        return [(item.text, length)]
    pieces = []
    for index, (word, (start, end)) in enumerate(
        zip(item.text.split(" "), item.words, strict=True)
    ):
        if index:
            pieces.append((" ", (start - item.words[index - 1][1]) * sheet.width))
        pieces.append((word, (end - start) * sheet.width))
    return pieces


def _text_matrix(item: Placed, sheet: Sheet, size: float) -> Matrix:
    """Text space -> sheet: x along the line, y up from the baseline, origin at its start."""
    drop = font.ASCENT * size
    x1, y1, x2 = item.box.x1 * sheet.width, item.box.y1 * sheet.height, item.box.x2 * sheet.width
    if item.down:
        return (0.0, 1.0, 1.0, 0.0, x2 - drop, y1)
    return (1.0, 0.0, 0.0, -1.0, x1, y1 + drop)


def own_words(page: PdfPage) -> list[tuple[str, Box]]:
    """Words that the page already has, with letters in them that can be searched.

    PyMuPDF gives places as if the page were not turned (and writes to the page on the way, so it
    has to be one that is never saved).
    """
    width, height = max(page.rect.width, 1e-6), max(page.rect.height, 1e-6)
    turn = page.rotation_matrix if page.rotation else None
    found = []
    for *corners, word, _, _, _ in page.get_text("words"):
        if any(unicodedata.category(char)[0] in "LN" for char in word):
            x1, y1, x2, y2 = pymupdf.Rect(corners) * turn if turn else corners
            found.append((word, Box(x1 / width, y1 / height, x2 / width, y2 / height)))
    return found


def _letters(texts: Iterable[str]) -> int:
    return sum(char.isalnum() for text in texts for char in text)


def _covered(box: Box, own: Sequence[Box]) -> bool:
    """Whether a word of the page's own has its middle in the box."""
    return any(
        box.x1 <= (word.x1 + word.x2) / 2 <= box.x2 and box.y1 <= (word.y1 + word.y2) / 2 <= box.y2
        for word in own
    )


def _write_font(pdf: LayeredPdf, codes: font.Codes) -> tuple[int, int]:
    """The font's objects; numbers of the font and of its CMap."""
    file = font.glyphless()
    program = pdf.add_object(f"<</Length1 {len(file)}>>", file)
    glyphs = pdf.add_object("<<>>", font.gid_map())
    to_unicode = pdf.add_object("<<>>", codes.to_unicode())
    descriptor = pdf.add_object(
        f"<</Type/FontDescriptor/FontName/{FONT}/Flags 4/ItalicAngle 0/StemV 80"
        f"/Ascent {font.ASCENT * 1000:.0f}/Descent {-font.DESCENT * 1000:.0f}/CapHeight 700"
        f"/FontBBox[0 {-font.DESCENT * 1000:.0f} 1000 {font.ASCENT * 1000:.0f}]"
        f"/FontFile2 {program} 0 R>>"
    )
    descendant = pdf.add_object(
        f"<</Type/Font/Subtype/CIDFontType2/BaseFont/{FONT}/FontDescriptor {descriptor} 0 R"
        "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
        f"/DW 1000/W {font.widths()}/CIDToGIDMap {glyphs} 0 R>>"
    )
    whole = pdf.add_object(
        f"<</Type/Font/Subtype/Type0/BaseFont/{FONT}/Encoding/Identity-H"
        f"/DescendantFonts[{descendant} 0 R]/ToUnicode {to_unicode} 0 R>>"
    )
    return whole, to_unicode
