"""Adds to the pages of a PDF without touching what they are, in memory that stays flat.

The original's bytes stay where they are; each chunk of pages is appended as an incremental update
(ISO 32000-1, 7.5.6) and the file opened anew, so that no more than a chunk is ever held.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from ocrd.document.view import PageView
from ocrd.pdffile import FAULTS, Document, PdfPage, by_descriptor, forget, open_pdf, pymupdf

CHUNK = 64  # pages between two saves
_NOTE_AT = 12  # points from the left and the upper edge


class PdfPages:
    """The pages of a PDF file, one at a time; a context manager that closes the file.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: Document | None = None
        self._handle: int | None = None
        self._view: tuple[int, PageView] | None = None
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def document(self) -> Document:
        """The file, open; only valid until the next `done_with_page`."""
        if self._open is None:
            self._open = open_pdf(self._name())
        return self._open

    def page(self, number: int) -> PdfPage:
        """Page `number`, counted from 1.

        Raises:
            IndexError: The document has no such page.
        """
        if not 1 <= number <= self.document.page_count:
            raise IndexError(f"the document has no page {number}")
        return self.document[number - 1]

    def view(self, number: int, dpi: int) -> PageView:
        """How page `number` is seen; the same object until the next page is."""
        if self._view is None or self._view[0] != number:
            self._view = (number, PageView(self.page(number), dpi))
        return self._view[1]

    def done_with_page(self) -> None:
        """Count a page as finished; every so often, let go of everything held."""
        self._seen += 1
        if self._seen % CHUNK == 0:
            self.let_go()

    def let_go(self) -> None:
        """Hold nothing until a page is asked for again."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._view = None
        if self._open is not None:
            self._open.close()
            self._open = None
            forget()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _name(self) -> str:
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            self._handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            return by_descriptor(self._handle)
        return str(self.path)


class LayeredPdf(PdfPages):
    """A PDF file that is being added to; what was not saved is lost when it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._drawn: set[int] = set()

    def let_go(self) -> None:
        """Append what was added to the file, and hold nothing.

        Raises:
            OSError: The disk did not take it.
        """
        if self._open is not None and self._open.is_dirty:
            try:
                self._open.saveIncr()
            except FAULTS as error:
                raise _disk_fault(error, self.path) from error
        self.close()

    def write_anew(self, target: Path) -> None:
        """Write the document, less what nothing refers to, to another file of a plain name.

        Raises:
            OSError: The disk did not take it.
        """
        try:
            self.document.save(str(target), garbage=1, encryption=pymupdf.PDF_ENCRYPT_NONE)
        except FAULTS as error:
            raise _disk_fault(error, target) from error

    def add_object(self, source: str, stream: bytes | None = None) -> int:
        """A new object, with a stream or without; its number."""
        xref: int = self.document.get_new_xref()
        self.document.update_object(xref, source)
        if stream is not None:
            self.put_stream(xref, stream)
        return xref

    def add_deflated(self, stream: bytes) -> int:
        """A new object with a stream that is deflated already; its number."""
        xref = self.add_object("<<>>")
        self.document.update_stream(xref, stream, compress=0)
        self.document.xref_set_key(xref, "Filter", "/FlateDecode")
        return xref

    def put_stream(self, xref: int, stream: bytes) -> None:
        """Give an object this stream, deflated, in place of the one it may have.

        Zlib's middle level: MuPDF's own, the highest, takes seven times as long for a page's text
        and makes the layer a tenth smaller at best, which is a thousandth of a scan.
        """
        deflated = zlib.compress(stream)
        if len(deflated) < len(stream):
            self.document.update_stream(xref, deflated, compress=0)
            self.document.xref_set_key(xref, "Filter", "/FlateDecode")
        else:
            self.document.update_stream(xref, stream, compress=0)

    def draw(self, page: PdfPage, content: bytes, fonts: dict[str, int], *, under: bool) -> None:
        """Add a content stream below or above what a page shows.

        Below, it meets the graphics state as it is at the start of every page; above, the page's
        own content is put between `q` and `Q` first.  A page object that stands in the document
        twice gets its layer once.
        """
        if page.xref in self._drawn:
            return
        self._drawn.add(page.xref)
        document = self.document
        own = [f"{xref} 0 R" for xref in page.get_contents()]
        if under:
            layer = self.add_object("<<>>", b"q\n" + content + b"Q\n")
            parts = [f"{layer} 0 R", *own]
        else:
            opened, closed = page._count_q_balance()  # what `wrap_contents` itself asks
            before = self.add_object("<<>>", b"q\n" * (1 + opened))
            after = self.add_object("<<>>", b"Q\n" * (1 + closed) + b"q\n" + content + b"Q\n")
            parts = [f"{before} 0 R", *own, f"{after} 0 R"]
        document.xref_set_key(page.xref, "Contents", f"[{' '.join(parts)}]")
        for name, xref in fonts.items():
            _add_font(page, name, xref)

    def remove_text(self, page: PdfPage) -> None:
        """Take all text off a page; what is drawn otherwise stays."""
        side = 2 * max(page.mediabox.width, page.mediabox.height)
        page.add_redact_annot(pymupdf.Rect(-side, -side, side, side), fill=False)
        page.apply_redactions(images=0, graphics=0, text=0)

    def note(self, page: PdfPage, text: str) -> None:
        """Put a note into the page's upper left corner, as it is seen."""
        corner = pymupdf.Point(_NOTE_AT, _NOTE_AT) * page.derotation_matrix
        note = page.add_text_annot(corner, text.encode(errors="replace").decode(), icon="Note")
        if note.has_popup:  # PDF/A-1 wants the flag of popups, too (ISO 19005-1, 6.5.3)
            self.document.xref_set_key(note.popup_xref, "F", str(pymupdf.PDF_ANNOT_IS_PRINT))

    def turn(self, number: int, degrees: int) -> None:
        """Turn page `number` clockwise, by what it says of itself: nothing on it is touched."""
        page = self.page(number)
        page.set_rotation((page.rotation + degrees) % 360)

    def say_producer(self, producer: str) -> None:
        """Name the program in the document's information; every other entry stays."""
        kind, value = self.document.xref_get_key(-1, "Info")
        if kind == "xref":
            xref = int(value.split()[0])
            self.document.xref_set_key(xref, "Producer", pymupdf.get_pdf_str(producer))
        else:
            xref = self.add_object(f"<</Producer {pymupdf.get_pdf_str(producer)}>>")
            self.document.xref_set_key(-1, "Info", f"{xref} 0 R")

    def drop_pages(self, numbers: Iterable[int]) -> None:
        """Take pages out of the document (numbers from 1)."""
        self.document.delete_pages([number - 1 for number in numbers])


def _disk_fault(error: Exception, path: Path) -> Exception:
    """MuPDF tells of a full disk in words only; callers wait for an `OSError`."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number), str(path))
    return error


def _add_font(page: PdfPage, name: str, font: int) -> None:
    """Enter a font into the resources that a page uses, its own or inherited."""
    mupdf, pdf = pymupdf.mupdf, pymupdf._as_pdf_document(page.parent)
    node, key = mupdf.pdf_load_object(pdf, page.xref), mupdf.pdf_new_name("Resources")
    resources = mupdf.pdf_dict_get_inheritable(node, key)
    if not mupdf.pdf_is_dict(resources):
        resources = mupdf.pdf_dict_put_dict(node, key, 1)
    fonts = mupdf.pdf_dict_gets(resources, "Font")
    if not mupdf.pdf_is_dict(fonts):
        fonts = mupdf.pdf_dict_put_dict(resources, mupdf.pdf_new_name("Font"), 1)
    mupdf.pdf_dict_puts(fonts, name, mupdf.pdf_new_indirect(pdf, font, 0))
