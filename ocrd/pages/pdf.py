"""Renders PDF pages with MuPDF: only in child processes, since it may hang or crash."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from ocrd.errors import BadFileError, OcrdError, PageError
from ocrd.files import OpenDocuments
from ocrd.page import PageImage
from ocrd.pages import owntext
from ocrd.pages.base import Rendering
from ocrd.pages.reading import OwnText
from ocrd.pdfcontent import broken_content
from ocrd.pdffile import (
    FAULTS,
    Document,
    PdfPage,
    by_descriptor,
    damaged_pdf,
    forget,
    memory_ran_out,
    open_pdf,
    pymupdf,
)
from ocrd.pdftext import scan_dpi

_POINTS_PER_INCH = 72.0
_HIGHEST_DPI = 1200.0  # for pages the size of a stamp
_SNAP = 1.25  # a scan of up to so many times the wanted dpi is not resampled: it gains little
_BLOCK, _LONGEST_MARK = 1 << 20, 64  # bytes
_END_MARKS = (b"%%EOF", b"startxref")
_OBJECT = re.compile(rb"\d\s+\d+\s+obj\b")
_NO_PAGE_IS_LARGER = 1e7  # points


def count_pages(file: BinaryIO) -> int:
    """How many pages the PDF has.

    Raises:
        BadFileError: It is `encrypted` or `damaged`, or has `no-pages`.
    """
    document = _documents.get(file, _open)
    count = _count(document)
    if count < 1 and document.is_repaired:
        raise damaged_pdf("is damaged so that none of its pages can be found")
    if count < 1:
        raise BadFileError(
            "The PDF has no pages.", hint="Export or scan it again.", kind="no-pages"
        )
    return count


def render(file: BinaryIO, number: int, wanted: Rendering) -> PageImage:
    """The image of page `number`, 1-based, with annotations and filled-in forms.

    Raises:
        BadFileError: As `count_pages`.
        PageError: This page is `damaged`.
    """
    document = _documents.get(file, _open)
    pymupdf.TOOLS.reset_mupdf_warnings()
    try:
        page = document.load_page(number - 1)
        image = _render(page, number, wanted)
        return replace(image, flaw=broken_content(page) or None)
    except (OcrdError, MemoryError):
        raise
    except Exception as error:  # MuPDF's own errors, and those of its wrapper
        memory_ran_out(str(error))
        raise _damaged_page(number, str(error)) from error
    finally:
        forget(90)  # fonts and letterheads may stay, in 25 MB


def own_text(file: BinaryIO, number: int) -> OwnText | None:
    """The text that page `number` has of its own; None if it has none or MuPDF fails.

    Raises:
        BadFileError: As `count_pages`.
    """
    document = _documents.get(file, _open)
    try:
        return owntext.own_text(document.load_page(number - 1))
    except FAULTS as error:
        memory_ran_out(str(error))
        return None
    finally:
        forget(90)


def choose_dpi(width: float, height: float, wanted: Rendering, native: float | None) -> float:
    """The resolution for a page of so many points.

    It is `wanted.dpi`, except that a scan is not enlarged beyond the pixels it has, nor resampled
    for little gain; that a small page (a receipt, a card) gets enough pixels to be read; and that a
    huge one stays within the limits, which come last and win.

    `native` is the resolution of the scan that the page consists of; None for any other page.
    """
    dpi = float(wanted.dpi)
    if native is not None and native < dpi * _SNAP:
        dpi = native
    # a scan of wrong stated size (one pixel a point, or a thousand) comes out as scanned
    legible = wanted.min_side * _POINTS_PER_INCH / max(width, height)
    dpi = max(dpi, min(legible, _HIGHEST_DPI if native is None else native))
    by_side = (wanted.max_side - 1) / max(width, height)
    room = max(1.0, wanted.max_pixels - wanted.max_side * 2.0)  # sides are rounded up
    by_area = math.sqrt(room / (width * height))
    return min(dpi, min(by_side, by_area) * _POINTS_PER_INCH)


def _open(file: BinaryIO) -> Document:
    document = open_pdf(by_descriptor(file.fileno()))
    if is_cut_off(file):
        raise damaged_pdf("is cut off: its end is missing")
    return document


def _count(document: Document) -> int:
    """The number of pages; loading the last one makes MuPDF correct a false count."""
    try:
        if document.page_count > 1:
            with contextlib.suppress(Exception):  # a damaged page is reported in its turn
                document.load_page(document.page_count - 1)
        return int(document.page_count)
    except Exception as error:
        raise damaged_pdf("has no usable list of pages") from error


def _render(page: PdfPage, number: int, wanted: Rendering) -> PageImage:
    width, height = page.rect.width, page.rect.height
    if not (0 < width < _NO_PAGE_IS_LARGER and 0 < height < _NO_PAGE_IS_LARGER):
        raise _damaged_page(number, f"its size is {width:g} by {height:g} points")
    native = None if page.get_fonts() else scan_dpi(page)
    zoom = choose_dpi(width, height, wanted, native) / _POINTS_PER_INCH
    pixels = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), alpha=False, annots=True)
    image = PageImage(pixels.width, pixels.height, pixels.samples)
    problems = pymupdf.TOOLS.mupdf_warnings()
    memory_ran_out(problems)
    if "error" in problems and image.rgb.count(image.rgb[0]) == len(image.rgb):  # of one colour
        raise _damaged_page(number, problems)
    return image


def is_cut_off(file: BinaryIO) -> bool:
    """Whether the PDF has no end mark, or objects follow the last one.

    Those are the objects of an unfinished update, or all but a few of the file's.  Anything else
    after the end, such as a web page that a server appended, does no harm.  A trailer counts as the
    end if there is no mark: the rest can be reconstructed.
    """
    objects = ended = False
    for block in _from_the_end(file):
        end = max(block.rfind(mark) for mark in _END_MARKS)
        if end >= 0:
            return objects or _OBJECT.search(block, end) is not None
        trailer = block.rfind(b"trailer")
        ended |= trailer >= 0 and not objects and _OBJECT.search(block, trailer) is None
        objects |= _OBJECT.search(block) is not None
        if objects and not ended:
            return True
    return not ended


def _from_the_end(file: BinaryIO) -> Iterator[bytes]:
    """A file's blocks from the last to the first, each with the beginning of the block after it.

    The file is neither kept nor mapped: a scanned book is larger than a child's memory limit.
    """
    end = os.fstat(file.fileno()).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        yield os.pread(file.fileno(), end - start + _LONGEST_MARK, start)
        end = start


def _damaged_page(number: int, problems: str) -> PageError:
    reason = problems.strip().splitlines()[0][:200] if problems.strip() else "it cannot be drawn"
    return PageError(
        f"Page {number} of the PDF is damaged: {reason}",
        hint="Scan this page again, or open the PDF elsewhere and print it to a new one.",
        kind="damaged",
    )


_documents: OpenDocuments[Document] = OpenDocuments(4)
