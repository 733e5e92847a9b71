"""Puts the right-to-left lines of a PDF page into reading order.

A PDF places its glyphs in whatever order its program chose, and MuPDF reverses only what it takes
for one run.  How a line reads follows from where its glyphs stand, by the rules of the Unicode
Bidirectional Algorithm (UAX #9) applied in reverse.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from ocrd.languages import has_leftward

_SPACE = 0.15  # of a line's height: letters of a word are never so far apart
_NO_WIDTH = 0.05  # points
_TURNED = str.maketrans("()[]{}«»", ")(][}{»«")
_OPENING = "([{«"


@dataclass(frozen=True, slots=True)
class _Glyph:
    """Characters that stand in one place: a letter and its marks, or a ligature."""

    span: dict[str, Any]
    chars: tuple[dict[str, Any], ...]

    @property
    def kind(self) -> str:
        """The first character's bidirectional class."""
        return unicodedata.bidirectional(self.chars[0]["c"])

    @property
    def left(self) -> float:
        return float(min(char["bbox"][0] for char in self.chars))

    @property
    def right(self) -> float:
        return float(max(char["bbox"][2] for char in self.chars))

    @property
    def middle(self) -> float:
        """The middle of its first character, the letter."""
        x1, _, x2, _ = self.chars[0]["bbox"]
        return float(x1 + x2) / 2


def as_read(lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines of a page with their text in reading order, in the form of `rawdict`, as given.

    A line runs to the left if most of its letters do, or if most of the page's and one of its own
    do.  Pieces of such a line, which MuPDF reports as lines, are joined.
    """
    page = _runs_leftward(char["c"] for line in lines for s in line["spans"] for char in s["chars"])
    pieces: list[list[dict[str, Any]]] = []
    for line in lines:
        if pieces and _goes_on(pieces[-1][-1], line):
            pieces[-1].append(line)
        else:
            pieces.append([line])
    for piece in pieces:
        glyphs = [glyph for line in piece for span in line["spans"] for glyph in _glyphs(span)]
        letters = [char["c"] for glyph in glyphs for char in glyph.chars]
        own = any(map(has_leftward, letters)) if page else _runs_leftward(letters)
        if own and piece[0]["dir"][0] > 0.9:
            yield _line(piece, _in_order(_spaced(sorted(glyphs, key=lambda glyph: glyph.middle))))
        else:
            yield from piece


def _runs_leftward(letters: Iterable[str]) -> bool:
    kinds = Counter(map(unicodedata.bidirectional, letters))
    return kinds["R"] + kinds["AL"] > kinds["L"]


def _goes_on(before: dict[str, Any], line: dict[str, Any]) -> bool:
    a, b = before["bbox"], line["bbox"]
    high = max(a[3] - a[1], b[3] - b[1])
    apart = max(a[0], b[0]) - min(a[2], b[2])
    return bool(abs(a[1] + a[3] - b[1] - b[3]) < high and abs(apart) < high)


def _glyphs(span: dict[str, Any]) -> Iterator[_Glyph]:
    """The characters by place; MuPDF puts the rest of a ligature, without width, at its right.

    In a run that MuPDF reversed, the rest comes before the first letter, in reverse order.
    """
    held: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for char in span["chars"]:
        x1, _, x2, _ = char["bbox"]
        if unicodedata.category(char["c"]) == "Mn" and held and not rest:
            held.append(char)
        elif x2 - x1 < _NO_WIDTH:
            rest.append(char)
        else:
            turned = (
                bool(rest) and abs(rest[0]["bbox"][0] - x2) < _NO_WIDTH and has_leftward(char["c"])
            )
            if held or (rest and not turned):
                yield _Glyph(span, (*held, *(() if turned else rest)))
            held = [char, *(reversed(rest) if turned else ())]
            rest = []
    if held or rest:
        yield _Glyph(span, (*held, *rest))


def _spaced(glyphs: Sequence[_Glyph]) -> list[_Glyph]:
    """The glyphs, with a space wherever two stand apart and MuPDF reports none."""
    spaced = [*glyphs[:1]]
    for before, glyph in pairwise(glyphs):
        _, y1, _, y2 = glyph.chars[0]["bbox"]
        if glyph.left - before.right > _SPACE * (y2 - y1) and "WS" not in (before.kind, glyph.kind):
            space = glyph.chars[0] | {"c": " ", "bbox": (before.right, y1, glyph.left, y2)}
            spaced.append(_Glyph(glyph.span, (space,)))
        spaced.append(glyph)
    return spaced


def _in_order(glyphs: Sequence[_Glyph]) -> list[_Glyph]:
    """Glyphs that are given from left to right, in the order in which a leftward line is read.

    Latin words, with the numbers after them, and numbers run to the right in between.
    """
    arabic = any(glyph.kind == "AL" for glyph in glyphs)
    ordered: list[_Glyph] = []
    at = 0
    while at < len(glyphs):
        end = _end_of_run(glyphs, at, arabic=arabic)
        ordered += reversed(glyphs[at:end])
        at = end
    return [*reversed(ordered)]


def _end_of_run(glyphs: Sequence[_Glyph], start: int, *, arabic: bool) -> int:
    """The end of the run from `start` to the right; `start + 1` if nothing runs to the right."""
    number = start  # signs before a number go with it
    while not arabic and glyphs[number].kind == "ET" and number + 1 < len(glyphs):
        number += 1
    latin, end = glyphs[start].kind == "L", number + 1
    if not latin and glyphs[number].kind not in ("EN", "AN"):
        return start + 1
    joins = ("CS",) if arabic else ("CS", "ES", "ET")
    for at in range(number + 1, len(glyphs)):
        kind = glyphs[at].kind
        if kind in ("R", "AL") or (kind == "L" and not latin):
            break
        if kind in ("L", "EN", "AN") or (kind == "ET" and not arabic and end == at):
            end = at + 1
        elif not latin and kind not in joins:
            break
    return end


def _line(pieces: Sequence[dict[str, Any]], glyphs: Sequence[_Glyph]) -> dict[str, Any]:
    """The pieces joined into one line, with the glyphs in this order."""
    said = "".join(glyph.chars[0]["c"] for glyph in glyphs)
    spans = []
    for _, group in groupby(enumerate(glyphs), key=lambda each: id(each[1].span)):
        run = [*group]
        chars = [
            char | {"c": _bracket(said, at) if len(glyph.chars) == 1 else char["c"]}
            for at, glyph in run
            for char in glyph.chars
        ]
        text = "".join(char["c"] for char in chars)
        spans.append(run[0][1].span | {"chars": chars, "text": text})
    boxes = [*zip(*(line["bbox"] for line in pieces), strict=True)]
    box = (min(boxes[0]), min(boxes[1]), max(boxes[2]), max(boxes[3]))
    return pieces[0] | {"spans": spans, "bbox": box}


def _bracket(said: str, at: int) -> str:
    """A character; a bracket as it is typed, since some programs store what its glyph shows."""
    char = said[at]
    if char == (turned := char.translate(_TURNED)):
        return char
    before, after = said[at - 1 : at].strip(), said[at + 1 : at + 2].strip()
    opens = not before and bool(after)
    closes = bool(before) and not after
    wrong = closes if char in _OPENING else opens
    return turned if wrong else char
