"""Finds tables of contents: lines in which dots lead from a title to its page's number.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ocrd.page import Block, Box, Markup, letters
from ocrd.pages.type_rows import Row

_NUMBER = re.compile(
    r"(?<=[\s.·…_])(?:\d{1,4}(?:(?:, ?| ?[-\u2013] ?)\d{1,4})*|[ivxlcdm]{1,7})$", re.IGNORECASE
)
_LEADER, _DOTS = " .·…_", 4
_LED = re.compile(r"(?:[.·_] ?){4}|(?:… ?){2}")
_LEAST = 3  # entries of a page; fewer may be a form's or a menu's
_APART = 2.5  # heights of a line: lines further from each other stand in blocks of their own
_GAP = 5.0  # heights of a line: words further from each other are those of several columns


def contents(rows: Sequence[Row]) -> Iterator[Block]:
    """The entries, line by line; what leads to a number is shortened to three dots.

    Lines between two entries are told with them: the beginning of a long title, a remark.
    """
    runs: list[list[tuple[list[Row], str, bool]]] = [[]]
    for line in _lines(rows):
        text = " ".join(row.text for row in line)
        entry = _entry(text)
        if runs[-1] and line[0].box.y1 - runs[-1][-1][0][0].box.y1 > _APART * line[0].box.height:
            runs.append([])
        if _is_spread(line, entry or text):
            runs.append([])
        elif entry or runs[-1]:
            runs[-1].append((line, entry or text, bool(entry)))
    for run in runs:
        while run and not run[-1][2]:
            run.pop()
    if sum(is_entry for run in runs for *_, is_entry in run) < _LEAST:
        return
    for run in filter(None, runs):
        box = Box.around(row.box for line, *_ in run for row in line)
        if sum(box.holds(row.box) for row in rows) == sum(len(line) for line, *_ in run):
            told = "\n".join(said for _, said, _ in run)
            yield Block("text", told, (box,), Markup.PLAIN)


def _entry(text: str) -> str:
    """An entry as it is told; empty if a line is none."""
    number = _NUMBER.search(text)
    if number is None:
        return ""
    title = text[: number.start()].rstrip(_LEADER)
    dots = text[len(title) : number.start()].replace("…", "...").replace(" ", "")
    return f"{title} ... {number[0]}" if len(dots) >= _DOTS and letters([title]) else ""


def _is_spread(line: Sequence[Row], said: str) -> bool:
    """Whether a line runs across columns or blanks of a form: it has wide gaps, or dots inside."""
    words = [row.box for row in line if letters([_NUMBER.sub("", f" {row.text}")])]
    gaps = (right.x1 - left.x2 for left, right in pairwise(words))
    return max(gaps, default=0.0) > _GAP * line[0].box.height or bool(_LED.search(said))


def _lines(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows that stand on one line across the whole page, left to right, from the top down."""
    line: list[Row] = []
    for row in sorted(rows, key=lambda row: row.box.y1 + row.box.y2):
        if line and row.box.y1 + row.box.y2 > 2 * line[0].box.y2:
            yield sorted(line, key=lambda row: row.box.x1)
            line = []
        line.append(row)
    if line:
        yield sorted(line, key=lambda row: row.box.x1)
