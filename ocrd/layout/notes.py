"""Finds what is in the margin of running text but no part of it: side notes, line numbers.  Pure.

A note begins level with a line of the text, and there is far more text than notes.  One in the left
margin is read before the paragraph beside it, one in the right margin after it.  Numbers that count
the lines, each or every fifth, belong to no sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from statistics import median
from typing import TypeVar

from ocrd.layout.order import PROSE, Row, goes_on, rows, strips
from ocrd.layout.pieces import Piece, are_marks
from ocrd.page import Box

LEAST_LINES = 6  # of running text
EDGES = 0.05  # of its lines may reach beyond its measure, such as a title
NARROW = 0.5  # of the measure: a wider margin is a column
MOST_LINES, MOST_ALONE = 10, 4  # of a note; of a single one, lest it be a column of cells
GAP = 1.25  # times the usual distance of lines: further apart, another note begins
LEVEL = 0.2  # line heights by which a note may begin above or below a line of the text
ON_LEVEL = 0.7  # of the notes, at least, begin level with a line of the text
MORE_TEXT = 2  # full lines of text for each note: cells have as many as there are rows
MOST_NOTED = 0.7  # lines of notes for each of the text: more is a column
LEAST_NUMBERS, COUNTED = 3, 0.7  # line numbers of a margin, and their share of its numbers
LONGEST_NUMBER = 4  # digits
STEPS = (5, 10)  # lines, where not every line has its number
LEAST_EACH, NEARLY = 10, 0.9  # numbered lines where every line is, and their share of all lines

T = TypeVar("T")


def notes(pieces: Sequence[Piece]) -> list[list[Row]]:
    """The side notes of a page, each as its rows, from top to bottom."""
    text = [piece for piece in pieces if len(piece.text) > PROSE]
    if len(text) < LEAST_LINES:
        return []
    left, right = _edges(text)
    sides = (
        [piece for piece in pieces if piece.box.x2 < left],
        [piece for piece in pieces if piece.box.x1 > right],
    )
    body = [piece for piece in pieces if piece.box.x2 >= left and piece.box.x1 <= right]
    widest = NARROW * (right - left)
    found = [note for side in sides for note in _in_margin(side, text, rows(body), widest)]
    return sorted(found, key=lambda note: note[0][0].middle)


def line_numbers(pieces: Sequence[Piece]) -> list[Row]:
    """The numbers that count the lines of a page, those of each margin from top to bottom.

    From each to the next there are as many lines as the number grows by.  Numbers that grow by one
    may lead clauses, items or the cells of a table instead; so they only count if nearly all lines
    of the page have one and nothing else beside them, and most end in the middle of a phrase.
    """
    printed = rows(pieces)
    place = {piece: number for number, row in enumerate(printed) for piece in row}
    numbers = [it for it in place if it.text.isdecimal() and len(it.text) <= LONGEST_NUMBER]
    full = sum(len(piece.text) > PROSE for piece in pieces)
    found = []
    for strip in strips(numbers):
        strip.sort(key=lambda piece: piece.middle)
        counted = dict[Piece, int]()
        for above, below in pairwise(strip):
            step = int(below.text) - int(above.text)
            if step == place[below] - place[above] > 0:
                counted |= {above: step, below: step}
        if len(counted) < max(LEAST_NUMBERS, COUNTED * len(strip)):
            continue
        column = tuple(counted)
        beside = printed[place[column[0]] : place[column[-1]] + 1]
        others = [[piece for piece in row if piece not in counted] for row in beside]
        lines = [max(row, key=lambda piece: piece.width) for row in others if row]
        rise = all(int(above.text) < int(below.text) for above, below in pairwise(column))
        if len(lines) < LEAST_LINES or not rise or not _clear(column, chain.from_iterable(others)):
            continue
        alone = sum(len(printed[place[number]]) <= 2 for number in column)
        each = alone >= max(LEAST_EACH, NEARLY * len(column), NEARLY * full) and _run_on(lines)
        step = min(counted.values())
        if step in STEPS or (step == 1 and each):
            found.append(column)
    return found


def _clear(numbers: Row, text: Iterable[Piece]) -> bool:
    """Whether nearly nothing else is above or below these numbers: only titles reach across."""
    left, right = min(it.box.x1 for it in numbers), max(it.box.x2 for it in numbers)
    across = [piece.box.x1 < right and piece.box.x2 > left for piece in text]
    return sum(across) <= max(1, EDGES * len(across))


def _run_on(lines: Sequence[Piece]) -> bool:
    """Whether lines are running text, rather than clauses or items of one line each."""
    prose = sum(len(piece.text) for piece in lines) > PROSE * len(lines)
    open_ends = sum(piece.text[-1:] not in ".,;:" for piece in lines)
    return prose and 2 * open_ends > len(lines) and goes_on([(it,) for it in lines])


def _edges(lines: Sequence[Piece]) -> tuple[float, float]:
    """The left and right edges of lines, apart from the few that reach further."""
    few = max(1, int(EDGES * len(lines)))
    return sorted(it.box.x1 for it in lines)[few], sorted(it.box.x2 for it in lines)[-1 - few]


def _in_margin(
    side: Sequence[Piece], text: Sequence[Piece], body: Sequence[Row], widest: float
) -> list[list[Row]]:
    """The notes in one margin; none if something else stands there.

    `text` are the full lines beside it, `body` are all rows; a margin is no wider than `widest`.
    """
    if not side or max(p.box.x2 for p in side) - min(p.box.x1 for p in side) > widest:
        return []
    first, last = (end(piece.middle for piece in text) for end in (min, max))
    line = median(piece.height for piece in text)
    beside = [piece for piece in side if first - line < piece.middle < last + line]
    found = [note for note in _grouped(rows(beside)) if not _is_number(note)]
    if not found or max(map(len, found)) > (MOST_LINES if len(found) > 1 else MOST_ALONE):
        return []
    level = [
        any(abs(note[0][0].middle - it.middle) < LEVEL * line for it in text) for note in found
    ]
    top, bottom = found[0][0][0].middle - line, found[-1][-1][0].middle + 2 * line
    full = sum(top < piece.middle < bottom for piece in text)
    lines = sum(top < row[0].middle < bottom for row in body)
    few = full >= MORE_TEXT * len(found) and sum(map(len, found)) <= MOST_NOTED * lines
    return found if few and sum(level) >= ON_LEVEL * len(found) else []


def _grouped(lines: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows grouped into notes: rows that follow each other closely."""
    distances = sorted(b[0].middle - a[0].middle for a, b in pairwise(lines))
    usual = distances[len(distances) // 4] if distances else 0.0
    group: list[Row] = []
    for row in lines:
        near = min(usual, 1.5 * row[0].height)
        if group and row[0].middle - group[-1][0].middle > GAP * near:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _is_number(note: Sequence[Row]) -> bool:
    texts = [piece.text for row in note for piece in row]
    return not any(map(str.isalpha, "".join(texts))) or are_marks(texts)


def among(
    found: Iterable[T],
    beside: Sequence[tuple[Box, T]],
    places: Callable[[T], Sequence[Box]],
) -> list[T]:
    """What was found on a page, in reading order, with its side notes.

    Args:
        found: Everything but the notes, in reading order.
        beside: For each note, from top to bottom, its first line and what was made of it.
        places: Gives the boxes of something found; a paragraph may continue in another column.
    """
    done = list(found)
    homes = [(note, _home(line, done, places)) for line, note in beside]
    for note, home in homes:
        if home is None or home[1]:
            done.insert(len(done) if home is None else done.index(home[0]), note)
    for note, home in reversed(homes):
        if home is not None and not home[1]:
            done.insert(done.index(home[0]) + 1, note)
    return done


def _home(
    line: Box, found: Sequence[T], places: Callable[[T], Sequence[Box]]
) -> tuple[T, bool] | None:
    """What is beside a line, or else nearest to it, and whether the line is left of that."""
    middle = (line.y1 + line.y2) / 2

    def away(near: tuple[T, Box]) -> tuple[float, float]:
        box = near[1]
        return max(box.y1 - middle, middle - box.y2, 0.0), max(box.x1 - line.x2, line.x1 - box.x2)

    near = min(((one, box) for one in found for box in places(one)), key=away, default=None)
    return None if near is None else (near[0], line.x1 < near[1].x1)
