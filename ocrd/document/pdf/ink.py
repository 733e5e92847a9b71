"""Where there is ink on a page: its printed lines, found in a small rendering of it.

A model that gives a box for a paragraph says nothing about the lines in it.  The rows of the
rendering do: text lines are bands of dark rows parted by light ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from ocrd.document.pdf.mupdf import PdfPage, pymupdf
from ocrd.page import Box

DPI = 100
MOST_PIXELS = 4_000_000
_STRIPS = 16  # each row is judged in so many pieces: a short last line is no speck
_LEAST_INK = 14  # of 255, in a piece of a row
_LEAST_CONTRAST = 40
_BLANK_DPI = 36
_BLANK = 0.0005  # a page is blank with less ink than this share of its area


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of ink in a line, from `x1` to `x2` (pixels of the rendering)."""

    x1: int
    x2: int


class Ink:
    """A page as grey levels, 255 being the darkest ink and 0 the paper."""

    def __init__(self, image: Image.Image) -> None:
        paper, darkest = _quantile(image, 0.5), _quantile(image, 0.0005)
        contrast = paper - darkest
        self.blank = contrast < _LEAST_CONTRAST
        scale = 255 / max(contrast, 1)
        self._grey = image.point([_level(paper - value, scale) for value in range(256)])

    @classmethod
    def of(cls, page: PdfPage) -> Ink:
        """The ink of a PDF page as it is seen."""
        return cls(_rendered(page, DPI))

    def lines(self, box: Box) -> list[Box]:
        """The printed lines in `box`, top to bottom, each as wide as its ink."""
        area = self._pixels(box)
        if self.blank or area is None:
            return []
        left, top, _, _ = area
        part = self._grey.crop(area)
        found = []
        for first, last in _bands(part):
            ends = _ends(part.crop((0, first, part.width, last)))
            if ends is not None:
                found.append(self._box(left + ends.x1, top + first, left + ends.x2, top + last))
        return found

    def segments(self, line: Box) -> list[Box]:
        """The pieces of a printed line that wide gaps part: the cells of a table's row."""
        area = self._pixels(line)
        if area is None:
            return []
        left, top, _, bottom = area
        columns = _dark_columns(self._grey.crop(area))
        gap = max(int((bottom - top) * 0.9), 3)
        return [
            self._box(left + start, top, left + end, bottom) for start, end in _runs(columns, gap)
        ]

    def _pixels(self, box: Box) -> tuple[int, int, int, int] | None:
        width, height = self._grey.size
        area = (
            max(int(box.x1 * width), 0),
            max(int(box.y1 * height), 0),
            min(int(box.x2 * width) + 1, width),
            min(int(box.y2 * height) + 1, height),
        )
        return area if area[2] - area[0] > 2 and area[3] - area[1] > 2 else None

    def _box(self, x1: int, y1: int, x2: int, y2: int) -> Box:
        width, height = self._grey.size
        return Box(x1 / width, y1 / height, x2 / width, y2 / height)


def is_blank(page: PdfPage) -> bool:
    """Whether a page, less its margins, is paper and nothing else.

    Seen so coarsely that the grain of paper and the noise of a scanner average out.
    """
    image = _rendered(page, _BLANK_DPI)
    x, y = image.width // 25, image.height // 25
    histogram = image.crop((x, y, image.width - x, image.height - y)).histogram()
    limit = max(_quantile(image, 0.5) - _LEAST_CONTRAST, 0)
    return sum(histogram[:limit]) < _BLANK * sum(histogram)


def _rendered(page: PdfPage, dpi: int) -> Image.Image:
    points = max(page.rect.width * page.rect.height, 1.0)
    zoom = min(dpi / 72, (MOST_PIXELS / points) ** 0.5)
    pixmap = page.get_pixmap(
        matrix=pymupdf.Matrix(zoom, zoom), colorspace=pymupdf.csGRAY, alpha=False, annots=False
    )
    size = (pixmap.width, pixmap.height)
    return Image.frombytes("L", size, pixmap.samples, "raw", "L", pixmap.stride)


def _quantile(image: Image.Image, share: float) -> int:
    """The grey level that `share` of the pixels do not exceed."""
    histogram = image.histogram()
    wanted, seen = sum(histogram) * share, 0
    for value, count in enumerate(histogram):
        seen += count
        if seen > wanted:
            return value
    return 255


def _level(depth: int, scale: float) -> int:
    """Ink from a difference to the paper; the faintest tenth is noise."""
    level = int(depth * scale)
    return min(level, 255) if level > 50 else 0


def _bands(part: Image.Image) -> list[tuple[int, int]]:
    """Runs of dark rows that are tall enough to be lines."""
    strips = min(_STRIPS, max(part.width // 12, 1))
    rows = part.resize((strips, part.height), Image.Resampling.BOX)
    dark = rows.point([255 if value >= _LEAST_INK else 0 for value in range(256)])
    bands = _runs(dark.getprojection()[1], gap=1)
    if not bands:
        return []
    tall = sorted(last - first for first, last in bands)[len(bands) * 3 // 4]
    joined: list[tuple[int, int]] = []
    for first, last in bands:  # dots and accents belong to the line they nearly touch
        close = joined and first - joined[-1][1] <= tall * 0.2
        if close and min(last - first, joined[-1][1] - joined[-1][0]) < tall * 0.4:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return [(first, last) for first, last in joined if last - first >= max(tall * 0.4, 3)]


def _ends(band: Image.Image) -> Segment | None:
    runs = _runs(_dark_columns(band), gap=max(band.width, 1))
    return Segment(*runs[0]) if runs else None


def _dark_columns(band: Image.Image) -> list[int]:
    columns = band.resize((band.width, 1), Image.Resampling.BOX)
    dark = columns.point([255 if value >= _LEAST_INK else 0 for value in range(256)])
    return dark.getprojection()[0]


def _runs(flags: list[int], gap: int) -> list[tuple[int, int]]:
    """Runs of set flags, as half-open ranges; gaps shorter than `gap` do not part them."""
    runs: list[tuple[int, int]] = []
    for index, flag in enumerate(flags):
        if not flag:
            continue
        if runs and index - runs[-1][1] < gap:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs
