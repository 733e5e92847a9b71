"""Finds stacks: rows that are read together, such as a form's labels and their answers.  Pure.

A label and the answer above or below it share a frame, or are nearer to each other than to the
rows around them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from ocrd.layout.order import Row, rows
from ocrd.layout.pieces import Piece, is_amount
from ocrd.layout.ruled import Rule

NEARER = 0.8  # of the distance to the rows around them
ALIGNED = 1.0  # heights between their left ends, or their middles
SMALLER = 1.12  # an answer is higher than so many times its label's height
MOST_LINES = 4  # of a stack in a frame, with its label
LEAST_ALONE = 3  # stacks in a column, if none has another beside it
LONGEST = 150  # characters of a stack in a frame: more is framed text

Stack = tuple[Row, ...]


def framed(pieces: Iterable[Piece], rules: Sequence[Rule]) -> list[Stack]:
    """The stacks in frames: two lines, or a few if the last is in larger type than the first."""
    frames: dict[tuple[Rule, ...], list[Piece]] = defaultdict(list)
    for piece in pieces:
        if frame := _frame(piece, rules):
            frames[frame].append(piece)
    found = (tuple(rows(inside)) for inside in frames.values())
    return [stack for stack in found if _is_stack(stack)]


def _frame(piece: Piece, rules: Sequence[Rule]) -> tuple[Rule, ...] | None:
    """The nearest rules above, below, left and right of a piece; None unless there are all four."""
    across, down = (piece.box.x1 + piece.box.x2) / 2, piece.middle
    level = [rule for rule in rules if rule[1] == rule[3] and rule[0] <= across <= rule[2]]
    upright = [rule for rule in rules if rule[0] == rule[2] and rule[1] <= down <= rule[3]]
    above = [rule for rule in level if rule[1] < down]
    below = [rule for rule in level if rule[1] >= down]
    left = [rule for rule in upright if rule[0] < across]
    right = [rule for rule in upright if rule[0] >= across]
    if not (above and below and left and right):
        return None
    return (
        max(above, key=lambda rule: rule[1]),
        min(below, key=lambda rule: rule[1]),
        max(left, key=lambda rule: rule[0]),
        min(right, key=lambda rule: rule[0]),
    )


def _is_stack(lines: Stack) -> bool:
    if sum(len(piece.text) for row in lines for piece in row) > LONGEST:
        return False
    labelled = len(lines) <= MOST_LINES and _height(lines[-1]) > SMALLER * _height(lines[0])
    return len(lines) == 2 or (len(lines) > 2 and labelled)


def stacks(column: Sequence[Row]) -> Iterator[tuple[list[Stack], Sequence[Row]]]:
    """A column in parts: each is a list of stacks side by side, or rows without stacks."""
    near = [number for number in range(len(column) - 1) if _near(column, number)]
    alone = [n for n in near if len(column[n]) == len(column[n + 1]) == 1]
    beside = [n for n in near if n not in alone]
    if len(alone) < LEAST_ALONE:
        alone = []
    if len(beside) < 2 and not any(_labelled(column[n], column[n + 1]) for n in beside):
        beside = []
    done = 0
    for number in sorted(alone + beside):
        if done < number:
            yield [], column[done:number]
        yield _stacked(column[number], column[number + 1]), ()
        done = number + 2
    if done < len(column):
        yield [], column[done:]


def _near(column: Sequence[Row], number: int) -> bool:
    """Whether a row and the next are aligned, and nearer to each other than to their neighbours."""
    above, below = column[number : number + 2]
    own = _distance(above, below)
    before = _distance(column[number - 1], above) if number else math.inf
    after = _distance(below, column[number + 2]) if number + 2 < len(column) else math.inf
    if own > NEARER * min(before, after) or is_amount(above[-1].text):
        return False
    fields = len(above) == len(below) == 2 or _labelled(above, below)
    if max(len(above), len(below)) == 1:
        fields = _height(below) > SMALLER * _height(above)
    return fields and len(_pairs(above, below)) == min(len(above), len(below))


def _distance(above: Row, below: Row) -> float:
    return below[0].middle - above[0].middle


def _labelled(above: Row, below: Row) -> bool:
    """Whether one of the two rows is in smaller type than the other."""
    heights = sorted((_height(above), _height(below)))
    return heights[1] > SMALLER * heights[0]


def _height(row: Row) -> float:
    return median(piece.height for piece in row)


def _pairs(above: Row, below: Row) -> dict[Piece, Piece]:
    """Pieces above each other: piece of the row with more pieces -> piece of the other."""
    few, many = sorted((above, below), key=len)
    found: dict[Piece, Piece] = {}
    for piece in few:
        free = (it for it in many if it not in found and _aligned(piece, it))
        if (it := next(free, None)) is not None:
            found[it] = piece
    return found


def _aligned(one: Piece, other: Piece) -> bool:
    left = abs(one.box.x1 - other.box.x1)
    middle = abs(one.box.x1 + one.box.x2 - other.box.x1 - other.box.x2) / 2
    return min(left, middle) < ALIGNED * max(one.height, other.height)


def _stacked(above: Row, below: Row) -> list[Stack]:
    """Two rows as stacks, from left to right."""
    pairs = _pairs(above, below)
    found: list[Stack] = []
    for piece in sorted((above, below), key=len)[1]:
        stack = [piece, pairs[piece]] if piece in pairs else [piece]
        found.append(tuple((it,) for it in sorted(stack, key=lambda it: it.middle)))
    return found
