"""Writes what was read in the forms of DeepSeek-OCR, so that one reader serves all engines.  Pure.

A grounded piece is `<|ref|>WORDS<|/ref|><|det|>[[x1, y1, x2, y2]]<|/det|>` with coordinates from 0
to 999 across and down the page as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ocrd.engine.rapid.blocks import Found
from ocrd.engine.rapid.order import Row
from ocrd.engine.rapid.pieces import union
from ocrd.engine.rapid.wording import untagged
from ocrd.page import Box

SCALE = 999
Answer = Callable[[list[Found]], str]


def plain(found: Iterable[Found]) -> str:
    """The text as printed: lines stay lines, a blank line between blocks."""
    return "\n\n".join("\n".join(map(_line, block.rows)) for block in found)


def layout(found: Iterable[Found]) -> str:
    """Every piece of text with its place."""
    pieces = (piece for block in found for row in block.rows for piece in row)
    return "\n".join(grounded(untagged(piece.text), piece.line.box) for piece in pieces)


def document(found: Iterable[Found]) -> str:
    """Every block with its label, its place and its text in Markdown."""
    return "\n\n".join(f"{grounded(block.label, _place(block))}\n{block.text}" for block in found)


def grounded(words: str, box: Box) -> str:
    """Words and their place."""
    x1, y1, x2, y2 = (round(SCALE * value) for value in (box.x1, box.y1, box.x2, box.y2))
    return f"<|ref|>{words}<|/ref|><|det|>[[{x1}, {y1}, {x2}, {y2}]]<|/det|>"


def _line(row: Row) -> str:
    return "  ".join(piece.text for piece in row)


def _place(block: Found) -> Box:
    return union(piece.line.box for row in block.rows for piece in row)
