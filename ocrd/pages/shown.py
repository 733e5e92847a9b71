"""What a PDF page shows beside what its text says: print in pictures and in outlines, unseen words.

Programs draw letters as outlines, phones put their name on the photo of a page, forms are filled in
over what they hide.  A page whose text is trusted has to be looked at for these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ocrd.page import Box
from ocrd.pdffile import PdfPage
from ocrd.pdftext import contrast, grey_of, seen_box

_READABLE = 0.04  # of the page: a picture as large as this without own text on it may hold print
_TOLD = 0.3  # of a picture: words that span less say a part of it, or who made it
_TOUCH = 0.002  # of the page: pictures so close are strips of one
_LOWEST, _HIGHEST = 2.0, 60.0  # points: the size of letters
_ON_A_LINE = 6  # letters that stand on one line, at least …
_LETTERS = 20  # … and of all lines; fewer are a logo
_SHAPES = 8  # different sizes of letters; fewer are a chart's marks
_CELL = 3.0  # points
_PALE = 200  # of 255: darker ink shows on paper
_CONTRAST = 5  # of 255: less between a word's darkest and lightest pixel shows nothing
_SAME = 12  # of 255: ink and paper so close are one


def untold_pictures(pictures: Sequence[Box], words: Sequence[Box]) -> list[Box]:
    """Pictures that may hold print which the page's words do not say; strips of one count as it."""
    large = [box for box in _joined(pictures) if box.area > _READABLE]
    return [box for box in large if not _tell(box, words)]


def has_outlines(page: PdfPage, drawings: Sequence[dict[str, Any]], words: Sequence[Box]) -> bool:
    """Whether letters are drawn that are no text: rows of small shapes where no word stands."""
    shapes = [shape for drawing in drawings for shape in _letters(drawing)]
    if len(shapes) < _LETTERS:
        return False
    width, height = page.rect.width, page.rect.height
    taken = set(_cells(box.scaled(width, height) for box in words))
    free = [
        (round(box.y2 / 2), round(box.width, 1), round(box.height, 1))
        for box in (seen_box(page, shape).scaled(width, height) for shape in shapes)
        if (int((box.x1 + box.x2) / 2 // _CELL), int((box.y1 + box.y2) / 2 // _CELL)) not in taken
        and 0 < box.x2 < width
        and 0 < box.y2 < height
    ]
    lines = Counter(bottom for bottom, _, _ in free)
    # round letters stand a little lower than others
    rows = [s for s in free if sum(lines[s[0] + n] for n in (-1, 0, 1)) >= _ON_A_LINE]
    return len(rows) >= _LETTERS and len({shape[1:] for shape in rows}) >= _SHAPES


def unseen(page: PdfPage, spans: Iterable[dict[str, Any]], *, bare: bool) -> list[Box]:
    """Where pieces of text stand that nobody sees: inkless, of their paper's colour, or covered.

    Args:
        page: The page.
        spans: Its text as MuPDF tells it.
        bare: Nothing is drawn on the page that might cover text.
    """
    suspects = [span for span in spans if not bare or not span["alpha"] or _light(span) > _PALE]
    if not suspects:
        return []
    grey = grey_of(page)
    boxes = [(span, seen_box(page, span["bbox"])) for span in suspects]
    return [box for span, box in boxes if _is_unseen(span, *contrast(grey, box))]


def _is_unseen(span: dict[str, Any], difference: int, lightest: int) -> bool:
    """Text that MuPDF has no glyphs for shows nothing either: its ink tells that it would."""
    if difference >= _CONTRAST:
        return False
    return not span["alpha"] or abs(_light(span) - lightest) < _SAME


def _light(span: dict[str, Any]) -> float:
    """How light its ink is, of 255."""
    colour = span["color"]
    red, green, blue = colour >> 16 & 255, colour >> 8 & 255, colour & 255
    return float(red * 299 + green * 587 + blue * 114) / 1000


def _tell(picture: Box, words: Sequence[Box]) -> bool:
    within = [word for word in words if picture.holds(word)]
    return bool(within) and Box.around(within).area >= _TOLD * picture.area


def _joined(pictures: Sequence[Box]) -> list[Box]:
    """Pictures side by side as one, then those of one width below one another."""
    return _in_stacks(_in_stacks(pictures, across=True), across=False)


def _in_stacks(pictures: Sequence[Box], *, across: bool) -> list[Box]:
    stacks: dict[tuple[int, int], list[Box]] = {}
    for box in sorted(pictures, key=lambda box: box.x1 if across else box.y1):
        sides = (box.y1, box.y2) if across else (box.x1, box.x2)
        stack = stacks.setdefault((round(sides[0] / _TOUCH), round(sides[1] / _TOUCH)), [])
        if stack and (box.x1 - stack[-1].x2 if across else box.y1 - stack[-1].y2) < _TOUCH:
            stack[-1] = Box.around((stack[-1], box))
        else:
            stack.append(box)
    return [box for stack in stacks.values() for box in stack]


def _letters(drawing: dict[str, Any]) -> Iterator[tuple[float, float, float, float]]:
    """Where the pieces of a drawing stand that are of the size and the make of letters."""
    for piece in _pieces(drawing["items"]):
        points = [point for item in piece for point in item[1:]]
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        box = min(xs), min(ys), max(xs), max(ys)
        high, wide = box[3] - box[1], box[2] - box[0]
        made = len(piece) > 2 or any(item[0] == "c" for item in piece)  # of more than a tick
        if made and _LOWEST < high < _HIGHEST and wide < _HIGHEST:
            yield box


def _pieces(items: Sequence[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """A path's lines and curves, taken apart where it is begun anew."""
    piece: list[tuple[Any, ...]] = []
    for item in items:
        if item[0] not in ("l", "c"):  # rectangles
            continue
        if piece and piece[-1][-1] != item[1]:
            yield piece
            piece = []
        piece.append(item)
    if piece:
        yield piece


def _cells(boxes: Iterable[Box]) -> Iterator[tuple[int, int]]:
    for box in boxes:
        for x in range(int(box.x1 // _CELL), int(box.x2 // _CELL) + 1):
            for y in range(int(box.y1 // _CELL), int(box.y2 // _CELL) + 1):
                yield x, y
