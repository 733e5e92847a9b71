"""A table of contents is told entry by entry, whatever leads from a title to its page."""

from __future__ import annotations

import re
from collections import Counter
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


def none(page: Any, start: float, end: float, y: float) -> None:
    """White alone, as in many reports."""


def test_an_entry_to_which_no_dots_lead_is_a_line_as_well(tmp_path: Path) -> None:
    entries = [f"{title} {number}" for _, title, number in ENTRIES[:-1]]
    assert told(tmp_path, none, ENTRIES[:-1])[:-1] == ["# Contents", *entries]


def test_the_first_line_of_a_long_title_is_told_before_the_second(tmp_path: Path) -> None:
    entries = [*ENTRIES[:3], (0, "2 Ships of the river and", ""), *ENTRIES[4:]]

    def lead(page: Any, start: float, end: float, y: float) -> None:
        if end < RIGHT:
            dots(page, start, end, y)

    said = told(tmp_path, lead, entries)
    assert said[4] == "2 Ships of the river and"
    assert [line for line in said if " ... " in line] == [*said[1:4], *said[5:7]]


def test_prices_are_no_page_numbers(tmp_path: Path) -> None:
    prices = [(0, title, f"{index}.50") for index, (_, title, _) in enumerate(ENTRIES)]
    assert not any(" ... " in line for line in told(tmp_path, dots, prices))


def page_of(folder: Path, lines: list[tuple[float, str, str]], pitch: float) -> str:
    """The Markdown of lines, each of a left edge, a text and the number that dots lead to."""
    with pymupdf.open() as document:
        page = document.new_page()
        for row, (x, text, number) in enumerate(lines):
            y = 80 + pitch * row
            page.insert_text((x, y), text, fontsize=SIZE)
            if number:
                end = RIGHT - pymupdf.get_text_length(number, "helv", SIZE)
                page.insert_text((end, y), number, fontsize=SIZE)
                dots(page, x + pymupdf.get_text_length(text, "helv", SIZE), end, y)
        document.save(str(folder / "a.pdf"))
    own = own_text(folder / "a.pdf", 1)
    assert own is not None
    return markdown(own.result.blocks, AnswerFormat.DOCUMENT, {})


BETWEEN = {
    "a title of two lines": [(72, "A title that goes on and on word{n}", ""), (90, "here", "1{n}")],
    "a part without a number": [(72, "Part word{n}", ""), (90, "Chapter of it", "2{n}")],
    "what a dish is made of": [(72, "Soup", "{n}"), (72, "with beans and word{n}", "")],
    "several numbers": [(72, "Apples", "1{n}"), (72, "Pears word{n}", "12, 15, 7{n}")],
    "a page of an annex": [(72, "Apples", "1{n}"), (72, "Pears word{n}", "A-7{n}")],
}


@pytest.mark.parametrize("pitch", [13.2, 14.5, 17.0])
@pytest.mark.parametrize("pattern", BETWEEN.values(), ids=BETWEEN)
def test_no_line_between_entries_is_lost(tmp_path: Path, pattern: Any, pitch: float) -> None:
    lines = [
        (x, text.format(n=n), number.format(n=n)) for n in range(6) for x, text, number in pattern
    ]
    said = page_of(tmp_path, lines, pitch)
    words = " ".join(f"{text} {number}" for _, text, number in lines)
    assert Counter(re.findall(r"\w+", words)) <= Counter(re.findall(r"\w+", said))


def test_an_entry_of_several_numbers_is_one(tmp_path: Path) -> None:
    numbers = ["3", "12, 15, 18", "7-9", "21, 30-34"]
    said = page_of(tmp_path, [(72, f"Word {n}", number) for n, number in enumerate(numbers)], 14)
    assert [line.strip() for line in said.splitlines()] == [
        f"Word {n} ... {number}" for n, number in enumerate(numbers)
    ]


@pytest.mark.parametrize("beside", ["side text", "Other title ................... 4"])
def test_lines_of_several_columns_are_not_joined(tmp_path: Path, beside: str) -> None:
    with pymupdf.open() as document:
        page = document.new_page()
        for row in range(6):
            y = 80 + 14 * row
            page.insert_text((40, y), f"{beside} {row}", fontsize=SIZE)
            page.insert_text((300, y), f"Title {row} ................... {row}", fontsize=SIZE)
        document.save(str(tmp_path / "a.pdf"))
    own = own_text(tmp_path / "a.pdf", 1)
    assert own is not None
    assert " ... " not in own.result.text
