"""Renders a PDF page as displayed; it is drawn once, for all its uses.

A page that is one JPEG and nothing else, as scanners make them and as we make them from image
files, is decoded by Pillow in a third of the time that MuPDF takes, and for grey alone in a fifth.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from ocrd.page import Box, Word
from ocrd.pdffile import PdfPage, pymupdf
from ocrd.pdftext import scan_dpi, words_of
from ocrd.tone import is_blank

_GREY_DPI, _GREY_PIXELS = 100, 4_000_000
_COLOUR_PIXELS = 30_000_000
_BLANK_DPI = 36
_JPEG_PIXELS = 100_000_000
_NUMBER = rb"(-?\d*\.?\d+)"
_ONE_IMAGE = re.compile(rb"\s*q\s+" + rb"\s+".join([_NUMBER] * 6) + rb"\s+cm\s+/\S+\s+Do\s+Q\s*")
_PLAIN = ("DeviceRGB", "DeviceGray")
_JPEG_FAULTS = (OSError, SyntaxError, ValueError)
_CLOSE = 0.5  # points between the image's edges and the page's
_LEAST_POINTS = 2.0  # a figure thinner than this shows nothing
_HAIR = 0.01  # points to trim, lest a rounding error add a row of pixels


@dataclass(frozen=True, slots=True)
class PageSize:
    """The size of a page as displayed: width and height in inches, and pixels per inch."""

    width: float
    height: float
    dpi: float

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height in pixels, each at least one."""
        return max(round(self.width * self.dpi), 1), max(round(self.height * self.dpi), 1)

    def area(self, box: Box) -> tuple[int, int, int, int]:
        """The pixels that a box touches: left, top, right, bottom; at least one, on the page."""
        width, height = self.pixels
        left = min(max(math.floor(box.x1 * width), 0), width - 1)
        top = min(max(math.floor(box.y1 * height), 0), height - 1)
        right = max(min(math.ceil(box.x2 * width), width), left + 1)
        return left, top, right, max(min(math.ceil(box.y2 * height), height), top + 1)


class PageView:
    """A page as displayed: cropped, turned, with all that is drawn on it.

    Attributes:
        page: The page; valid as long as its document is open.
        problems: Errors that MuPDF reported while it drew the page or read its words.
    """

    def __init__(self, page: PdfPage, dpi: int) -> None:
        self.page = page
        self.problems: list[str] = []
        self._dpi = dpi

    @cached_property
    def size(self) -> PageSize:
        """The page's size; a scan has its own resolution, any other page that of its rendering."""
        width, height = self.page.rect.width / 72, self.page.rect.height / 72
        dpi = scan_dpi(self.page) or float(self._dpi)
        return PageSize(width, height, dpi)

    @cached_property
    def colour(self) -> Image.Image:
        """The page in RGB."""
        return self._drawn("RGB", self._zoom(self._dpi, _COLOUR_PIXELS))

    @cached_property
    def grey(self) -> Image.Image:
        """The page in grey, at 100 dpi or somewhat less; for finding its ink."""
        zoom = self._zoom(_GREY_DPI, _GREY_PIXELS)
        if "colour" in self.__dict__ and self.colour.width >= self.page.rect.width * zoom:
            seen = self.colour.convert("L")
            return seen.resize(self._size(zoom), Image.Resampling.BOX)
        return self._drawn("L", zoom)

    @cached_property
    def words(self) -> list[Word]:
        """The words of the page's own text."""
        pymupdf.TOOLS.reset_mupdf_warnings()
        found = [word for line in words_of(self.page) for word in line]
        self._hear()
        return found

    @property
    def is_blank(self) -> bool:
        """Whether the page shows paper and nothing else."""
        zoom = self._zoom(_BLANK_DPI, _GREY_PIXELS)
        return is_blank(self.grey.resize(self._size(zoom), Image.Resampling.BOX))

    def cut(self, box: Box) -> Image.Image:
        """The part of the page in `box`, in RGB.

        Raises:
            ValueError: The box is too thin to show anything.
        """
        width, height = self.colour.size
        area = (
            math.floor(box.x1 * width + 0.1),
            math.floor(box.y1 * height + 0.1),
            math.ceil(box.x2 * width - 0.1),
            math.ceil(box.y2 * height - 0.1),
        )
        rect = self.page.rect
        if min(box.width * rect.width, box.height * rect.height) < _LEAST_POINTS:
            raise ValueError("its box is too thin")
        return self.colour.crop(area)

    def _zoom(self, dpi: int, most: int) -> float:
        """Pixels per point at this resolution, or fewer: no more than `most` in all."""
        area = self.page.rect.width * self.page.rect.height
        return min(dpi / 72, math.sqrt(most / max(area, 1.0)))

    def _size(self, zoom: float) -> tuple[int, int]:
        rect = self.page.rect
        sides = (math.ceil((side - 2 * _HAIR) * zoom) for side in (rect.width, rect.height))
        width, height = (max(side, 1) for side in sides)
        return width, height

    def _drawn(self, mode: str, zoom: float) -> Image.Image:
        scanned = _decoded(self.page, mode, self._size(zoom))
        if scanned is not None:
            return scanned
        pymupdf.TOOLS.reset_mupdf_warnings()
        rect = self.page.rect
        hair = (_HAIR, _HAIR, -_HAIR, -_HAIR) if min(rect.width, rect.height) > 1 else (0,) * 4
        pixmap = self.page.get_pixmap(
            clip=rect + hair,
            matrix=pymupdf.Matrix(zoom, zoom),
            colorspace=pymupdf.csGRAY if mode == "L" else pymupdf.csRGB,
            alpha=False,
            annots=mode != "L",
        )
        self._hear()
        size = (pixmap.width, pixmap.height)
        return Image.frombytes(mode, size, pixmap.samples_mv, "raw", mode, pixmap.stride)

    def _hear(self) -> None:
        said = pymupdf.TOOLS.mupdf_warnings().splitlines()
        self.problems += [line for line in said if "error" in line]


def _decoded(page: PdfPage, mode: str, size: tuple[int, int]) -> Image.Image | None:
    """The page in this size, decoded by Pillow; None if it is not one JPEG that fills it."""
    jpeg = _only_jpeg(page, coloured=mode != "L")
    if jpeg is None:
        return None
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            if image.mode not in ("L", "RGB"):  # CMYK may be stored either way round
                return None
            if image.width * image.height > _JPEG_PIXELS:  # the PDF may state a smaller size
                return None
            image.draft(mode, size)
            image.load()
            image.info.clear()  # otherwise its comment is saved with the pixels
            seen = image if image.mode == mode else image.convert(mode)
            if seen.size == size:
                return seen
            return seen.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    except _JPEG_FAULTS:  # MuPDF shows what it can of a damaged JPEG
        return None


def _only_jpeg(page: PdfPage, *, coloured: bool) -> bytes | None:
    document, images = page.parent, page.get_images(full=True)
    if len(images) != 1 or page.rotation or page.cropbox != page.mediabox:
        return None
    xref, mask, width, height, _, colours, _, _, filters, form = images[0]
    if mask or form or filters != "DCTDecode" or width * height > _JPEG_PIXELS:
        return None
    if coloured and colours not in _PLAIN:  # a profile defines how its colours look
        return None
    if any(document.xref_get_key(xref, key)[0] != "null" for key in ("Decode", "Mask")):
        return None
    drawn = _ONE_IMAGE.fullmatch(page.read_contents())
    box = page.mediabox
    wanted = (box.width, 0.0, 0.0, box.height, box.x0, box.y0)  # upright on the whole of the page
    if drawn is None or any(
        abs(float(one) - other) >= _CLOSE for one, other in zip(drawn.groups(), wanted, strict=True)
    ):
        return None
    data: bytes = document.xref_stream_raw(xref)
    return data
