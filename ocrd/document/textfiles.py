"""NAME.md, NAME.txt and NAME.raw.mmd: written page by page, in page order."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from ocrd.document import markdown, plain
from ocrd.document.records import ReadPage
from ocrd.job import PageState

RAW_SEPARATOR = "\n<--- Page Split --->\n"  # as DeepSeek-OCR's own scripts write it


class WrittenText:
    """An artefact that is one text file, written as the pages come and ended by `tail`."""

    tail = ""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def finish(self) -> str:
        """Write the tail; the artefact's name."""
        self._file.write(self.tail)
        self._file.flush()
        return Path(self._file.name).name


class MarkdownFile(WrittenText):
    """The artefact NAME.md; an HTML comment, invisible when rendered, begins each further page."""

    _length = 0

    def add(self, page: ReadPage) -> None:
        """Write a page and note its span in characters (Unicode code points)."""
        if page.dropped:
            return
        if page.record.number > 1:
            blank_line = "\n" if self._length else ""
            self._write(f"{blank_line}<!-- page {page.record.number} -->\n\n")
        start = self._length
        self._write(self._body(page))
        page.span = (start, self._length)
        self._write("\n")

    def _body(self, page: ReadPage) -> str:
        record = page.record
        if record.state in (PageState.FAILED, PageState.PENDING):
            return markdown.unread(record.number, record.reason)
        body = markdown.page(page.blocks, page.answers, page.figures)
        if record.state is PageState.PARTIAL:
            label = markdown.incomplete(record.number, record.reason)
            return f"{label}\n\n{body}" if body else label
        return body

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._length += len(text)


class RawFile(WrittenText):
    """The artefact NAME.raw.mmd: the model's answers, verbatim."""

    def add(self, page: ReadPage) -> None:
        """Write a page; one that could not be read is empty, so that numbers do not shift."""
        if page.record.number > 1:
            self._file.write(RAW_SEPARATOR)
        self._file.write(page.record.text)


class TextFile(WrittenText):
    """The artefact NAME.txt: the words as plain text; a form feed begins each further page."""

    def add(self, page: ReadPage) -> None:
        """Write a page; one that could not be read says so."""
        record = page.record
        if page.dropped:
            return
        if record.number > 1:
            self._file.write("\f")
        parts = [f"[{record.flaw}]"] if record.flaw else []
        said = plain.text(page.blocks)
        self._file.write("".join(f"{part}\n" for part in [*parts, said] if part))


def text_file(path: Path) -> TextIO:
    """A new UTF-8 text file; lone surrogates become backslash escapes, which JSON knows."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
