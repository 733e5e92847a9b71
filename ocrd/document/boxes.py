"""NAME.boxes.pdf or NAME.boxes.jpg: the engine's layout boxes, drawn over the pages."""

from __future__ import annotations

import zlib
from pathlib import Path

from ocrd.document.base import BundleSpec
from ocrd.document.font import text_width
from ocrd.document.incremental_pdf import LayeredPdf
from ocrd.document.records import ReadPage, noted
from ocrd.document.transform import PageFrame, numbers
from ocrd.modes import AnswerFormat
from ocrd.page import Box

FONT = "OcrdLabel"
_LABEL_FONT = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
_QUALITY = 88
_FLAW = (0.80, 0.10, 0.10)

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
    """The artefact NAME.boxes.pdf: rectangles and labels as vectors over the pages."""

    def __init__(self, pdf: LayeredPdf, spec: BundleSpec) -> None:
        self._pdf = pdf
        self._spec = spec
        self._font = 0

    def add(self, page: ReadPage) -> None:
        """Draw a page's boxes."""
        if page.record.flaw or any(block.boxes for block in page.blocks):
            with noted(page, "no boxes drawn"):
                canvas = self._pdf.page(page.record.number)
                content = _drawing(page, PageFrame.of(canvas))
                self._font = self._font or self._pdf.add_object(_LABEL_FONT)
                self._pdf.draw(canvas, content, {FONT: self._font}, under=False)
                if self._spec.upright and page.turned:
                    self._pdf.turn(page.record.number, page.turned)
        self._pdf.done_with_page()

    def finish(self) -> str:
        """Save the PDF; the artefact's name."""
        self._pdf.let_go()
        return self._pdf.path.name


class BoxesPicture(BoxesPdf):
    """The artefact NAME.boxes.jpg of a single image: a rendering of `pdf`, which is not kept."""

    def __init__(self, target: Path, pdf: LayeredPdf, spec: BundleSpec) -> None:
        super().__init__(pdf, spec)
        self._target = target

    def finish(self) -> str:
        """Render the page as a JPEG; the artefact's name."""
        self._pdf.let_go()
        self._pdf.view(1, self._spec.dpi).colour.save(self._target, "JPEG", quality=_QUALITY)
        self._pdf.close()
        return self._target.name


def _drawing(page: ReadPage, frame: PageFrame) -> bytes:
    """The content stream that outlines each box and writes its label above it, if ASCII.

    A page that is not done also gets its state as a label in its corner.
    """
    scale = min(frame.width, frame.height) / 600  # the thickness of outlines, in units of the page
    parts = [f"{numbers(*frame.matrix)} cm {numbers(max(scale, 0.2))} w"]
    labelled = page.answers is not AnswerFormat.SPANS  # there, the label is the text itself
    for block in page.blocks:
        colour = numbers(*_colour_of(block.label))
        for box in block.boxes:
            place = box.scaled(frame.width, frame.height)
            parts.append(f"{colour} RG {_path(place)} S")
            if labelled and block.label.isascii():
                parts.append(_tag(block.label, place, 7 * scale, colour))
    if page.record.flaw:
        whole = Box(0.0, 0.0, frame.width, frame.height)
        parts.append(_tag(page.record.state.value, whole, 14 * scale, numbers(*_FLAW)))
    return ("\n".join(parts) + "\n").encode("ascii")


def _colour_of(label: str) -> Colour:
    """A label's colour: its own, that of its family (`image` for `image_caption`), or by hash."""
    family = label if label in _COLOURS else label.partition("_")[0]
    return _COLOURS.get(family) or _OTHERS[zlib.crc32(label.encode()) % len(_OTHERS)]


def _path(place: Box) -> str:
    return f"{numbers(place.x1, place.y1, place.width, place.height)} re"


def _tag(label: str, place: Box, size: float, colour: str) -> str:
    """White text on a coloured plate, above a box's corner or, at the page's top, inside it."""
    top = place.y1 - 1.2 * size if place.y1 > 1.2 * size else place.y1
    plate = Box(place.x1, top, place.x1 + (text_width(label) + 0.5) * size, top + 1.2 * size)
    words = label.replace("\\", "").replace("(", "").replace(")", "")
    at = numbers(1, 0, 0, -1, plate.x1 + 0.25 * size, plate.y1 + 0.9 * size)
    shown = f"BT /{FONT} {numbers(size)} Tf {at} Tm ({words}) Tj ET"
    return f"{colour} rg {_path(plate)} f 1 1 1 rg {shown}"
