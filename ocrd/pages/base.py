"""What the rest of the daemon knows of pages: a document's kind, how images are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["pdf", "image"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentInfo:
    """What kind of file it is, and how long.

    Attributes:
        kind: `pdf`, or `image` for everything made of pixels, including a TIFF of many pages;
            determined by its content, never by its name.
        pages: How many, at least 1.
    """

    kind: Kind
    pages: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """How page images are to be made.

    Attributes:
        dpi: The wanted resolution where the file leaves a choice (PDF).
        max_pixels: An image file with more is refused; a PDF page is rendered with fewer.
        max_pages: A document with more is refused.
        max_side: Longest side of a page image, pixels; larger ones are scaled down.
        min_side: A PDF page whose longer side would have fewer pixels is rendered larger.
        codes: Whether barcodes are looked for.
    """

    dpi: int
    max_pixels: int
    max_pages: int
    max_side: int = 5000
    min_side: int = 1000
    codes: bool = False
