"""Finds tables of contents: lines that end in the number of a page, however they lead to it.  Pure.

They look like a table with a column of numbers.  But dots lead to the numbers; or these never fall,
stand alone at the right end, and have no head above them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from ocrd.layout.order import Row

LEAST_ENTRIES, LEAST_LED = 4, 3  # in succession; in a column, where dots lead to the numbers
LEADER, SHORT_LEADER = 4, 2  # dots; a scan's are not all read
SPREAD = 5.0  # heights between words: those of several columns, or of a form
APART = 1.0  # heights before a number that no dots lead to
ALIGNED = 1.0  # heights by which the right ends of numbers may differ
FAR = 1.7  # times the usual distance of lines: those further away are a block of their own

_ENTRY = re.compile(  # title, leader, page: perhaps Roman, or with digits that were read as letters
    r"(.*?[^\W\d_].*?)((?:\s*[.…·_])*)\s*"
    r"(?:(?<=[\s.…·_])(\d{1,4}(?:(?:,\s?|\s?[-\u2013]\s?)\d{1,4})*|(?!\d+$)[\divxlcdmo]{1,7}))?",
    re.I,
)
_LEADER = re.compile(r"(?:[.·_]\s?){4}|(?:…\s?){2}")


class _Line(NamedTuple):
    """A line; its page is empty where it was not read, and None in a line that is no entry."""

    said: str
    page: str | None = None
    led: bool = False


def contents(column: Sequence[Row]) -> Iterator[tuple[list[str], Sequence[Row]]]:
    """A column in parts, top to bottom: the lines of a table of contents, or none, and its rows."""
    lines = [*map(_line, column)]
    done = first = 0
    while first < len(lines):
        last = _end(column, lines, first)
        pages = [line.page for line in lines[first:last] if line.page]
        counts = [int(page) for page in pages if page.isdecimal()]
        headed = first > done and len(column[first - 1]) > 1
        against = headed + (counts != sorted(counts))
        led = 2 * sum(line.led for line in lines[first:last]) > len(pages)
        led = led and sum(line.led for line in lines) >= LEAST_LED
        if against < 2 if led else len(pages) >= LEAST_ENTRIES and not against:
            tops = [row[0].middle for row in column[first:last]]
            distances = [below - above for above, below in pairwise(tops)]
            far = FAR * median(distances or [0.0])
            ends = [n for n, distance in enumerate(distances, first + 1) if distance > far]
            for start, end in pairwise([first, *ends, last]):
                while start < end and lines[start].page is None:  # a heading
                    start += 1
                if done < start < end:
                    yield [], column[done:start]
                if start < end:
                    yield [line.said for line in lines[start:end]], column[start:end]
                    done = end
        first = max(last, first + 1)
    if done < len(column):
        yield [], column[done:]


def _end(column: Sequence[Row], lines: Sequence[_Line], first: int) -> int:
    """The end of the entries from a row on; some titles are broken, or have no number."""
    right, last = 0.0, first
    for number in range(first, len(lines)):
        line, end = lines[number], column[number][-1]
        if line.page is None:
            if number == first or lines[number - 1].page is None:
                break
            continue
        if line.page:
            right = right or end.box.x2
            if abs(end.box.x2 - right) > ALIGNED * end.height and not line.led:
                break
        last = number + 1
    return last


def _line(row: Row) -> _Line:
    said = " ".join(piece.text for piece in row)
    match = _ENTRY.fullmatch(said)
    if match is None or any(piece.text.isdecimal() for piece in row[1:-1]):
        return _Line(said)
    title, leader, page = match[1], match[2], match[3] or ""
    bare = row[-1].text.strip(" .…·_") == page
    worded = [piece for piece in (row[:-1] if bare else row) if any(map(str.isalpha, piece.text))]
    gaps = (after.box.x1 - before.box.x2 for before, after in pairwise(worded))
    if _LEADER.search(title) or max(gaps, default=0.0) > SPREAD * row[-1].height:
        return _Line(said)
    dots = sum(3 if char == "…" else 1 for char in leader if not char.isspace())
    alone = len(row) > 1 and row[-1].box.x1 - row[-2].box.x2 > APART * row[-1].height
    alone = alone and bare and page.isdecimal()
    if not alone and dots < (SHORT_LEADER if page else LEADER):
        return _Line(said)
    led = dots >= SHORT_LEADER or leader[:1].isspace()  # or else the title's own full stop
    said = f"{title}{' ...' if led else leader} {page}".rstrip()
    return _Line(said, page, bool(page) and dots >= LEADER)
