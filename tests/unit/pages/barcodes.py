"""Sheets with barcodes on them, as a separator sheet is printed and scanned."""

from __future__ import annotations

import zxingcpp
from PIL import Image

PAPER = (620, 877)  # A4 at 75 dpi


def barcode(text: str, kind: str = "Code128", scale: int = 2) -> Image.Image:
    """The code's picture, quiet zone included."""
    made = zxingcpp.create_barcode(text, zxingcpp.barcode_format_from_str(kind))
    bars = memoryview(made.to_image(scale=scale))  # type: ignore[arg-type]  # it has a buffer
    height, width = bars.shape or ()
    return Image.frombytes("L", (width, height), bytes(bars))


def sheet(*codes: Image.Image, size: tuple[int, int] = PAPER) -> Image.Image:
    """A white page with codes one below the other."""
    page = Image.new("L", size, 255)
    down = 80
    for code in codes:
        page.paste(code, (90, down))
        down += code.height + 60
    return page
