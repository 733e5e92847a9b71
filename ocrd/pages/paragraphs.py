"""Groups printed lines into paragraphs and joins their text.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ocrd.page import Box
from ocrd.pages.type_rows import ITEM, OUTDENT, Row

_INDENT = 0.06  # of the page's width: a first line begins no further right
_APART = 1.2  # times the usual distance of lines: further apart, another paragraph begins
_FIRST = 0.01  # of the page's width: the least indent of a first line
_FEW = 6  # lines: where one of so few is broken on purpose, all are
_ROOMY = 1.5  # times the width of the next line's first word, and so many letters more
_SPARE = 2
_NARROW = 0.4  # of the page's width: lines of an address, one of which leaves room for a word
_SHARED = re.compile(r"(und|oder|bzw)\b")  # Ein- und Ausgang: the shared part is printed once
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad]$")


def _pitches(rows: Sequence[Row]) -> dict[float, float]:
    """The usual distance between the tops of lines in a paragraph, by size of type."""
    found: dict[float, list[float]] = {}
    for last, row in pairwise(rows):
        pitch = row.box.y1 - last.box.y1
        across = min(row.box.x2, last.box.x2) - max(row.box.x1, last.box.x1)
        if row.style.size == last.style.size and across > 0 and 0.5 < pitch / row.box.height < 2:
            found.setdefault(row.style.size, []).append(pitch)
    return {size: sorted(pitches)[len(pitches) // 4] for size, pitches in found.items()}


def paragraphs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The lines of a column, grouped into paragraphs."""
    group: list[Row] = []
    usual = _pitches(rows)
    for row in rows:
        pitch = group[1].box.y1 - group[0].box.y1 if len(group) > 1 else 0.0
        pitch = pitch if pitch > 0.5 * row.box.height else usual.get(row.style.size, 0.0)
        if group and not _goes_on(group, row, pitch or row.box.height):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _goes_on(group: Sequence[Row], row: Row, pitch: float) -> bool:
    """Whether a line continues the paragraph `group`, whose lines are `pitch` apart."""
    last = group[-1]
    height = max(last.box.height, row.box.height)
    if abs(row.style.size - last.style.size) > 0.6 or bool(row.code) != bool(last.code):
        return False
    if _stands_apart(group, row):
        return False
    if ITEM.match(group[0].text) and row.box.x1 < group[0].box.x1 - OUTDENT:
        return False
    if abs(row.box.y1 - last.box.y1) < height * 0.3:  # the same printed line, further right
        return 0 <= row.box.x1 - last.box.x2 < height * 2
    if not -height * 0.4 < row.box.y1 - last.box.y2 < height * 0.75:
        return False
    if row.box.y1 - last.box.y1 > _APART * pitch:
        return False
    if len(group) == 1 and last.box.x1 - row.box.x1 > _INDENT:  # a centred line above a paragraph
        return False
    level = len(group) > 1 and abs(group[1].box.x1 - last.box.x1) < OUTDENT
    if level and _FIRST < row.box.x1 - last.box.x1 < _INDENT:  # the first line of another
        return False
    across = min(row.box.x2, last.box.x2) - max(row.box.x1, last.box.x1)
    ended = last.box.x2 < max(each.box.x2 for each in group) - 0.15 and last.text[-1] in ".:;!?"
    return (
        across > 0 and not (row.marked or ITEM.match(row.text)) and not (ended and len(group) > 1)
    )


def _stands_apart(group: Sequence[Row], row: Row) -> bool:
    """Whether a line differs from `last` in boldness, or otherwise where `last` ends early."""
    last = group[-1]
    if row.style.bold != last.style.bold:
        return True
    other = (
        row.capitals != last.capitals
        or row.style.italic != last.style.italic
        or (
            None not in (row.style.colour, last.style.colour)
            and row.style.colour != last.style.colour
        )
        or row.style.face != last.style.face
    )
    whole = Box.around(each.box for each in (*group, row))
    return other and _would_fit(row, last, whole.x1, whole.x2)


def _would_fit(row: Row, last: Row, left: float, right: float, *, sure: bool = True) -> bool:
    """Whether a line's first word had room on the line before, which was broken on purpose."""
    letter = row.box.width / max(len(row.text), 1)
    room = right - last.box.x2 + max(0.0, last.box.x1 - left - _INDENT)
    needed = (len(row.text.split()[0]) + 1) * letter
    return room > (_ROOMY * needed + _SPARE * letter if sure else needed)


def joined(rows: Sequence[Row]) -> str:
    """A paragraph's lines as one text; breaks made on purpose (in an address) are kept."""
    whole = Box.around(row.box for row in rows)
    broken = [_would_fit(row, last, whole.x1, whole.x2) for last, row in pairwise(rows)]
    if any(broken) or _is_address(rows, whole):
        broken = [len(rows) <= _FEW or each for each in broken]
    text = rows[0].text
    for row, on_purpose in zip(rows[1:], broken, strict=True):
        lines = on_purpose and not _HYPHEN.search(text)
        text = f"{text}\n{row.text}" if lines else run_on(text, row.text)
    return text


def _is_address(rows: Sequence[Row], whole: Box) -> bool:
    """Whether lines are those of an address, rather than a sentence.

    There are three or more; they are short and begin with capitals or digits; and one leaves room
    for the next word, or they are aligned right.
    """
    if len(rows) < 3 or whole.width > _NARROW or rows[-1].text[-1] in ".:;!?":
        return False
    if not all(row.text[0].isupper() or row.text[0].isdigit() for row in rows[:-1]):
        return False
    lefts, rights = ({round(getattr(row.box, side), 3) for row in rows} for side in ("x1", "x2"))
    fits = (_would_fit(row, last, whole.x1, whole.x2, sure=False) for last, row in pairwise(rows))
    return len(lefts) > 2 >= len(rights) or any(fits)


def run_on(text: str, more: str) -> str:
    """A text and the line that continues it; a word hyphenated between them is whole again."""
    if not _HYPHEN.search(text) or _SHARED.match(more):
        return f"{text} {more}"
    return (text[:-1] if more[0].islower() or text[-1] == "\u00ad" else text) + more
