"""Pages that are read without OCR: each line is an Aztec code, which no other test prints.

They are for tests of everything around an engine; the engines' tests show that letters are read.
"""

from __future__ import annotations

import zxingcpp
from PIL import Image

from ocrd.page import Block, Box, Line, Markup, PageImage, Word

CONFIDENCE = 0.9
LEFT, TOP, APART = 80, 120, 300  # pixels


def printed(*lines: str, height: int = 400) -> Image.Image:
    """A white page with these lines as Aztec codes, one below the other."""
    page = Image.new("L", (1000, height), 255)
    for number, line in enumerate(lines):
        made = zxingcpp.create_barcode(line, zxingcpp.BarcodeFormat.Aztec)
        dots = memoryview(made.to_image(scale=4))  # type: ignore[arg-type]  # it has a buffer
        rows, columns = dots.shape or ()
        code = Image.frombytes("L", (columns, rows), bytes(dots))
        page.paste(code, (LEFT, TOP + APART * number))
    return page


def lines_on(image: PageImage) -> list[Line]:
    """The lines of such a page with their boxes, top to bottom; none for any other page."""
    grey = Image.frombytes("RGB", (image.width, image.height), image.rgb).convert("L")
    aztec = zxingcpp.barcode_formats_from_str("Aztec")
    codes = zxingcpp.read_barcodes(grey, formats=aztec, try_rotate=False, try_downscale=False)
    return sorted((_line(code, image) for code in codes), key=lambda line: line.box.y1)


def blocks_of(lines: list[Line]) -> tuple[Block, ...]:
    """Each line as a block of its own."""
    return tuple(Block("text", line.text, (line.box,), Markup.PLAIN) for line in lines)


def _line(code: zxingcpp.Barcode, image: PageImage) -> Line:
    """The line of a code; its words share the width evenly."""
    start, end = code.position.top_left, code.position.bottom_right
    y1, y2 = start.y / image.height, end.y / image.height
    words = code.text.split()
    wide = (end.x - start.x) / image.width / max(len(words), 1)
    places = [start.x / image.width + wide * number for number in range(len(words) + 1)]
    return Line(
        code.text,
        Box(places[0], y1, places[-1], y2),
        tuple(Word(word, Box(places[n], y1, places[n + 1], y2)) for n, word in enumerate(words)),
        CONFIDENCE,
    )
