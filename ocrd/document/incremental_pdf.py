"""Adds content to the pages of a PDF without rewriting the file, in constant memory.

The original's bytes stay in place; each chunk of pages is appended as an incremental update
(ISO 32000-1, 7.5.6) and the file is reopened, so that at most one chunk is held.
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
        """The open document; only valid until the next `done_with_page`."""
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
        """The view of page `number`; the same object until another page is viewed."""
        if self._view is None or self._view[0] != number:
            self._view = (number, PageView(self.page(number), dpi))
        return self._view[1]

    def done_with_page(self) -> None:
        """Count a page as finished; after every `CHUNK` pages, let go of everything."""
        self._seen += 1
        if self._seen % CHUNK == 0:
            self.let_go()

    def let_go(self) -> None:
        """Release everything until a page is asked for again."""
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
    """A PDF file to which content is added; `close` discards what was not saved."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._drawn: set[int] = set()

    def let_go(self) -> None:
        """Append all additions to the file and release everything.

        Raises:
            OSError: The disk is full, read-only or faulty.
        """
        if self._open is not None and self._open.is_dirty:
            try:
                self._open.saveIncr()
            except FAULTS as error:
                raise _disk_fault(error, self.path) from error
        self.close()

    def write_anew(self, target: Path) -> None:
        """Write the document, less unreferenced objects and encryption, to a path of valid UTF-8.

        Raises:
            OSError: The disk is full, read-only or faulty.
        """
        try:
            self.document.save(str(target), garbage=1, encryption=pymupdf.PDF_ENCRYPT_NONE)
        except FAULTS as error:
            raise _disk_fault(error, target) from error

    def add_object(self, source: str, stream: bytes | None = None) -> int:
        """Add an object, with or without a stream; its number."""
        xref: int = self.document.get_new_xref()
        self.document.update_object(xref, source)
        if stream is not None:
            self.put_stream(xref, stream)
        return xref

    def add_deflated(self, stream: bytes) -> int:
        """Add an object whose stream is already deflated; its number."""
        xref = self.add_object("<<>>")
        self.document.update_stream(xref, stream, compress=0)
        self.document.xref_set_key(xref, "Filter", "/FlateDecode")
        return xref

    def put_stream(self, xref: int, stream: bytes) -> None:
        """Set or replace an object's stream, deflated if that makes it smaller.

        Zlib's default level is used: MuPDF's own, the highest, takes seven times as long for a
        page's text and saves at most a tenth of the layer, a thousandth of a scan.
        """
        deflated = zlib.compress(stream)
        if len(deflated) < len(stream):
            self.document.update_stream(xref, deflated, compress=0)
            self.document.xref_set_key(xref, "Filter", "/FlateDecode")
        else:
            self.document.update_stream(xref, stream, compress=0)

    def draw(self, page: PdfPage, content: bytes, fonts: dict[str, int], *, under: bool) -> None:
        """Add a content stream below or above the page's own content.

        Below, the stream starts with the initial graphics state of a page; above, the page's own
        content is first put between `q` and `Q`.  A page object that occurs twice in the document
        gets its layer once.
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
            opened, closed = page._count_q_balance()  # as `wrap_contents` itself does
            before = self.add_object("<<>>", b"q\n" * (1 + opened))
            after = self.add_object("<<>>", b"Q\n" * (1 + closed) + b"q\n" + content + b"Q\n")
            parts = [f"{before} 0 R", *own, f"{after} 0 R"]
        document.xref_set_key(page.xref, "Contents", f"[{' '.join(parts)}]")
        for name, xref in fonts.items():
            _add_font(page, name, xref)

    def remove_text(self, page: PdfPage) -> None:
        """Remove all text from a page; images and graphics stay."""
        side = 2 * max(page.mediabox.width, page.mediabox.height)
        page.add_redact_annot(pymupdf.Rect(-side, -side, side, side), fill=False)
        page.apply_redactions(images=0, graphics=0, text=0)

    def note(self, page: PdfPage, text: str) -> None:
        """Put a note in the upper left corner of the page as displayed."""
        corner = pymupdf.Point(_NOTE_AT, _NOTE_AT) * page.derotation_matrix
        note = page.add_text_annot(corner, text.encode(errors="replace").decode(), icon="Note")
        if note.has_popup:  # PDF/A-1 requires the flag of popups, too (ISO 19005-1, 6.5.3)
            self.document.xref_set_key(note.popup_xref, "F", str(pymupdf.PDF_ANNOT_IS_PRINT))

    def turn(self, number: int, degrees: int) -> None:
        """Turn page `number` clockwise by its /Rotate entry; its content stays untouched."""
        page = self.page(number)
        page.set_rotation((page.rotation + degrees) % 360)

    def say_producer(self, producer: str) -> None:
        """Set the producer in the document's information; every other entry stays."""
        kind, value = self.document.xref_get_key(-1, "Info")
        if kind == "xref":
            xref = int(value.split()[0])
            self.document.xref_set_key(xref, "Producer", pymupdf.get_pdf_str(producer))
        else:
            xref = self.add_object(f"<</Producer {pymupdf.get_pdf_str(producer)}>>")
            self.document.xref_set_key(-1, "Info", f"{xref} 0 R")

    def drop_pages(self, numbers: Iterable[int]) -> None:
        """Remove pages from the document (numbers from 1)."""
        self.document.delete_pages([number - 1 for number in numbers])


def _disk_fault(error: Exception, path: Path) -> Exception:
    """The `OSError` for a disk fault that MuPDF reports only in words; other errors as is."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number), str(path))
    return error


def _add_font(page: PdfPage, name: str, font: int) -> None:
    """Add a font to the resources that a page uses, its own or inherited."""
    mupdf, pdf = pymupdf.mupdf, pymupdf._as_pdf_document(page.parent)
    node, key = mupdf.pdf_load_object(pdf, page.xref), mupdf.pdf_new_name("Resources")
    resources = mupdf.pdf_dict_get_inheritable(node, key)
    if not mupdf.pdf_is_dict(resources):
        resources = mupdf.pdf_dict_put_dict(node, key, 1)
    fonts = mupdf.pdf_dict_gets(resources, "Font")
    if not mupdf.pdf_is_dict(fonts):
        fonts = mupdf.pdf_dict_put_dict(resources, mupdf.pdf_new_name("Font"), 1)
    mupdf.pdf_dict_puts(fonts, name, mupdf.pdf_new_indirect(pdf, font, 0))
