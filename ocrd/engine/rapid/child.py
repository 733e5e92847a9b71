"""The child's side: the models, loaded at the first page and kept.

Light to import: the libraries come with the first page.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from ocrd.engine.rapid import answer
from ocrd.engine.rapid.blocks import blocks
from ocrd.page import PageImage, PageResult

if TYPE_CHECKING:
    from ocrd.engine.rapid.reader import PageReader

FORMS = {"ocr": answer.plain, "layout": answer.layout, "document": answer.document}


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
    text = FORMS[form](found)
    return PageResult(
        text=text,
        output_tokens=len(text),
        seconds=time.perf_counter() - began,
        lines=tuple(piece.line for block in found for row in block.rows for piece in row),
        turned=reading.pose.turned,
        notes=_notes(reading.pose.turned),
    )


def _notes(turned: int) -> tuple[str, ...]:
    return (f"turned {turned} degrees clockwise, as RapidOCR found",) if turned else ()


@functools.cache
def _reader(threads: int) -> PageReader:
    from ocrd.engine.rapid.reader import PageReader  # only a child needs (and has) the libraries

    return PageReader(threads)
