"""Finds tables, and texts that stand side by side, by alignment and by rules.  Pure.

Rows that follow each other make a group while their pieces fall into the same columns.  A group
is a table if its rows are regular; two texts side by side if one gap is far wider than all others
or their lines do not stand on a level; else it is text, row by row.  `grids` and `level_ruled` find
what rules show, and `foot` the small columns below a letter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from ocrd.layout.order import LOOSE, Row, are_texts, columns, rows, strips
from ocrd.layout.pieces import Piece, are_marks, is_count, running
from ocrd.page import Box

LEAST_ROWS = 3
# Of a table at least: its rows, those that are full, and the share of them that nearly are.
REGULAR = (LEAST_ROWS, 2, 0.5)
PAIRS = (LEAST_ROWS, 2, 0.75)  # where there are two columns only
FRAMED = (2, 1, 0.5)  # where rules show its beginning and end
LONGEST_CELL = 45  # characters on average: longer ones are text set in columns
FULL, MOSTLY = 0.85, 0.6  # of its width, of its lines: a column of running text
RUNNING = 25  # letters of its lines
CLOSE, MOST_CLOSE = 0.4, 0.3  # heights, and the share of gaps that are no wider
TIGHT = 0.75  # of the usual distance of rows: closer ones may continue a cell
NEARER = 0.92  # of it: what a first cell goes on with
FAR = 1.7  # usual distances of rows to one that is no longer of the group
FAR_AT_FIRST = 3.2  # heights, where nothing is usual yet
RECENT = 40  # rows that say what is usual
EVEN = 2.2  # times a near distance between rows of one table
HEAD = 4.0  # heights above its only rule in which a table's head stands
WIDE_GAP = 6.0  # heights between texts that stand side by side
WIDER = 2.5  # times as wide as any other gap
LEVEL = 0.3  # heights: cells of a row stand on a level

LONGEST_RULED = 150  # characters of an average cell between rules; more is a page in frames
FOOT, MOST_FOOT = 0.85, 6  # of the page's height, and rows: small columns stand below
SMALL = 0.9  # of the page's type

INTO_CELL = 0.4  # heights by which the first letter of a cell may stand in its rule

Cells = tuple[tuple[str, ...], ...]
Rule = tuple[float, float, float, float]  # left, top, right, bottom: level or upright


@dataclass(slots=True, eq=False)
class _Column:
    left: float
    right: float

    def meets(self, piece: Piece) -> bool:
        return piece.box.x1 < self.right and piece.box.x2 > self.left

    def distance(self, piece: Piece) -> float:
        """From the piece's left end, in pixels; 0 for one that begins in the column."""
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
        """Of its last lines, usually; pixels."""
        return max(1.0, median(piece.height for row in self.rows[-RECENT:] for piece in row))

    def takes(self, row: Row) -> bool:
        """Whether a row goes on with this group."""
        if not self.rows:
            return True
        met = [[n for n, column in enumerate(self.columns) if column.meets(p)] for p in row]
        single = all(len(numbers) <= 1 for numbers in met)
        columns_met = [number for numbers in met for number in numbers]
        apart = len(columns_met) == len(set(columns_met))  # no two pieces lie in one
        return single and apart and any(met) and not self._far(row)

    def spanned_by(self, row: Row, following: Row) -> bool:
        """Whether a row is one cell over several columns, with more of the group below it."""
        among = len(self.columns) > 1 and len(self.rows) > 1 and len(following) > 1
        return among and len(row) == 1 and not self._far(row) and self.takes(following)

    def add(self, row: Row, *, spans: bool = False) -> None:
        """Take a row in; what spans columns does not join them."""
        for piece in () if spans else row:
            column = next((one for one in self.columns if one.meets(piece)), None)
            if column is None:
                self.columns.append(_Column(piece.box.x1, piece.box.x2))
            else:
                column.left = min(column.left, piece.box.x1)
                column.right = max(column.right, piece.box.x2)
        self.columns.sort(key=lambda column: column.left)
        self.rows.append(row)

    def distances(self, last: int = 0) -> list[float]:
        """From each row to the next, pixels; of so many rows at the end, or of all."""
        return [below[0].middle - above[0].middle for above, below in pairwise(self.rows[-last:])]

    def _far(self, row: Row) -> bool:
        distances = self.distances(RECENT)
        distance = row[0].middle - self.rows[-1][0].middle
        usual = FAR * median(distances) if len(distances) > 1 else 0.0
        return distance > max(usual, FAR_AT_FIRST * self.height)

    def cells(self, *, framed: bool = False, parted: bool = False) -> Cells | None:
        """Its cells if it is a table.  Cells over several columns leave the others empty.

        `framed` says that rules show where it begins and ends; `parted`, that they part each row
        from the next.
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
        """Whether most cells stand farther apart than words do."""
        gaps = [b.box.x1 - a.box.x2 for row in self.rows for a, b in pairwise(row)]
        least = CLOSE * self.height
        close = sum(gap < least for gap in gaps)
        return close <= MOST_CLOSE * len(gaps)

    def _listed(self) -> bool:
        """Whether this is one column of text behind its marks, perhaps with marks after it too.

        What reaches over several columns is a sentence between items, and no cell.
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
        """Whether a column is running text, and what stands beside it is its margin."""
        for column in self.columns:
            lines = [[piece for piece in row if column.meets(piece)] for row in self.rows]
            lines = [line for line in lines if line]
            width = FULL * (column.right - column.left)
            full = sum(line[-1].box.x2 - line[0].box.x1 > width for line in lines)
            letters = sum(len(piece.text) for line in lines for piece in line)
            if letters > RUNNING * len(lines) and full > MOSTLY * len(lines) > 2:
                return True
        return False

    def texts(self) -> list[list[Row]] | None:
        """Texts that stand side by side, each as its rows."""
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
        """Whether there are words in each cell of a column, as there are not among figures."""
        column = self.columns[number]
        found = [piece.text for row in self.rows for piece in row if column.meets(piece)]
        return all(any(map(str.isalpha, text)) for text in found)

    def _on_a_level(self, at: float) -> bool:
        """Whether what stands left and right of a place shares its lines."""
        both = [row for row in self.rows if row[0].box.x1 < at <= row[-1].box.x1 + 1]
        off = [abs(row[0].middle - row[-1].middle) > LEVEL * self.height for row in both]
        return 2 * sum(off) < len(both)

    def _spread(self) -> list[list[list[str]]]:
        """The texts in each cell of each row.

        A row that only goes on with cells of the row above is put to it: one with nothing in the
        first column, or nothing but that, and nearer than rows usually are.
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
                distance < TIGHT * usual
                if not cells[0]
                else alone and distance < NEARER * min(usual, after)
            ):
                for cell, more in zip(found[-1], cells, strict=True):
                    cell += more
            else:
                found.append(cells)
        return found


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

    In type of the page's own size, or with figures below each other, they are a table.
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
    figures = any(all(_is_figure(row[0].text) for row in strip[1:]) for strip in found)
    return found if small and several and not figures else []


def _is_figure(text: str) -> bool:
    return sum(map(str.isdigit, text)) > 2 * sum(map(str.isalpha, text))


def _trimmed(group: Group) -> Iterator[Group]:
    """A group without the lines of text before and after its cells, which are its own groups."""
    lines = group.rows
    cells = [number for number, row in enumerate(lines) if len(row) > 1]
    if not cells or group.texts() is not None:
        yield group
        return
    last = cells[-1] + 1
    distances = group.distances()
    near = NEARER * median(distances[cells[0] : last - 1] or [0.0])
    while last < len(lines) and distances[last - 1] < near:
        last += 1  # it goes on with a cell
    before, after = _edge_rows(lines[cells[0] : last])
    first, last = cells[0] + before, last - after
    for part in (lines[:first], lines[first:last], lines[last:]):
        if part:
            yield _group(part)


def _edge_rows(lines: Sequence[Row]) -> tuple[int, int]:
    """How many rows before and after a table are not its own: a caption, sums with their names."""
    if _group(lines).runs():
        return 0, 0
    for before, after in ((0, 0), (0, 1), (0, 2), (1, 0)):
        rest = lines[before : len(lines) - after]
        if len(rest) >= LEAST_ROWS and _group(rest).cells() is not None:
            return before, after
    return 0, 0


def _group(lines: Sequence[Row]) -> Group:
    group = Group()
    for row in lines:
        group.add(row, spans=bool(group.rows) and not group.takes(row))
    return group


def _texts(found: list[list[list[str]]]) -> Cells:
    return tuple(tuple(map(running, cells)) for cells in found)


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
    """Whether two rows are words and figures below them."""
    if len(found) != 2 or count < 3 or not all(map(all, found)):
        return False
    above, below = ([any(map(str.isdigit, "".join(cell))) for cell in row] for row in found)
    return not any(above) and 2 * sum(below) >= count


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the rules of a table cross.

    Attributes:
        lefts: Of its columns, and the right edge of the last.
        tops: Of its rows, and the bottom of the last.
    """

    lefts: tuple[float, ...]
    tops: tuple[float, ...]

    def holds(self, piece: Piece) -> bool:
        """Whether a piece stands in it."""
        middle = (piece.box.x1 + piece.box.x2) / 2
        across = self.lefts[0] < middle < self.lefts[-1]
        return across and self.tops[0] < piece.middle < self.tops[-1]

    def cells(self, pieces: Iterable[Piece]) -> Cells | None:
        """What stands in its cells, if that is a table; a cell begins where its text does."""
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
    """Rules that touch and make columns and rows.

    Args:
        ruled: Level and upright.
        touch: How far apart ends may be that are meant to meet, pixels.
    """
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
    """Tables with level rules alone: heads above one, their columns down to the next of its length.

    Args:
        pieces: Of the page.
        ruled: Level and upright.
        touch: How far apart ends may be that are meant to be the same, pixels.
    """
    line = median(piece.height for piece in pieces) if pieces else 0.0
    for stack in _alike(ruled, touch):
        left, top, right, _ = stack[0]
        above = top - HEAD * line  # the head may have a rule below it only
        bands = [
            rows(piece for piece in pieces if box.holds(piece.box))
            for over, under in pairwise([(left, above, right, above), *stack])
            for box in [Box(over[0], over[1], over[2], under[1])]
        ]
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
                and (cells := _group(lines).cells(framed=True, parted=parted))
            ):
                yield lines, cells
                taken = {id(piece) for row in lines for piece in row}
                pieces = [piece for piece in pieces if id(piece) not in taken]
            bands = bands[end:]


def _is_one(body: Sequence[Row]) -> bool:
    """Whether rows between rules follow each other evenly, and are not columns of running text."""
    group = _group(body)
    distances = sorted(group.distances()) or [0.0]
    even = max(EVEN * distances[len(distances) // 4], FAR_AT_FIRST * group.height)
    return distances[-1] <= even and len(columns(piece for row in body for piece in row)) == 1


def _alike(ruled: Sequence[Rule], touch: float) -> list[list[Rule]]:
    """Several level rules with the same ends, from top to bottom."""
    stacks: list[list[Rule]] = []
    for rule in sorted((rule for rule in ruled if rule[1] == rule[3]), key=lambda rule: rule[1]):
        same = [s for s in stacks if max(abs(s[0][0] - rule[0]), abs(s[0][2] - rule[2])) < touch]
        if not same:
            stacks.append([rule])
        elif rule[1] - same[0][-1][1] > touch:
            same[0].append(rule)
    return [stack for stack in stacks if len(stack) > 1]


def _below_heads(band: Sequence[Row], below: Sequence[Row]) -> bool:
    """Whether what stands below a band of several heads lies below one of them each."""
    heads = _group(band).columns if band and len(band[0]) > 1 else []
    if len(heads) < 2 or not any(len(row) > 1 for row in below):
        return False
    stubs = heads[0].left  # what stands left of all heads needs none
    pieces = [piece for row in below for piece in row if piece.box.x2 > stubs]
    return all(sum(head.meets(piece) for head in heads) == 1 for piece in pieces)


def _meet(a: Rule, b: Rule, touch: float) -> bool:
    across = min(a[2], b[2]) - max(a[0], b[0])
    return across >= -touch and min(a[3], b[3]) - max(a[1], b[1]) >= -touch


def _edges(group: Sequence[Rule], touch: float) -> tuple[float, ...]:
    """Where the upright rules of a group stand, and how far the level ones reach beyond them."""
    ends = min(rule[0] for rule in group), max(rule[2] for rule in group)
    found: list[float] = []
    for x in sorted(rule[0] for rule in group if rule[2] - rule[0] < rule[3] - rule[1]):
        if not found or x - found[-1] > 2 * touch:
            found.append(x)
    if not found:
        return ()
    before = [ends[0]] if found[0] - ends[0] > 3 * touch else []
    return *before, *found, *([ends[1]] if ends[1] - found[-1] > 3 * touch else [])
