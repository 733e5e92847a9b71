"""Places text on the sheet, line by line.

It uses the best information there is: the printed lines and their boxes; a block's box with the
lines of ink in it; or a box alone, where the number of lines is estimated from the text's length.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from bidi import get_display

from ocrd.document.align import PrintedLine, aligned, misfit
from ocrd.document.font import FACES, text_width
from ocrd.document.ink import Stretch
from ocrd.document.sheet import Sheet
from ocrd.languages import has_leftward
from ocrd.page import Box, Line, Word

LEADING = 1.3  # distance of lines in ems, where nothing better is known
_TYPE_HEIGHT = 1.1  # ems from the top of the tallest letter to the foot of the deepest
_SPACE = 0.3  # ems between words, where nothing better is known
_MARGINS = Box(0.08, 0.05, 0.92, 0.95)
_ATOM = re.compile(r"[\u2e80-\uffff]\s*|[^\s\u2e80-\uffff]+\s*")  # East Asian text breaks anywhere

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Placed:
    """A line of text and the rectangle it fills.

    Attributes:
        text: In reading order.
        box: In fractions of the sheet.
        down: Whether it runs from top to bottom instead of across.
        stretches: Where the words of `shown` begin and end, in fractions of the sheet's width;
            empty if unknown.
        block: The index of the page's block that it belongs to; None if unknown.
        confidence: How sure the engine is of it, 0 to 1; None if unknown.
    """

    text: str
    box: Box
    down: bool = False
    stretches: tuple[Stretch, ...] = ()
    block: int | None = None
    confidence: float | None = None

    @property
    def shown(self) -> str:
        """Its characters as printed, from left to right."""
        return str(get_display(self.text)) if has_leftward(self.text) else self.text

    def words(self) -> Iterator[Word]:
        """Its words in reading order, each with its box on the sheet."""
        shown = Placed(self.text, self.box).shown.split(" ")
        left = list(zip(shown, self.stretches or self._even(shown), strict=True))
        for word in self.text.split(" "):
            printed = Placed(word, self.box).shown
            at = next((at for at, (each, _) in enumerate(left) if each == printed), 0)
            start, end = left.pop(at)[1]
            if word:
                yield Word(word, self._part(start, end))

    def _even(self, words: Sequence[str]) -> list[Stretch]:
        """Stretches in proportion to the words' natural widths."""
        widths = [max(text_width(word), 0.2) for word in words]
        box = self.box
        start, end = (box.y1, box.y2) if self.down else (box.x1, box.x2)
        em = (end - start) / (sum(widths) + _SPACE * (len(words) - 1))
        steps = ((width + _SPACE) * em for width in widths[:-1])
        starts = accumulate(steps, initial=start)
        return [(at, at + width * em) for at, width in zip(starts, widths, strict=True)]

    def _part(self, start: float, end: float) -> Box:
        box = self.box
        return Box(box.x1, start, box.x2, end) if self.down else Box(start, box.y1, end, box.y2)


def place_lines(lines: Sequence[Line], sheet: Sheet, face: str = FACES[0]) -> list[Placed]:
    """Printed lines, each in its own box."""
    placed = []
    for line in lines:
        said = " ".join(line.text.split())
        box = sheet.box(line.box)
        if said and box.area > 0:
            tall = box.height * sheet.height > 2 * box.width * sheet.width
            down = tall and len(said) > 1  # the text runs down the page
            item = Placed(said, box, down, confidence=line.confidence)
            placed.append(item if down else _told(line, _spaced(item, sheet, face), sheet))
    return placed


def _told(line: Line, item: Placed, sheet: Sheet) -> Placed:
    """The line with the engine's word positions, unless the ink has already shown them."""
    if item.stretches or [word.text for word in line.words] != item.shown.split(" "):
        return item
    boxes = [sheet.box(word.box) for word in line.words]
    return replace(item, stretches=tuple((box.x1, box.x2) for box in boxes))


def place_rows(
    rows: Sequence[Row], boxes: Sequence[Box], sheet: Sheet, face: str = FACES[0]
) -> list[Placed]:
    """A block's rows of text in its boxes (on the page as displayed), or on the whole page."""
    if not rows:
        return []
    places = [place for box in boxes if (place := sheet.box(box)).area > 0]
    inked = [line for box in places or [Box(0, 0, 1, 1)] for line in sheet.ink.lines(box)]
    if len(inked) == len(rows):
        pairs = zip(rows, inked, strict=True)
        placed = [item for row, line in pairs for item in _row_in(row, line.box, sheet)]
    else:
        atoms = [atom for row in rows for cell in row for atom in _ATOM.findall(cell + " ")]
        if not _plausible(len(inked), atoms, places, sheet):
            return _spread(rows, max(places, key=lambda place: place.area, default=_MARGINS), sheet)
        runs = [sheet.ink.runs(line.box) for line in inked]
        texts = zip(aligned(atoms, inked, runs, face), inked, strict=True)
        placed = [Placed(text, line.box) for text, line in texts if text]
    return [_spaced(_grown(item, sheet, face), sheet, face) for item in placed]


def unfitness(placed: Sequence[Placed], face: str) -> float:
    """The mean misfit, in ems, of the words and the ink, if the type is of this face."""
    total = words = 0.0
    for item in placed:
        lengths = [text_width(word, face) for word in item.shown.split(" ")]
        total += misfit(lengths, item.stretches) * len(lengths)
        words += len(lengths)
    return total / words if words else 0.0


def expected_lines(length: float, box: Box, sheet: Sheet) -> float:
    """How many lines a text of `length` ems takes in a box that it fills.

    n lines are as high as the box, n · leading · size, and together as wide as the text,
    n · width = length · size: so n² = length · height / (leading · width).
    """
    width = max(box.width * sheet.width, 1e-6)
    height = box.height * sheet.height
    return math.sqrt(max(length * height / (LEADING * width), 0.0))


def _plausible(count: int, atoms: Sequence[str], boxes: Sequence[Box], sheet: Sheet) -> bool:
    """Whether so many lines of ink can be the text's, and not those of a picture or a table."""
    if not 0 < count <= len(atoms):
        return False
    if len(boxes) != 1:
        return True
    length = sum(text_width(atom) for atom in atoms)
    expected = max(expected_lines(length, boxes[0], sheet), 1.0)
    return expected / 2.2 <= count <= expected * 2.2


def _grown(item: Placed, sheet: Sheet, face: str) -> Placed:
    """The line, at least as tall as its type: the ink of `name` is less tall than `Type`."""
    length = item.box.width * sheet.width
    size = length / max(text_width(item.text, face), 1e-6) / sheet.height
    missing = max(min(size, 0.05) * _TYPE_HEIGHT - item.box.height, 0.0) / 2
    box = Box(item.box.x1, item.box.y1 - missing, item.box.x2, item.box.y2 + missing)
    return replace(item, box=box)


def _spaced(item: Placed, sheet: Sheet, face: str) -> Placed:
    """The line with words placed by the gaps in the ink, if those fit the words' lengths."""
    said = item.shown.split(" ")
    found = PrintedLine(sheet.ink.runs(item.box)).matched([text_width(word, face) for word in said])
    if not found:
        return item
    box = Box(found[0][0], item.box.y1, found[-1][1], item.box.y2)
    return replace(item, box=box, stretches=tuple(found))


def _row_in(row: Row, line: Box, sheet: Sheet) -> list[Placed]:
    """A row on a printed line; its cells at the pieces between wide gaps, if there are as many."""
    cells = [cell for cell in row if cell]
    if len(cells) > 1:
        segments = sheet.ink.segments(line)
        places = segments if len(segments) == len(cells) else _columns([row], line)[0]
        return [Placed(cell, place) for cell, place in zip(cells, places, strict=True)]
    return [Placed(cell, line) for cell in cells]


def _spread(rows: Sequence[Row], box: Box, sheet: Sheet) -> list[Placed]:
    """Rows spread over a box of which nothing else is known; long rows wrap."""
    if any(len(row) > 1 for row in rows):
        return _grid(rows, box)
    texts = [row[0] for row in rows]
    if len(texts) == 1 and expected_lines(text_width(texts[0]), box, sheet) < 1.5:
        return [Placed(texts[0], box)]
    along, down = box.width * sheet.width, box.height * sheet.height
    lines, size = _wrapped(texts, along, down)
    pitch = box.height / max(len(lines), down / (size * LEADING))
    return [
        Placed(
            line,
            Box(
                box.x1,
                box.y1 + (index + 0.1) * pitch,
                box.x1 + min(max(text_width(line), 0.2) * size / sheet.width, box.width),
                box.y1 + (index + 0.9) * pitch,
            ),
        )
        for index, line in enumerate(lines)
    ]


def _wrapped(rows: Sequence[str], along: float, down: float) -> tuple[list[str], float]:
    """Rows broken into lines at the largest size that lets them fill the box, and that size."""
    length = max(sum(text_width(row) for row in rows), 1e-6)
    size = min(down / (LEADING * len(rows)), math.sqrt(down * along / (LEADING * length)))
    size = max(size, 1e-3)
    lines: list[str] = []
    for _ in range(8):  # words cannot be broken, so the estimated size may be a little large
        lines = [line for row in rows for line in _broken(row, along / size)]
        if len(lines) * LEADING * size <= down * 1.05:
            break
        size *= 0.93
    return lines, size


def _broken(row: str, width: float) -> list[str]:
    """A row in lines no longer than `width` ems; one that nearly fits is not broken."""
    if text_width(row) <= width * 1.1:
        return [row]
    lines, line, length = [], "", 0.0
    for atom in _ATOM.findall(row):
        step = text_width(atom)
        if line and length + step > width:
            lines.append(line.strip())
            line, length = "", 0.0
        line, length = line + atom, length + step
    return [*lines, line.strip()]


def _grid(rows: Sequence[Row], box: Box) -> list[Placed]:
    """A table: rows of equal height, column widths in proportion to their longest text."""
    pitch = box.height / len(rows)
    placed = []
    for y, (row, places) in enumerate(zip(rows, _columns(rows, box), strict=True)):
        top, foot = box.y1 + (y + 0.15) * pitch, box.y1 + (y + 0.85) * pitch
        for cell, place in zip((cell for cell in row if cell), places, strict=True):
            placed.append(Placed(cell, Box(place.x1, top, place.x2, foot)))
    return placed


def _columns(rows: Sequence[Row], box: Box) -> list[list[Box]]:
    """For each row, the boxes of its cells that hold text, side by side across `box`."""
    count = max(len(row) for row in rows)
    widest = [
        max((text_width(row[index]) for row in rows if index < len(row)), default=0.0) + 1.0
        for index in range(count)
    ]
    unit = box.width / sum(widest)
    starts = [box.x1 + unit * sum(widest[:index]) for index in range(count)]
    return [
        [
            Box(starts[i], box.y1, starts[i] + unit * max(text_width(cell), 0.2), box.y2)
            for i, cell in enumerate(row)
            if cell
        ]
        for row in rows
    ]
