"""HTML tables as models write them: found and repaired.  Pure.

Rows without cells, cells that never close, `</td><tr>`, `</tr></tr>` and tables cut off in the
middle all occur.  Only the structure is read (`tr`, `td`, `th`, `colspan`, `rowspan`); everything
else in a cell is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_SPANNED = 100

_TABLE = re.compile(r"<table\b[^<>]{0,300}>|</table\s{0,4}>", re.IGNORECASE)
_PART = re.compile(
    r"<(/?)(table|thead|tbody|tfoot|tr|td|th|caption|colgroup|col)\b([^<>]{0,300})>", re.IGNORECASE
)
_SPAN = re.compile(r"\b(colspan|rowspan)\s{0,4}=\s{0,4}[\"']?([0-9]{1,4})", re.IGNORECASE)
_TORN = re.compile(r"</?[a-z]{0,8}$", re.IGNORECASE)


@dataclass(slots=True)
class Cell:
    """One cell and how many columns and rows it covers."""

    text: str = ""
    header: bool = False
    columns: int = 1
    rows: int = 1


@dataclass(slots=True)
class Table:
    """Rows of at least one cell each, and the caption from inside the table."""

    rows: list[list[Cell]] = field(default_factory=list)
    caption: str = ""

    @property
    def simple(self) -> bool:
        """Whether every cell covers one column and one row."""
        return all(cell.columns == cell.rows == 1 for row in self.rows for cell in row)


def split(text: str) -> Iterator[str | Table]:
    """The tables of `text` and the text around them, in order."""
    loose = _PART.search(text)
    if loose and "<table" not in text.lower():  # rows without a table around them
        text = f"{text[: loose.start()]}<table>{text[loose.start() :]}</table>"
    start = 0
    inside = None
    for match in _TABLE.finditer(text):
        closes = match[0].startswith("</")
        if inside is None and not closes:
            yield text[start : match.start()]
            inside = match.start()
        elif inside is not None and closes:
            yield parse(text[inside : match.end()])
            inside, start = None, match.end()
    if inside is not None:  # cut off: the rest of the text is the table's
        yield parse(_TORN.sub("", text[inside:]))
    else:
        yield text[start:]


def has_tags(text: str) -> bool:
    """Whether there is a table in `text`, or part of one."""
    return _PART.search(text) is not None


def parse(html: str) -> Table:
    """The table in `html`, as far as it can be understood; none of its text is lost."""
    builder = _Builder()
    start = 0
    for match in _PART.finditer(html):
        builder.text(html[start : match.start()])
        builder.tag(match[2].lower(), match[3], closes=bool(match[1]))
        start = match.end()
    builder.text(html[start:])
    return builder.table()


class _Builder:
    """Builds a table from tags and text as they come; any tag may come at any time."""

    def __init__(self) -> None:
        self._table = Table()
        self._row: list[Cell] | None = None
        self._cell: Cell | None = None
        self._in_caption = False

    def tag(self, name: str, attributes: str, *, closes: bool) -> None:
        self._cell = None
        self._in_caption = name == "caption" and not closes
        if name in ("td", "th") and not closes:
            spans = {key.lower(): int(value) for key, value in _SPAN.findall(attributes)}
            columns, rows = _limited(spans.get("colspan", 1)), _limited(spans.get("rowspan", 1))
            self._open(Cell(header=name == "th", columns=columns, rows=rows))
        elif name not in ("td", "th", "caption"):
            self._row = None

    def text(self, text: str) -> None:
        if self._in_caption:
            self._table.caption += text
        elif self._cell is not None:
            self._cell.text += text
        elif text.strip():  # between cells: a cell whose tag was lost
            self._open(Cell(text=text))
            self._cell = None

    def table(self) -> Table:
        for index, row in enumerate(self._table.rows):
            for cell in row:
                cell.rows = min(cell.rows, len(self._table.rows) - index)
        return self._table

    def _open(self, cell: Cell) -> None:
        if self._row is None:
            self._row = []
            self._table.rows.append(self._row)
        self._row.append(cell)
        self._cell = cell


def _limited(span: int) -> int:
    return min(max(span, 1), MOST_SPANNED)
