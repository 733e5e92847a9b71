"""Text -> lines in their places on the page.  Pure.

Three kinds of knowledge, best first: the printed lines and their boxes; a block's box with the
lines of ink in it; a box alone, where the number of lines is reckoned from the text's length.
"""

from __future__ import annotations

import math
import re
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from statistics import median

from ocrd.document.pdf.font import text_width
from ocrd.page import Box, Line

LEADING = 1.3  # distance of lines in ems, where nothing better is known
_TYPE_HEIGHT = 1.1  # ems from the top of the tallest letter to the foot of the deepest
_SLACK = 8  # words that a line's end may be off its even share
_MARGINS = Box(0.08, 0.05, 0.92, 0.95)

_ATOM = re.compile(r"[\u2e80-\uffff]\s*|[^\s\u2e80-\uffff]+\s*")  # East Asian text breaks anywhere

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Placed:
    """A line of text and the rectangle it fills.

    Attributes:
        text: In logical order.
        box: In fractions of the page as it is seen.
        turn: Where the text runs to: 0 right, 90 down, 180 left, 270 up.
        even: All characters are equally wide, as a typewriter's are.
    """

    text: str
    box: Box
    turn: int = 0
    even: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the lines are laid on.

    Attributes:
        width: Of the page as it is seen, any unit.
        height: In the same unit.
        turn: Where the page's text runs to.
        lines: Finds the printed lines in a box; none when the page was not looked at.
        segments: Parts a printed line at wide gaps.
    """

    width: float
    height: float
    turn: int = 0
    lines: Callable[[Box], list[Box]] = lambda _: []
    segments: Callable[[Box], list[Box]] = lambda _: []


def place_lines(lines: Sequence[Line], sheet: Sheet) -> list[Placed]:
    """Printed lines, each in its own box; tall ones run across the page's direction."""
    return evened(
        Placed(" ".join(line.text.split()), line.box, _direction(line, sheet))
        for line in lines
        if line.text.strip()
    )


def evened(lines: Iterable[Placed]) -> list[Placed]:
    """Lines marked as typewritten if counting characters explains their lengths far better.

    Only lines of plain letters, long enough to tell, have a say; four at least must have one.
    """
    found = list(lines)
    telling = [
        (line.box.x2 - line.box.x1, line.text)
        for line in found
        if len(line.text) >= 12 and line.text.isascii() and line.turn in (0, 180)
    ]
    if len(telling) < 4:
        return found
    by_count = _unrest([length / len(text) for length, text in telling])
    by_width = _unrest([length / text_width(text) for length, text in telling])
    if by_count < 0.03 and by_count < by_width / 2:
        return [replace(line, even=True) for line in found]
    return found


def _unrest(values: Sequence[float]) -> float:
    """How much a value changes from line to line, in the median; type sizes may change between."""
    return median(abs(after - before) / max(before, 1e-9) for before, after in pairwise(values))


def place_rows(rows: Sequence[Row], boxes: Sequence[Box], sheet: Sheet) -> list[Placed]:
    """A block's rows of text in its boxes, or down the page when it has none."""
    if not rows:
        return []
    if not sheet.turn:
        inked = [line for box in boxes or [Box(0, 0, 1, 1)] for line in sheet.lines(box)]
        if len(inked) == len(rows):
            pairs = zip(rows, inked, strict=True)
            placed = [item for row, line in pairs for item in _row_in(row, line, sheet)]
            return evened(_grown(item, sheet) for item in placed)
        atoms = [atom for row in rows for cell in row for atom in _ATOM.findall(cell + " ")]
        if _plausible(len(inked), atoms, boxes, sheet):
            return evened(_grown(item, sheet) for item in _poured(atoms, inked))
    box = max(boxes, key=_area, default=_MARGINS)
    return _spread(rows, box, sheet)


def expected_lines(length: float, box: Box, sheet: Sheet) -> float:
    """How many lines a text of `length` ems takes in a box that it fills.

    n lines are as high as the box, n · leading · size, and together as wide as the text,
    n · width = length · size: so n² = length · height / (leading · width).
    """
    width = max((box.x2 - box.x1) * sheet.width, 1e-6)
    height = (box.y2 - box.y1) * sheet.height
    return math.sqrt(max(length * height / (LEADING * width), 0.0))


def _plausible(count: int, atoms: Sequence[str], boxes: Sequence[Box], sheet: Sheet) -> bool:
    """Whether the lines of ink found can be the text's: a picture's or a table's are not."""
    if not 0 < count <= len(atoms):
        return False
    if not boxes:
        return True
    length = sum(text_width(atom) for atom in atoms)
    expected = max(expected_lines(length, max(boxes, key=_area), sheet), 1.0)
    return len(boxes) > 1 or expected / 2.2 <= count <= expected * 2.2


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def _direction(line: Line, sheet: Sheet) -> int:
    width = (line.box.x2 - line.box.x1) * sheet.width
    height = (line.box.y2 - line.box.y1) * sheet.height
    along, across = (height, width) if sheet.turn in (90, 270) else (width, height)
    upright_column = across > 2 * along and len(line.text.strip()) > 1
    return (sheet.turn + 90) % 360 if upright_column else sheet.turn


def _row_in(row: Row, line: Box, sheet: Sheet) -> list[Placed]:
    """One row on one printed line; its cells at the gaps, where there are as many."""
    cells = [cell for cell in row if cell]
    if len(cells) > 1:
        segments = sheet.segments(line)
        places = segments if len(segments) == len(cells) else _columns([row], line)[0]
        return [Placed(cell, place) for cell, place in zip(cells, places, strict=True)]
    return [Placed(cell, line) for cell in cells]


def _grown(item: Placed, sheet: Sheet) -> Placed:
    """As tall as the type it is set in: the ink of `name` is lower than that of `Type`."""
    length = (item.box.x2 - item.box.x1) * sheet.width
    size = length / max(text_width(item.text), 1e-6) / sheet.height
    missing = max(min(size, 0.05) * _TYPE_HEIGHT - (item.box.y2 - item.box.y1), 0.0) / 2
    box = Box(item.box.x1, item.box.y1 - missing, item.box.x2, item.box.y2 + missing)
    return Placed(item.text, box)


def _poured(atoms: Sequence[str], lines: Sequence[Box]) -> list[Placed]:
    """Text over printed lines, broken so that each line's text is as long as its ink.

    The breaks are those with the least sum of squared differences; they are sought near the
    place where an even share of the text would put them.
    """
    ends = list(accumulate((text_width(atom) for atom in atoms), initial=0.0))
    inks = list(accumulate((line.x2 - line.x1 for line in lines), initial=0.0))
    em = inks[-1] / max(ends[-1], 1e-6)
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [0])}
    for index, line in enumerate(lines, start=1):
        middle = bisect(ends, inks[index] / em)
        nearby = range(max(middle - _SLACK, 0), min(middle + _SLACK, len(atoms)) + 1)
        reach = [len(atoms)] if index == len(lines) else nearby
        ink = line.x2 - line.x1
        best = {
            end: min(
                (cost + ((ends[end] - ends[start]) * em - ink) ** 2, [*breaks, end])
                for start, (cost, breaks) in best.items()
                if start <= end
            )
            for end in reach
            if end >= min(best)
        }
    breaks = best[len(atoms)][1]
    return [
        Placed("".join(atoms[start:end]).strip(), line)
        for line, (start, end) in zip(lines, pairwise(breaks), strict=True)
        if end > start
    ]


def _spread(rows: Sequence[Row], box: Box, sheet: Sheet) -> list[Placed]:
    """Rows over a box of which nothing else is known; long rows wrap."""
    if any(len(row) > 1 for row in rows):
        return _grid(rows, box, sheet.turn)
    if len(rows) == 1 and expected_lines(text_width(rows[0][0]), box, sheet) < 1.5:
        return [Placed(rows[0][0], box, sheet.turn)]
    frame = _Turned(box, sheet.turn)
    along, across = frame.extent(sheet.width, sheet.height)
    lines, size = _wrapped([row[0] for row in rows], along, across)
    pitch = 1 / max(len(lines), across / (size * LEADING) if size else 1)
    return [
        Placed(
            line,
            frame.part(
                0,
                (index + 0.1) * pitch,
                min(text_width(line) * size / along, 1.0) or 1.0,
                (index + 0.9) * pitch,
            ),
            sheet.turn,
        )
        for index, line in enumerate(lines)
    ]


def _wrapped(rows: Sequence[str], along: float, across: float) -> tuple[list[str], float]:
    """Rows broken into lines at the largest size that lets them fill the box, and that size."""
    most = across / (LEADING * len(rows))
    length = max(sum(text_width(row) for row in rows), 1e-6)
    size = min(most, math.sqrt(across * along / (LEADING * length)))
    lines: list[str] = []
    for _ in range(8):  # words do not break anywhere, so the reckoned size may be a little large
        lines = [line for row in rows for line in _broken(row, along / size if size else 1.0)]
        if len(lines) * LEADING * size <= across * 1.05:
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


def _grid(rows: Sequence[Row], box: Box, turn: int) -> list[Placed]:
    """A table: rows of equal height, columns as wide as their longest text asks."""
    frame = _Turned(box, turn)
    columns = _columns(rows, Box(0, 0, 1, 1))
    pitch = 1 / len(rows)
    return [
        Placed(cell, frame.part(place.x1, (y + 0.15) * pitch, place.x2, (y + 0.85) * pitch), turn)
        for y, row in enumerate(rows)
        for cell, place in zip((cell for cell in row if cell), columns[y], strict=True)
    ]


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


@dataclass(frozen=True, slots=True)
class _Turned:
    """A box as its reader sees it: `along` the text, then `down` from line to line."""

    box: Box
    turn: int

    def extent(self, width: float, height: float) -> tuple[float, float]:
        """Length along the text and across it, in the sheet's units."""
        across = (self.box.x2 - self.box.x1) * width
        down = (self.box.y2 - self.box.y1) * height
        return (down, across) if self.turn in (90, 270) else (across, down)

    def part(self, along1: float, down1: float, along2: float, down2: float) -> Box:
        """A part of the box, given in fractions of it as its reader sees it."""
        x1, y1, x2, y2 = {
            0: (along1, down1, along2, down2),
            90: (1 - down2, along1, 1 - down1, along2),
            180: (1 - along2, 1 - down2, 1 - along1, 1 - down1),
            270: (down1, 1 - along2, down2, 1 - along1),
        }[self.turn]
        width, height = self.box.x2 - self.box.x1, self.box.y2 - self.box.y1
        return Box(
            self.box.x1 + x1 * width,
            self.box.y1 + y1 * height,
            self.box.x1 + x2 * width,
            self.box.y1 + y2 * height,
        )
