"""Finds the blocks of a page: titles, paragraphs, tables, running heads, page numbers.  Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, pairwise
from statistics import median

from ocrd.engine.rapid.paragraphs import BOLD, Join, TextLine, paragraphs
from ocrd.engine.rapid.quads import weighted_median
from ocrd.engine.rapid.stacks import framed, stacks
from ocrd.layout.addresses import addresses, is_address
from ocrd.layout.contents import contents
from ocrd.layout.notes import among, line_numbers, notes
from ocrd.layout.order import Row, columns, rows
from ocrd.layout.pieces import Piece, is_amount, is_item, numbered, running
from ocrd.layout.ruled import Rule, grids, level_ruled
from ocrd.layout.tables import Cells, foot, groups
from ocrd.page import Box, Line

TITLE = 1.5  # times the type of the page
SUB_TITLE = 1.2
BOLD_TITLE = 1.04  # likewise for bold type, if the blocks below are short
LONG, BOLD_LONG = 20, 1.1  # characters; bold in longer lines: so many times the width x strokes
JUDGED, HIGHER, LOWEST = 12, 1.1, 0.95  # characters; times the height if shorter; if longer
LONGEST_TITLE = 120  # characters
INDENT = 2  # heights of a line
LONGEST_PLAIN = 60  # characters of a heading that only its number or its place shows
CENTRED = 0.15  # of the width, on both sides
LEAST_BELOW = 40  # characters of text below a heading
LONGEST_LEAD = 4  # lines
LEAST_TITLE = 3  # letters
MARGIN = 0.09  # of the page's height: the place of running heads and feet
APART = 1.8  # usual distances of lines between them and the rest
LARGEST_MARGIN = 1.25  # times the type of the page: a larger line is a title, or a total
MOST_CAPITALS = 0.3  # of the letters: on a page with more, capitals do not stand out
MOST_HEADINGS = 0.3  # of the letters
TOUCH = 8.0  # pixels between the ends of rules that meet
LEAST_BODY = 5  # rows: a page with no more has no running head or foot

_DATE = re.compile(r"\d{1,2}\.?\s+(?:de\s+)?[^\W\d_]+\.?,?\s+(?:de\s+)?\d{2,4}\.?")  # 12 March 2026
_PAGE_NUMBER = re.compile(
    r"(?:(?:page|seite|p\.)\s*)?[-\u2013(\[]?\s*(?:\d{1,4}|[ivxl]{1,6})\s*[-\u2013)\]]?"
    r"(?:\s*(?:/|of|von)\s*\d{1,4})?"
    r"|第\s*\d{1,4}\s*[页頁](?:\s*共\s*\d{1,4}\s*[页頁])?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A block of the page.

    Attributes:
        label: `title`, `sub_title`, `text`, `list`, `table`, `header`, `footer`, `page_number`,
            `aside_text`.
        text: Its content as running text; lines that were broken on purpose remain lines.
        rows: Its rows as printed.
        level: The level of a heading; 0 for other blocks.
        cells: The cells of a table, by rows; empty for other blocks.
    """

    label: str
    text: str
    rows: tuple[Row, ...]
    level: int = 0
    cells: tuple[tuple[str, ...], ...] = ()

    @property
    def printed(self) -> str:
        """Its text row by row as printed, with two spaces between pieces."""
        return "\n".join("  ".join(piece.text for piece in row) for row in self.rows)


def blocks(pieces: Iterable[Piece], page_height: float, rules: Sequence[Rule] = ()) -> list[Found]:
    """The page's blocks in reading order; `page_height` is in pixels."""
    level, standing = list[Piece](), list[Piece]()
    for piece in pieces:
        (standing if piece.on_end else level).append(piece)
    ruled, level = _ruled(level, rules)
    small = foot(level, page_height)
    level = _without(level, chain.from_iterable(small))
    numbers = line_numbers(level)
    level = _without(level, numbers)
    beside = notes(level)
    level = _without(level, chain.from_iterable(beside))
    head, body, last = _margins(rows(level), page_height)
    stacked = [row for found in ruled.values() if not found.cells for row in found.rows]
    page = Type.of([TextLine(row) for row in (*body, *stacked)])
    found = [Found("text", piece.text, ((piece,),)) for piece in standing]
    found += [Found(_marginal(row, "header"), _plain(row), (row,)) for row in head]
    leading = _leading(body, ruled, page)
    found += _blocks_of(body[:leading], page)
    level_rules = [Box(*rule) for rule in rules if rule[1] == rule[3]]
    standing_below = [*ruled, *(piece for row in body[leading:] for piece in row)]
    for column in columns(standing_below, level_rules):
        found += _around_ruled(column, ruled, page)
    found += map(_stack, small)
    found += [Found(_marginal(row, "footer"), _plain(row), (row,)) for row in last]
    noted = [
        (
            Box.around(piece.box for piece in note[0]),
            Found("text", running(map(_plain, note)), tuple(note)),
        )
        for note in beside
    ]
    counts = [Found("aside_text", _plain(row), (row,)) for row in numbers]
    return _few_headings([*among(found, noted, _places), *counts])


def _places(found: Found) -> list[Box]:
    return [Box.around(piece.box for row in found.rows for piece in row)]


def _leading(body: Sequence[Row], ruled: Iterable[Piece], page: Type) -> int:
    """How many rows at the top are a title that is centred over all columns."""
    if not body:
        return 0
    left, right = min(row[0].box.x1 for row in body), max(row[-1].box.x2 for row in body)
    top = min((piece.box.y1 for piece in ruled), default=math.inf)
    for number, row in enumerate(body[:LONGEST_LEAD]):
        line = TextLine(row)
        off = abs((line.left + line.right) - (left + right)) / 2
        centred = len(row) == 1 and off < CENTRED * (right - left)
        if not centred or line.size < TITLE * page.size or line.middle > top:
            return number
    return 0


def _ruled(pieces: list[Piece], rules: Sequence[Rule]) -> tuple[dict[Piece, Found], list[Piece]]:
    """Tables and stacks between rules, by a piece that takes their place; and all other pieces."""
    ruled: dict[Piece, Found] = {}
    for grid in grids(rules, TOUCH):
        inside = [piece for piece in pieces if grid.holds(piece)]
        cells = grid.cells(inside)
        if cells is not None:
            place = Box.around(piece.box for piece in inside)
            printed = tuple(rows(inside))
            ruled[Piece(Line("", place), place)] = _table(cells, printed)
            pieces = [piece for piece in pieces if not grid.holds(piece)]
    for lines, cells in list(level_ruled(pieces, rules, TOUCH)):
        place = Box.around(piece.box for row in lines for piece in row)
        ruled[Piece(Line("", place), place)] = _table(cells, tuple(lines))
        pieces = _without(pieces, lines)
    for stack in framed(pieces, rules):
        pieces = _without(pieces, stack)
        ruled[stack[0][0]] = _stack(stack)  # its label takes its place
    return ruled, pieces


def _without(pieces: Iterable[Piece], lines: Iterable[Row]) -> list[Piece]:
    taken = {piece for row in lines for piece in row}
    return [piece for piece in pieces if piece not in taken]


def _stack(printed: Sequence[Row]) -> Found:
    """The block of a stack, such as a label and its answer; its lines remain lines."""
    return Found("text", "\n".join(map(_plain, printed)), tuple(printed))


def _table(cells: Cells, printed: tuple[Row, ...]) -> Found:
    said = "\n".join("  ".join(filter(None, row)) for row in cells)
    return Found("table", said, printed, cells=cells)


def _around_ruled(column: Sequence[Row], ruled: dict[Piece, Found], page: Type) -> Iterator[Found]:
    """The blocks of a column, including tables and stacks between rules."""
    text: list[Row] = []
    for row in column:
        for is_ruled, part in groupby(row, key=ruled.__contains__):
            if not is_ruled:
                text.append(tuple(part))
                continue
            yield from _blocks_of(text, page)
            yield from (ruled[piece] for piece in part)
            text = []
    yield from _blocks_of(text, page)


def _margins(lines: list[Row], page_height: float) -> tuple[list[Row], list[Row], list[Row]]:
    """The rows divided into running head, body and running foot; head and foot: one row at most."""
    if len(lines) <= LEAST_BODY:
        return [], lines, []
    middles = [row[0].middle for row in lines]
    far = APART * median(below - above for above, below in pairwise(middles))
    usual = Type.of([TextLine(row) for row in lines])
    head = middles[0] < MARGIN * page_height and middles[1] - middles[0] > far
    foot = middles[-1] > (1 - MARGIN) * page_height and middles[-1] - middles[-2] > far
    head = head and not _large(lines[0], usual)
    foot = foot and not _large(lines[-1], usual) and not is_amount(lines[-1][-1].text)
    last = len(lines) - foot
    return lines[:head], lines[head:last], lines[last:]


def _large(row: Row, usual: Type) -> bool:
    line = TextLine(row)
    return max(line.height / usual.height, line.size / usual.size) > LARGEST_MARGIN


def _marginal(row: Row, label: str) -> str:
    return "page_number" if _PAGE_NUMBER.fullmatch(row[0].text) and len(row) == 1 else label


@dataclass(frozen=True, slots=True)
class Type:
    """The type of most of a page, measured as in `TextLine`; `capitals`: they do not stand out."""

    size: float
    height: float
    weight: float
    capitals: bool

    @classmethod
    def of(cls, lines: Sequence[TextLine]) -> Type:
        """The type of most of the lines, weighted by the length of their text."""
        letters = max(1, sum(len(line.text) for line in lines))
        capitals = sum(len(line.text) for line in lines if line.capitals)
        size = weighted_median((line.size, len(line.text)) for line in lines)
        weight = weighted_median((line.weight, len(line.text)) for line in lines if line.weight)
        height = weighted_median((line.height, len(line.text)) for line in lines)
        return cls(size or 1.0, height or 1.0, weight, capitals > MOST_CAPITALS * letters)


def _blocks_of(column: Sequence[Row], page: Type) -> Iterator[Found]:
    """The blocks of a column without rules."""
    for entries, lines in contents(column):
        if entries:
            yield Found("text", "\n".join(entries), tuple(lines))
        else:
            yield from _addressed(lines, page)


def _addressed(column: Sequence[Row], page: Type) -> Iterator[Found]:
    for beside, rest in addresses(column):
        for text in beside:
            if is_address(text) and not _large(text[0], page):
                yield _stack(text)
            else:
                yield from _blocks_of(text, page)
        for side_by_side, others in stacks(rest):
            yield from map(_stack, side_by_side)
            yield from _unpaired(others, page)


def _unpaired(column: Sequence[Row], page: Type) -> Iterator[Found]:
    text: list[Row] = []
    for group in groups(column):
        texts = group.texts()
        cells = None if texts else group.cells()
        if texts is None and cells is None:
            text += group.rows
            continue
        yield from _text_blocks(text, page)
        text = []
        for beside in texts or ():
            yield from _blocks_of(beside, page)
        if cells is not None:
            yield _table(cells, tuple(group.rows))
    yield from _text_blocks(text, page)


def _text_blocks(lines: Sequence[Row], page: Type) -> Iterator[Found]:
    found = paragraphs([TextLine(row) for row in lines])
    for number, block in enumerate(found):
        printed = tuple(line.row for _, line in block)
        below = [[line for _, line in other] for other in found[number + 1 : number + 3]]
        level = _level([line for _, line in block], below, page)
        if level:
            label = "title" if level == 1 else "sub_title"
            yield Found(label, running(map(_plain, printed)), printed, level)
        else:
            items = sum(is_item(line.text) for _, line in block)
            yield Found("list" if items > 1 else "text", _paragraph(block), printed)


def _level(lines: Sequence[TextLine], below: Sequence[Sequence[TextLine]], page: Type) -> int:
    """1 for a title, 2 for a heading, 0 for text; `below` is the next two blocks of its column."""
    text = running(line.text for line in lines)
    letters = sum(char.isalpha() for char in text)
    if not LEAST_TITLE <= letters <= len(text) <= LONGEST_TITLE or len(lines) > 3:
        return 0
    larger = median(line.size for line in lines) / page.size
    if larger >= TITLE:
        return 1
    if text[-1] in ".,;:" or is_amount(text) or any(len(line.row) > 1 for line in lines):
        return 0
    said = [sum(len(line.text) for line in block) for block in below]
    wordy = any(letters >= LEAST_BELOW for letters in said)
    higher = median(line.height for line in lines) / page.height
    bold = all(_stands_out(line, page) for line in lines)
    if larger >= SUB_TITLE and higher >= (HIGHER if len(text) < JUDGED else LOWEST):
        return 2 if wordy or not below or bold else 0
    if not below or (len(below[0][0].text) >= JUDGED and _stands_out(below[0][0], page)):
        return 0
    if bold and (wordy or (larger >= BOLD_TITLE and sum(said) >= LEAST_BELOW)):
        return 2
    if not wordy or (numbered(below[0][0].text) and not _deeper(below[0][0].text, text)):
        return 0
    alone = len(lines) == 1 and len(text) <= LONGEST_PLAIN
    return 2 if alone and (_numbered(lines[0], below) or _centred(lines[0], below)) else 0


def _deeper(text: str, heading: str) -> bool:
    """Whether a line's number is a subdivision of its heading's: 2.1 or (1) under 2."""
    number = heading.split()[0].rstrip(".")
    return text.startswith((f"{number}.", "("))


def _numbered(line: TextLine, below: Sequence[Sequence[TextLine]]) -> bool:
    """Whether a line begins with a number (not a date) and is aligned with the text below."""
    left = min(other.left for block in below for other in block)
    return (
        numbered(line.text)
        and _DATE.fullmatch(line.text) is None
        and abs(line.left - left) < INDENT * line.height
    )


def _centred(line: TextLine, below: Sequence[Sequence[TextLine]]) -> bool:
    """Whether a line is centred above wider text."""
    rest = [other for block in below for other in block]
    left, right = min(other.left for other in rest), max(other.right for other in rest)
    before, after = line.left - left, right - line.right
    return min(before, after) > CENTRED * (right - left) and abs(before - after) < line.height


def _stands_out(line: TextLine, page: Type) -> bool:
    """Whether a line is bolder than the rest, or in capitals on a page with few of them."""
    if len(line.text) < LONG:
        bold = line.weight > BOLD * page.weight > 0
    else:  # at 110 dpi strokes differ little, but bold letters are also wider
        broad = line.weight * line.size > BOLD_LONG * page.weight * page.size
        bold = broad and line.weight > page.weight > 0
    return bold or (line.capitals and not page.capitals)


def _few_headings(found: list[Found]) -> list[Found]:
    """The blocks, without headings if they are too many: then it is large print, or a form."""
    letters = sum(len(one.text) for one in found)
    for level in (2, 1):
        said = sum(len(one.text) for one in found if one.level >= level)
        if said > MOST_HEADINGS * letters and sum(bool(one.level) for one in found) > 1:
            found = [
                replace(one, label="text", level=0) if one.level >= level else one for one in found
            ]
    return found


def _paragraph(block: Sequence[tuple[Join, TextLine]]) -> str:
    """A block's text: lines that flow are joined, lines broken on purpose remain lines."""
    broken: list[list[str]] = []
    for join, line in block:
        if join is Join.WITHIN:
            broken[-1][-1] += _plain(line.row)
        elif join is Join.FLOW:
            broken[-1].append(_plain(line.row))
        else:
            broken.append([_plain(line.row)])
    return "\n".join(running(lines) for lines in broken)


def _plain(row: Row) -> str:
    return " ".join(piece.text for piece in row)
