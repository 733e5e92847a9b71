"""Builds the bundle of one job, all the files that people open, from the engine's results.

Pages are read one by one and passed to every artefact in turn; nothing holds more than a page (or,
in the PDFs, a chunk of pages), so 3,000 pages take no more memory than 20.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, TextIO

from ocrd.document import records
from ocrd.document.alto import AltoFile
from ocrd.document.base import SUFFIXES, BundleSpec
from ocrd.document.boxes import BoxesPdf, BoxesPicture
from ocrd.document.figures import Figures
from ocrd.document.hocr import HocrFile
from ocrd.document.incremental_pdf import LayeredPdf, PdfPages
from ocrd.document.layout import Layouts
from ocrd.document.pdfa import ArchivalPdf
from ocrd.document.plain import one_line
from ocrd.document.records import ReadPage, noted
from ocrd.document.sidecar import Sidecar
from ocrd.document.source_pdf import SourcePdf, collated, from_pdf
from ocrd.document.textfiles import MarkdownFile, RawFile, TextFile, text_file
from ocrd.document.textlayer import SearchablePdf
from ocrd.pdfcontent import broken_content

_WORK = ".work"  # in the bundle while it is being built
_GROWTH, _SPARE = 1.3, 20_000  # a PDF over this factor of its original plus these bytes gets a note


class Artefact(Protocol):
    """A file or folder of the bundle while it is being built."""

    def add(self, page: ReadPage) -> None:
        """Add the next page."""

    def finish(self) -> str:
        """Complete the artefact; its name in the bundle, or an empty string if there is none."""


def build_bundle(spec: BundleSpec) -> tuple[str, ...]:
    """Fill the folder `spec.into`; nothing is fsynced, and the original is only read.

    Run it in a confined child process, since the original may be hostile.

    Returns:
        Names of the bundle's top-level entries, in the order they were finished.

    Raises:
        BadFileError: The original cannot be opened at all.
        OSError: A file cannot be written.
        ValueError, KeyError, TypeError: `spec.pages` is not a valid list of pages.
    """
    total = records.count(spec.pages)
    work = spec.into / _WORK
    work.mkdir()
    try:
        with ExitStack() as stack:
            base = SourcePdf(spec.source, ())
            if spec.drop_blank or not spec.outputs <= {"markdown", "text", "raw"}:
                base = base_of(spec, work, total)
            pages = stack.enter_context(PdfPages(base.path))
            return _filled(spec, pages, list(_artefacts(spec, base, pages, total, stack)))
    finally:
        shutil.rmtree(work)


def base_of(spec: BundleSpec, work: Path, total: int) -> SourcePdf:
    """The PDF that the artefacts show: the original, or one made in the folder `work`."""
    target = work / "base.pdf"
    if spec.kind == "pdf" and not spec.origins:
        return from_pdf(spec.source, target)
    return collated(spec.places(total), work, target, max_pixels=spec.max_pixels)


def _artefacts(
    spec: BundleSpec, base: SourcePdf, pages: PdfPages, total: int, stack: ExitStack
) -> Iterator[Artefact]:
    """The wanted artefacts, each after those whose results it needs."""
    wanted, work = spec.outputs, spec.into / _WORK
    layouts, notes = Layouts(pages, spec.dpi), list(base.notes)

    def target(output: str, kind: int = 0) -> Path:
        return spec.into / f"{spec.name}{SUFFIXES[output][kind]}"

    def text(output: str) -> TextIO:
        return stack.enter_context(text_file(target(output)))

    def copy(path: Path) -> LayeredPdf:
        shutil.copyfile(base.path, path)
        return stack.enter_context(LayeredPdf(path))

    made: dict[str, Callable[[], Artefact]] = {
        "images": lambda: Figures(pages, spec.into / spec.images, spec.dpi),
        "markdown": lambda: MarkdownFile(text("markdown")),
        "text": lambda: TextFile(text("text")),
        "raw": lambda: RawFile(text("raw")),
        "alto": lambda: AltoFile(text("alto"), layouts, spec.facts),
        "hocr": lambda: HocrFile(text("hocr"), layouts, spec.facts, total),
    }
    yield from (make() for output, make in made.items() if output in wanted)
    if wanted & {"pdf", "pdfa"}:
        searchable = target("pdf") if "pdf" in wanted else work / "searchable.pdf"
        yield SearchablePdf(copy(searchable), layouts, spec, base.path, notes)
        if "pdfa" in wanted:
            yield ArchivalPdf(target("pdfa"), searchable, work / "pdfa.pdf", notes, spec.dpi)
    if "boxes" in wanted and spec.kind == "image" and total == 1:
        yield BoxesPicture(target("boxes", 1), copy(work / "boxes.pdf"), spec)
    elif "boxes" in wanted:
        yield BoxesPdf(copy(target("boxes")), spec)
    if "json" in wanted:
        yield _Complaints(pages, spec)
        layered = [target(output) for output in ("pdf", "pdfa") if output in wanted]
        yield _Growth(layered, pages, spec, notes)
        yield Sidecar(text("json"), layouts, spec.facts, notes)


def _filled(spec: BundleSpec, pages: PdfPages, artefacts: list[Artefact]) -> tuple[str, ...]:
    """Pass every page to all artefacts and complete them; their names."""
    for page in records.read(spec.pages, spec.answers):
        if spec.drop_blank:
            page.dropped = is_blank_page(page, pages, spec.dpi)
        for artefact in artefacts:
            artefact.add(page)
        pages.done_with_page()
    names = [artefact.finish() for artefact in artefacts]
    return tuple(name for name in names if name)


def is_blank_page(page: ReadPage, pages: PdfPages, dpi: int) -> bool:
    """Whether nothing was read on the page and it shows nothing either, not even a photo."""
    with noted(page, "not looked at for blankness"):
        return page.is_silent and pages.view(page.record.number, dpi).is_blank
    return False


class _Complaints:
    """Notes what is not shown of a page, for the sidecar, which comes after it."""

    def __init__(self, pages: PdfPages, spec: BundleSpec) -> None:
        self._pages = pages
        self._spec = spec

    def add(self, page: ReadPage) -> None:
        if self._spec.kind == "image" or any("has no page" in note for note in page.notes):
            return
        with noted(page, "it cannot be looked at"):
            view = self._pages.view(page.record.number, self._spec.dpi)
            said = broken_content(view.page)
            if not said and not view.words and not view.problems:
                view.grey  # noqa: B018 - drawing it collects the problems
            said = said or next(iter(view.problems), "")
            if said:
                page.notes.append(f"the page may show less than it should: {one_line(said)}")

    def finish(self) -> str:
        return ""


class _Growth:
    """Notes which PDFs are much larger than their original, and how much was added to its pages."""

    def __init__(
        self, made: list[Path], pages: PdfPages, spec: BundleSpec, notes: list[str]
    ) -> None:
        self._made = made
        self._pages = pages.path
        self._notes = notes
        self._spec = spec

    def add(self, page: ReadPage) -> None:
        """Do nothing: only the finished files matter."""

    def finish(self) -> str:
        """Write the notes; an empty string, since there is no file."""
        spec = self._spec  # a document of a pile has only some of the pages
        parts = [origin.source.stat().st_size / origin.pages for origin in spec.origins]
        before = round(sum(parts)) if parts else spec.source.stat().st_size
        for path in filter(Path.exists, self._made):
            size = path.stat().st_size
            if size > _GROWTH * before + _SPARE:
                pages = self._pages.stat().st_size
                added = max(0, size - pages)
                said = f"{path.name} takes {size // 1000} kB and its original {before // 1000} kB"
                if added > _SPARE:
                    said += f"; {added // 1000} kB were added, for the text of its pages above all"
                if pages > _GROWTH * before:
                    said += "; the original packs its pictures tighter"
                self._notes.append(said)
        return ""
