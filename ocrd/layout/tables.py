"""Finds tables, and texts that stand side by side, by alignment.  Pure.

Successive rows make a group while their pieces fall into the same columns.  A group is a table if
its rows are regular; it is texts side by side if one gap is far wider than all others, their lines
are not level or their sentences continue; otherwise it is text, row by row.  `foot` finds the small
columns below a letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

from ocrd.layout.order import LOOSE, Row, are_texts, rows, strips
from ocrd.layout.pieces import Piece, are_marks, is_amount, is_count, running
from ocrd.page import Box

LEAST_ROWS = 3
# What a table needs at least: rows, full rows, and the share of rows that are nearly full.
REGULAR = (LEAST_ROWS, 2, 0.5)
PAIRS = (LEAST_ROWS, 2, 0.75)  # where there are two columns only
FRAMED = (2, 1, 0.5)  # where rules show its beginning and end
LONGEST_CELL = 45  # characters on average: longer ones are text set in columns
FULL, MOSTLY = 0.85, 0.6  # running text fills so much of its width, in so many of its lines
RUNNING = 25  # letters of its lines
CLOSE, MOST_CLOSE = 0.4, 0.3  # heights, and the share of a table's gaps that may be narrower
TIGHT = 0.75  # of the usual distance of rows: closer ones may continue a cell
NEARER = 0.92  # of it: a row so close may continue a first cell
FAR = 1.7  # times the usual distance of rows: a row further away is not of the group
FAR_SENTENCE = 1.25  # likewise for a sentence that stands between tables
FAR_AT_FIRST = 3.2  # heights, where there is no usual distance yet, or for a single cell
FAR_CELLS, DISTINCT = 2.5, 1.2  # heights, and times the widest distance so far, for a row of cells
PRICED = 0.7  # of the rows with several cells end in an amount
SPACE = 0.35  # heights: a sign is no farther from its amount
RECENT = 40  # last rows, from which the usual distance is taken
WIDE_GAP = 6.0  # heights between texts that stand side by side
WIDER = 2.5  # times as wide as any other gap
LEVEL = 0.3  # heights: cells of a row stand on a level

FOOT, MOST_FOOT = 0.85, 6  # of the page's height, below which small columns stand; and their rows
SMALL = 0.9  # of the page's type
LONGEST_FIGURE = 9  # digits; more are an account's


_LEADER = re.compile(  # dots that lead to the next cell, or from the one before
    r"^[.…]+(?:\s+[.…]+)*(?:\s+|(?=[^\w\s.…]|\d+[.,]\d\d))|(?<=\w)(?:(?:\s*[.…]){2,}|\s+[.…])$"
)
Cells = tuple[tuple[str, ...], ...]


@dataclass(slots=True, eq=False)
class _Column:
    left: float
    right: float

    def meets(self, piece: Piece) -> bool:
        return piece.box.x1 < self.right and piece.box.x2 > self.left

    def distance(self, piece: Piece) -> float:
        """The distance of a piece's left end from the column; 0 if it begins in the column."""
        return max(self.left - piece.box.x1, piece.box.x1 - self.right, 0.0)


@dataclass(slots=True)
class Group:
    """Rows whose pieces fall into the same columns.

    Attributes:
        rows: From top to bottom.
        columns: From left to right.
    """

    rows: list[Row] = field(default_factory=list)
    columns: list[_Column] = field(default_factory=list)

    @property
    def height(self) -> float:
        """The median height of the pieces in its last rows, at least 1."""
        return max(1.0, median(piece.height for row in self.rows[-RECENT:] for piece in row))

    def takes(self, row: Row, above: Row = ()) -> bool:
        """Whether a row continues this group, below its last row or one that spans it."""
        if not self.rows:
            return True
        cells = _whole(row)
        met = [[n for n, column in enumerate(self.columns) if column.meets(p)] for p in cells]
        single = all(len(numbers) <= 1 for numbers in met)
        columns_met = [number for numbers in met for number in numbers]
        apart = len(columns_met) == len(set(columns_met))  # no two cells lie in one
        return single and apart and any(met) and not self._far(row, above)

    def spanned_by(self, row: Row, following: Row) -> bool:
        """Whether a row may be one cell over several columns, with more of the group below it."""
        among = len(self.columns) > 1 and len(self.rows) > 1 and len(following) > 1
        return among and len(row) == 1 and not self._far(row) and self.takes(following, row)

    def add(self, row: Row, *, spans: bool = False) -> None:
        """Add a row; where it `spans` columns, it leaves them as they are."""
        for piece in _whole(row):
            met = [one for one in self.columns if one.meets(piece)]
            column = met[0] if met else None
            if spans and len(met) != 1:
                continue
            if column is None:
                self.columns.append(_Column(piece.box.x1, piece.box.x2))
            else:
                column.left = min(column.left, piece.box.x1)
                column.right = max(column.right, piece.box.x2)
        self.columns.sort(key=lambda column: column.left)
        self.rows.append(row)

    def distances(self, last: int = 0) -> list[float]:
        """The distances from each row to the next, of the `last` rows or, if 0, of all."""
        return [below[0].middle - above[0].middle for above, below in pairwise(self.rows[-last:])]

    def _far(self, row: Row, above: Row = ()) -> bool:
        distances = self.distances(RECENT)
        distance = row[0].middle - (above or self.rows[-1])[0].middle
        usual = FAR * median(distances) if len(distances) > 1 else 0.0
        if len(row) == 1 and len(row[0].text) > LONGEST_CELL and usual:
            return distance > FAR_SENTENCE * median(distances)
        parts = len(row) > 1 and usual > 0 and distance > DISTINCT * max(distances)
        return distance > max(usual, (FAR_CELLS if parts else FAR_AT_FIRST) * self.height)

    def cells(self, *, framed: bool = False, parted: bool = False) -> Cells | None:
        """Its cells if it is a table.  Cells over several columns leave the others empty.

        `framed` says that rules show where it begins and ends; `parted`, that they separate each
        row from the next.
        """
        found, count = self._spread(), len(self.columns)
        letters = sum(len(piece.text) for row in self.rows for piece in row)
        if min(count, len(found)) < 2 or letters > LONGEST_CELL * sum(map(len, self.rows)):
            return None
        if self.runs() or not (parted or self.texts() is None):
            return None
        if framed:
            return _texts(found) if _regular(found, count, FRAMED) else None
        regular = _regular(found, count, REGULAR if count > 2 else PAIRS)
        if not (regular or _headed(found, count)) or self._listed() or not self._spaced():
            return None
        return _texts(found)

    def _spaced(self) -> bool:
        """Whether most cells are farther apart than words are."""
        gaps = [b.box.x1 - a.box.x2 for row in self.rows for a, b in pairwise(_whole(row))]
        least = CLOSE * self.height
        close = sum(gap < least for gap in gaps)
        return close <= MOST_CLOSE * len(gaps)

    def _listed(self) -> bool:
        """Whether this is one column of text after its marks, perhaps with marks after it too.

        A piece over several columns is a sentence between items, and no cell.
        """
        said: list[list[str]] = [[] for _ in self.columns]
        for piece in (piece for row in self.rows for piece in row):
            met = [number for number, column in enumerate(self.columns) if column.meets(piece)]
            if len(met) == 1:
                said[met[0]].append(piece.text)
        texts = [column for column in said if column and not are_marks(column)]
        if len(texts) != 1 or texts[0] not in said[-2:]:
            return False
        worded = sum(any(map(str.isalpha, text)) for text in texts[0])
        return 2 * worded > len(texts[0])

    def runs(self) -> bool:
        """Whether a column is running text, so that what is beside it is its margin."""
        if self._priced():
            return False
        for column in self.columns:
            lines = [[piece for piece in row if column.meets(piece)] for row in self.rows]
            lines = [line for line in lines if line]
            width = FULL * (column.right - column.left)
            full = sum(line[-1].box.x2 - line[0].box.x1 > width for line in lines)
            letters = sum(len(piece.text) for line in lines for piece in line)
            if letters > RUNNING * len(lines) and full > MOSTLY * len(lines) > 2:
                return True
        return False

    def _priced(self) -> bool:
        """Whether an amount ends most rows, which makes items of what stands before it."""
        ends = [is_amount(row[-1].text) for row in self.rows if len(row) > 1]
        return sum(ends) >= max(2, PRICED * len(ends))

    def texts(self) -> list[list[Row]] | None:
        """Its texts side by side, each as its rows; None if it is not that."""
        if self._priced():
            return None
        pieces = [piece for row in self.rows for piece in row]
        beside = [rows(filter(column.meets, pieces)) for column in self.columns]
        apart = len(beside) > 1 and sum(map(len, beside)) == len(pieces)
        if apart and min(map(len, beside)) >= LEAST_ROWS and are_texts(beside):
            return beside
        gaps = [b.left - a.right for a, b in pairwise(self.columns)]
        if not gaps or max(gaps) < WIDE_GAP * self.height:
            return None
        widest = max(gaps)
        before = gaps.index(widest) + 1  # columns
        at = self.columns[before].left
        others = [gap for gap in gaps if gap != widest]
        if others:
            alone = before == 1 or len(self.columns) - before == 1
            apart = widest > WIDER * max(others) and alone
            if not (apart and self._wordy(before - 1) and self._wordy(before)):
                return None
        elif self._on_a_level(at):
            return None
        left = rows(piece for piece in pieces if piece.box.x1 < at)
        return [left, rows(piece for piece in pieces if piece.box.x1 >= at)]

    def _wordy(self, number: int) -> bool:
        """Whether each piece in a column has letters, unlike in a column of figures."""
        column = self.columns[number]
        found = [piece.text for row in self.rows for piece in row if column.meets(piece)]
        return all(any(map(str.isalpha, text)) for text in found)

    def _on_a_level(self, at: float) -> bool:
        """Whether most rows with pieces on both sides of `at` are level."""
        both = [row for row in self.rows if row[0].box.x1 < at <= row[-1].box.x1 + 1]
        off = [abs(row[0].middle - row[-1].middle) > LEVEL * self.height for row in both]
        return 2 * sum(off) < len(both)

    def _spread(self) -> list[list[list[str]]]:
        """The texts in each cell of each row.

        A row that only continues cells of the row above is joined to it: one that has nothing in
        the first column, or nothing else, and is nearer than rows usually are.
        """
        distances = self.distances()
        cell_rows = [d for d, row in zip(distances, self.rows[1:], strict=True) if len(row) > 1]
        usual = median(cell_rows or distances or [0.0])
        found: list[list[list[str]]] = []
        for row, distance, after in zip(
            self.rows, [usual, *distances], [*distances, usual], strict=True
        ):
            cells: list[list[str]] = [[] for _ in self.columns]
            for piece in row:
                nearest = min(self.columns, key=lambda column: column.distance(piece))
                cells[self.columns.index(nearest)].append(piece.text)
            alone = cells[0] and len(row) == 1
            if found and (
                distance < TIGHT * usual and not is_amount(row[-1].text)
                if not cells[0]
                else alone and distance < NEARER * min(usual, after)
            ):
                for cell, more in zip(found[-1], cells, strict=True):
                    cell += more
            else:
                found.append(cells)
        return found


def _whole(row: Row) -> list[Piece]:
    """The cells of a row: a sign or a dot at a word's distance is part of its neighbour's cell."""
    found = [*row[:1]]
    for piece in row[1:]:
        last = found[-1]
        near = piece.box.x1 - last.box.x2 < SPACE * min(piece.height, last.height)
        if near and not (_has_letters(last) and _has_letters(piece)):
            text = last if _has_letters(last) else piece
            found[-1] = replace(text, box=Box.around([last.box, piece.box]))
        else:
            found.append(piece)
    return found


def _has_letters(piece: Piece) -> bool:
    """Whether the piece has letters or digits, and is not a sign or a dot alone."""
    return any(map(str.isalnum, piece.text))


def groups(lines: Sequence[Row]) -> Iterator[Group]:
    """The rows of a column of the page in groups, from top to bottom."""
    group = Group()
    for row, following in pairwise([*lines, ()]):
        takes = group.takes(row)
        spans = not takes and group.spanned_by(row, following)
        if not takes and not spans:
            yield from _trimmed(group)
            group = Group()
        group.add(row, spans=spans)
    if group.rows:
        yield from _trimmed(group)


def foot(pieces: Sequence[Piece], page_height: float) -> list[list[Row]]:
    """Small columns at the foot of a page (address, bank, register), each as its rows.

    Columns in type of the page's own size, or with one of figures only, are a table instead.
    """
    low = list[Piece]()
    top = page_height
    for row in reversed(rows(pieces)):
        if len(row) == 1 and is_count(row[0].text):  # the page's number
            continue
        if low and top - row[0].middle > LOOSE * row[0].height:
            break
        top = row[0].middle
        low += row
    found = [rows(strip) for strip in strips(low)]
    above = [piece for piece in pieces if piece not in low]
    if not above or len(found) < 3 or top < FOOT * page_height:
        return []
    usual = median(piece.height for piece in above)
    small = median(piece.height for piece in low) < SMALL * usual
    several = all(1 < len(strip) <= MOST_FOOT for strip in found)
    figures = all(_is_figure(row[0].text) for strip in found[1:] for row in strip[1:])
    return found if small and several and not figures else []


def _is_figure(text: str) -> bool:
    digits = sum(map(str.isdigit, text))
    return LONGEST_FIGURE >= digits > 2 * sum(map(str.isalpha, text))


def _trimmed(group: Group) -> Iterator[Group]:
    """A group, and as groups of their own the lines of text before and after its cells."""
    lines = group.rows
    cells = [number for number, row in enumerate(lines) if len(row) > 1]
    if not cells or group.texts() is not None:
        yield group
        return
    last = cells[-1] + 1
    distances = group.distances()
    near = NEARER * median(distances[cells[0] : last - 1] or [0.0])
    while last < len(lines) and distances[last - 1] < near:
        last += 1  # it continues a cell
    before, after = _edge_rows(lines[cells[0] : last])
    first, last = cells[0] + before, last - after
    if first:
        yield group_of(lines[:first])
    yield group_of(lines[first:last])
    if last < len(lines):
        yield from _trimmed(group_of(lines[last:]))


def _edge_rows(lines: Sequence[Row]) -> tuple[int, int]:
    """How many first and last rows are not the table's: a caption, labelled totals."""
    if group_of(lines).runs():
        return 0, 0
    for before, after in ((0, _sums(lines)), (0, 0), (0, 1), (0, 2), (1, 0)):
        rest = lines[before : len(lines) - after]
        if len(rest) >= LEAST_ROWS and group_of(rest).cells() is not None:
            return before, after
    return 0, 0


def _sums(lines: Sequence[Row]) -> int:
    """How many rows at the end are sums with their names, set apart from the items above them."""
    left = min(row[0].box.x1 for row in lines)
    priced = [row for row in lines if len(row) > 1 and is_amount(row[-1].text)]
    items = [row for row in priced if row[0].box.x1 - left < row[0].height]
    sums = priced[len(items) :]
    if len(items) < 2 or not sums or lines[-len(sums) :] != sums or sums[0] in items:
        return 0
    usual = median(below[0].middle - above[0].middle for above, below in pairwise(items))
    apart = sums[0][0].middle - items[-1][0].middle
    return len(sums) if abs(apart - usual) > (1 - NEARER) * usual else 0


def group_of(lines: Sequence[Row]) -> Group:
    """All these rows as one group, whether they fit together or not."""
    group = Group()
    for row in lines:
        group.add(row, spans=bool(group.rows) and not group.takes(row))
    return group


def _texts(found: list[list[list[str]]]) -> Cells:
    return tuple(tuple(_LEADER.sub("", running(cell)) for cell in cells) for cells in found)


def _regular(found: list[list[list[str]]], count: int, least: tuple[int, int, float]) -> bool:
    """Whether enough rows have nearly as many cells as there are columns.

    Args:
        found: The texts in each cell of each row.
        count: Columns.
        least: Rows; those of them that are full; the share that are nearly so.
    """
    filled = [sum(map(bool, cells)) for cells in found]
    regular = sum(number >= max(2, count - 1) for number in filled)
    whole = sum(number == count for number in filled)
    return len(found) >= least[0] and whole >= least[1] and regular >= least[2] * len(found)


def _headed(found: list[list[list[str]]], count: int) -> bool:
    """Whether there are two full rows, of words and of figures below them."""
    if len(found) != 2 or count < 3 or not all(map(all, found)):
        return False
    above, below = ([any(map(str.isdigit, "".join(cell))) for cell in row] for row in found)
    return not any(above) and 2 * sum(below) >= count
