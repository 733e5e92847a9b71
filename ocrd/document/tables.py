"""HTML tables as models write them: found, repaired and written anew.  Pure.

Rows without cells, cells that never close, `</td><tr>`, `</tr></tr>` and tables cut off in the
middle all occur.  Only the structure is read (`tr`, `td`, `th`, `colspan`, `rowspan`); everything
else in a cell is text.  A table without spans becomes a pipe table, which people and programs
read as it stands; one with spans stays HTML, since pipes cannot say that cells are joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ocrd.document.inline import one_line, safe_in_html, with_math

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
    """Rows of cells, each row with at least one; a caption that stood inside the table."""

    rows: list[list[Cell]] = field(default_factory=list)
    caption: str = ""

    @property
    def simple(self) -> bool:
        """Whether no cell covers more than its own place."""
        return all(cell.columns == cell.rows == 1 for row in self.rows for cell in row)

    def markdown(self) -> str:
        """The table as a block of Markdown; its first row is the heading."""
        parts = [with_math(self.caption.strip())] if self.caption.strip() else []
        if self.rows:
            parts.append(self._pipes() if self.simple else self._html())
        return "\n\n".join(parts)

    def _pipes(self) -> str:
        width = max(len(row) for row in self.rows)
        lines = [_pipe_row([_pipe_cell(cell) for cell in row], width) for row in self.rows]
        lines.insert(1, _pipe_row(["---"] * width, width))
        return "\n".join(lines)

    def _html(self) -> str:
        rows = ("".join(_html_cell(cell) for cell in row) for row in self.rows)
        return "\n".join(["<table>", *(f"<tr>{row}</tr>" for row in rows), "</table>"])


def split(text: str) -> Iterator[str | Table]:
    """The tables of `text` and the text around them, in order."""
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


def first_tag(text: str) -> int | None:
    """Where the first tag of a table stands, with or without a `<table>` around it."""
    match = _PART.search(text)
    return match.start() if match else None


def parse(html: str) -> Table:
    """Whatever can be made of `html` as a table; all its text is somewhere in it."""
    builder = _Builder()
    start = 0
    for match in _PART.finditer(html):
        builder.text(html[start : match.start()])
        builder.tag(match[2].lower(), match[3], closes=bool(match[1]))
        start = match.end()
    builder.text(html[start:])
    return builder.table()


class _Builder:
    """Takes tags and text in their order; any tag may come at any time."""

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


def _pipe_row(cells: list[str], width: int) -> str:
    return "| " + " | ".join(cells + [""] * (width - len(cells))) + " |"


def _pipe_cell(cell: Cell) -> str:
    return one_line(with_math(cell.text)).replace("|", r"\|")


def _html_cell(cell: Cell) -> str:
    name = "th" if cell.header else "td"
    columns = f' colspan="{cell.columns}"' if cell.columns > 1 else ""
    rows = f' rowspan="{cell.rows}"' if cell.rows > 1 else ""
    return f"<{name}{columns}{rows}>{one_line(safe_in_html(cell.text))}</{name}>"
