"""Joins marks to their lines: initials, bullets, numbers and drawn dots set apart.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ocrd.layout.pieces import follows, is_count, is_mark
from ocrd.page import Box
from ocrd.pages.type_rows import DEEPER, ITEM, MARK, TICKS, WORDY, Row

_DROPPED = 1.8  # times the body's type: an initial over several lines
_MOST_NUMBERS = 400  # of a page; more are figures
_MARKER_GAP = 4.0  # heights between an item's marker and its text
_MARKER = re.compile(rf"(?:{MARK}|o)$")


def initialled(rows: Sequence[Row], size: float) -> list[Row]:
    """The lines, with an initial that spans several of them joined to the first."""
    done = list(rows)
    for initial in rows:
        if (
            len(initial.text) == 1
            and initial.text.isalpha()
            and initial.style.size > _DROPPED * size
        ):
            beside = [
                row
                for row in done
                if row.style.size < initial.style.size / 1.5
                and -initial.box.height < row.box.x1 - initial.box.x2 < initial.box.height
                and initial.box.y1 - row.box.height < (row.box.y1 + row.box.y2) / 2 < initial.box.y2
            ]
            if len(beside) > 1:
                first = min(beside, key=lambda row: row.box.y1)
                whole = replace(first, text=initial.text + first.text)
                done[done.index(first)] = whole
                done.remove(initial)
    return done


def marked(rows: Sequence[Row]) -> list[Row]:
    """The lines, with markers that were set apart put before the items that they mark."""
    counted = {id(row) for row in _counted(rows)}
    from_one = any(row.text == "1" for row in rows if id(row) in counted)
    markers = [
        row for row in rows if _MARKER.match(row.text) or is_mark(row.text) or id(row) in counted
    ]
    apart = {id(marker) for marker in markers}
    done = [row for row in rows if id(row) not in apart]
    right = max((row.box.x2 for row in done), default=1.0)
    for marker in reversed(markers):  # (1) (a): the inner one is joined to its text first
        item = _beside(marker.box, done, sure=id(marker) in counted)
        if item is None and id(marker) in counted and marker.box.x1 > right:
            item = _before(marker.box, done)
        if item is not None:
            left = min(marker.box.x1, item.box.x1)
            box = replace(item.box, x1=left)  # a mark in the right margin makes no line longer
            mark = marker.text + "." * (from_one and marker.text.isdecimal())
            text = f"{mark} {item.text}"
            done[done.index(item)] = replace(item, text=text, box=box, marked=True)
        elif any(map(str.isalnum, marker.text)) or marker.text in TICKS:
            done.append(marker)
    return done if markers else list(rows)


def _counted(rows: Sequence[Row]) -> list[Row]:
    """Numbers, one below another, that count up."""
    numbers = [row for row in rows if is_count(row.text)]
    found = dict[int, Row]()
    for row in numbers if len(numbers) < _MOST_NUMBERS else ():
        for other in numbers:
            off = min(abs(other.box.x1 - row.box.x1), abs(other.box.x2 - row.box.x2))
            below = other.box.y1 > row.box.y1
            if below and off < DEEPER and follows(row.text, other.text):
                found |= {id(row): row, id(other): other}
    return list(found.values())


def _before(mark: Box, rows: Sequence[Row]) -> Row | None:
    """The line of text left of a mark in the right margin."""
    middle = (mark.y1 + mark.y2) / 2
    left = [row for row in rows if row.box.y1 < middle < row.box.y2 and len(row.text) >= WORDY]
    return max(left, key=lambda row: row.box.x2, default=None)


def _beside(mark: Box, rows: Sequence[Row], *, sure: bool = False) -> Row | None:
    """The line that begins right of a mark; up to twice as far away if the mark is `sure`."""
    middle, gap = (mark.y1 + mark.y2) / 2, _MARKER_GAP * (1 + sure)
    right = [
        row
        for row in rows
        if row.box.y1 < middle < row.box.y2 and -0.001 < row.box.x1 - mark.x2 < gap * row.box.height
    ]
    return min(right, key=lambda row: row.box.x1, default=None)


def dotted(rows: Sequence[Row], dots: Sequence[Box]) -> Iterator[Row]:
    """The lines, with those after a drawn dot marked as items."""
    marked = dict[int, Box]()
    for dot in dots:
        item = _beside(dot, rows)
        if item is not None and 2 * dot.height < item.box.height and not ITEM.match(item.text):
            marked[id(item)] = dot
    for row in rows:
        dot_ = marked.get(id(row))
        if dot_ is None:
            yield row
        else:
            box = Box(dot_.x1, row.box.y1, row.box.x2, row.box.y2)
            yield replace(row, text=f"• {row.text}", box=box)
