"""One PDF of pages that lie in several files, or in another order than their file has them.

Image files alone are written page by page as ever.  As soon as there is a PDF among them, each is
a PDF first, and pages are taken over from those: objects are copied, nothing is encoded anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from ocrd.document.base import PageOrigin
from ocrd.document.pdf.bases import LETTER, MISSING, Base, from_frames, from_pdf
from ocrd.document.pdf.layers import CHUNK, LayeredPdf, PdfPages
from ocrd.document.pdf.mupdf import FAULTS, Document, pymupdf
from ocrd.errors import BadFileError

Place: TypeAlias = "tuple[Path, int]"  # a PDF and its page, from 1


def collated(origins: Sequence[PageOrigin], work: Path, target: Path, *, max_pixels: int) -> Base:
    """Make `target` a PDF of these pages in this order.

    A page that cannot be had gets one that says so: numbers do not shift.

    Args:
        origins: Where each page lies; at least one.
        work: A folder for PDFs that are needed on the way.
        target: The PDF to be made.
        max_pixels: An image frame larger than this is not decoded.
    """
    if all(origin.kind != "pdf" for origin in origins):
        return from_frames(origins, target, max_pixels=max_pixels)
    places, notes = _as_pdfs(origins, work, max_pixels)
    return Base(target, (*notes, *_joined(places, target)))


def _as_pdfs(
    origins: Sequence[PageOrigin], work: Path, max_pixels: int
) -> tuple[list[Place], list[str]]:
    """For each page the PDF that has it, and what is to be told of how those came to be."""
    notes: list[str] = []
    pdfs = {origin.source: origin.source for origin in origins if origin.kind == "pdf"}
    for index, source in enumerate(pdfs):
        base, told = _pdf(source, work / f"{index}.pdf")
        pdfs[source] = base
        notes += [f"{source.name}: {note}" for note in told]
    frames = [origin for origin in origins if origin.kind != "pdf"]
    pictures = work / "pictures.pdf"
    if frames:
        notes += from_frames(frames, pictures, max_pixels=max_pixels).notes
    counted = iter(range(1, len(frames) + 1))
    places = [
        (pdfs[origin.source], origin.page) if origin.kind == "pdf" else (pictures, next(counted))
        for origin in origins
    ]
    return places, notes


def _pdf(source: Path, repaired: Path) -> tuple[Path, tuple[str, ...]]:
    """A PDF to take pages from; one of which none can be had does not take the others with it."""
    try:
        base = from_pdf(source, repaired)
    except BadFileError as error:
        return source, (error.message,)
    return base.path, base.notes


def _joined(places: Sequence[Place], target: Path) -> list[str]:
    """Write the pages to `target`; what is to be told of those that could not be had."""
    problems = []
    with ExitStack() as stack:
        files = {file for file, _ in places}
        sources = {file: stack.enter_context(PdfPages(file)) for file in files}
        joined = stack.enter_context(_begun(target))
        for number, place in enumerate(places, start=1):
            problem = _add(joined.document, place, sources)
            if problem:
                problems.append(f"page {number} of the PDF is empty: {problem}")
            if number == 1:
                joined.drop_pages([1])  # what it was begun with
            joined.done_with_page()
            if number % CHUNK == 0:
                for source in sources.values():
                    source.let_go()
        joined.let_go()
    return problems


def _begun(target: Path) -> LayeredPdf:
    """A PDF of one empty page: there is none without pages."""
    with pymupdf.open() as document, target.open("wb") as file:
        document.new_page()
        document.save(file)
    return LayeredPdf(target)


def _add(joined: Document, place: Place, sources: Mapping[Path, PdfPages]) -> str:
    """Append a page, or one that says that it is missing; then why."""
    problem = ""
    file, number = place
    for whole in (True, False):  # a broken form or link need not cost the page
        try:
            _take(joined, sources[file].document, number, whole=whole)
        except FAULTS as error:
            problem = str(error)
        else:
            return ""
    width, height = LETTER
    joined.new_page(width=width, height=height).insert_text((72, 92), MISSING, fontsize=12)
    return problem


def _take(joined: Document, source: Document, number: int, *, whole: bool) -> None:
    """Append page `number` of `source`, with its links, notes and form fields if `whole`."""
    before = joined.page_count
    if number > source.page_count:
        raise ValueError(f"the file has no page {number}")
    try:
        joined.insert_pdf(
            source,
            from_page=number - 1,
            to_page=number - 1,
            links=whole,
            annots=whole,
            widgets=whole,
            final=False,  # what pages share is copied once
        )
    except FAULTS:
        while joined.page_count > before:
            joined.delete_page(-1)
        raise
