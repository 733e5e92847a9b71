"""The data of a page on its way through ocrd: its image, and what was read on it.  Pure."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page, in fractions of its width and height (0 … 1, y downward)."""

    x1: float
    y1: float
    x2: float
    y2: float

    @classmethod
    def around(cls, boxes: Iterable[Box]) -> Box:
        """The smallest box around all of these; at least one is needed."""
        x1, y1, x2, y2 = zip(*((box.x1, box.y1, box.x2, box.y2) for box in boxes), strict=True)
        return cls(min(x1), min(y1), max(x2), max(y2))

    def rounded(self) -> list[float]:
        """The four coordinates for JSON, rounded to a hundredth of a per cent."""
        return [round(value, 4) for value in (self.x1, self.y1, self.x2, self.y2)]

    @property
    def width(self) -> float:
        """As a fraction of the page's width."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """As a fraction of the page's height."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """As a fraction of the page's area."""
        return max(self.width, 0.0) * max(self.height, 0.0)

    def scaled(self, across: float, down: float) -> Box:
        """The box on a page of this width and height, in their units."""
        return Box(self.x1 * across, self.y1 * down, self.x2 * across, self.y2 * down)

    def holds(self, inner: Box) -> bool:
        """Whether the centre of `inner` lies in this box."""
        x, y = (inner.x1 + inner.x2) / 2, (inner.y1 + inner.y2) / 2
        return self.x1 <= x <= self.x2 and self.y1 <= y <= self.y2

    def turned(self, degrees: int) -> Box:
        """The box once its page is turned clockwise by 0, 90, 180 or 270 degrees."""
        box = self
        for _ in range(degrees % 360 // 90):
            box = Box(1 - box.y2, box.x1, 1 - box.y1, box.x2)
        return box


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line and its box.  In Chinese, a run of characters between spaces is one word."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Line:
    """A printed line and its box, from an engine that detects lines.

    Attributes:
        text: Its text.
        box: Its place on the page.
        words: Its words in order; empty from an engine that detects no words.
        confidence: How sure the engine is of the text, 0 to 1; None if it does not say.
    """

    text: str
    box: Box
    words: tuple[Word, ...] = ()
    confidence: float | None = None

    def turned(self, degrees: int) -> Line:
        """The line once its page is turned clockwise."""
        words = tuple(Word(word.text, word.box.turned(degrees)) for word in self.words)
        return replace(self, box=self.box.turned(degrees), words=words)


class Markup(enum.StrEnum):
    """What the text of a block is written in."""

    PLAIN = "plain"  # as printed: to be escaped when it is written as Markdown
    MARKDOWN = "markdown"  # the model's own Markdown, HTML and LaTeX


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a page's layout: a paragraph, a title, a table, a figure.

    Attributes:
        label: The engine's word for it (`text`, `title`, `table`, `image` …).
        text: Its content; empty for a figure.
        boxes: Its place on the page; empty if the engine gave no (usable) place.
        markup: What `text` is written in.  In plain text, a newline is a line break in print.
        level: Level of a heading, from 1; 0 for any other block.
        rows: A table's cells, row by row, as plain text; empty if `text` holds the table.
        links: Words of a plain text that are links, each with its target.
    """

    label: str
    text: str
    boxes: tuple[Box, ...] = ()
    markup: Markup = Markup.MARKDOWN
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()
    links: tuple[tuple[str, str], ...] = ()

    @property
    def said(self) -> str:
        """The content as text, with the cells of a table separated by tabs."""
        return self.text or "\n".join("\t".join(row) for row in self.rows)

    def turned(self, degrees: int) -> Block:
        """The block once its page is turned clockwise."""
        return replace(self, boxes=tuple(box.turned(degrees) for box in self.boxes))


def letters(texts: Iterable[str]) -> int:
    """The number of letters and digits in all of the texts."""
    return sum(char.isalnum() for text in texts for char in text)


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as pixels.

    Attributes:
        width: Pixels.
        height: Pixels.
        rgb: `height * width * 3` bytes, rows top to bottom, no padding.
        codes: The contents of its barcodes, if they were looked for.
        flaw: Why it shows less than its author drew; None if it is whole.
    """

    width: int
    height: int
    rgb: bytes
    codes: tuple[str, ...] = ()
    flaw: str | None = None


class Finish(enum.StrEnum):
    """Why the engine stopped on a page."""

    STOP = "stop"  # the model said it was finished
    LENGTH = "length"  # cut off at the token limit
    REPETITION = "repetition"  # the model went in circles and was stopped


class WordsFrom(enum.StrEnum):
    """Where a page's words come from."""

    ENGINE = "engine"  # they were read on its image
    PDF = "pdf"  # they are the PDF's own
    BOTH = "both"  # the PDF's own, and what was read on the rest of the page


@dataclass(frozen=True, kw_only=True, slots=True)
class PageResult:
    """What an engine read on one page.

    Attributes:
        text: The engine's answer, verbatim, with a model's tags.
        blocks: The answer as blocks, in reading order.
        lines: Printed lines with their places, if the engine detects them.
        finish: Why the engine stopped.
        prompt_tokens: Tokens in, image included; 0 from an engine without tokens.
        output_tokens: Tokens out; characters from an engine without tokens.
        seconds: Wall time in the engine.
        turned: Degrees (0, 90, 180, 270) by which the engine turned the page clockwise to read
            it.  Boxes and lines refer to the page as it came.
        notes: What was tried to read it, for the sidecar (`"retried: ngram 20/50"`).
        partial: Why the text is doubtful, or None when it is whole.
        codes: The contents of the page's barcodes, if they were looked for.
        words_from: Where the words come from.
    """

    text: str
    blocks: tuple[Block, ...] = ()
    lines: tuple[Line, ...] = ()
    finish: Finish = Finish.STOP
    prompt_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    turned: int = 0
    notes: tuple[str, ...] = ()
    partial: str | None = None
    codes: tuple[str, ...] = ()
    words_from: WordsFrom = WordsFrom.ENGINE

    @property
    def confidence(self) -> float | None:
        """How sure the engine is, 0 to 1, each line weighted by its length; None if unknown."""
        sure = [(line.confidence, len(line.text)) for line in self.lines if line.text]
        known = [(value, length) for value, length in sure if value is not None]
        total = sum(length for _, length in known)
        return sum(value * length for value, length in known) / total if total else None

    def to_json(self) -> str:
        """The result as a JSON object, the form in which it is stored."""
        record: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        record["blocks"] = [_block_record(block) for block in self.blocks]
        record["lines"] = [_line_record(line) for line in self.lines]
        if not self.codes:
            del record["codes"]
        if self.words_from is WordsFrom.ENGINE:
            del record["words_from"]
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> PageResult:
        """The inverse of `to_json`.

        For a record of an older version, which kept no blocks, the text becomes one block.

        Raises:
            ValueError, KeyError, TypeError: The text is not such a record.
        """
        record: dict[str, Any] = json.loads(text)
        blocks = record.pop("blocks", None)
        if blocks is None:
            blocks = [{"label": "text", "text": record["text"]}] if record["text"].strip() else []
            record.pop("reader", None)
            record.pop("scale", None)
        return cls(
            blocks=tuple(map(_block_from, blocks)),
            lines=tuple(map(_line_from, record.pop("lines"))),
            finish=Finish(record.pop("finish")),
            notes=tuple(record.pop("notes")),
            codes=tuple(record.pop("codes", ())),
            words_from=WordsFrom(record.pop("words_from", WordsFrom.ENGINE)),
            **record,
        )

    def noted(self, *notes: str) -> PageResult:
        """The same result with further notes."""
        return replace(self, notes=(*self.notes, *notes))


def _block_record(block: Block) -> dict[str, Any]:
    """The block for JSON, without the fields that have their default values."""
    record: dict[str, Any] = {"label": block.label, "text": block.text}
    if block.boxes:
        record["boxes"] = [box.rounded() for box in block.boxes]
    if block.markup is not Markup.MARKDOWN:
        record["markup"] = block.markup.value
    if block.level:
        record["level"] = block.level
    if block.rows:
        record["rows"] = block.rows
    if block.links:
        record["links"] = block.links
    return record


def _block_from(record: dict[str, Any]) -> Block:
    return Block(
        label=record["label"],
        text=record["text"],
        boxes=tuple(Box(*box) for box in record.get("boxes", ())),
        markup=Markup(record.get("markup", Markup.MARKDOWN)),
        level=record.get("level", 0),
        rows=tuple(map(tuple, record.get("rows", ()))),
        links=tuple((words, target) for words, target in record.get("links", ())),
    )


def _line_record(line: Line) -> list[Any]:
    """`[text, x1, y1, x2, y2, confidence, [word, x1, y1, x2, y2], ...]`."""
    words = [[word.text, *word.box.rounded()] for word in line.words]
    sure = None if line.confidence is None else round(line.confidence, 3)
    return [line.text, *line.box.rounded(), sure, *words]


def _line_from(record: list[Any]) -> Line:
    """A line from its record; in old records, the words follow the box, without a confidence."""
    text, x1, y1, x2, y2, *rest = record
    sure = rest.pop(0) if rest and not isinstance(rest[0], list) else None
    if sure is not None:  # an engine may count otherwise, or fail to
        sure = min(max(sure, 0.0), 1.0) if math.isfinite(sure) else None
    words = tuple(Word(said, Box(*box)) for said, *box in rest)
    return Line(text, Box(x1, y1, x2, y2), words, sure)
