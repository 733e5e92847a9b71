"""NAME.alto.xml: words, lines and blocks with their positions, in ALTO 4, for digital libraries.

One file holds all pages, each a self-contained `Page` element whose IDs contain the page number.
https://www.loc.gov/standards/alto/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TextIO
from xml.sax.saxutils import quoteattr

from ocrd import __version__
from ocrd.document.base import JSON
from ocrd.document.layout import Layouts, PrintedBlock
from ocrd.document.markdown import ASIDES, CAPTIONS
from ocrd.document.plain import FIGURES, one_line
from ocrd.document.records import ReadPage
from ocrd.document.textfiles import WrittenText
from ocrd.document.view import PageSize
from ocrd.page import Box, Line

_TAGS = (
    *("text", "title", "sub_title", "list", "table", "equation", "code"),
    *sorted(CAPTIONS | ASIDES | FIGURES | {"table_caption", "table_footnote", "image_footnote"}),
)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://www.loc.gov/standards/alto/ns-v4# \
http://www.loc.gov/standards/alto/v4/alto-4-4.xsd" SCHEMAVERSION="4.4">
"""


class AltoFile(WrittenText):
    """The artefact NAME.alto.xml.  Coordinates are pixels of the page as displayed."""

    tail = "</Layout>\n</alto>\n"

    def __init__(self, file: TextIO, layouts: Layouts, facts: Mapping[str, JSON]) -> None:
        super().__init__(file)
        self._layouts = layouts
        self._file.write(_HEAD + "".join(f"{line}\n" for line in _description(facts)))

    def add(self, page: ReadPage) -> None:
        """Write a page; one without text becomes an empty element, so that numbers do not shift."""
        self._file.write(_page(page, *self._layouts.printed(page, "ALTO")))


def xml(text: object) -> str:
    """The text on one line as a quoted attribute; characters that XML forbids become U+FFFD."""
    return quoteattr(_NOT_XML.sub("\ufffd", one_line(str(text))))


def _description(facts: Mapping[str, JSON]) -> list[str]:
    def element(name: str, key: str) -> str:
        value = str(facts.get(key) or "")
        return f"<{name}>{xml(value)[1:-1]}</{name}>" if value else ""

    settings = ", ".join(
        f"{key} {facts[key]}" for key in ("engine", "model", "mode", "resolution") if facts.get(key)
    )
    return [
        "<Description><MeasurementUnit>pixel</MeasurementUnit>",
        f"<sourceImageInformation>{element('fileName', 'source')}</sourceImageInformation>",
        '<Processing ID="ocr">',
        element("processingDateTime", "finished_at"),
        f"<processingStepSettings>{xml(settings)[1:-1]}</processingStepSettings>",
        "<processingSoftware><softwareName>ocrd</softwareName>"
        f"<softwareVersion>{__version__}</softwareVersion></processingSoftware>",
        "</Processing></Description>",
        "<Tags>",
        *(f'<LayoutTag ID="tag_{label}" LABEL="{label}"/>' for label in _TAGS),
        "</Tags>",
        "<Layout>",
    ]


def _page(page: ReadPage, size: PageSize | None, blocks: list[PrintedBlock]) -> str:
    number, result = page.record.number, page.record.result
    told = [f'ID="page_{number}" PHYSICAL_IMG_NR="{number}" PROCESSING="ocr"']
    if page.record.flaw:
        told.append(f"QUALITY_DETAIL={xml(page.record.flaw)}")
    if result is not None and result.confidence is not None:
        told.append(f'PC="{result.confidence:.3f}"')
    if size is None:
        return f"<Page {' '.join(told)}/>\n"
    width, height = size.pixels
    parts = [
        f'<Page {" ".join(told)} WIDTH="{width}" HEIGHT="{height}">',
        f'<PrintSpace HPOS="0" VPOS="0" WIDTH="{width}" HEIGHT="{height}">',
        *(_block(block, f"{number}_{index}", size) for index, block in enumerate(blocks, start=1)),
        "</PrintSpace></Page>\n",
    ]
    return "\n".join(parts)


def _block(block: PrintedBlock, name: str, size: PageSize) -> str:
    tag = f' TAGREFS="tag_{block.label}"' if block.label in _TAGS else ""
    place = f"{_place(block.box, size)}{tag}"
    lines = [_line(line, f"{name}_{at}", size) for at, line in enumerate(block.lines, start=1)]
    text = f'<TextBlock ID="block_{name}" {place}>\n{"".join(lines)}</TextBlock>'
    if block.label in FIGURES:
        figure = f'<Illustration ID="figure_{name}" {place}/>'
        return f"{figure}\n{text}" if lines else figure
    if block.label == "table":
        return f'<ComposedBlock ID="table_{name}" {place} TYPE="table">{text}</ComposedBlock>'
    return text


def _line(line: Line, name: str, size: PageSize) -> str:
    sure = "" if line.confidence is None else f' WC="{line.confidence:.3f}"'
    words = "<SP/>".join(
        f'<String ID="word_{name}_{at}" {_place(word.box, size)} CONTENT={xml(word.text)}{sure}/>'
        for at, word in enumerate(line.words, start=1)
    )
    return f'<TextLine ID="line_{name}" {_place(line.box, size)}>{words}</TextLine>\n'


def _place(box: Box, size: PageSize) -> str:
    left, top, right, bottom = size.area(box)
    return f'HPOS="{left}" VPOS="{top}" WIDTH="{right - left}" HEIGHT="{bottom - top}"'
