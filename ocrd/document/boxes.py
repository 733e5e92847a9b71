"""NAME.boxes.pdf or NAME.boxes.jpg: where the engine saw what, drawn over the pages."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ocrd.document.base import BundleSpec
from ocrd.document.font import text_width
from ocrd.document.incremental_pdf import LayeredPdf
from ocrd.document.records import ReadPage, noted
from ocrd.document.transform import PageFrame, Rect, numbers
from ocrd.modes import AnswerFormat
from ocrd.page import Block, Box

FONT = "OcrdLabel"
_LABEL_FONT = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
_QUALITY = 88
_FLAW = (0.80, 0.10, 0.10)
_WHOLE = Box(0.0, 0.0, 1.0, 1.0)

Colour = tuple[float, float, float]
_COLOURS: dict[str, Colour] = {
    "title": (0.80, 0.10, 0.10),
    "sub_title": (0.90, 0.40, 0.00),
    "text": (0.10, 0.35, 0.80),
    "list": (0.00, 0.55, 0.65),
    "table": (0.00, 0.50, 0.20),
    "image": (0.55, 0.15, 0.70),
    "equation": (0.75, 0.10, 0.55),
    "header": (0.45, 0.45, 0.45),
    "footer": (0.45, 0.45, 0.45),
    "page_number": (0.45, 0.45, 0.45),
}
_OTHERS: tuple[Colour, ...] = ((0.55, 0.40, 0.05), (0.25, 0.45, 0.05), (0.05, 0.30, 0.45))


class BoxesPdf:
    """The artefact: rectangles and labels as vectors over the pages."""

    def __init__(self, pdf: LayeredPdf, spec: BundleSpec) -> None:
        self._pdf = pdf
        self._spec = spec
        self._font = 0

    def add(self, page: ReadPage) -> None:
        """Draw a page's boxes."""
        if has_marks(page):
            with noted(page, "no boxes drawn"):
                canvas = self._pdf.page(page.record.number)
                content = drawing(page.blocks, PageFrame.of(canvas), labelled=is_labelled(page))
                if page.record.flaw:
                    content += flaw(page.record.state.value, PageFrame.of(canvas))
                self._font = self._font or self._pdf.add_object(_LABEL_FONT)
                self._pdf.draw(canvas, content, {FONT: self._font}, under=False)
                if self._spec.upright and page.turned:
                    self._pdf.turn(page.record.number, page.turned)
        self._pdf.done_with_page()

    def finish(self) -> str:
        """The artefact's name."""
        self._pdf.let_go()
        return self._pdf.path.name


class BoxesPicture(BoxesPdf):
    """The artefact for one image: the same as a JPEG.

    Args:
        target: The picture.
        pdf: What is drawn on, and not kept.
        spec: What is made.
    """

    def __init__(self, target: Path, pdf: LayeredPdf, spec: BundleSpec) -> None:
        super().__init__(pdf, spec)
        self._target = target

    def finish(self) -> str:
        """The artefact's name."""
        self._pdf.let_go()
        self._pdf.view(1, self._spec.dpi).colour.save(self._target, "JPEG", quality=_QUALITY)
        self._pdf.close()
        return self._target.name


def has_marks(page: ReadPage) -> bool:
    """Whether there is anything to draw on a page."""
    return bool(page.record.flaw) or any(block.boxes for block in page.blocks)


def is_labelled(page: ReadPage) -> bool:
    """Whether its boxes wear their labels: of spans, the text is the label."""
    return page.answers is not AnswerFormat.SPANS


def drawing(blocks: Sequence[Block], frame: PageFrame, *, labelled: bool) -> bytes:
    """The content stream that outlines each box and writes its label on top of it."""
    scale = _scale(frame)
    parts = [f"{numbers(*frame.matrix)} cm {numbers(max(scale, 0.2))} w"]
    for block in blocks:
        colour = numbers(*colour_of(block.label))
        for box in block.boxes:
            rect = frame.rect(box)
            parts.append(f"{colour} RG {_path(rect)} S")
            if labelled and block.label.isascii():
                parts.append(_drawn_tag(_Tag.on(block.label, rect, 7 * scale), colour))
    return ("\n".join(parts) + "\n").encode("ascii")


def flaw(state: str, frame: PageFrame) -> bytes:
    """What labels a page that is not whole, in its corner; to be drawn after `drawing`."""
    tag = _Tag.on(state, frame.rect(_WHOLE), 14 * _scale(frame))
    return (_drawn_tag(tag, numbers(*_FLAW)) + "\n").encode("ascii")


def colour_of(label: str) -> Colour:
    """A label's colour; kinds of text and captions share their family's."""
    family = label if label in _COLOURS else label.partition("_")[0]
    return _COLOURS.get(family) or _OTHERS[zlib.crc32(label.encode()) % len(_OTHERS)]


def _scale(frame: PageFrame) -> float:
    """The thickness of outlines; all else is a multiple of it."""
    return min(frame.width, frame.height) / 600


def _path(rect: Rect) -> str:
    return f"{numbers(rect.x1, rect.y1, rect.width, rect.height)} re"


@dataclass(frozen=True, slots=True)
class _Tag:
    """White words on a plate, above a box's corner, or inside it at the top of the page."""

    words: str
    plate: Rect
    size: float

    @classmethod
    def on(cls, label: str, rect: Rect, size: float) -> _Tag:
        top = rect.y1 - 1.2 * size if rect.y1 > 1.2 * size else rect.y1
        width = (text_width(label) + 0.5) * size
        return cls(label, Rect(rect.x1, top, rect.x1 + width, top + 1.2 * size), size)

    @property
    def baseline(self) -> tuple[float, float]:
        """Where the words begin."""
        return self.plate.x1 + 0.25 * self.size, self.plate.y1 + 0.9 * self.size


def _drawn_tag(tag: _Tag, colour: str) -> str:
    words = tag.words.replace("\\", "").replace("(", "").replace(")", "")
    at = numbers(1, 0, 0, -1, *tag.baseline)
    shown = f"BT /{FONT} {numbers(tag.size)} Tf {at} Tm ({words}) Tj ET"
    return f"{colour} rg {_path(tag.plate)} f 1 1 1 rg {shown}"
