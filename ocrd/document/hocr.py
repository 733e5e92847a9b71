"""NAME.hocr: words, lines and blocks with their positions, in hOCR 1.2, common to OCR programs.

http://kba.github.io/hocr-spec/1.2/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TextIO

from ocrd import __version__
from ocrd.document.alto import xml
from ocrd.document.base import JSON
from ocrd.document.layout import Layouts, PrintedBlock
from ocrd.document.plain import FIGURES
from ocrd.document.records import ReadPage
from ocrd.document.textfiles import WrittenText
from ocrd.document.view import PageSize
from ocrd.page import Box, Line

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" \
"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml">
<head>
<title>{title}</title>
<meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>
<meta name="ocr-system" content={system}/>
<meta name="ocr-capabilities" content="ocr_page ocr_carea ocr_par ocr_line ocrx_word ocr_photo \
ocr_table ocrp_wconf"/>
<meta name="ocr-number-of-pages" content="{pages}"/>
</head>
<body>
"""


class HocrFile(WrittenText):
    """The artefact NAME.hocr.  Coordinates are pixels of the page as displayed."""

    tail = "</body>\n</html>\n"

    def __init__(
        self, file: TextIO, layouts: Layouts, facts: Mapping[str, JSON], pages: int
    ) -> None:
        super().__init__(file)
        self._layouts = layouts
        self._source = str(facts.get("source", ""))
        system = f"ocrd {__version__} {facts.get('engine', '')} {facts.get('model', '')}"
        title = xml(self._source)[1:-1]
        self._file.write(_HEAD.format(title=title, system=xml(system.strip()), pages=pages))

    def add(self, page: ReadPage) -> None:
        """Write a page; one without text becomes an empty element, so that numbers do not shift."""
        found, blocks = self._layouts.printed(page, "hOCR")
        size = found or PageSize(8.5, 11, 72)
        number = page.record.number
        width, height = size.pixels
        image = self._source.replace('"', "'").replace(";", ",")
        about = (
            f'image "{image}"; bbox 0 0 {width} {height}; ppageno {number - 1};'
            f" scan_res {size.dpi:.0f} {size.dpi:.0f}"
        )
        self._file.write(f'<div class="ocr_page" id="page_{number}" title={xml(about)}>\n')
        for index, block in enumerate(blocks, start=1):
            self._file.writelines(_block(block, f"{number}_{index}", size))
        self._file.write("</div>\n")


def _block(block: PrintedBlock, name: str, size: PageSize) -> Iterator[str]:
    box = _box(block.box, size)
    if block.label in FIGURES:
        yield f'<div class="ocr_photo" id="photo_{name}" title="{box}"></div>\n'
    if not block.lines:
        return
    kind = "ocr_table" if block.label == "table" else "ocr_carea"
    yield f'<div class="{kind}" id="block_{name}" title="{box}">\n'
    yield f'<p class="ocr_par" id="par_{name}" title="{box}">\n'
    for at, line in enumerate(block.lines, start=1):
        yield _line(line, f"{name}_{at}", size)
    yield "</p>\n</div>\n"


def _line(line: Line, name: str, size: PageSize) -> str:
    sure = "" if line.confidence is None else f"; x_wconf {round(line.confidence * 100)}"
    words = " ".join(
        f'<span class="ocrx_word" id="word_{name}_{at}" title="{_box(word.box, size)}{sure}">'
        f"{xml(word.text)[1:-1]}</span>"
        for at, word in enumerate(line.words, start=1)
    )
    box = _box(line.box, size)
    return f'<span class="ocr_line" id="line_{name}" title="{box}">{words}</span>\n'


def _box(box: Box, size: PageSize) -> str:
    return "bbox " + " ".join(map(str, size.area(box)))
