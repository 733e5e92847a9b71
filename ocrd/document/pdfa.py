"""NAME.pdfa.pdf: the searchable PDF as PDF/A-2b, or 3b where files are attached (ISO 19005-2, -3).

What PDF/A forbids is removed where nobody sees it.  A page that visibly uses it (a font that is
not embedded, CMYK without a profile) becomes a picture with its words invisibly under it.  A
document that conforms already is copied unchanged.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import ImageCms

from ocrd.document import archival_rules as rules
from ocrd.document.embed import leanest
from ocrd.document.font import NAME, LayerFont
from ocrd.document.incremental_pdf import LayeredPdf, PdfPages
from ocrd.document.metadata import packet, pdfa_claim
from ocrd.document.placing import place_lines
from ocrd.document.plain import one_line
from ocrd.document.records import ReadPage
from ocrd.document.sheet import Sheet
from ocrd.document.textlayer import text_content
from ocrd.document.transform import PageFrame, numbers
from ocrd.document.view import PageView
from ocrd.page import Line
from ocrd.pdfcontent import broken_content
from ocrd.pdffile import FAULTS, PdfPage, pymupdf
from ocrd.pdftext import is_hidden, user_unit

_DPI = 200  # the least resolution of a page that becomes a picture
_BOXES = ("CropBox", "BleedBox", "TrimBox", "ArtBox", "Rotate", "Annots", "Group", "Tabs")
_HEADER = re.compile(rb"%PDF-2\.\d")
_TOLD = 5  # pages that get a note each


class ArchivalPdf:
    """The artefact NAME.pdfa.pdf, made from the searchable PDF once that is finished.

    Pages become pictures at `dpi`, but at no less than 200 dpi.
    """

    def __init__(
        self, target: Path, searchable: Path, work: Path, notes: list[str], dpi: int
    ) -> None:
        self._target = target
        self._searchable = searchable
        self._work = work
        self._notes = notes
        self._dpi = max(dpi, _DPI)

    def add(self, page: ReadPage) -> None:
        """Do nothing: the searchable PDF has the page."""

    def finish(self) -> str:
        """Make the PDF/A; its name, or an empty string if it cannot be made."""
        try:
            made = self._made(self._searchable)
        except FAULTS as error:
            self._notes.append(f"no PDF/A could be made: {one_line(str(error))}")
            return ""
        made.rename(self._target)
        return self._target.name

    def _made(self, source: Path) -> Path:
        """Make the PDF/A in the working folder; its path."""
        shutil.copyfile(source, self._work)
        if _conforms(source):
            return self._work
        with LayeredPdf(self._work) as pdf:
            made = self._work.with_suffix(".new")
            self._notes += _told(self._prepared(pdf))
            _finished(pdf, made)
        return made

    def _prepared(self, pdf: LayeredPdf) -> list[tuple[int, str]]:
        """Make every page conform; the pages that became pictures, each with the reason."""
        inspector, font = rules.Inspector(), LayerFont(pdf)
        drawn = []
        for number in range(1, pdf.document.page_count + 1):
            page = pdf.page(number)
            fault = _fault_of(page, inspector)
            if fault:
                drawn.append((number, fault))
                _draw(pdf, page, font, self._dpi)
            pdf.done_with_page()
        font.finish()
        return drawn


def _fault_of(page: PdfPage, inspector: rules.Inspector, twin: PdfPage | None = None) -> str:
    """Why a page cannot be in a PDF/A as it is, or empty; faults that nobody sees are fixed.

    `twin` is the same page of the file opened a second time.  PyMuPDF turns a page and back to
    find how its text is drawn, which counts as a change; with a twin, only the twin is turned.
    """
    pymupdf.TOOLS.reset_mupdf_warnings()
    try:
        rules.tidy_page(page)
        fault = inspector.fault_of(page, fonts=not is_hidden(twin or page)) or broken_content(page)
    except FAULTS as error:
        return str(error) or "it is damaged"
    broken = "error" in pymupdf.TOOLS.mupdf_warnings()
    return fault or ("what it shows is damaged" if broken else "")


def _conforms(path: Path) -> bool:
    """Whether a PDF claims to be PDF/A and has nothing that would have to be removed."""
    with LayeredPdf(path) as pdf, PdfPages(path) as again, suppress(*FAULTS):
        document, inspector = pdf.document, rules.Inspector()
        if pdfa_claim(document) is None or not rules.has_intent(document):
            return False
        twins = zip(document, again.document, strict=True)
        if any(_fault_of(page, inspector, twin) for page, twin in twins):
            return False
        rules.tidy_document(document)
        return not document.is_dirty
    return False


def _draw(pdf: LayeredPdf, page: PdfPage, font: LayerFont, dpi: int) -> None:
    """Turn a page into a picture of itself with its words invisibly under it."""
    view, unit = PageView(page, dpi), user_unit(page)
    width, height = page.rect.width / unit, page.rect.height / unit
    words = [Line(word.text, word.box) for word in view.words]
    shown = leanest(view.colour)
    entries = f"<</Type/XObject/Subtype/Image{shown.entries}/ColorSpace {shown.colours}>>"
    image = pdf.add_object(entries)
    document = pdf.document
    document.update_stream(image, shown.data, compress=0)
    for key, value in re.findall(r"/(Filter|DecodeParms)(/\w+|<<.*?>>)", shown.entries):
        document.xref_set_key(image, key, value)
    sheet = Sheet(width, height)
    frame = PageFrame((0.0, 0.0, width, height))
    content = f"q {numbers(width, 0, 0, height, 0, 0)} cm /Im Do Q\n".encode("ascii")
    text = text_content(place_lines(words, sheet), sheet, frame, font)
    body = pdf.add_object("<<>>", b"q\n" + text + b"Q\n" + content)
    fonts = f"/Font<</{NAME} {font.xref} 0 R>>" if text else ""
    for key in _BOXES:
        document.xref_set_key(page.xref, key, "null")
    document.xref_set_key(page.xref, "MediaBox", f"[0 0 {numbers(width)} {numbers(height)}]")
    document.xref_set_key(page.xref, "Resources", f"<</XObject<</Im {image} 0 R>>{fonts}>>")
    document.xref_set_key(page.xref, "Contents", f"{body} 0 R")


def _told(drawn: list[tuple[int, str]]) -> Iterator[str]:
    for number, fault in drawn[:_TOLD]:
        yield f"page {number} of the PDF/A is a picture: {one_line(fault)}"
    if len(drawn) > _TOLD:
        yield f"{len(drawn) - _TOLD} further pages of the PDF/A are pictures for such reasons"


def _finished(pdf: LayeredPdf, target: Path) -> None:
    """Make the document as a whole conform, and write it to `target`."""
    document = pdf.document
    attached = rules.tidy_document(document)
    catalog = document.pdf_catalog()
    profile = pdf.add_object(
        "<</N 3/Alternate/DeviceRGB>>",
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    )
    intent = pdf.add_object(
        "<</Type/OutputIntent/S/GTS_PDFA1/OutputConditionIdentifier(sRGB IEC61966-2.1)"
        f"/Info(sRGB IEC61966-2.1)/DestOutputProfile {profile} 0 R>>"
    )
    document.xref_set_key(catalog, "OutputIntents", f"[{intent} 0 R]")
    metadata = pdf.add_object("<</Type/Metadata/Subtype/XML>>")
    document.update_stream(metadata, packet(document.metadata, 3 if attached else 2), compress=0)
    document.xref_set_key(catalog, "Metadata", f"{metadata} 0 R")
    pdf.write_anew(target)
    with target.open("r+b") as file:
        if _HEADER.match(file.read(8)):
            file.seek(0)
            file.write(b"%PDF-1.7")
