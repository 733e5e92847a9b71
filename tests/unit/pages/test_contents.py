"""A table of contents is told entry by entry, whatever leads from a title to its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pymupdf as _pymupdf
import pytest

from ocrd.document.markdown import page as markdown
from ocrd.modes import AnswerFormat
from ocrd.pages.work import own_text

pymupdf: Any = _pymupdf  # its functions carry no annotations

ENTRIES = [
    (0, "1 Introduction", "1"),
    (1, "1.1 Scope", "2"),
    (1, "1.2 History of the port", "4"),
    (0, "2 Ships", "17"),
    (1, "2.1 Sailing ships and their masters", "119"),
    (0, "Index", "xii"),
]
PROSE = "The harbour office keeps a record of every ship that enters the port, and of the goods."
LEFT, RIGHT, SIZE = 72, 520, 11


def dots(page: Any, start: float, end: float, y: float) -> None:
    count = int((end - start - 8) / pymupdf.get_text_length(".", "helv", SIZE))
    page.insert_text((start + 4, y), "." * count, fontsize=SIZE)


def spaced(page: Any, start: float, end: float, y: float) -> None:
    for x in range(80, int(end) - 6, 7):
        if x > start + 4:
            page.insert_text((x, y), ".", fontsize=SIZE)


def touching(page: Any, start: float, end: float, y: float) -> None:
    """All of a line in one piece, as LibreOffice writes it."""
    page.insert_text((start, y), "." * 60, fontsize=SIZE)


def ellipses(page: Any, start: float, end: float, y: float) -> None:
    page.insert_text((start + 4, y), "… " * 8, fontname="tiro", fontsize=SIZE)


def told(folder: Path, lead: Any, entries: Any, bold: bool = False) -> list[str]:
    """The Markdown of a page of entries, line by line."""
    with pymupdf.open() as document:
        page = document.new_page()
        page.insert_text((LEFT, 80), "Contents", fontname="hebo", fontsize=18)
        for row, (depth, title, number) in enumerate(entries):
            font = "hebo" if bold and not depth else "helv"
            x, y = LEFT + 14 * depth, 110 + 16 * row
            page.insert_text((x, y), title, fontname=font, fontsize=SIZE)
            end = RIGHT - pymupdf.get_text_length(number, font, SIZE)
            page.insert_text((end, y), number, fontname=font, fontsize=SIZE)
            lead(page, x + pymupdf.get_text_length(title, font, SIZE), end, y)
        for row in range(4):
            page.insert_text((LEFT, 300 + 15 * row), PROSE, fontsize=SIZE)
        document.save(str(folder / "a.pdf"))
    own = own_text(folder / "a.pdf", 1)
    assert own is not None
    said = markdown(own.result.blocks, AnswerFormat.DOCUMENT, {})
    return [line.strip() for line in said.splitlines() if line.strip()]


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("lead", [dots, spaced, touching, ellipses])
def test_each_entry_is_a_line_of_its_own(tmp_path: Path, lead: Any, bold: bool) -> None:
    entries = [f"{title} ... {number}" for _, title, number in ENTRIES]
    assert told(tmp_path, lead, ENTRIES, bold)[:-1] == ["# Contents", *entries]


def test_prices_are_no_page_numbers(tmp_path: Path) -> None:
    prices = [(0, title, f"{index}.50") for index, (_, title, _) in enumerate(ENTRIES)]
    assert not any(" ... " in line for line in told(tmp_path, dots, prices))
