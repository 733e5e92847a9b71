"""Lays out each sample's pages: clean, with the truth about them."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.samples.texts import paragraphs, texts
from tests.support.samples.typeset import (
    A4,
    CHINESE,
    SANS,
    SANS_BOLD,
    SERIF,
    SERIF_BOLD,
    Sheet,
    Style,
)

MARGIN = 72.0
FULL = A4[0] - 2 * MARGIN
COLUMN_END = 460.0  # a paragraph that would begin below goes to the next column
TABLE_CELLS = ((0.0, 0), (70.0, 0), (290.0, 1), (360.0, 1), (FULL - 6, 1))  # offset, anchor


def letter() -> Sheet:
    """A business letter in one column."""
    words, sheet, body = texts()["letter"], Sheet(), Style(SERIF, 11.5)
    y = _stack(sheet, words["sender"], 80, Style(SANS, 10))
    sheet.says(words["date"])
    sheet.line(words["date"], A4[0] - MARGIN, y + 24, body, anchor=1)
    y = _stack(sheet, words["recipient"], y + 60, body)
    y = sheet.paragraph(words["subject"], MARGIN, y + 30, FULL, Style(SERIF_BOLD, 11.5)) + 12
    for paragraph in paragraphs(words["text"]):
        y = sheet.paragraph(paragraph, MARGIN, y, FULL, body) + 8
    return sheet


def _stack(sheet: Sheet, lines: Iterable[str], y: float, style: Style) -> float:
    """The lines of an address: one paragraph, broken where it says."""
    sheet.says("\n".join(lines))
    for line in lines:
        sheet.line(line, MARGIN, y, style)
        y += style.pitch
    return y


def columns() -> Sheet:
    """A title across the page, then sections that flow through two justified columns."""
    words, sheet, body, gutter = texts()["columns"], Sheet(), Style(SERIF, 10.5), 26.0
    y = _centred(sheet, words["title"], 90, Style(SERIF_BOLD, 20))
    y = top = _centred(sheet, words["lead"], y, Style(SERIF, 12)) + 12
    x, width = MARGIN, (FULL - gutter) / 2
    for section in words["sections"]:
        y = sheet.paragraph(section["heading"], x, y + 4, width, Style(SANS_BOLD, 13)) + 2
        for paragraph in paragraphs(section["text"]):
            if y > COLUMN_END:
                x, y = x + width + gutter, top
            y = sheet.paragraph(paragraph, x, y, width, body, justify=True) + 6
    return sheet


def _centred(sheet: Sheet, text: str, y: float, style: Style) -> float:
    sheet.says(text)
    sheet.line(text, A4[0] / 2, y, style, anchor=0.5)
    return y + 1.5 * style.size


def table() -> Sheet:
    """A delivery note: a title, a ruled table with numbers to the right, two sentences."""
    words, sheet, body = texts()["table"], Sheet(), Style(SANS, 10)
    y = sheet.paragraph(words["title"], MARGIN, 96, FULL, Style(SANS_BOLD, 18)) + 6
    y = sheet.paragraph(" ".join(paragraphs(words["before"])), MARGIN, y, FULL, body) + 18
    sheet.says("\n".join("  ".join(row) for row in words["rows"]))
    for row in words["rows"]:
        for cell, (x, anchor) in zip(row, TABLE_CELLS, strict=True):
            sheet.line(cell, MARGIN + 3 + x, y, body, anchor=anchor)
        sheet.rule(MARGIN, y + 7, MARGIN + FULL, y + 7)
        y += 22
    sheet.paragraph(" ".join(paragraphs(words["after"])), MARGIN, y + 16, FULL, body)
    return sheet


def report() -> list[Sheet]:
    """The three pages of a report with a running head and page numbers."""
    return [_report_page(number) for number in range(len(texts()["report"]["pages"]))]


def _report_page(number: int) -> Sheet:
    words, sheet, body, y = texts()["report"], Sheet(), Style(SERIF, 11.5), 110.0
    sheet.says(words["running_head"])
    sheet.line(words["running_head"], MARGIN, 48, Style(SANS, 9))
    if number == 0:
        y = sheet.paragraph(words["title"], MARGIN, y, FULL, Style(SANS_BOLD, 20)) + 10
    for section in words["pages"][number]["sections"]:
        y = sheet.paragraph(section["heading"], MARGIN, y + 6, FULL, Style(SANS_BOLD, 14)) + 4
        for paragraph in paragraphs(section["text"]):
            y = sheet.paragraph(paragraph, MARGIN, y, FULL, body, justify=True) + 8
    sheet.says(str(number + 1))
    sheet.line(str(number + 1), A4[0] / 2, A4[1] - 40, Style(SANS, 9), anchor=0.5)
    return sheet


def notice() -> Sheet:
    """A short notice on a smaller sheet, to be photographed."""
    words, sheet = texts()["photo"], Sheet(420, 560)
    y = sheet.paragraph(words["title"], 48, 80, 324, Style(SERIF_BOLD, 20)) + 10
    for paragraph in paragraphs(words["text"]):
        y = sheet.paragraph(paragraph, 48, y, 324, Style(SERIF, 13)) + 10
    return sheet


def chinese() -> Sheet:
    """A notice in Chinese with some Latin letters and figures."""
    words, sheet, y = texts()["chinese"], Sheet(), 160.0
    sheet.says(words["title"])
    sheet.line(words["title"], A4[0] / 2, 110, Style(CHINESE, 20), anchor=0.5)
    for paragraph in paragraphs(words["text"]):
        y = sheet.paragraph(paragraph, MARGIN, y, FULL, Style(CHINESE, 12.5)) + 10
    return sheet
