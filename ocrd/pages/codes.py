"""Barcodes on a page, by zxing-cpp: for child processes only, as all that looks into pictures."""

from __future__ import annotations

import zxingcpp
from PIL import Image

from ocrd.page import PageImage

_MOST = 16  # of a page; more is a sheet of labels, and says nothing more about separators
_LONGEST = 300  # characters of one code that are kept
_FORMATS = zxingcpp.barcode_formats_from_str(  # those that no print is mistaken for
    "Code128|Code39|QRCode|DataMatrix|Aztec|PDF417"
)


def codes(image: PageImage) -> tuple[str, ...]:
    """What the barcodes on a page say, in the order in which they were found; each once."""
    size = (image.width, image.height)
    grey = Image.frombuffer("RGB", size, image.rgb, "raw", "RGB", 0, 1).convert("L")
    found = zxingcpp.read_barcodes(grey, formats=_FORMATS)
    said = dict.fromkeys(code.text[:_LONGEST] for code in found if code.text)
    return tuple(said)[:_MOST]
