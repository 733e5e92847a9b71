"""Blocks -> the words that stand on the page, without the marks of Markdown and HTML.  Pure."""

from __future__ import annotations

import html
import re

from ocrd.document import tables
from ocrd.document.inline import one_line, tidy
from ocrd.document.markdown import FIGURES
from ocrd.page import Block

_MARKS = re.compile(
    r"^#{1,6} |\*\*|</?(?:sub|sup|b|i|u|s|em|strong|small|del)>|\\[\[\]()]", re.MULTILINE
)
_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)

Row = list[str]


def rows(block: Block) -> list[Row]:
    """What the block says, line by line; a table's line is its cells, any other has one cell."""
    found: list[Row] = []
    text = tidy(block.text)
    start = tables.first_tag(text)
    if start is None:
        return _lines(text)
    if "<table" not in text.lower():
        text = f"{text[:start]}<table>{text[start:]}</table>"
    for part in tables.split(text):
        if isinstance(part, str):
            found += _lines(part)
        else:
            found += _lines(part.caption)
            found += [[_words(cell.text) for cell in row] for row in part.rows]
    return [row for row in found if any(row)]


def has_text(blocks: list[Block]) -> bool:
    """Whether anything at all stands on the page; a figure counts."""
    return any(block.text.strip() or block.label in FIGURES for block in blocks)


def _lines(text: str) -> list[Row]:
    said = (_words(line) for line in _BREAK.sub("\n", text).split("\n"))
    return [[line] for line in said if line]


def _words(text: str) -> str:
    return one_line(html.unescape(_MARKS.sub("", text)))
