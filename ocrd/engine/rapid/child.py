"""The child's side: the models, loaded at the first page and kept.

Light to import: the libraries come with the first page.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from ocrd.engine.rapid.blocks import Found, blocks
from ocrd.engine.rapid.pieces import union
from ocrd.page import Block, Markup, PageImage, PageResult

if TYPE_CHECKING:
    from ocrd.engine.rapid.reader import PageReader

FORMS = ("ocr", "layout", "document")


def read(image: PageImage, form: str, threads: int) -> PageResult:
    """Read one page.

    Args:
        image: The page.
        form: In which of `FORMS` to answer.
        threads: Threads that an inference may use; the same at every call.
    """
    began = time.perf_counter()
    reading = _reader(threads).read(image)
    found = blocks(reading.pieces, reading.pose.height)
    said = [block for one in found for block in _blocks(one, form)]
    text = ("\n" if form == "layout" else "\n\n").join(block.text for block in said)
    return PageResult(
        text=text,
        blocks=tuple(said),
        output_tokens=len(text),
        seconds=time.perf_counter() - began,
        lines=tuple(piece.line for block in found for row in block.rows for piece in row),
        turned=reading.pose.turned,
        notes=_notes(reading.pose.turned),
    )


def _blocks(found: Found, form: str) -> list[Block]:
    """A block in one of `FORMS`: as printed, piece by piece, or with its structure."""
    pieces = [piece.line for row in found.rows for piece in row]
    if form == "layout":
        return [Block("text", line.text, (line.box,), Markup.PLAIN) for line in pieces]
    place = (union(line.box for line in pieces),)
    if form == "ocr":
        return [Block("text", found.printed, place, Markup.PLAIN)]
    return [Block(found.label, found.text, place, Markup.PLAIN, found.level, found.cells)]


def _notes(turned: int) -> tuple[str, ...]:
    return (f"turned {turned} degrees clockwise, as RapidOCR found",) if turned else ()


@functools.cache
def _reader(threads: int) -> PageReader:
    from ocrd.engine.rapid.reader import PageReader  # only a child needs (and has) the libraries

    return PageReader(threads)
