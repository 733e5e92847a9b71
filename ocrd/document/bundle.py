"""Builds the bundle of one job: everything people open, from what the engine said.

The pages are read one by one and go through all artefacts in turn; nothing holds more than a page
(or, in the PDFs, a chunk of pages), so a document of 3,000 pages takes the memory of one of 20.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from ocrd.document import records
from ocrd.document.base import BundleSpec, BundleSummary
from ocrd.document.faults import noted
from ocrd.document.figures import Figures
from ocrd.document.overlay import BoxesPdf, BoxesPicture
from ocrd.document.pdf import bases
from ocrd.document.pdf.bases import Base
from ocrd.document.pdf.collated import collated
from ocrd.document.pdf.layers import LayeredPdf, PdfPages
from ocrd.document.pdf.mupdf import be_quiet
from ocrd.document.pdf.sheet import is_blank
from ocrd.document.plain import has_text
from ocrd.document.records import PageRecord, ReadPage
from ocrd.document.searchable import SearchablePdf
from ocrd.document.sidecar import Sidecar
from ocrd.document.textfiles import MarkdownFile, RawFile, text_file
from ocrd.job import PageState
from ocrd.modes import Reader

_WORK = ".work"  # in the bundle while it is being built


class Artefact(Protocol):
    """A file (or folder) of the bundle in the making."""

    def add(self, page: ReadPage) -> None:
        """Take in the next page."""

    def finish(self) -> str:
        """Complete it; its name in the bundle, or an empty string if nothing came of it."""


def build_bundle(spec: BundleSpec) -> BundleSummary:
    """Fill the folder `spec.into`; nothing is fsynced, and the original is only read.

    To be run in a bounded child process: the original may be hostile.

    Raises:
        BadFileError: The original cannot be opened at all.
        OSError: The disk did not take it.
        ValueError, KeyError, TypeError: `spec.pages` does not hold pages.
    """
    be_quiet()
    total = records.count(spec.pages)
    work = spec.into / _WORK
    work.mkdir()
    try:
        with ExitStack() as stack:
            base = Base(spec.source, ())
            if spec.drop_blank or spec.outputs & {"pdf", "boxes", "images"}:
                base = base_of(spec, work, total)
            pages = stack.enter_context(PdfPages(base.path))
            return _filled(spec, pages, _artefacts(spec, base, pages, total, stack))
    finally:
        shutil.rmtree(work)


def base_of(spec: BundleSpec, work: Path, total: int) -> Base:
    """The PDF that all else is drawn on, made in the folder `work` unless it is the original."""
    target = work / "base.pdf"
    if spec.origins:
        return collated(spec.origins, work, target, max_pixels=spec.max_pixels)
    if spec.kind == "pdf":
        return bases.from_pdf(spec.source, target)
    return bases.from_image(spec.source, target, total, max_pixels=spec.max_pixels)


def _artefacts(
    spec: BundleSpec, base: Base, pages: PdfPages, total: int, stack: ExitStack
) -> list[Artefact]:
    """What is wanted, in an order in which each finds what it needs of those before it."""
    wanted, into, name = spec.outputs, spec.into, spec.name
    made: list[Artefact] = []
    if "images" in wanted:
        made.append(Figures(pages, into / spec.images, spec.dpi))
    if "markdown" in wanted:
        made.append(MarkdownFile(stack.enter_context(text_file(into / f"{name}.md"))))
    if "raw" in wanted:
        made.append(RawFile(stack.enter_context(text_file(into / f"{name}.raw.mmd"))))
    if "pdf" in wanted:
        pdf = stack.enter_context(_copy(base.path, into / f"{name}.pdf"))
        made.append(SearchablePdf(pdf, pages, spec))
    if "boxes" in wanted and spec.kind == "image" and total == 1:
        made.append(BoxesPicture(into / f"{name}.boxes.jpg", pages, spec))
    elif "boxes" in wanted:
        pdf = stack.enter_context(_copy(base.path, into / f"{name}.boxes.pdf"))
        made.append(BoxesPdf(pdf, spec))
    if "json" in wanted:
        sidecar = stack.enter_context(text_file(into / f"{name}.json"))
        made.append(Sidecar(sidecar, spec.facts, base.notes))
    return made


def _filled(spec: BundleSpec, pages: PdfPages, artefacts: list[Artefact]) -> BundleSummary:
    """Send every page through all artefacts and complete them."""
    states: Counter[PageState] = Counter()
    characters = 0
    for record in records.read(spec.pages):
        page = read_page(record, spec.reader)
        if spec.drop_blank:
            page.dropped = is_blank_page(page, pages)
        for artefact in artefacts:
            artefact.add(page)
        pages.done_with_page()
        states[record.state] += 1
        characters += sum(len(block.text) for block in page.blocks)
    names = [artefact.finish() for artefact in artefacts]
    return BundleSummary(
        artefacts=tuple(name for name in names if name),
        pages=states.total(),
        partial=states[PageState.PARTIAL],
        failed=states[PageState.FAILED] + states[PageState.PENDING],
        characters=characters,
    )


def read_page(record: PageRecord, reader: Reader) -> ReadPage:
    """A page and what was read on it; nothing was where it failed."""
    read = None if record.state is PageState.FAILED else record.result
    return ReadPage(record=record, reader=reader, blocks=list(read.blocks) if read else [])


def is_blank_page(page: ReadPage, pages: PdfPages) -> bool:
    """Whether nothing was read and nothing is there: an unread photo is no blank page."""
    if page.record.state is not PageState.DONE or has_text(page.blocks):
        return False
    with noted(page, "not looked at for blankness"):
        return is_blank(pages.page(page.record.number))
    return False


def _copy(base: Path, target: Path) -> LayeredPdf:
    shutil.copyfile(base, target)
    return LayeredPdf(target)
