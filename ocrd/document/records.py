"""The pages of a job as the worker hands them over: JSON lines, read one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrd.document.base import JSON
from ocrd.document.plain import one_line
from ocrd.job import JobError, PageState
from ocrd.modes import Reader
from ocrd.page import Block, PageResult
from ocrd.pdffile import FAULTS


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRecord:
    """One page: where it stands and what was read on it (None when nothing was).

    `came_from` tells of which file it is which page, and `pile_page` which of the pile, where that
    is not plain.
    """

    number: int
    state: PageState
    tries: int
    tokens: int
    seconds: float
    reused: bool
    error: JobError | None
    result: PageResult | None
    came_from: Mapping[str, JSON] | None = None
    pile_page: int | None = None

    @property
    def text(self) -> str:
        """What the model said; empty for a page that could not be read."""
        return self.result.text if self.result and self.state is not PageState.FAILED else ""

    @property
    def codes(self) -> tuple[str, ...]:
        """What barcodes on the page say, where they were looked for."""
        return self.result.codes if self.result else ()

    @property
    def reason(self) -> str:
        """Why the page is partial or failed, in one sentence."""
        if self.error is not None:
            return self.error.message
        if self.result is not None and self.result.partial:
            return self.result.partial
        return "no reason was recorded"

    @property
    def flaw(self) -> str:
        """What is wrong with the page, in one line; empty when nothing is known to be."""
        if self.state is PageState.DONE:
            return ""
        what = "is incomplete" if self.state is PageState.PARTIAL else "could not be read"
        return one_line(f"Page {self.number} {what}: {self.reason}")


@dataclass(kw_only=True, slots=True)
class ReadPage:
    """A page on its way through the artefacts; each adds what later ones need to know.

    Attributes:
        record: The page as it was handed over.
        reader: How its text was read.
        blocks: What its text says.
        dropped: It is blank and left out of the Markdown and the PDF.
        figures: Block index -> picture, relative to the bundle.
        span: Where its Markdown begins and ends, in characters.
        notes: What is worth telling about the making of its documents.
    """

    record: PageRecord
    reader: Reader
    blocks: list[Block]
    dropped: bool = False
    figures: dict[int, str] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def turned(self) -> int:
        """Degrees by which the engine turned the page, clockwise, to read it."""
        return self.record.result.turned if self.record.result else 0


@contextmanager
def noted(page: ReadPage, missing: str) -> Iterator[None]:
    """Turn MuPDF's complaint about a page into a note that says what is missing for it.

    One page that MuPDF cannot work on does not take the document with it.  Faults of the disk are
    no faults of the page: an `OSError` passes.
    """
    try:
        yield
    except FAULTS as error:
        page.notes.append(f"{missing}: {one_line(str(error))}")


def read(path: Path) -> Iterator[PageRecord]:
    """The records of `path`, one at a time.

    Raises:
        ValueError, KeyError, TypeError: A line is not a page, or pages are out of order.
    """
    with path.open(encoding="utf-8") as lines:
        for expected, line in enumerate(lines, start=1):
            record = _record(json.loads(line))
            if record.number != expected:
                raise ValueError(f"line {expected} holds page {record.number}")
            yield record


def count(path: Path) -> int:
    """How many pages `path` holds."""
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


def _record(fields: dict[str, Any]) -> PageRecord:
    error, result = fields["error"], fields["result"]
    return PageRecord(
        number=fields["number"],
        state=PageState(fields["state"]),
        tries=fields["tries"],
        tokens=fields["tokens"],
        seconds=fields["seconds"],
        reused=fields["reused"],
        error=None if error is None else JobError(**{key: _whole(error[key]) for key in error}),
        result=None if result is None else _result(result),
        came_from=fields.get("came_from"),
        pile_page=fields.get("pile_page"),
    )


def _result(fields: dict[str, Any]) -> PageResult:
    return PageResult.from_json(_whole(json.dumps(fields, ensure_ascii=False)))


def _whole(text: str) -> str:
    """Replace halves of surrogate pairs, which no UTF-8 file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
