"""The functions that a page worker runs, one for each call.

MuPDF, Pillow and zxing-cpp are imported inside them: the daemon names these functions to its
children and must never load those libraries itself.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ocrd.errors import BadFileError, PageError
from ocrd.files import OpenDocuments, open_regular
from ocrd.page import PageImage
from ocrd.pages.base import DocumentInfo, Rendering
from ocrd.pages.reading import OwnText
from ocrd.pages.sniff import sniff_file

if TYPE_CHECKING:
    from ocrd.imaging import ImagePages

_KEPT_PIXELS = 16_000_000  # a larger frame is not held in memory after its call
_MOST_CODES = 16  # of a page; more is a sheet of labels, and says nothing more about separators
_LONGEST_CODE = 300  # characters of one code that are kept


_images: OpenDocuments[ImagePages] = OpenDocuments(1)


def inspect(path: Path, wanted: Rendering) -> DocumentInfo:
    """See `ChildPageSource.inspect`."""
    with open_regular(path) as file:
        kind = sniff_file(file)
        if kind == "pdf":
            from ocrd.pages import pdf

            count = pdf.count_pages(file)
        else:
            count = _image_pages(file, wanted).count
    if count > wanted.max_pages:
        raise BadFileError(
            f"The {'PDF' if kind == 'pdf' else 'file'} has {count} pages; at most"
            f" {wanted.max_pages} are allowed.",
            hint="Split it, or raise max_pages in the configuration.",
            kind="too-large",
        )
    return DocumentInfo(kind=kind, pages=count)


def page(path: Path, number: int, wanted: Rendering) -> PageImage:
    """See `ChildPageSource.page`."""
    with open_regular(path) as file:
        image = _rendered(file, number, wanted)
    return replace(image, codes=barcodes(image)) if wanted.codes else image


def _rendered(file: BinaryIO, number: int, wanted: Rendering) -> PageImage:
    if sniff_file(file) == "pdf":
        from ocrd.pages import pdf

        return pdf.render(file, number, wanted)
    document = _image_pages(file, wanted)
    pixels = 0
    try:
        frame = document.page(number)
        pixels = frame.image.width * frame.image.height
        seen = frame.seen(wanted.max_side)
        return PageImage(seen.width, seen.height, seen.tobytes())
    except PageError as error:
        if document.count > 1:
            raise
        raise BadFileError(error.message, hint=error.hint, kind=error.kind) from error
    finally:
        if document.count == 1 or pixels > _KEPT_PIXELS:
            _images.drop(file)


def _image_pages(file: BinaryIO, wanted: Rendering) -> ImagePages:
    from ocrd.imaging import ImagePages

    try:
        return _images.get(file, lambda file: ImagePages(file, max_pixels=wanted.max_pixels))
    except PageError as error:
        raise BadFileError(error.message, hint=error.hint, kind=error.kind) from error


def own_text(path: Path, number: int) -> OwnText | None:
    """The text that page `number` of a PDF has of its own; None if it has none or is no PDF."""
    with open_regular(path) as file:
        if sniff_file(file) != "pdf":
            return None
        from ocrd.pages import pdf

        return pdf.own_text(file, number)


def barcodes(image: PageImage) -> tuple[str, ...]:
    """What the barcodes on a page say, each once, in the order in which they were found."""
    import zxingcpp

    from ocrd.tone import pillow

    formats = zxingcpp.barcode_formats_from_str(  # formats that print is never mistaken for
        "Code128|Code39|QRCode|DataMatrix|Aztec|PDF417"
    )
    found = zxingcpp.read_barcodes(pillow(image).convert("L"), formats=formats)
    said = dict.fromkeys(code.text[:_LONGEST_CODE] for code in found if code.text)
    return tuple(said)[:_MOST_CODES]
