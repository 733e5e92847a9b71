"""What a page worker does, one function a call.

MuPDF, Pillow and zxing-cpp are imported inside: the daemon names these functions to its children
and must never load what they need.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ocrd.files import open_regular
from ocrd.page import PageImage
from ocrd.pages.base import DocumentInfo, Rendering
from ocrd.pages.sniff import HEAD, sniff


def inspect(path: Path, wanted: Rendering) -> DocumentInfo:
    """See `PageSource.inspect`."""
    with open_regular(path) as file:
        media = sniff(file.read(HEAD))
        if media.kind == "pdf":
            from ocrd.pages import pdf

            pages = pdf.count_pages(file, wanted)
        else:
            from ocrd.pages import image

            pages = image.count_pages(file, media.media_type, wanted)
    return DocumentInfo(kind=media.kind, media_type=media.media_type, pages=pages)


def page(path: Path, number: int, wanted: Rendering) -> PageImage:
    """See `PageSource.page`."""
    image = _page(path, number, wanted)
    if wanted.codes:
        from ocrd.pages.codes import codes

        return replace(image, codes=codes(image))
    return image


def _page(path: Path, number: int, wanted: Rendering) -> PageImage:
    with open_regular(path) as file:
        media = sniff(file.read(HEAD))
        if media.kind == "pdf":
            from ocrd.pages import pdf

            return pdf.render(file, number, wanted)
        from ocrd.pages import image

        return image.render(file, media.media_type, number, wanted)
