"""PDF pages become pixels, by MuPDF: for child processes only, for it may hang or crash."""

from __future__ import annotations

import contextlib
import math
import os
import re
from typing import Any, BinaryIO

import pymupdf

from ocrd.errors import BadFileError, OcrdError, PageError
from ocrd.page import PageImage
from ocrd.pages.base import Rendering
from ocrd.pages.opening import OpenDocuments
from ocrd.pages.scale import POINTS_PER_INCH, choose_dpi

_TAIL = 16384  # bytes
_END_MARKS = (b"%%EOF", b"startxref", b"trailer")
_SCAN_COVERS = 0.85  # of the page, by its images together
_PATCH = 0.01  # of the page: images smaller than this are stamps and specks
_NO_PAGE_IS_LARGER = 1e7  # points
_OUT_OF_MEMORY = re.compile(r"alloc\b.*failed|(out of|not enough|insufficient) memory", re.I)

pymupdf.TOOLS.mupdf_display_errors(False)
pymupdf.TOOLS.mupdf_display_warnings(False)


def count_pages(file: BinaryIO, wanted: Rendering) -> int:
    """How many pages the PDF has.

    Raises:
        BadFileError: It is `encrypted`, `damaged`, `too-large`, or has `no-pages`.
    """
    document = _documents.get(file, _open)
    count = _count(document)
    if count < 1 and document.is_repaired:
        raise _damaged("is damaged so that none of its pages can be found")
    if count < 1:
        raise BadFileError(
            "The PDF has no pages.", hint="Export or scan it again.", kind="no-pages"
        )
    if count > wanted.max_pages:
        raise BadFileError(
            f"The PDF has {count} pages; at most {wanted.max_pages} are allowed.",
            hint="Split it, or raise max_pages in the configuration.",
            kind="too-large",
        )
    return count


def render(file: BinaryIO, number: int, wanted: Rendering) -> PageImage:
    """Page `number`, 1-based, annotations and filled-in forms included.

    Raises:
        BadFileError: As `count_pages`.
        PageError: This page is `damaged`.
    """
    document = _documents.get(file, _open)
    pymupdf.TOOLS.reset_mupdf_warnings()
    try:
        return _render(document.load_page(number - 1), number, wanted)
    except (OcrdError, MemoryError):
        raise
    except Exception as error:  # MuPDF's own, and what its wrapper stumbles over
        _memory_ran_out(str(error))
        raise _damaged_page(number, str(error)) from error
    finally:
        pymupdf.TOOLS.store_shrink(90)  # fonts and letterheads may stay, in 25 MB


def _open(file: BinaryIO) -> pymupdf.Document:
    try:
        # by descriptor, because MuPDF takes only UTF-8 names
        document = pymupdf.Document(f"/proc/self/fd/{file.fileno()}", filetype="pdf")
    except Exception as error:
        problems = f"{error} {error.__cause__} {pymupdf.TOOLS.mupdf_warnings()}"
        _memory_ran_out(problems)
        if "encrypt" in problems:
            raise _encrypted("is protected in a way that is not known here") from error
        raise _damaged("cannot be opened as a PDF") from error
    if document.needs_pass:
        raise _encrypted("needs a password")
    if document.is_repaired and _is_cut_off(file):
        raise _damaged("is cut off: its end is missing")
    return document


def _count(document: pymupdf.Document) -> int:
    """Its pages: looking for the last one makes MuPDF correct a count that is a lie."""
    try:
        if document.page_count > 1:
            with contextlib.suppress(Exception):  # a damaged page is reported in its turn
                document.load_page(document.page_count - 1)
        return int(document.page_count)
    except Exception as error:
        raise _damaged("has no usable list of pages") from error


def _render(page: pymupdf.Page, number: int, wanted: Rendering) -> PageImage:
    width, height = page.rect.width, page.rect.height
    if not (0 < width < _NO_PAGE_IS_LARGER and 0 < height < _NO_PAGE_IS_LARGER):
        raise _damaged_page(number, f"its size is {width:g} by {height:g} points")
    zoom = choose_dpi(width, height, wanted, _native_dpi(page)) / POINTS_PER_INCH
    pixels = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), alpha=False, annots=True)
    image = PageImage(pixels.width, pixels.height, pixels.samples)
    problems = pymupdf.TOOLS.mupdf_warnings()
    _memory_ran_out(problems)
    if "error" in problems and _is_one_colour(image.rgb):
        raise _damaged_page(number, problems)
    return image


def _native_dpi(page: pymupdf.Page) -> float | None:
    """The resolution of a page that is a scan and nothing else; None for any other page."""
    if not page.get_images() or page.get_fonts():
        return None
    covered, native = 0.0, 0.0
    for image in page.get_image_info():
        box = pymupdf.Rect(image["bbox"]) & page.rect
        share = abs(box) / abs(page.rect) if box.is_valid else 0.0
        covered += share
        if share > _PATCH:
            native = max(native, _image_dpi(image))
    return native if covered >= _SCAN_COVERS and native > 0 else None


def _image_dpi(image: dict[str, Any]) -> float:
    """Along the axis that has more: a fax has two resolutions."""
    a, b, c, d, *_ = image["transform"]
    across, down = math.hypot(a, b), math.hypot(c, d)
    per_point = max(
        image["width"] / across if across else 0.0, image["height"] / down if down else 0.0
    )
    return float(per_point * POINTS_PER_INCH)


def _is_one_colour(rgb: bytes) -> bool:
    return rgb.count(rgb[0]) == len(rgb)


def _is_cut_off(file: BinaryIO) -> bool:
    """Whether the file ends without anything that ends a PDF."""
    tail = _last_words(file)
    return not any(mark in tail for mark in _END_MARKS)


def _last_words(file: BinaryIO) -> bytes:
    """The last bytes that are not zero: a copy may set the size first and be interrupted then."""
    end = os.fstat(file.fileno()).st_size
    while end > 0:
        start = max(0, end - _TAIL)
        block = os.pread(file.fileno(), end - start, start).rstrip(b"\0")
        if block:
            return os.pread(file.fileno(), _TAIL, max(0, start + len(block) - _TAIL))
        end = start
    return b""


def _memory_ran_out(problems: str) -> None:
    """MuPDF may leave out what it has no memory for; a page with holes is no page.

    Raises:
        MemoryError: It did.
    """
    if _OUT_OF_MEMORY.search(problems):
        raise MemoryError(problems[:200])


def _encrypted(how: str) -> BadFileError:
    return BadFileError(
        f"The PDF {how}.",
        hint="Save it without a password (print it to PDF, or `qpdf --decrypt`) and drop that.",
        kind="encrypted",
    )


def _damaged(how: str) -> BadFileError:
    return BadFileError(
        f"The PDF {how}.",
        hint="Copy or scan it again; if there is no better copy, `mutool clean` may mend it.",
        kind="damaged",
    )


def _damaged_page(number: int, problems: str) -> PageError:
    reason = problems.strip().splitlines()[0][:200] if problems.strip() else "it cannot be drawn"
    return PageError(
        f"Page {number} of the PDF is damaged: {reason}",
        hint="Scan this page again, or open the PDF elsewhere and print it to a new one.",
        kind="damaged",
    )


_documents: OpenDocuments[pymupdf.Document] = OpenDocuments(4, pymupdf.Document.close)
