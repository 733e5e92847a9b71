"""One page that MuPDF cannot work on does not take the document with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ocrd.document.inline import one_line
from ocrd.document.pdf.mupdf import FAULTS
from ocrd.document.records import ReadPage


@contextmanager
def noted(page: ReadPage, missing: str) -> Iterator[None]:
    """Turn MuPDF's complaint about a page into a note that says what is missing for it.

    Faults of the disk are no faults of the page: an `OSError` passes.
    """
    try:
        yield
    except FAULTS as error:
        page.notes.append(f"{missing}: {one_line(str(error))}")
