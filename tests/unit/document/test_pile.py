"""A pile comes apart at its separator pages, and everything tells where a page had been."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.document.base import BARCODE, BLANK, Separator
from ocrd.document.pile import part_name, split
from ocrd.page import PageResult
from tests.unit.document.scans import book, bundle, record, texts_on

BLANKS = Separator(kind=BLANK)
CODES = Separator(kind=BARCODE, code="PATCHT")
DEAD = {"kind": "page", "message": "the engine died on it", "hint": "Try it alone."}


def read(*texts: str) -> list[dict[str, Any]]:
    return [record(n, PageResult(text=text)) for n, text in enumerate(texts, start=1)]


def built(
    folder: Path, source: Path, pages: Iterable[dict[str, Any]], separator: Separator = BLANKS
) -> tuple[str, ...]:
    outputs = frozenset({"markdown", "pdf", "images", "json"})
    facts = {"source": source.name, "members": [{"source": "a.pdf", "pages": [1]}]}
    return bundle(folder, source, pages, separator=separator, outputs=outputs, facts=facts, dpi=72)


def entries(folder: Path) -> list[str]:
    out = folder / "out"
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def told(folder: Path, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "out" / name).read_text(encoding="utf-8"))
    return facts


@given(st.lists(st.booleans(), max_size=30))
def test_every_page_is_in_one_document_or_separates(marks: list[bool]) -> None:
    separators = {number for number, mark in enumerate(marks, start=1) if mark}
    documents = split(len(marks), separators)
    kept = [number for document in documents for number in document]
    assert kept == [number for number in range(1, len(marks) + 1) if number not in separators]
    assert [] not in documents
    for before, after in pairwise(documents):
        assert separators & set(range(before[-1] + 1, after[0]))
    for document in documents:
        assert document == list(range(document[0], document[-1] + 1))


def test_blank_pages_end_documents_and_two_make_no_empty_one(tmp_path: Path) -> None:
    texts = ("One", "Two", "", "", "Three", "")
    made = built(tmp_path, book(tmp_path / "pile.pdf", *texts), read(*texts))
    assert entries(tmp_path) == [
        "scan-1/scan-1.json",
        "scan-1/scan-1.md",
        "scan-1/scan-1.pdf",
        "scan-2/scan-2.json",
        "scan-2/scan-2.md",
        "scan-2/scan-2.pdf",
        "scan.json",
    ]
    assert texts_on(tmp_path / "out" / "scan-1" / "scan-1.pdf") == ["One", "Two"]
    assert texts_on(tmp_path / "out" / "scan-2" / "scan-2.pdf") == ["Three"]
    index = told(tmp_path, "scan.json")
    assert index["separator"] == {"kind": "blank", "code": ""}
    assert [each["page"] for each in index["separators"]] == [3, 4, 6]
    assert [(each["name"], each["pages"]) for each in index["documents"]] == [
        ("scan-1", [1, 2]),
        ("scan-2", [5]),
    ]
    assert made == ("scan-1", "scan-2", "scan.json")


def test_pages_are_numbered_anew_and_say_what_they_were(tmp_path: Path) -> None:
    texts = ("One", "", "Two", "Three")
    built(tmp_path, book(tmp_path / "pile.pdf", *texts), read(*texts))
    second = told(tmp_path, "scan-2/scan-2.json")
    assert [(page["number"], page["pile_page"]) for page in second["pages"]] == [(1, 3), (2, 4)]
    assert second["document"] == {"number": 2, "of": 2, "pile": "scan"}
    assert "members" not in second
    markdown = (tmp_path / "out" / "scan-2" / "scan-2.md").read_text(encoding="utf-8")
    assert markdown == "Two\n\n<!-- page 2 -->\n\nThree\n"


def test_a_page_that_could_not_be_read_separates_nothing(tmp_path: Path) -> None:
    pages = [*read("One"), record(2, state="failed", error=DEAD), *read("One", "", "Three")[2:]]
    built(tmp_path, book(tmp_path / "pile.pdf", "One", "", "Three"), pages)
    assert entries(tmp_path) == ["scan.json", "scan.md", "scan.pdf"]
    assert "Page 2 could not be read" in (tmp_path / "out" / "scan.md").read_text(encoding="utf-8")


def test_a_picture_in_which_nothing_was_read_is_not_blank(tmp_path: Path) -> None:
    built(tmp_path, book(tmp_path / "pile.pdf", "One", "A PHOTO OF A SHIP"), read("One", ""))
    assert entries(tmp_path) == ["scan.json", "scan.md", "scan.pdf"]


@pytest.mark.parametrize("texts", [("One", "Two"), ("", "")])
def test_without_separators_or_documents_it_is_a_bundle_like_any_other(
    tmp_path: Path, texts: tuple[str, ...]
) -> None:
    built(tmp_path, book(tmp_path / "pile.pdf", *texts), read(*texts))
    assert entries(tmp_path) == ["scan.json", "scan.md", "scan.pdf"]
    assert len(texts_on(tmp_path / "out" / "scan.pdf")) == len(texts)
    assert "pile_page" not in told(tmp_path, "scan.json")["pages"][0]


def test_only_the_code_that_is_asked_for_separates(tmp_path: Path) -> None:
    texts = ("One", "", "Two", "Three")
    pages = read(*texts)
    for page, code in ((pages[1], "PATCHT"), (pages[2], "4006381333931")):
        page["result"]["codes"] = [code]
    built(tmp_path, book(tmp_path / "pile.pdf", *texts), pages, CODES)
    index = told(tmp_path, "scan.json")
    assert index["separators"] == [{"page": 2, "codes": ["PATCHT"]}]
    assert [each["pages"] for each in index["documents"]] == [[1], [3, 4]]
    assert told(tmp_path, "scan-2/scan-2.json")["pages"][0]["codes"] == ["4006381333931"]


def test_the_empty_back_of_a_separator_sheet_goes_with_it(tmp_path: Path) -> None:
    texts = ("One", "", "", "", "", "Two", "", "Three")
    pages = read(*texts)
    for page in (pages[1], pages[3]):
        page["result"]["codes"] = ["PATCHT"]
    built(tmp_path, book(tmp_path / "pile.pdf", *texts), pages, CODES)
    index = told(tmp_path, "scan.json")
    assert index["separators"] == [
        {"page": 2, "codes": ["PATCHT"]},
        {"page": 3, "codes": []},
        {"page": 4, "codes": ["PATCHT"]},
        {"page": 5, "codes": []},
    ]
    assert [each["pages"] for each in index["documents"]] == [[1], [6, 7, 8]]


def test_any_code_separates_where_none_is_named(tmp_path: Path) -> None:
    texts = ("One", "coded", "Two")
    pages = read(*texts)
    pages[1]["result"]["codes"] = ["whatever it says"]
    built(tmp_path, book(tmp_path / "p.pdf", *texts), pages, Separator(kind=BARCODE))
    assert [each["pages"] for each in told(tmp_path, "scan.json")["documents"]] == [[1], [3]]


@pytest.mark.parametrize("name", ["scan", "x" * 245, "ü" * 122, "a.b"])
def test_a_documents_name_leaves_room_for_what_is_appended(name: str) -> None:
    made = part_name(name, 123)
    assert made.endswith("-123")
    assert len(f"{made}.boxes.pdf".encode()) <= 255
