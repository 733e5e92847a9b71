"""Finds tables of contents: lines that end in the number of a page, however they lead to it.  Pure.

They look like a table with a column of numbers.  But the numbers never fall, stand alone at the
right end, and have no head above them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ocrd.layout.order import Row

LEAST_ENTRIES = 4
APART = 1.0  # heights before a number that no dots lead to
ALIGNED = 1.0  # heights by which the right ends of numbers may differ

_ENTRY = re.compile(r"(.*?[^\W\d_].*?)((?:\s*[.…·_])*)\s*(\d{1,4})")  # title, leader, page


def contents(column: Sequence[Row]) -> Iterator[tuple[list[str], Sequence[Row]]]:
    """A column in parts, top to bottom: the lines of a table of contents, or none, and its rows."""
    found = [_entry(row) for row in column]
    done = first = 0
    while first < len(column):
        last = _end(column, found, first)
        entries = sum(each is not None for each in found[first:last])
        headed = first > done and len(column[first - 1]) > 1
        if entries >= LEAST_ENTRIES and not headed:
            if done < first:
                yield [], column[done:first]
            rows = column[first:last]
            yield (
                [
                    f"{it[0]} {it[1]}" if it else _said(row)
                    for it, row in zip(found[first:last], rows, strict=True)
                ],
                rows,
            )
            done = last
        first = max(last, first + 1)
    if done < len(column):
        yield [], column[done:]


def _end(column: Sequence[Row], found: Sequence[tuple[str, int] | None], first: int) -> int:
    """The end of the entries from a row on; some titles are broken, or have no number."""
    page, last = -1, first
    for number in range(first, len(column)):
        entry = found[number]
        if entry is None:
            if number == first or found[number - 1] is None:
                break
            continue
        off = column[number][-1].box.x2 - column[first][-1].box.x2
        if abs(off) > ALIGNED * column[first][-1].height:
            break
        if entry[1] < page:  # a table's numbers
            return first
        page, last = entry[1], number + 1
    return last


def _entry(row: Row) -> tuple[str, int] | None:
    """The title and the page number of an entry."""
    match = _ENTRY.fullmatch(_said(row))
    if match is None or any(piece.text.isdecimal() for piece in row[1:-1]):
        return None
    alone = len(row) > 1 and row[-1].box.x1 - row[-2].box.x2 > APART * row[-1].height
    led = len(match[2].split()) > 1 or len(match[2].strip()) > 1
    numbered = row[-1].text.strip(" .…·_").isdecimal()
    return (match[1], int(match[3])) if led or (alone and numbered) else None


def _said(row: Row) -> str:
    return " ".join(piece.text for piece in row)
