"""Finds tables by the alignment of their cells.  Pure.

A table here is a run of rows whose pieces fall into the same columns, row after row.  Rules are
not looked at, cells over several columns are kept, cells of several lines are put together.  What
is not clearly a table is left to be text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ocrd.engine.rapid.order import Row
from ocrd.engine.rapid.pieces import Piece
from ocrd.engine.rapid.wording import running

LEAST_ROWS = 3
REGULAR = 0.5  # of the rows must have as many cells as there are columns
LONGEST_CELL = 45  # characters on average: longer ones are text set in columns
TIGHT = 0.75  # of the usual distance of rows: closer ones may continue a cell

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows `first` to `last` of a column of the page, as cells."""

    first: int
    last: int
    cells: tuple[tuple[str, ...], ...]


@dataclass(slots=True)
class _Cell:
    """What stands in a cell, and how many columns it covers."""

    pieces: list[Piece]
    span: int = 1

    def texts(self) -> list[str]:
        """What it says, and an empty text for each further column."""
        return [running(piece.text for piece in self.pieces)] + [""] * (self.span - 1)


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """The tables among the rows of a column, from top to bottom."""
    first = 0
    while first < len(rows):
        last = _end_of_run(rows, first)
        columns = _columns(rows[first:last])
        if columns:
            yield Table(first, last, _cells(rows[first:last], columns))
        first = max(last, first + 1)


def _end_of_run(rows: Sequence[Row], first: int) -> int:
    """Behind the last row of a run of rows with cells; single pieces may stand between two."""
    last = first
    for number in range(first, len(rows)):
        if len(rows[number]) > 1:
            last = number + 1
        elif number >= last + 1 or last == first:
            break
    return last


def _columns(rows: Sequence[Row]) -> list[Interval]:
    """Where the columns lie; none if the rows make no table."""
    counts = Counter(len(row) for row in rows if len(row) > 1)
    if len(rows) < LEAST_ROWS or not counts:
        return []
    size = max(counts, key=lambda count: (counts[count], count))
    regular = [row for row in rows if len(row) == size]
    columns = [
        (min(row[n].box.x1 for row in regular), max(row[n].box.x2 for row in regular))
        for n in range(size)
    ]
    letters = sum(len(piece.text) for row in regular for piece in row)
    fits = len(regular) >= max(2, REGULAR * len(rows)) and all(
        left[1] < right[0] for left, right in pairwise(columns)
    )
    return columns if fits and letters <= LONGEST_CELL * size * len(regular) else []


def _cells(rows: Sequence[Row], columns: list[Interval]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(text for cell in cells for text in cell.texts())
        for cells in _continued(rows, columns)
    )


def _continued(rows: Sequence[Row], columns: list[Interval]) -> list[list[_Cell]]:
    """Each row's cells; a row that only goes on with cells of the row above is put to it.

    That is one with nothing in the first column, and nearer than rows usually are.
    """
    usual = median(below[0].middle - above[0].middle for above, below in pairwise(rows))
    found = [_spread(rows[0], columns)]
    for above, row in pairwise(rows):
        cells = _spread(row, columns)
        near = row[0].middle - above[0].middle < TIGHT * usual
        if near and not cells[0].pieces and len(cells) == len(found[-1]):
            for cell, more in zip(found[-1], cells, strict=True):
                cell.pieces += more.pieces
        else:
            found.append(cells)
    return found


def _spread(row: Row, columns: list[Interval]) -> list[_Cell]:
    """The row's pieces by the columns they lie in, and empty cells between them."""
    cells: list[_Cell] = []
    done = 0  # columns
    for piece in row:
        first, last = _covered(piece, columns)
        if first < done:  # a second piece in the same cell
            cells[-1].pieces.append(piece)
            continue
        cells += [_Cell([]) for _ in range(done, first)]
        cells.append(_Cell([piece], last - first + 1))
        done = last + 1
    return cells + [_Cell([]) for _ in range(done, len(columns))]


def _covered(piece: Piece, columns: list[Interval]) -> tuple[int, int]:
    """The first and last column of which a piece covers half, or the one it lies nearest to."""
    over = [
        number
        for number, (x1, x2) in enumerate(columns)
        if min(piece.box.x2, x2) - max(piece.box.x1, x1) > (x2 - x1) / 2
    ]
    if over:
        return over[0], over[-1]
    middle = (piece.box.x1 + piece.box.x2) / 2
    gaps = [max(x1 - middle, middle - x2, 0.0) for x1, x2 in columns]
    return (nearest := gaps.index(min(gaps))), nearest
