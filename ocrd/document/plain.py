"""Blocks as plain text, without the markup of Markdown and HTML.  Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from ocrd.document import tables
from ocrd.page import Block, Markup

FIGURES = frozenset({"image", "figure", "chart"})

_CENTER = re.compile(r"</?center>", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MARKS = re.compile(
    r"^#{1,6} |\*\*|</?(?:sub|sup|b|i|u|s|em|strong|small|del)>|\\[\[\]()]", re.MULTILINE
)
_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)

Row = list[str]


def rows(block: Block) -> list[Row]:
    """The block's text by lines; a line of a table has its cells, any other line one cell."""
    if block.rows:
        found = [[one_line(tidy(cell)) for cell in row] for row in block.rows]
    elif block.markup is Markup.PLAIN:
        found = [[one_line(line)] for line in tidy(block.text).split("\n")]
    else:
        found = []
        for part in tables.split(tidy(block.text)):
            if isinstance(part, str):
                found += _lines(part)
            else:
                found += _lines(part.caption)
                found += [[_words(cell.text) for cell in row] for row in part.rows]
    return [row for row in found if any(row)]


def text(blocks: Sequence[Block]) -> str:
    """The page as plain text: blocks separated by an empty line, cells by tabs."""
    said = ("\n".join("\t".join(row) for row in rows(block)) for block in blocks)
    return "\n\n".join(part for part in said if part)


def has_text(blocks: Sequence[Block]) -> bool:
    """Whether the page has any content; a figure counts."""
    return any(block.text.strip() or block.rows or block.label in FIGURES for block in blocks)


def characters(blocks: Sequence[Block]) -> int:
    """How many characters were recognised."""
    return sum(
        len(block.text) or sum(len(cell) for row in block.rows for cell in row) for block in blocks
    )


def tidy(text: str) -> str:
    """The text with Unix line ends and without control characters."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def tidy_markup(text: str) -> str:
    """The same for a model's text, also without `<center>` and with `:=` and `=:` spelt out."""
    text = _CENTER.sub("", tidy(text))
    text = re.sub(r"\\coloneqq(?![A-Za-z])", ":=", text)
    return re.sub(r"\\eqqcolon(?![A-Za-z])", "=:", text)


def one_line(text: str) -> str:
    """The text on one line, as a label or a picture's description needs it."""
    return " ".join(text.split())


def _lines(text: str) -> list[Row]:
    said = (_words(line) for line in _BREAK.sub("\n", tidy_markup(text)).split("\n"))
    return [[line] for line in said if line]


def _words(text: str) -> str:
    return one_line(html.unescape(_MARKS.sub("", text)))
