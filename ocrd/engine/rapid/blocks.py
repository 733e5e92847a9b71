"""What stands on a page: titles, paragraphs, tables, running heads and page numbers.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ocrd.engine.rapid.order import Row, columns, rows
from ocrd.engine.rapid.paragraphs import Join, TextLine, paragraphs
from ocrd.engine.rapid.pieces import Piece, is_item, running
from ocrd.engine.rapid.tables import groups

TITLE = 1.5  # times the type of the page
SUB_TITLE = 1.2
LONGEST_TITLE = 120  # characters
LEAST_TITLE = 3  # letters
MARGIN = 0.09  # of the page's height: where running heads and feet stand
APART = 1.8  # usual distances of lines between them and the rest
LARGEST_MARGIN = 1.2  # times the type of the page: what is larger is a title, or a total
LEAST_BODY = 5  # rows: on a slip with fewer nothing is a running head

_AMOUNT = re.compile(r"\d[.,]\d\d\D{0,4}$")  # at a receipt's foot
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
        label: `title`, `sub_title`, `text`, `list`, `table`, `header`, `footer`, `page_number`.
        text: Its content as running text; lines that were broken on purpose stay lines.
        rows: Its rows as printed.
        level: Of a heading.
        cells: Of a table.
    """

    label: str
    text: str
    rows: tuple[Row, ...]
    level: int = 0
    cells: tuple[tuple[str, ...], ...] = ()

    @property
    def printed(self) -> str:
        """Its rows as they are printed, cells two spaces apart."""
        return "\n".join("  ".join(piece.text for piece in row) for row in self.rows)


def blocks(pieces: Iterable[Piece], page_height: float) -> list[Found]:
    """The page's blocks in the order in which they are read."""
    level, standing = list[Piece](), list[Piece]()
    for piece in pieces:
        (standing if piece.on_end else level).append(piece)
    head, body, foot = _margins(rows(level), page_height)
    found = [Found("text", piece.text, ((piece,),)) for piece in standing]
    found += [Found(_marginal(row, "header"), _plain(row), (row,)) for row in head]
    size = _body_size(body)
    for column in columns(piece for row in body for piece in row):
        found += _blocks_of(column, size)
    found += [Found(_marginal(row, "footer"), _plain(row), (row,)) for row in foot]
    return found


def _margins(lines: list[Row], page_height: float) -> tuple[list[Row], list[Row], list[Row]]:
    """Part the rows into running head, body and running foot: one row each at most."""
    if len(lines) <= LEAST_BODY:
        return [], lines, []
    middles = [row[0].middle for row in lines]
    far = APART * median(below - above for above, below in pairwise(middles))
    large = LARGEST_MARGIN * median(TextLine(row).height for row in lines)
    head = middles[0] < MARGIN * page_height and middles[1] - middles[0] > far
    foot = middles[-1] > (1 - MARGIN) * page_height and middles[-1] - middles[-2] > far
    head = head and TextLine(lines[0]).height <= large
    foot = foot and TextLine(lines[-1]).height <= large and not _AMOUNT.search(lines[-1][-1].text)
    last = len(lines) - foot
    return lines[:head], lines[head:last], lines[last:]


def _marginal(row: Row, label: str) -> str:
    return "page_number" if _PAGE_NUMBER.fullmatch(row[0].text) and len(row) == 1 else label


def _body_size(lines: Iterable[Row]) -> float:
    """The size of type in which most of the page is set."""
    sizes = sorted((line.size, len(line.text)) for line in map(TextLine, lines))
    half = sum(count for _, count in sizes) / 2
    for size, count in sizes:
        half -= count
        if half <= 0:
            return size
    return 1.0


def _blocks_of(column: Sequence[Row], size: float) -> Iterator[Found]:
    text: list[Row] = []
    for group in groups(column):
        halves = group.halves()
        cells = None if halves else group.cells()
        if halves is None and cells is None:
            text += group.rows
            continue
        yield from _text_blocks(text, size)
        text = []
        for half in halves or ():
            yield from _blocks_of(half, size)
        if cells is not None:
            said = "\n".join("  ".join(filter(None, row)) for row in cells)
            yield Found("table", said, tuple(group.rows), cells=cells)
    yield from _text_blocks(text, size)


def _text_blocks(lines: Sequence[Row], size: float) -> Iterator[Found]:
    for block in paragraphs([TextLine(row) for row in lines]):
        printed = tuple(line.row for _, line in block)
        level = _level([line for _, line in block], size)
        if level:
            label = "title" if level == 1 else "sub_title"
            yield Found(label, running(map(_plain, printed)), printed, level)
        else:
            items = sum(is_item(line.text) for _, line in block)
            yield Found("list" if items > 1 else "text", _paragraph(block), printed)


def _level(lines: Sequence[TextLine], size: float) -> int:
    """1 for a title, 2 for a sub-title, 0 for text."""
    text = running(line.text for line in lines)
    letters = sum(char.isalpha() for char in text)
    if not LEAST_TITLE <= letters <= len(text) <= LONGEST_TITLE or len(lines) > 3:
        return 0
    larger = median(line.size for line in lines) / max(size, 1e-6)
    if larger >= TITLE:
        return 1
    return 2 if larger >= SUB_TITLE and text[-1] not in ".,;:" else 0


def _paragraph(block: Sequence[tuple[Join, TextLine]]) -> str:
    """Lines that flow are joined; a line broken on purpose stays one."""
    broken: list[list[str]] = []
    for join, line in block:
        if join is Join.FLOW:
            broken[-1].append(_plain(line.row))
        else:
            broken.append([_plain(line.row)])
    return "\n".join(running(lines) for lines in broken)


def _plain(row: Row) -> str:
    return " ".join(piece.text for piece in row)
