"""The PDF that the artefacts show: the original, or one made from the pages of several files.

Image files are written page by page.  If there is a PDF among the files, the images go into a PDF
of their own first, and all pages are then copied from PDF to PDF without being re-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ocrd.document.base import PageOrigin
from ocrd.document.embed import picture
from ocrd.document.incremental_pdf import CHUNK, LayeredPdf, PdfPages
from ocrd.document.transform import Matrix, numbers
from ocrd.document.writer import PdfWriter
from ocrd.errors import BadFileError, PageError
from ocrd.files import OpenDocuments, open_regular
from ocrd.imaging import ImagePage, ImagePages
from ocrd.pdffile import FAULTS, Document, damaged_pdf, pymupdf

LETTER = (612.0, 792.0)
MISSING = "This page of the original cannot be shown."
_MISSING = f"BT /F 12 Tf 72 700 Td ({MISSING}) Tj ET\n".encode()
_PLACEHOLDER = re.compile("please wait|adobe.com", re.I)  # on an XFA form, in any language
_MOST_OPEN = 8  # image files open at a time

Place: TypeAlias = "tuple[Path, int]"  # a PDF and its page, from 1


@dataclass(frozen=True, slots=True)
class SourcePdf:
    """A PDF whose copies can be added to, and notes on the original and how it differs."""

    path: Path
    notes: tuple[str, ...]


def from_pdf(source: Path, target: Path) -> SourcePdf:
    """The original if it is sound; a damaged or protected one is rewritten to `target`.

    Raises:
        BadFileError: It needs a password or cannot be opened as a PDF.
    """
    try:
        with PdfPages(source) as pages:
            return _based_on(pages.document, source, target)
    except FAULTS as error:
        raise damaged_pdf(f"cannot be opened: {error}") from error


def from_frames(frames: Iterable[PageOrigin], target: Path, *, max_pixels: int) -> SourcePdf:
    """Write pages of image files to the PDF `target`.

    A page that cannot be decoded is replaced by one that says so: numbers do not shift.
    """
    notes = []
    opened: OpenDocuments[ImagePages] = OpenDocuments(_MOST_OPEN)
    with PdfWriter(target) as pdf, closing(opened) as files:
        for number, place in enumerate(frames, start=1):
            try:
                note = _add_frame(pdf, _frame(files, place, max_pixels))
                note = note and f"page {number} of the PDF: {note}"
            except (PageError, BadFileError, MemoryError) as error:
                why = str(error) or "its picture takes too much memory"
                note = f"page {number} of the PDF is empty: {why}"
                font = "/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
                pdf.add_page(*LETTER, font, _MISSING)
            if note:
                notes.append(note)
    return SourcePdf(target, tuple(notes))


def collated(
    origins: Sequence[PageOrigin], work: Path, target: Path, *, max_pixels: int
) -> SourcePdf:
    """Write these pages in this order to the PDF `target`.

    A page that cannot be read is replaced by one that says so: numbers do not shift.  Intermediate
    files are left in the folder `work`.
    """
    if all(origin.kind != "pdf" for origin in origins):
        return from_frames(origins, target, max_pixels=max_pixels)
    places, notes = _as_pdfs(origins, work, max_pixels)
    return SourcePdf(target, (*notes, *_joined(places, target)))


def placement(orientation: int, width: float, height: float) -> Matrix:
    """Puts a stored image, a unit square, upright on a page (EXIF 2.32, tag 274)."""
    return {
        2: (-width, 0.0, 0.0, height, width, 0.0),
        3: (-width, 0.0, 0.0, -height, width, height),
        4: (width, 0.0, 0.0, -height, 0.0, height),
        5: (0.0, -height, -width, 0.0, width, height),
        6: (0.0, -height, width, 0.0, 0.0, height),
        7: (0.0, height, width, 0.0, 0.0, 0.0),
        8: (0.0, height, -width, 0.0, width, 0.0),
    }.get(orientation, (width, 0.0, 0.0, height, 0.0, 0.0))


def _frame(files: OpenDocuments[ImagePages], place: PageOrigin, max_pixels: int) -> ImagePage:
    """The image page at `place`; valid until another page of its file is requested.

    Raises:
        PageError, BadFileError: It cannot be read.
    """
    if place.kind != "image":
        raise PageError("its file cannot be read", hint="Scan it again.", kind="damaged")
    with open_regular(place.source) as file:
        pages = files.get(file, lambda file: ImagePages(file, max_pixels=max_pixels))
    return pages.page(place.page)


def _add_frame(pdf: PdfWriter, page: ImagePage) -> str:
    """Write a page; a note about it, or an empty string."""
    shown = picture(page)
    width, height = page.points
    colours = f"/ColorSpace {shown.colours}" if shown.colours else ""
    if shown.profile:
        entries = f"/N {shown.components}/Alternate {shown.colours}"
        colours = f"/ColorSpace[/ICCBased {pdf.add(entries, shown.profile)} 0 R]"
    image = pdf.add(f"/Type/XObject/Subtype/Image{shown.entries}{colours}", shown.data)
    matrix = placement(shown.orientation, width, height)
    content = f"q {numbers(*matrix)} cm /Im Do Q\n".encode("ascii")
    pdf.add_page(width, height, f"/XObject<</Im {image} 0 R>>", content)
    return shown.note


def _based_on(document: Document, source: Path, target: Path) -> SourcePdf:
    notes = list(_oddities(document))
    protected = document.metadata.get("encryption") is not None
    unlocked = not document.name  # it was opened from memory, without its encryption
    sound = document.can_save_incrementally() and not document.is_repaired
    if sound and not protected and not unlocked:
        return SourcePdf(source, tuple(notes))
    with target.open("wb") as file:
        document.save(file, encryption=pymupdf.PDF_ENCRYPT_NONE)
    if protected:
        notes.append("the original restricts what readers may do; the searchable PDF does not")
    if unlocked:
        notes.append("files attached to the original are encrypted; they stay so in the archive")
    elif document.is_repaired:
        notes.append("the original is damaged; the searchable PDF was made from its repaired form")
    return SourcePdf(target, tuple(notes))


def _oddities(document: Document) -> Iterator[str]:
    """Notes on the original that its pages do not show."""
    if document.get_sigflags() > 0:
        yield (
            "the original is signed; viewers will say that the searchable PDF was changed after"
            " signing, so rely on the original in the archive for the signature"
        )
    catalog = document.pdf_catalog()
    if document.xref_get_key(catalog, "Collection")[0] != "null":
        yield (
            f"the original is a portfolio: its page is a cover, and the {document.embfile_count()}"
            " files in it are not read; take them out and drop them"
        )
    if document.xref_get_key(catalog, "AcroForm/XFA")[0] != "null" and (
        document.xref_get_key(catalog, "NeedsRendering")[1] == "true"
        or _PLACEHOLDER.search(document[0].get_text())
    ):
        yield (
            "the original is an XFA form: what its page shows is a placeholder; open it in Adobe"
            " Reader, print it to a new PDF and drop that"
        )


def _as_pdfs(
    origins: Sequence[PageOrigin], work: Path, max_pixels: int
) -> tuple[list[Place], list[str]]:
    """The PDF and page number for each origin, and notes on how those PDFs were made."""
    notes: list[str] = []
    pdfs = {origin.source: origin.source for origin in origins if origin.kind == "pdf"}
    for index, source in enumerate(pdfs):
        try:
            made = from_pdf(source, work / f"{index}.pdf")
        except BadFileError as error:  # it does not fail the others
            made = SourcePdf(source, (error.message,))
        pdfs[source] = made.path
        notes += [f"{source.name}: {note}" for note in made.notes]
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


def _joined(places: Sequence[Place], target: Path) -> list[str]:
    """Write the pages to `target`; notes on those that could not be copied."""
    problems = []
    with ExitStack() as stack:
        files = {file for file, _ in places}
        sources = {file: stack.enter_context(PdfPages(file)) for file in files}
        with pymupdf.open() as document, target.open("wb") as file:
            document.new_page()  # a PDF must have a page
            document.save(file)
        joined = stack.enter_context(LayeredPdf(target))
        for number, place in enumerate(places, start=1):
            problem = _add(joined.document, place, sources)
            if problem:
                problems.append(f"page {number} of the PDF is empty: {problem}")
            if number == 1:
                joined.drop_pages([1])  # the page it was begun with
            joined.done_with_page()
            if number % CHUNK == 0:
                for source in sources.values():
                    source.let_go()
        joined.let_go()
    return problems


def _add(joined: Document, place: Place, sources: Mapping[Path, PdfPages]) -> str:
    """Append a page, or one that says that it is missing; why it is, or an empty string."""
    problem = ""
    file, number = place
    for whole in (True, False):  # a broken form or link need not cost the page
        try:
            _take(joined, sources[file].document, number, whole=whole)
        except BadFileError as error:
            problem = error.message
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
