"""Finds tables without a grid of rules, and notes, by how a page's words are laid out.  Pure.

Words of prose are a quarter of an em apart; a word further away may be in another column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from ocrd.layout.contents import contents as contents_among
from ocrd.layout.notes import line_numbers as numbers_among
from ocrd.layout.notes import notes as notes_among
from ocrd.layout.order import Row, columns, rows
from ocrd.layout.pieces import Piece, running
from ocrd.layout.ruled import level_ruled
from ocrd.layout.tables import Cells, foot, groups
from ocrd.page import Block, Box, Line, Markup, Word

_GUTTER = 0.45  # of a line's height, at least: more than half an em
_STRIP, _ROWS, _APART = 0.25, 3, 2.6  # of it, if so many lines, so many heights apart, share it
_MOST_PIECES, _MOST_RULES = 2500, 500  # a table of 100 rows and 15 columns has 1,500
_TOUCH = 3.0  # points between the ends of rules that are meant to be the same


def tables(
    words: Sequence[Word],
    rules: Sequence[Box],
    known: Sequence[Block],
    width: float,
    height: float,
) -> Iterator[Block]:
    """The tables among the words of a page, each with its cells row by row.

    The small columns at the page's foot are included, each as a text of its lines.

    `known` are the tables between rules that cross; their words are not among `words`.  `rules` are
    level; the page's width and height are in points.
    """
    pieces = [
        Piece(Line(" ".join(word.text for word in part), box), box.scaled(width, height))
        for part in _parts(_rows(words))
        for box in [Box.around(word.box for word in part)]
    ]
    if len(pieces) > _MOST_PIECES or len(rules) > _MOST_RULES:
        return  # a map or a circuit diagram, which would take minutes
    taken = [table.boxes[0].scaled(width, height) for table in known]
    straight = [rule.scaled(width, height) for rule in rules]
    level = [(rule.x1, rule.y1, rule.x2, rule.y1) for rule in straight]
    for lines, cells in list(level_ruled(pieces, level, _TOUCH)):
        inside = {id(piece): piece for row in lines for piece in row}
        yield _table(list(inside.values()), cells)
        taken.append(Box.around(piece.box for piece in inside.values()))
        pieces = [piece for piece in pieces if id(piece) not in inside]
    for small in foot(pieces, height):
        inside = {id(piece): piece for row in small for piece in row}
        text = "\n".join(" ".join(piece.text for piece in row) for row in small)
        box = Box.around(piece.line.box for piece in inside.values())
        yield Block("text", text, (box,), Markup.PLAIN)
        pieces = [piece for piece in pieces if id(piece) not in inside]
    held = {id(piece): piece for piece in (Piece(Line("", box), box) for box in taken)}
    for column in columns([*pieces, *held.values()], straight):
        for is_held, part in groupby(column, lambda row: any(id(piece) in held for piece in row)):
            if not is_held:
                yield from _aligned(list(part))


def notes(lines: Sequence[Line], width: float, height: float) -> list[tuple[Box, Block]]:
    """The side notes among the lines of a page, each as the box of its first line and its block."""
    found = []
    for note in notes_among([Piece(line, line.box.scaled(width, height)) for line in lines]):
        text = running(" ".join(piece.text for piece in row) for row in note)
        box = Box.around(piece.line.box for row in note for piece in row)
        first = Box.around(piece.line.box for piece in note[0])
        found.append((first, Block("text", text, (box,), Markup.PLAIN)))
    return found


def line_numbers(lines: Sequence[Line], width: float, height: float) -> Iterator[Block]:
    """The numbers that count the lines of a page, as one block per column of them."""
    for row in numbers_among([Piece(line, line.box.scaled(width, height)) for line in lines]):
        box = Box.around(piece.line.box for piece in row)
        yield Block("aside_text", " ".join(piece.text for piece in row), (box,), Markup.PLAIN)


def contents(lines: Sequence[Line], width: float, height: float) -> Iterator[Block]:
    """The tables of contents among the lines of a page, each as a text of its entries."""
    pieces = [Piece(line, line.box.scaled(width, height)) for line in lines]
    for entries, found in contents_among(rows(pieces)):
        if entries:
            box = Box.around(piece.line.box for row in found for piece in row)
            yield Block("text", "\n".join(entries), (box,), Markup.PLAIN)


def _aligned(column: Sequence[Row]) -> Iterator[Block]:
    for group in groups(column):
        if texts := group.texts():
            for text in texts:
                yield from _aligned(text)
        elif cells := group.cells():
            yield _table([piece for row in group.rows for piece in row], cells)


def _table(pieces: Sequence[Piece], cells: Cells) -> Block:
    box = Box.around(piece.line.box for piece in pieces)
    return Block("table", "", (box,), Markup.PLAIN, rows=cells)


def _parts(lines: Sequence[Sequence[Word]]) -> Iterator[list[Word]]:
    """Printed lines, split at gaps that are wider than word spaces.

    A smaller gap is enough where several lines, one below another, have it in the same place.
    """
    strips: list[_Strip] = []
    ends = set[int]()  # words, by identity, that end a part
    for line in lines:
        unit = _shape(line) * _height(line)
        going_on: list[_Strip] = []
        for last, word in pairwise(line):
            white = last.box.x2, word.box.x1
            if white[1] - white[0] >= _GUTTER * unit:
                ends.add(id(last))
            if white[1] - white[0] >= _STRIP * unit:
                going_on += _Strip.followed(strips, white, last, _STRIP * unit)
        strips = going_on
        for strip in strips:
            if len(strip.words) == _ROWS:
                ends.update(map(id, strip.words))
    for line in lines:
        part: list[Word] = []
        for word in line:
            part.append(word)
            if id(word) in ends or word is line[-1]:
                yield part
                part = []


@dataclass(frozen=True, slots=True)
class _Strip:
    """White space from `left` to `right` after these words, the last of successive lines."""

    left: float
    right: float
    words: tuple[Word, ...]

    @classmethod
    def followed(
        cls, strips: Sequence[_Strip], white: tuple[float, float], word: Word, least: float
    ) -> Iterator[_Strip]:
        """The strips that the white space after a word continues, or a new one that it begins."""
        alone = True
        for strip in strips:
            left, right = max(strip.left, white[0]), min(strip.right, white[1])
            near = word.box.y1 - strip.words[-1].box.y1 < _APART * word.box.height
            if right - left >= least and near:
                yield cls(left, right, (*strip.words[1 - _ROWS :], word))
                alone = False
        if alone:
            yield cls(*white, (word,))


def _rows(words: Sequence[Word]) -> list[list[Word]]:
    """Words that stand on one line across the whole page, left to right."""
    rows: list[list[Word]] = []
    for word in sorted(words, key=lambda word: (word.box.y1 + word.box.y2, word.box.x1)):
        middle = (word.box.y1 + word.box.y2) / 2
        if rows and rows[-1][0].box.y1 < middle < rows[-1][0].box.y2:
            rows[-1].append(word)
        else:
            rows.append([word])
    return [sorted(row, key=lambda word: word.box.x1) for row in rows]


def _shape(row: Sequence[Word]) -> float:
    """How many fractions of the page's width equal one of its height, by the average letter."""
    letters = sum(len(word.text) for word in row)
    across = sum(word.box.width for word in row)
    # A letter is half an em wide, a line 1.3 high.
    return across / max(letters, 1) / _height(row) / 0.38


def _height(row: Sequence[Word]) -> float:
    return max(row[0].box.height, 1e-6)
