"""The child process's side: the models are loaded with the first page and kept.

Importing this module is cheap: the libraries are imported with the first page.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ocrd.engine.rapid import doubt
from ocrd.engine.rapid.layout import Found, blocks
from ocrd.page import Block, Box, Markup, PageImage, PageResult

if TYPE_CHECKING:
    from ocrd.engine.rapid.reader import Lost, PageReader, Reading

FORMS = ("ocr", "layout", "document")
MOST_TOLD, LONGEST_GUESS = 5, 60  # unread lines in the note; characters of each
MOST_READERS = 8  # kept loaded; models of Tesseract take 5 to 40 MB


def read(image: PageImage, form: str, threads: int, language: str = "") -> PageResult:
    """Read one page.

    Args:
        image: The page.
        form: The form of the answer, one of `FORMS`.
        threads: Threads that an inference may use; the same in every call.
        language: The languages that Tesseract reads; empty for RapidOCR's own model.

    Raises:
        EngineSetupError: Tesseract or a model for the language is missing.
    """
    began = time.perf_counter()
    reading = _reader(threads, language).read(image)
    found = blocks(reading.pieces, reading.pose.height, reading.rules)
    said = [block for one in found for block in _blocks(one, form)]
    text = ("\n" if form == "layout" else "\n\n").join(block.text for block in said)
    return PageResult(
        text=text,
        blocks=tuple(said),
        output_tokens=len(text),
        seconds=time.perf_counter() - began,
        lines=tuple(piece.line for block in found for row in block.rows for piece in row),
        turned=reading.turned,
        notes=tuple(_notes(reading, language)),
        partial=doubt.doubt(reading, image, language),
    )


def _notes(reading: Reading, language: str) -> Iterator[str]:
    if reading.turned:
        yield f"turned {reading.turned} degrees clockwise, as RapidOCR found"
    if reading.lost:
        count = len(reading.lost)
        lines = "1 line was" if count == 1 else f"{count} lines were"
        told = sorted(reading.lost, key=lambda line: line.box.y1)[:MOST_TOLD]
        more = ", …" if count > MOST_TOLD else ""
        yield f"{lines} seen but not read: {', '.join(map(_guess, told))}{more}"
    if not language and doubt.telltale(reading) == "tr":
        yield 'it looks Turkish: the folder\'s language = "tr" tells its two letters i apart'


def _guess(line: Lost) -> str:
    """The place of a line that was not read, and its possible text."""
    place = f"{line.box.y1:.0%} down and {line.box.x1:.0%} across the page"
    if not any(map(str.isalnum, line.text)):
        return place
    return f'{place} perhaps "{line.text[:LONGEST_GUESS]}" ({line.confidence:.2f})'


def _blocks(found: Found, form: str) -> list[Block]:
    """The blocks of a found block in one of `FORMS`: as printed, by piece, or structured."""
    pieces = [piece.line for row in found.rows for piece in row]
    if form == "layout":
        return [Block("text", line.text, (line.box,), Markup.PLAIN) for line in pieces]
    place = (Box.around(line.box for line in pieces),)
    if form == "ocr":
        return [Block("text", found.printed, place, Markup.PLAIN)]
    return [Block(found.label, found.text, place, Markup.PLAIN, found.level, found.cells)]


@functools.lru_cache(maxsize=MOST_READERS)
def _reader(threads: int, language: str) -> PageReader:
    # Imported here, because only a child process needs these libraries.
    from ocrd.engine.rapid.reader import PageReader, load
    from ocrd.engine.rapid.recogniser import RapidRecogniser

    ocr = load(threads)
    own = RapidRecogniser(ocr)
    if not language:
        return PageReader(ocr, own)
    from ocrd.engine.tesseract.recogniser import TesseractRecogniser

    return PageReader(ocr, TesseractRecogniser(language, own))
