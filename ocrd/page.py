"""What travels along a page's way: its image, and what was read on it.  Pure."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, replace
from typing import Any

from ocrd.modes import Reader

SCALE = (999, 999)  # of coordinates in a text, unless a model has another


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page, in fractions of its width and height (0 … 1, y downward)."""

    x1: float
    y1: float
    x2: float
    y2: float

    def rounded(self) -> list[float]:
        """Four numbers for JSON, to a hundredth of a per cent."""
        return [round(value, 4) for value in (self.x1, self.y1, self.x2, self.y2)]

    def turned(self, degrees: int) -> Box:
        """Where it lies once its page is turned clockwise by 0, 90, 180 or 270 degrees."""
        box = self
        for _ in range(degrees % 360 // 90):
            box = Box(1 - box.y2, box.x1, 1 - box.y1, box.x2)
        return box


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line and where it stands.  Chinese has no spaces: a run between them counts."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line and where it stands; engines that see lines report them.

    `words` is empty from an engine that sees no words; else they are the line's, in its order.
    """

    text: str
    box: Box
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a page's layout: a paragraph, a title, a table, a figure.

    Attributes:
        label: The model's word for it (`text`, `title`, `table`, `image` …).
        text: Its content; empty for a figure.
        boxes: Where it stands; empty when the model gave no (usable) place.
    """

    label: str
    text: str
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as pixels.

    Attributes:
        width: Pixels.
        height: Pixels.
        rgb: `height * width * 3` bytes, rows top to bottom, no padding.
        codes: What barcodes on it say, where they were looked for.
    """

    width: int
    height: int
    rgb: bytes
    codes: tuple[str, ...] = ()


class Finish(enum.StrEnum):
    """Why the engine stopped on a page."""

    STOP = "stop"  # the model said it was finished
    LENGTH = "length"  # cut off at the token limit
    REPETITION = "repetition"  # the model went in circles and was stopped


@dataclass(frozen=True, kw_only=True, slots=True)
class PageResult:
    """What an engine read on one page.

    Attributes:
        text: The model's words, verbatim, grounding tags included.
        finish: Why it stopped.
        prompt_tokens: Tokens in, image included; 0 from an engine without tokens.
        output_tokens: Tokens out; characters from an engine without tokens.
        seconds: Wall time in the engine.
        lines: Printed lines with their places, where the engine sees them.
        turned: Degrees (0, 90, 180, 270) by which the engine turned the page clockwise to read
            it.  Boxes and lines are given on the page as it came.
        notes: What was tried on the way, for the sidecar (`"retried: ngram 20/50"`).
        partial: Why the text is doubtful, or None when it is whole.
        reader: How the text is to be read, where the model differs from the mode; else None.
        scale: What the coordinates in the text run to, across and down the page.
        codes: What barcodes on the page say, where they were looked for.
    """

    text: str
    finish: Finish = Finish.STOP
    prompt_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    lines: tuple[Line, ...] = ()
    turned: int = 0
    notes: tuple[str, ...] = ()
    partial: str | None = None
    reader: Reader | None = None
    scale: tuple[int, int] = SCALE
    codes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One JSON object: how a result is kept in the ledger."""
        record: dict[str, Any] = {
            "text": self.text,
            "finish": self.finish.value,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "seconds": self.seconds,
            "lines": [_line_record(line) for line in self.lines],
            "turned": self.turned,
            "notes": list(self.notes),
            "partial": self.partial,
            "reader": self.reader,
            "scale": self.scale,
        }
        if self.codes:
            record["codes"] = list(self.codes)
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> PageResult:
        """The inverse of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: The text is not such a record.
        """
        record: dict[str, Any] = json.loads(text)
        lines = tuple(map(_line_from, record.pop("lines")))
        notes = tuple(record.pop("notes"))
        finish = Finish(record.pop("finish"))
        reader = record.pop("reader", None)  # the last three are not in results of old versions
        across, down = record.pop("scale", SCALE)
        codes = tuple(record.pop("codes", ()))
        return cls(
            finish=finish,
            lines=lines,
            notes=notes,
            reader=None if reader is None else Reader(reader),
            scale=(across, down),
            codes=codes,
            **record,
        )

    def noted(self, *notes: str) -> PageResult:
        """The same result with further notes."""
        return replace(self, notes=(*self.notes, *notes))


def _line_record(line: Line) -> list[Any]:
    """`[text, x1, y1, x2, y2, [word, x1, y1, x2, y2], ...]`."""
    words = [[word.text, *word.box.rounded()] for word in line.words]
    return [line.text, *line.box.rounded(), *words]


def _line_from(record: list[Any]) -> Line:
    text, x1, y1, x2, y2, *words = record
    found = tuple(Word(said, Box(*box)) for said, *box in words)
    return Line(text, Box(x1, y1, x2, y2), found)
