"""The specification that a bundle is built from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from ocrd.modes import AnswerFormat

JSON: TypeAlias = JsonValue

FIGURES = ".images"
SUFFIXES = {  # of each output's files; the first output here that was made is the main one
    "markdown": (".md",),
    "pdf": (".pdf",),
    "text": (".txt",),
    "json": (".json",),
    "raw": (".raw.mmd",),
    "pdfa": (".pdfa.pdf",),
    "alto": (".alto.xml",),
    "hocr": (".hocr",),
    "boxes": (".boxes.pdf", ".boxes.jpg"),
    "images": (FIGURES,),
}
OUTPUTS = frozenset(SUFFIXES)
BLANK, BARCODE = "blank", "barcode"
IMAGES = "images"  # the folder of the figures, beside the texts that link to them
SUFFIX_ROOM = max(len(end) for ends in SUFFIXES.values() for end in ends)  # bytes after a stem


@dataclass(frozen=True, kw_only=True, slots=True)
class PageOrigin:
    """Where a page of the document comes from.

    Attributes:
        source: The file that holds it; only read.
        kind: `pdf`, `image`, or `unreadable` for a file from which no page can be read.
        page: The page's number in the file, from 1.
        pages: How many pages the file has.
    """

    source: Path
    kind: str
    page: int
    pages: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Separator:
    """What separates the documents of a pile.

    Attributes:
        kind: `BLANK` or `BARCODE`.
        code: The barcode that separates; empty for any barcode.
    """

    kind: str
    code: str = ""

    def marks(self, codes: Collection[str]) -> bool:
        """Whether a page with these barcodes on it is a separator."""
        return self.kind == BARCODE and bool(self.code in codes if self.code else codes)


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleSpec:
    """Everything `build_bundle` needs, as plain data for a child process.

    Attributes:
        source: The original in the spool, only read; a folder if there are several files.
        name: Stem of the artefacts' names, as `os.fsdecode` gives it; safe and short enough.
        kind: `pdf` or `image`.
        pages: JSON lines, one page a line in page order: `number`, `state`, `tries`, `tokens`,
            `seconds`, `reused`, `error` (object or null), `result` (the object of
            `PageResult.to_json`, or null) and, where they apply, `came_from` (object) and
            `pile_page` (number).
        into: The bundle's folder, which exists and is empty.
        outputs: The wanted artefacts, from `OUTPUTS`.
        answers: How to interpret the model's answers.
        dpi: Resolution of figures, and of the boxes drawn over an image.
        facts: What the sidecar says about the job: source, sha256, engine, model, mode, prompt …
        pdf_text: What to do with text that a PDF page already has: `auto` and `ocr` keep it and
            add what it lacks, but `auto` replaces a hidden layer that is faulty and adds a whole
            layer beside faulty visible text; `redo` replaces every hidden layer; `keep` adds none.
        drop_blank: Leave blank pages out of Markdown, plain text and PDF (numbers do not shift).
        upright: Turn pages the way the engine turned them to read them.
        max_pixels: An image frame larger than this is not decoded.
        origins: Where each page comes from; empty when page n is page n of `source`.
        separator: What separates the documents, if this is a pile of several.
        images: Name of the figures' folder.
        title: The later name of the results, where `name` is empty since they are named later.
    """

    source: Path
    name: str
    kind: str
    pages: Path
    into: Path
    outputs: frozenset[str]
    answers: AnswerFormat
    dpi: int
    facts: Mapping[str, JSON]
    pdf_text: str = "auto"
    drop_blank: bool = False
    upright: bool = False
    max_pixels: int = 200_000_000
    origins: tuple[PageOrigin, ...] = ()
    separator: Separator | None = None
    images: str = IMAGES
    title: str = ""

    def places(self, total: int) -> tuple[PageOrigin, ...]:
        """The origin of each page: `origins`, or otherwise the `total` pages of `source`."""
        return self.origins or tuple(
            PageOrigin(source=self.source, kind=self.kind, page=number, pages=total)
            for number in range(1, total + 1)
        )
