"""Own text of pages that run from right to left is told as it is read."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pymupdf as _pymupdf
import pytest

from ocrd.pages.leftward import as_read
from ocrd.pages.work import own_text
from tests.support.needs import chromium, needs

pymupdf: Any = _pymupdf  # its functions carry no annotations

HEBREW = (
    "החברה שלנו עובדת עם Deutsche Bank ומשתמשת בשפת Python לפיתוח.",
    "הטלפון הוא 0142 והכתובת info@example.co.il למשלוח דואר.",
    "בשנת 2026 נמכרו 350 ספרים (כולל 12 מתורגמים) ב-48 חנויות.",
    "המחיר: 1,240.50 ש״ח, הנחה 15%, סה״כ 1,054 ש״ח.",
    "טלפון 03-555-0142 או פקס +972-3-555-0143 בשעות 9:00-17:30 בלבד.",
    "Windows 11 מותקן על 24 מחשבים [ראו נספח B] של IBM Israel Ltd. בירושלים",
    "נכתב ב-C++ (גרסה 3.11) בתאריך 12/05/2026, ראו להלן.",
)
ARABIC = (
    "تعمل شركتنا مع Deutsche Bank وتستخدم لغة Python في التطوير.",
    "في سنة 2026 بيع 350 كتابا (منها 12 مترجما) في 48 متجرا.",
    "السعر 1,240 دينار وعدد الصفحات ١٢٣ صفحة.",
    "نسبة 15% من 200 دولار، والبريد office@hanbit.kr للاستفسار؟",  # with ligatures of lam and alef
    "الهاتف 031-555-0142 أو الفاكس 02/555 في الساعة 9:30 فقط.",
)


def html(lines: tuple[str, ...]) -> str:
    paragraphs = "".join(f'<p style="margin: 24px 0">{line}</p>' for line in lines)
    return f'<html dir="rtl"><meta charset="utf-8"><body dir="rtl">{paragraphs}</body></html>'


@needs("chromium", "fonts")
@pytest.mark.parametrize("lines", [HEBREW, ARABIC], ids=["Hebrew", "Arabic"])
def test_latin_words_and_numbers_stand_where_they_are_read(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    """As a browser prints it: glyphs from left to right, whatever they say."""
    page, printed = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text(html(lines), encoding="utf-8")
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer")
    command = [chromium(), *quiet, f"--user-data-dir={tmp_path / 'profile'}"]
    command += [f"--print-to-pdf={printed}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    found = own_text(printed, 1)
    assert found is not None
    assert found.result.text.split("\n\n") == [*lines]
    words = [word for line in found.result.lines for word in line.text.split()]
    lettered = [word for line in lines for word in line.split() if any(map(str.isalnum, word))]
    assert words == lettered


def test_pieces_of_a_line_are_joined_as_they_stand(tmp_path: Path) -> None:
    """MuPDF writes glyphs in their order of reading, brackets as they look."""
    with pymupdf.open() as document:
        shown = f'<div style="direction: rtl">{html(HEBREW)}</div>'
        document.new_page().insert_htmlbox((40, 40, 560, 800), shown)
        document.save(str(tmp_path / "a.pdf"))
    found = own_text(tmp_path / "a.pdf", 1)
    assert found is not None
    assert " ".join(found.result.text.split()) == " ".join(HEBREW)


def line(seen: str, left: float = 100.0, top: float = 0.0) -> dict[str, Any]:
    """A line of letters, ten points each, as they are seen from left to right."""
    chars = [
        {"c": char, "bbox": (left + 10 * at, top, left + 10 * at + 10, top + 10)}
        for at, char in enumerate(seen)
    ]
    box = (left, top, left + 10 * len(seen), top + 10)
    return {"bbox": box, "dir": (1.0, 0.0), "spans": [{"chars": chars, "text": seen}]}


@pytest.mark.parametrize(
    ("seen", "read"),
    [
        ("ג ב א", "א ב ג"),
        ("ב 12 15 א", "א 15 12 ב"),  # numbers alone follow the line
        ("ב Bank 48 א", "א Bank 48 ב"),  # one behind a word goes with it
        ("ב 48 Bank א", "א Bank 48 ב"),
        (".ב 1,240.50 א", "א 1,240.50 ב."),
        ("48-ב", "ב-48"),
        ("$50 :א", "א: $50"),  # a sign before a number or behind it goes with it
        ("50$ :א", "א: 50$"),
        ("₪100 :א", "א: ₪100"),
        (")ב( א", "א (ב)"),
        ("(ב) א", "א (ב)"),  # brackets told as they look
        ("ب 031-555 ا", "ا 555-031 ب"),  # noqa: RUF001 - Arabic, where a hyphen parts numbers
    ],
)
def test_a_line_is_told_as_it_is_read(seen: str, read: str) -> None:
    told, _ = as_read([line(seen), line("והנה עוד שורה", top=20)])
    assert "".join(span["text"] for span in told["spans"]) == read


def test_columns_stay_apart() -> None:
    lines = [line("ב א", 400.0), line("ד ג", 100.0)]
    assert len([*as_read(lines)]) == 2


@pytest.mark.parametrize(
    ("seen", "read"),
    [(".םולש רמוא אוה", "הוא אומר שלום."), ("He says שלום to all.", "He says שלום to all.")],
)
def test_on_another_page_a_line_runs_as_most_of_its_letters_do(seen: str, read: str) -> None:
    _, told = as_read([line("A page of English, but for this line", top=20), line(seen)])
    assert "".join(span["text"] for span in told["spans"]) == read
