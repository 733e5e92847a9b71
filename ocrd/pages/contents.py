"""Finds tables of contents: lines in which dots lead from a title to its page's number.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ocrd.page import Block, Box, Markup, letters
from ocrd.pages.type_rows import Row

_NUMBER = re.compile(r"(?<=[\s.·…_])(?:\d{1,4}|[ivxlcdm]{1,7})$", re.I)
_LEADER, _DOTS = " .·…_", 4
_LEAST = 3  # entries of a page; fewer may be a form's or a menu's
_APART = 2.5  # heights of a line: entries further from each other stand in blocks of their own


def contents(rows: Sequence[Row]) -> Iterator[Block]:
    """The entries, line by line; what leads to a number is shortened to three dots."""
    found = []
    for line in _lines(rows):
        text = " ".join(row.text for row in line)
        number = _NUMBER.search(text)
        if number is None:
            continue
        title = text[: number.start()].rstrip(_LEADER)
        dots = text[len(title) : number.start()].replace("…", "...").replace(" ", "")
        if len(dots) >= _DOTS and letters([title]):
            box = Box.around(row.box for row in line)
            found.append((f"{title} ... {number[0]}", box))
    if len(found) < _LEAST:
        return
    start = 0
    for at, ((_, above), (_, below)) in enumerate(pairwise(found), start=1):
        if below.y1 - above.y1 > _APART * above.height:
            yield _block(found[start:at])
            start = at
    yield _block(found[start:])


def _block(entries: Sequence[tuple[str, Box]]) -> Block:
    box = Box.around(box for _, box in entries)
    return Block("text", "\n".join(said for said, _ in entries), (box,), Markup.PLAIN)


def _lines(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows that stand on one line across the whole page, left to right, from the top down."""
    line: list[Row] = []
    for row in sorted(rows, key=lambda row: row.box.y1 + row.box.y2):
        if line and row.box.y1 + row.box.y2 > 2 * line[0].box.y2:
            yield sorted(line, key=lambda row: row.box.x1)
            line = []
        line.append(row)
    yield sorted(line, key=lambda row: row.box.x1)
