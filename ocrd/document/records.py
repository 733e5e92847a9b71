"""Reads the pages of a job from the worker's log, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

from ocrd.document.base import JSON
from ocrd.document.plain import has_text, one_line
from ocrd.files import Disk
from ocrd.job import Page, PageState
from ocrd.modes import AnswerFormat
from ocrd.page import Block, PageResult, WordsFrom
from ocrd.pagelog import PageLog
from ocrd.pdffile import FAULTS


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRecord(Page):
    """A page and what was read on it.

    Attributes:
        result: None when nothing was read.
        came_from: Which page of which file it is, where that is not obvious.
        pile_page: Its number in the pile, where pages were renumbered.
    """

    result: PageResult | None
    came_from: Mapping[str, JSON] | None
    pile_page: int | None

    @property
    def text(self) -> str:
        """What the model said; empty for a page that could not be read."""
        return self.result.text if self.result and self.state is not PageState.FAILED else ""

    @property
    def codes(self) -> tuple[str, ...]:
        """The content of the page's barcodes, where they were looked for."""
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
        """What is wrong with the page, in one line; empty if it is done."""
        if self.state is PageState.DONE:
            return ""
        what = "is incomplete" if self.state is PageState.PARTIAL else "could not be read"
        return one_line(f"Page {self.number} {what}: {self.reason}")


@dataclass(kw_only=True, slots=True)
class ReadPage:
    """A page on its way through the artefacts; each adds what later ones need to know.

    Attributes:
        record: The page from the log.
        answers: How its text was read.
        blocks: Its content, in reading order.
        dropped: Whether it is blank and left out of the Markdown, the plain text and the PDF.
        figures: Pictures by block index, relative to the bundle.
        span: Where its text begins and ends in the Markdown, in characters.
        notes: What is worth knowing about how its artefacts were made.
    """

    record: PageRecord
    answers: AnswerFormat
    blocks: Sequence[Block]
    dropped: bool = False
    figures: dict[int, str] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def is_silent(self) -> bool:
        """Whether it was read and nothing was found."""
        return self.record.state is PageState.DONE and not has_text(self.blocks)

    @property
    def turned(self) -> int:
        """Degrees by which the engine turned the page, clockwise, to read it."""
        return self.record.result.turned if self.record.result else 0

    @property
    def read_beside_own(self) -> bool:
        """Whether it was read by the engine in addition to the PDF's own words."""
        result = self.record.result
        return result is not None and result.words_from is WordsFrom.BOTH


@contextmanager
def noted(page: ReadPage, missing: str) -> Iterator[None]:
    """Turn a fault of MuPDF on a page into a note that says what is missing because of it.

    A page that MuPDF cannot process does not fail the document.  A fault of the disk is not one of
    the page: an `OSError` passes.
    """
    try:
        yield
    except FAULTS as error:
        page.notes.append(f"{missing}: {one_line(str(error))}")


def read(path: Path, answers: AnswerFormat) -> Iterator[ReadPage]:
    """The pages of `path` in order, one in memory at a time.

    Raises:
        ValueError, KeyError, TypeError: A line is not a page, or a page is missing.
    """
    for expected, entry in enumerate(PageLog(path, Disk()).entries(), start=1):
        if entry.page.number != expected:
            raise ValueError(f"line {expected} holds page {entry.page.number}")
        result = None if entry.result is None else PageResult.from_json(entry.result)
        record = PageRecord(
            **{each.name: getattr(entry.page, each.name) for each in fields(Page)},
            result=result,
            came_from=entry.came_from,
            pile_page=entry.pile_page,
        )
        blocks = result.blocks if result and record.state is not PageState.FAILED else ()
        yield ReadPage(record=record, answers=answers, blocks=blocks)


def count(path: Path) -> int:
    """How many pages `path` holds."""
    return PageLog(path, Disk()).count()
