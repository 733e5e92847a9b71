"""NAME.boxes.pdf or NAME.boxes.jpg: where the engine saw what, drawn over the pages."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from ocrd.document.base import BundleSpec
from ocrd.document.faults import noted
from ocrd.document.figures import cut
from ocrd.document.pdf.font import text_width
from ocrd.document.pdf.frame import PageFrame, Rect, numbers
from ocrd.document.pdf.layers import LayeredPdf
from ocrd.document.records import ReadPage
from ocrd.modes import Reader
from ocrd.page import Block, Box

FONT = "OcrdLabel"
_LABEL_FONT = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
_WHOLE = Box(0.0, 0.0, 1.0, 1.0)
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
    """The artefact: rectangles and labels as vectors over the pages; one image becomes a JPEG."""

    def __init__(self, pdf: LayeredPdf, spec: BundleSpec, *, picture: bool) -> None:
        self._pdf = pdf
        self._spec = spec
        self._picture = picture
        self._font = 0

    def add(self, page: ReadPage) -> None:
        """Draw a page's boxes."""
        if page.record.flaw or any(block.boxes for block in page.blocks):
            with noted(page, "no boxes drawn"):
                canvas = self._pdf.page(page.record.number)
                labelled = page.reader is not Reader.SPANS  # there, the text is the label
                content = drawing(page.blocks, PageFrame.of(canvas), labelled=labelled)
                if page.record.flaw:
                    content += flaw(page.record.state.value, PageFrame.of(canvas))
                self._font = self._font or self._pdf.add_object(_LABEL_FONT)
                self._pdf.draw(canvas, content, {FONT: self._font}, under=False)
                if self._spec.upright and page.turned:
                    self._pdf.turn(page.record.number, page.turned)
        self._pdf.done_with_page()

    def finish(self) -> str:
        """The artefact's name."""
        drawn = self._pdf.path
        if not self._picture:
            self._pdf.let_go()
            return drawn.name
        target = drawn.with_suffix(".jpg")
        cut(self._pdf.page(1), _WHOLE, self._spec.dpi).save(target, "JPEG", quality=_QUALITY)
        self._pdf.close()
        drawn.unlink()
        return target.name


def drawing(blocks: Sequence[Block], frame: PageFrame, *, labelled: bool) -> bytes:
    """The content stream that outlines each box and writes its label on top of it."""
    scale = min(frame.width, frame.height) / 600
    parts = [f"{numbers(*frame.matrix)} cm {numbers(max(scale, 0.2))} w"]
    for block in blocks:
        colour = numbers(*colour_of(block.label))
        for box in block.boxes:
            rect = frame.rect(box)
            parts.append(f"{colour} RG {_path(rect)} S")
            if labelled and block.label.isascii():
                parts.append(_tag(block.label, rect, colour, 7 * scale))
    return ("\n".join(parts) + "\n").encode("ascii")


def flaw(state: str, frame: PageFrame) -> bytes:
    """What labels a page that is not whole, in its corner; to be drawn after `drawing`."""
    size = 14 * min(frame.width, frame.height) / 600
    return (_tag(state, frame.rect(_WHOLE), numbers(*_FLAW), size) + "\n").encode("ascii")


def colour_of(label: str) -> Colour:
    """A label's colour; kinds of text and captions share their family's."""
    family = label if label in _COLOURS else label.partition("_")[0]
    return _COLOURS.get(family) or _OTHERS[zlib.crc32(label.encode()) % len(_OTHERS)]


def _path(rect: Rect) -> str:
    return f"{numbers(rect.x1, rect.y1, rect.width, rect.height)} re"


def _tag(label: str, rect: Rect, colour: str, size: float) -> str:
    """White on the box's colour, above its corner, or inside it at the top of the page."""
    top = rect.y1 - 1.2 * size if rect.y1 > 1.2 * size else rect.y1
    width = (text_width(label) + 0.5) * size
    plate = Rect(rect.x1, top, rect.x1 + width, top + 1.2 * size)
    words = label.replace("\\", "").replace("(", "").replace(")", "")
    at = numbers(1, 0, 0, -1, rect.x1 + 0.25 * size, top + 0.9 * size)
    shown = f"BT /{FONT} {numbers(size)} Tf {at} Tm ({words}) Tj ET"
    return f"{colour} rg {_path(plate)} f 1 1 1 rg {shown}"
