"""Text -> lines in their places on the sheet.

Three kinds of knowledge, best first: the printed lines and their boxes; a block's box with the
lines of ink in it; a box alone, where the number of lines is reckoned from the text's length.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bidi import get_display

from ocrd.document.align import aligned, matched, misfit
from ocrd.document.font import FACES, text_width
from ocrd.document.ink import Stretch
from ocrd.document.sheet import Sheet
from ocrd.page import Box, Line

LEADING = 1.3  # distance of lines in ems, where nothing better is known
_TYPE_HEIGHT = 1.1  # ems from the top of the tallest letter to the foot of the deepest
_MARGINS = Box(0.08, 0.05, 0.92, 0.95)
_ATOM = re.compile(r"[\u2e80-\uffff]\s*|[^\s\u2e80-\uffff]+\s*")  # East Asian text breaks anywhere

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Placed:
    """A line of text and the rectangle it fills.

    Attributes:
        text: As it is printed, from left to right.
        box: In fractions of the sheet.
        down: It runs from top to bottom instead.
        words: Where its words begin and end across the sheet, if that is known.
    """

    text: str
    box: Box
    down: bool = False
    words: tuple[Stretch, ...] = ()


def place_lines(lines: Sequence[Line], sheet: Sheet, face: str = FACES[0]) -> list[Placed]:
    """Printed lines, each in its own box."""
    placed = []
    for line in lines:
        said = visual(" ".join(line.text.split()))
        box = sheet.box(line.box)
        if said and _area(box) > 0:
            down = _is_column(said, box, sheet)
            item = Placed(said, box, down)
            placed.append(item if down else _spaced(item, sheet, face))
    return placed


def place_rows(
    rows: Sequence[Row], boxes: Sequence[Box], sheet: Sheet, face: str = FACES[0]
) -> list[Placed]:
    """A block's rows of text in its boxes (on the page as seen), or down the page without any."""
    if not rows:
        return []
    places = [place for box in boxes if _area(place := sheet.box(box)) > 0]
    inked = [line for box in places or [Box(0, 0, 1, 1)] for line in sheet.lines(box)]
    if len(inked) == len(rows):
        pairs = zip(rows, inked, strict=True)
        placed = [item for row, line in pairs for item in _row_in(row, line.box, sheet)]
    else:
        atoms = [atom for row in rows for cell in row for atom in _ATOM.findall(cell + " ")]
        if not _plausible(len(inked), atoms, places, sheet):
            return _spread(rows, max(places, key=_area, default=_MARGINS), sheet)
        runs = [sheet.runs(line.box) for line in inked]
        texts = zip(aligned(atoms, inked, runs, face), inked, strict=True)
        placed = [Placed(text, line.box) for text, line in texts if text]
    shown = (replace(item, text=visual(item.text)) for item in placed)
    return [_spaced(_grown(item, sheet, face), sheet, face) for item in shown]


def unfitness(placed: Sequence[Placed], face: str) -> float:
    """How badly the words fit the ink in the mean, if the type is of this face."""
    total = words = 0.0
    for item in placed:
        lengths = [text_width(word, face) for word in item.text.split(" ")]
        total += misfit(lengths, item.words) * len(lengths)
        words += len(lengths)
    return total / words if words else 0.0


def expected_lines(length: float, box: Box, sheet: Sheet) -> float:
    """How many lines a text of `length` ems takes in a box that it fills.

    n lines are as high as the box, n · leading · size, and together as wide as the text,
    n · width = length · size: so n² = length · height / (leading · width).
    """
    width = max((box.x2 - box.x1) * sheet.width, 1e-6)
    height = (box.y2 - box.y1) * sheet.height
    return math.sqrt(max(length * height / (LEADING * width), 0.0))


def visual(text: str) -> str:
    """The characters of a line from left to right as they are printed."""
    kinds = (unicodedata.bidirectional(char) for char in text)
    return str(get_display(text)) if any(kind in ("R", "AL") for kind in kinds) else text


def _is_column(text: str, box: Box, sheet: Sheet) -> bool:
    """Whether a line runs down the page: far taller than wide, with more than one character."""
    width, height = (box.x2 - box.x1) * sheet.width, (box.y2 - box.y1) * sheet.height
    return height > 2 * width and len(text) > 1


def _plausible(count: int, atoms: Sequence[str], boxes: Sequence[Box], sheet: Sheet) -> bool:
    """Whether the lines of ink found can be the text's: a picture's or a table's are not."""
    if not 0 < count <= len(atoms):
        return False
    if len(boxes) != 1:
        return True
    length = sum(text_width(atom) for atom in atoms)
    expected = max(expected_lines(length, boxes[0], sheet), 1.0)
    return expected / 2.2 <= count <= expected * 2.2


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def _grown(item: Placed, sheet: Sheet, face: str) -> Placed:
    """As tall as the type it is set in: the ink of `name` is lower than that of `Type`."""
    length = (item.box.x2 - item.box.x1) * sheet.width
    size = length / max(text_width(item.text, face), 1e-6) / sheet.height
    missing = max(min(size, 0.05) * _TYPE_HEIGHT - (item.box.y2 - item.box.y1), 0.0) / 2
    box = Box(item.box.x1, item.box.y1 - missing, item.box.x2, item.box.y2 + missing)
    return replace(item, box=box)


def _spaced(item: Placed, sheet: Sheet, face: str) -> Placed:
    """With its words where the gaps in the ink say, if those agree with the words' lengths."""
    said = item.text.split(" ")
    words = matched([text_width(word, face) for word in said], sheet.runs(item.box))
    if not words:
        return item
    box = Box(words[0][0], item.box.y1, words[-1][1], item.box.y2)
    return replace(item, box=box, words=tuple(words))


def _row_in(row: Row, line: Box, sheet: Sheet) -> list[Placed]:
    """One row on one printed line; its cells at the gaps, where there are as many."""
    cells = [cell for cell in row if cell]
    if len(cells) > 1:
        segments = sheet.segments(line)
        places = segments if len(segments) == len(cells) else _columns([row], line)[0]
        return [Placed(cell, place) for cell, place in zip(cells, places, strict=True)]
    return [Placed(cell, line) for cell in cells]


def _spread(rows: Sequence[Row], box: Box, sheet: Sheet) -> list[Placed]:
    """Rows over a box of which nothing else is known; long rows wrap."""
    if any(len(row) > 1 for row in rows):
        return _grid(rows, box)
    texts = [row[0] for row in rows]
    if len(texts) == 1 and expected_lines(text_width(texts[0]), box, sheet) < 1.5:
        return [Placed(visual(texts[0]), box)]
    along, down = (box.x2 - box.x1) * sheet.width, (box.y2 - box.y1) * sheet.height
    lines, size = _wrapped(texts, along, down)
    pitch = (box.y2 - box.y1) / max(len(lines), down / (size * LEADING))
    return [
        Placed(
            visual(line),
            Box(
                box.x1,
                box.y1 + (index + 0.1) * pitch,
                box.x1 + min(max(text_width(line), 0.2) * size / sheet.width, box.x2 - box.x1),
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
    for _ in range(8):  # words do not break anywhere, so the reckoned size may be a little large
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
    """A table: rows of equal height, columns as wide as their longest text asks."""
    pitch = (box.y2 - box.y1) / len(rows)
    placed = []
    for y, (row, places) in enumerate(zip(rows, _columns(rows, box), strict=True)):
        top, foot = box.y1 + (y + 0.15) * pitch, box.y1 + (y + 0.85) * pitch
        for cell, place in zip((cell for cell in row if cell), places, strict=True):
            placed.append(Placed(visual(cell), Box(place.x1, top, place.x2, foot)))
    return placed


def _columns(rows: Sequence[Row], box: Box) -> list[list[Box]]:
    """For each row the places of its cells that hold text, side by side across `box`."""
    count = max(len(row) for row in rows)
    widest = [
        max((text_width(row[index]) for row in rows if index < len(row)), default=0.0) + 1.0
        for index in range(count)
    ]
    unit = (box.x2 - box.x1) / sum(widest)
    starts = [box.x1 + unit * sum(widest[:index]) for index in range(count)]
    return [
        [
            Box(starts[i], box.y1, starts[i] + unit * max(text_width(cell), 0.2), box.y2)
            for i, cell in enumerate(row)
            if cell
        ]
        for row in rows
    ]
