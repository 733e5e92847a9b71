"""Tables without rules: rows whose words leave the same white gutters.  Pure.

Words of prose are a quarter of an em apart, so that no gutter runs through three lines of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ocrd.page import Block, Box, Markup, Word

_GUTTER = 0.45  # of a line's height, at least: more than half an em
_APART = 2.6  # line heights between the tops of rows, at most
_ROWS = 3  # of a table, at least
_WORDY = 3.5  # words of a cell in the mean: more is a column of prose
_INKED = 0.65  # of a row's length, in the mean: more is prose in narrow columns
_INKED_FIGURES = 0.85  # the same where a column holds figures, as prose does not
_ASIDE, _ASIDE_TIMES = 0.15, 2.2  # of the page's width, and times the other gutters
_SHORT = 2.5  # words of a cell in the mean, in the column that has fewest

Span = tuple[float, float]


def grids(words: Sequence[Word]) -> Iterator[Block]:
    """The tables among the words of a page, top to bottom, each with its cells row by row."""
    rows = _rows(words)
    start = 0
    while start < len(rows):
        run, gutters = _run(rows[start:])
        if len(run) < _ROWS:
            start += 1
            continue
        if halves := _halves(run, gutters):
            for half in halves:
                yield from grids(half)
        elif found := _grid(run, gutters):
            yield found
        start += len(run)


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


def _run(rows: Sequence[list[Word]]) -> tuple[list[list[Word]], list[Span]]:
    """The rows from the first on that leave gutters between them, and those gutters."""
    run, gutters = [rows[0]], _gutters(rows[0])
    for row in rows[1:]:
        height = run[-1][0].box.y2 - run[-1][0].box.y1
        left = list(_common(gutters, row, height))
        fewer = len(run) >= _ROWS and len(left) < len(gutters)
        if not left or fewer or row[0].box.y1 - run[-1][0].box.y1 > _APART * height:
            break
        run.append(row)
        gutters = left
    while len(run) > 1 and len(_cells(run[-1], gutters)) == 1:
        run.pop()
    return run, gutters


def _gutters(row: Sequence[Word]) -> list[Span]:
    height = row[0].box.y2 - row[0].box.y1
    gaps = [(one.box.x2, other.box.x1) for one, other in pairwise(row)]
    return [gap for gap in gaps if gap[1] - gap[0] >= _shape(row) * _GUTTER * height]


def _shape(row: Sequence[Word]) -> float:
    """Fractions of the width in a fraction of the height, by letters of ordinary width."""
    letters = sum(len(word.text) for word in row)
    across = sum(word.box.x2 - word.box.x1 for word in row)
    height = row[0].box.y2 - row[0].box.y1
    return across / max(letters, 1) / height / 0.38  # a letter is half an em wide, a line 1.3 high


def _common(gutters: Sequence[Span], row: Sequence[Word], height: float) -> Iterator[Span]:
    """What of the gutters a row leaves white."""
    least = _shape(row) * _GUTTER * height
    for start, end in gutters:
        pieces = [(start, end)]
        for word in row:
            pieces = [
                part
                for left, right in pieces
                for part in ((left, min(right, word.box.x1)), (max(left, word.box.x2), right))
                if part[1] - part[0] >= least
            ]
        if pieces:
            yield max(pieces, key=lambda part: part[1] - part[0])


def _cells(row: Sequence[Word], gutters: Sequence[Span]) -> dict[int, list[str]]:
    """The words of a row by the number of their column."""
    cells: dict[int, list[str]] = {}
    for word in row:
        middle = (word.box.x1 + word.box.x2) / 2
        column = sum(start < middle for start, _ in gutters)
        cells.setdefault(column, []).append(word.text)
    return cells


def _halves(
    run: Sequence[Sequence[Word]], gutters: Sequence[Span]
) -> tuple[list[Word], list[Word]] | None:
    """An address and what stands beside it, label by label: they are no table together."""
    widths = [right - left for left, right in gutters]
    if len(widths) < 2 or widths[0] < max(_ASIDE, _ASIDE_TIMES * max(widths[1:])):
        return None
    told = [_cells(row, gutters) for row in run]
    labels = [" ".join(cells[column]) for cells in told for column in (0, 1) if column in cells]
    if not all(any(map(str.isalpha, label)) for label in labels):
        return None
    at = sum(gutters[0]) / 2
    words = [word for row in run for word in row]
    left = [word for word in words if word.box.x1 < at]
    return left, [word for word in words if word.box.x1 >= at]


def _grid(run: Sequence[Sequence[Word]], gutters: Sequence[Span]) -> Block | None:
    """The rows as a table; None if they are columns of prose."""
    told = [_cells(row, gutters) for row in run]
    most = _INKED_FIGURES if _has_figures(told) else _INKED
    if sum(len(cells) > 1 for cells in told) < _ROWS or _mean(list(map(_inked, run))) > most:
        return None
    lengths = [_mean([len(cells[at]) for cells in told if at in cells])
               for at in range(len(gutters) + 1)]  # fmt: skip
    if sum(length > _WORDY for length in lengths) > 1:
        return None
    if min(lengths) > _SHORT:
        return None
    rows: list[list[str]] = []
    for at, cells in enumerate(told):
        said = [" ".join(cells.get(column, ())) for column in range(len(lengths))]
        if len(cells) == 1 and _continues(run, at):
            rows[-1] = [" ".join(filter(None, both)) for both in zip(rows[-1], said, strict=True)]
        else:
            rows.append(said)
    box = Box.around(word.box for row in run for word in row)
    return Block("table", "", (box,), Markup.PLAIN, rows=tuple(map(tuple, rows)))


def _has_figures(told: Sequence[dict[int, list[str]]]) -> bool:
    """Whether a column but the first is one of figures below its head."""
    columns = {column for cells in told for column in cells if column}
    return any(
        all(
            len(cells[column]) == 1 and any(map(str.isdigit, cells[column][0]))
            for cells in told[1:]
            if column in cells
        )
        for column in columns
    )


def _inked(row: Sequence[Word]) -> float:
    """How much of a row's length its words take."""
    length = row[-1].box.x2 - row[0].box.x1
    return sum(word.box.x2 - word.box.x1 for word in row) / max(length, 1e-6)


def _continues(run: Sequence[Sequence[Word]], at: int) -> bool:
    """Whether a row is nearer to the one above than to the one below."""
    tops = [row[0].box.y1 for row in run]
    return at > 0 and (at + 1 == len(run) or tops[at] - tops[at - 1] < tops[at + 1] - tops[at])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
