"""What a bundle is made from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from ocrd.modes import AnswerFormat

JSON: TypeAlias = JsonValue

FIGURES = ".images"
SUFFIXES = {  # of each output's files; who comes first here is the main one of those that are made
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
SUFFIX_ROOM = max(len(end) for ends in SUFFIXES.values() for end in ends)  # bytes a stem leaves


@dataclass(frozen=True, kw_only=True, slots=True)
class PageOrigin:
    """Where a page of the document lies.

    Attributes:
        source: A file; it is only read.
        kind: `pdf`, `image`, or `unreadable` for one that no page can be had of.
        page: The page's number in it, from 1.
        pages: How many pages it has.
    """

    source: Path
    kind: str
    page: int
    pages: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Separator:
    """What ends a document in a pile.

    Attributes:
        kind: `BLANK` or `BARCODE`.
        code: Which barcode does; empty for any.
    """

    kind: str
    code: str = ""

    def marks(self, codes: Collection[str]) -> bool:
        """Whether a page with these barcodes on it is a separator."""
        return self.kind == BARCODE and bool(self.code in codes if self.code else codes)


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleSpec:
    """Everything `build_bundle` needs; plain data, for a child.

    Attributes:
        source: The original, in the spool; it is only read.  A folder if it is several files.
        name: Stem of the artefacts, as `os.fsdecode` gives it; safe and short enough.
        kind: `pdf` or `image`.
        pages: JSON lines, one page a line in page order: `number`, `state`, `tries`, `tokens`,
            `seconds`, `reused`, `error` (object or null), `result` (the object of
            `PageResult.to_json`, or null), and where it is not plain `came_from` (object) and
            `pile_page` (number).
        into: The bundle: a folder that exists and is empty.
        outputs: Which artefacts are wanted, of `OUTPUTS`.
        answers: How the model's words are to be read.
        dpi: Resolution of figures, and of the boxes drawn over an image.
        facts: What the sidecar says about the job: source, sha256, engine, model, mode, prompt …
        pdf_text: What becomes of text that a PDF's page has: `auto` and `ocr` leave it and add to
            it what it lacks, but that `auto` replaces a hidden layer that is no text; `redo`
            replaces every hidden layer; `keep` adds none.
        drop_blank: Leave blank pages out of the Markdown and the PDF (numbers do not shift).
        upright: Turn pages the way the engine turned them to read them.
        max_pixels: An image frame larger than this is not decoded.
        origins: Where each page lies; empty when page n is page n of `source`.
        separator: What ends a document, if this is a pile of several.
        images: Name of the figures' folder.
        title: What the results will be called; `name` is empty where artefacts are named later.
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
        """Where each of so many pages lies, plain or not."""
        return self.origins or tuple(
            PageOrigin(source=self.source, kind=self.kind, page=number, pages=total)
            for number in range(1, total + 1)
        )
