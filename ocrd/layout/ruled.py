"""Finds tables by the rules on a page.  Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ocrd.layout.order import Row, columns, rows
from ocrd.layout.pieces import Piece, running
from ocrd.layout.tables import FAR_AT_FIRST, Cells, group_of
from ocrd.page import Box

EVEN = 2.2  # times a short distance between rows: those of one table are no further apart
HEAD = 4.0  # heights above its only rule in which a table's head stands
LONGEST_RULED = 150  # characters of an average cell between rules; more is a page in frames
APART = 1.6  # heights from line to line: a head's own are closer
BELOW_ONE = 0.8  # of the cells lie below one head; others reach below the next
INTO_CELL = 0.4  # heights by which a cell's text may begin left of its rule

Rule = tuple[float, float, float, float]  # left, top, right, bottom: level or upright


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the rules of a table cross.

    Attributes:
        lefts: The left edges of its columns, and the right edge of the last.
        tops: The tops of its rows, and the bottom of the last.
    """

    lefts: tuple[float, ...]
    tops: tuple[float, ...]

    def holds(self, piece: Piece) -> bool:
        """Whether the middle of a piece lies in the grid."""
        middle = (piece.box.x1 + piece.box.x2) / 2
        across = self.lefts[0] < middle < self.lefts[-1]
        return across and self.tops[0] < piece.middle < self.tops[-1]

    def cells(self, pieces: Iterable[Piece]) -> Cells | None:
        """The texts of its cells, if it is a table; a text is in the cell in which it begins."""
        found: list[list[list[Piece]]] = [[[] for _ in self.lefts[1:]] for _ in self.tops[1:]]
        for piece in pieces:
            begins = min(piece.box.x1 + INTO_CELL * piece.height, piece.box.x2)
            column = min(max(bisect_right(self.lefts, begins) - 1, 0), len(self.lefts) - 2)
            found[bisect_right(self.tops, piece.middle) - 1][column].append(piece)
        cells = [[running(_said(cell)) for cell in row] for row in found]
        full = [text for row in cells for text in row if text]
        rows_ = [tuple(row) for row in cells if any(row)]
        columns_ = [column for column in zip(*cells, strict=True) if any(column)]
        if min(len(rows_), len(columns_)) < 2 or 2 * len(full) < len(rows_) * len(cells[0]):
            return None
        return tuple(rows_) if sum(map(len, full)) <= LONGEST_RULED * len(full) else None


def _said(cell: list[Piece]) -> Iterator[str]:
    for row in rows(cell):
        yield " ".join(piece.text for piece in row)


def grids(ruled: Sequence[Rule], touch: float) -> list[Grid]:
    """The grids that rules make; ends no further apart than `touch` are meant to meet."""
    left, found = list(ruled), []
    while left:
        group = [left.pop()]
        for one in group:
            met = [other for other in left if _meet(one, other, touch)]
            group += met
            left = [other for other in left if other not in met]
        lefts = _edges([(a, b, c, d) for a, b, c, d in group], touch)
        tops = _edges([(b, a, d, c) for a, b, c, d in group], touch)
        if len(lefts) > 2 and len(tops) > 2:
            found.append(Grid(lefts, tops))
    return found


def level_ruled(
    pieces: Sequence[Piece], ruled: Sequence[Rule], touch: float
) -> Iterator[tuple[list[Row], Cells]]:
    """Tables with level rules only: heads above a rule, and columns down to others of its length.

    Ends of rules that are no farther apart than `touch` are meant to be the same.
    """
    line = median(piece.height for piece in pieces) if pieces else 0.0
    for stack in _alike(ruled, touch):
        left, top, right, _ = stack[0]
        above = top - HEAD * line  # the head may have a rule only below it
        bands = [
            rows(piece for piece in pieces if box.holds(piece.box))
            for over, under in pairwise([(left, above, right, above), *stack])
            for box in [Box(over[0], over[1], over[2], under[1])]
        ]
        far = [n for n, (a, b) in enumerate(pairwise(bands[0])) if _apart(a, b)]
        bands[0] = bands[0][far[-1] + 1 :] if far else bands[0]
        while len(bands) > 1:
            end = 1
            while end < len(bands) and _below_heads(bands[0], bands[end]):
                end += 1
            lines = [row for band in bands[:end] for row in band]
            body = lines[len(bands[0]) :]
            parted = end > 2 and max(map(len, bands[:end])) == 1
            if (
                end > 1
                and (parted or _is_one(body))
                and (cells := group_of(lines).cells(framed=True, parted=parted))
            ):
                yield lines, cells
                taken = {id(piece) for row in lines for piece in row}
                pieces = [piece for piece in pieces if id(piece) not in taken]
            bands = bands[end:]


def _apart(above: Row, below: Row) -> bool:
    return below[0].middle - above[0].middle > APART * below[0].height


def _is_one(body: Sequence[Row]) -> bool:
    """Whether rows between rules follow each other evenly, and are not columns of running text."""
    group = group_of(body)
    distances = sorted(group.distances()) or [0.0]
    even = max(EVEN * distances[len(distances) // 4], FAR_AT_FIRST * group.height)
    return distances[-1] <= even and len(columns(piece for row in body for piece in row)) == 1


def _alike(ruled: Sequence[Rule], touch: float) -> list[list[Rule]]:
    """The level rules in groups of two or more with the same ends, from top to bottom."""
    stacks: list[list[Rule]] = []
    for rule in sorted((rule for rule in ruled if rule[1] == rule[3]), key=lambda rule: rule[1]):
        same = [s for s in stacks if max(abs(s[0][0] - rule[0]), abs(s[0][2] - rule[2])) < touch]
        if not same:
            stacks.append([rule])
        elif rule[1] - same[0][-1][1] > touch:
            same[0].append(rule)
    return [stack for stack in stacks if len(stack) > 1]


def _below_heads(band: Sequence[Row], below: Sequence[Row]) -> bool:
    """Whether each piece below a band of several heads is below exactly one of them."""
    heads = group_of(band).columns if band and len(band[0]) > 1 else []
    if len(heads) < 2 or not any(len(row) > 1 for row in below):
        return False
    stubs = heads[0].left  # text left of all heads needs none
    pieces = [piece for row in below for piece in row if piece.box.x2 > stubs]
    below_one = sum(sum(head.meets(piece) for head in heads) == 1 for piece in pieces)
    return below_one >= BELOW_ONE * len(pieces)


def _meet(a: Rule, b: Rule, touch: float) -> bool:
    across = min(a[2], b[2]) - max(a[0], b[0])
    return across >= -touch and min(a[3], b[3]) - max(a[1], b[1]) >= -touch


def _edges(group: Sequence[Rule], touch: float) -> tuple[float, ...]:
    """The places of a group's upright rules, and the ends of level ones that reach beyond them."""
    ends = min(rule[0] for rule in group), max(rule[2] for rule in group)
    found: list[float] = []
    for x in sorted(rule[0] for rule in group if rule[2] - rule[0] < rule[3] - rule[1]):
        if not found or x - found[-1] > 2 * touch:
            found.append(x)
    if not found:
        return ()
    before = [ends[0]] if found[0] - ends[0] > 3 * touch else []
    return *before, *found, *([ends[1]] if ends[1] - found[-1] > 3 * touch else [])
