"""docs/scan.schema.json and the sidecars that are written say the same."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

from ocrd.document.base import BLANK, Separator
from ocrd.page import Block, Box, Finish, Line, Markup, PageResult, WordsFrom
from tests.unit.document.scans import bundle, pymupdf, record, scan_pdf, sidecar, typeset

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA: dict[str, Any] = json.loads((DOCS / "scan.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FACTS: dict[str, Any] = {  # as the worker tells them
    "source": "a.pdf", "folder": "scans", "job": 3, "attempts": 1, "sha256": "0f" * 32, "size": 9,
    "engine": "rapidocr", "model": "PP-OCRv6", "mode": "document", "prompt": "",
    "resolution": "gundam", "language": None, "versions": {"ocrd": "1"},
    "queued_at": "2026-01-02T03:04:05+01:00", "finished_at": "2026-01-02T03:05:05+01:00",
}  # fmt: skip
JOINED: dict[str, Any] = {
    "duplex": "none",
    "members": [{"source": "1.png", "sha256": "0f" * 32, "size": 9, "pages": [1]}],
}


def told_of(folder: Path, source: Path, *pages: dict[str, Any], **options: Any) -> dict[str, Any]:
    bundle(folder, source, pages, **{"outputs": frozenset({"json", "images"}), **options})
    return sidecar(folder)


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sidecars with everything that one can have: of a document, and of a pile."""
    folder = tmp_path_factory.mktemp("sidecars")
    truth = typeset(dpi=40)
    source = scan_pdf(folder / "a.pdf", *[truth] * 5)
    line = Line("Total 12", Box(0.1, 0.1, 0.3, 0.12), confidence=0.75)
    blocks = (
        Block("title", "Total 12", (line.box,), Markup.PLAIN, level=1),
        Block("table", "", (Box(0.1, 0.2, 0.9, 0.4),), Markup.PLAIN, rows=(("a", "b"),)),
        Block("image", "", (Box(0.1, 0.5, 0.9, 0.8),), Markup.PLAIN),
    )
    read = PageResult(text="x", blocks=blocks, lines=(line,), notes=("looked at twice",))
    died = {"kind": "page", "message": "it died", "hint": "Again."}
    cut = replace(read, finish=Finish.LENGTH, partial="cut off", codes=("X1",), turned=90)
    pages = [
        record(1, read) | {"came_from": {"file": "1.png", "page": 1}, "pile_page": 2},
        record(2, replace(cut, words_from=WordsFrom.BOTH), state="partial"),
        record(3, state="failed", error=died),
        record(4, PageResult(text="")),
        record(5, replace(read, words_from=WordsFrom.PDF)),
        record(6, read),  # there is none
    ]
    part = {"document": {"number": 1, "of": 2, "pile": "a"}}
    document = told_of(folder, source, *pages, drop_blank=True, facts=FACTS | JOINED | part)
    return document, pile(folder)


def pile(folder: Path) -> dict[str, Any]:
    """The index of two pages with an empty one between them."""
    with pymupdf.open() as document:
        for said in ("one", "", "two"):
            document.new_page().insert_text((72, 90), said)
        document.save(str(folder / "pile.pdf"))
    pages = [record(n, PageResult(text=said)) for n, said in enumerate(("one", "", "two"), start=1)]
    (folder / "pile").mkdir()
    facts, blank = FACTS | JOINED, Separator(kind=BLANK)
    index = told_of(folder / "pile", folder / "pile.pdf", *pages, facts=facts, separator=blank)
    for name in ("scan-1", "scan-2"):
        document = folder / "pile" / "out" / name / f"{name}.json"
        VALIDATOR.validate(json.loads(document.read_text()))
    return index


def test_what_is_written_is_what_the_schema_says(all_kinds: tuple[dict[str, Any], ...]) -> None:
    for told in all_kinds:
        VALIDATOR.validate(told)


def test_every_key_of_the_schema_is_written(all_kinds: tuple[dict[str, Any], ...]) -> None:
    document, index = all_kinds
    pages = document["pages"]
    written = {
        "document": document.keys(),
        "pile": index.keys(),
        "page": {key for page in pages for key in page},
        "block": {key for page in pages for block in page["blocks"] for key in block},
        "error": {key for page in pages for key in page["error"] or ()},
        "summary": document["summary"].keys(),
    }
    known = {
        name: kind["properties"].keys()
        for name, kind in SCHEMA["$defs"].items()
        if "properties" in kind
    }
    assert written == known


@pytest.mark.parametrize("where", [(), ("pages", 0), ("pages", 0, "blocks", 0), ("summary",)])
def test_a_key_that_the_schema_does_not_know_is_refused(
    all_kinds: tuple[dict[str, Any], ...], where: tuple[str | int, ...]
) -> None:
    told = copy.deepcopy(all_kinds[0])
    place: Any = told
    for step in where:
        place = place[step]
    place["surprise"] = 1
    assert not VALIDATOR.is_valid(told)


def test_a_page_tells_its_size_its_words_and_how_sure_they_are(tmp_path: Path) -> None:
    truth = typeset(dpi=100)
    lines = [Line("aaa", Box(0.1, 0.1, 0.2, 0.12), confidence=1.0),
             Line("b", Box(0.1, 0.2, 0.2, 0.22), confidence=0.2)]  # fmt: skip
    source = scan_pdf(tmp_path / "a.pdf", truth, rotation=90)
    read = PageResult(text="x", lines=tuple(lines), words_from=WordsFrom.BOTH)
    (page,) = told_of(tmp_path, source, record(1, read))["pages"]
    assert (page["size_px"], page["size_in"], page["dpi"]) == ([850, 1100], [8.5, 11.0], 100.0)
    assert (page["words_from"], page["confidence"]) == ("both", 0.8)


@pytest.mark.parametrize("unit", [1, 2.5])
def test_a_page_that_is_no_scan_is_measured_at_the_engines_resolution(
    tmp_path: Path, unit: float
) -> None:
    with pymupdf.open() as document:
        page = document.new_page(width=144, height=288)
        page.insert_text((20, 20), "Hi")
        document.xref_set_key(page.xref, "UserUnit", str(unit))
        document.save(str(tmp_path / "a.pdf"))
    (told,) = told_of(tmp_path, tmp_path / "a.pdf", record(1, PageResult(text="Hi")))["pages"]
    assert told["size_in"] == [2 * unit, 4 * unit]
    assert (told["size_px"], told["dpi"]) == ([288 * unit, 576 * unit], 144.0)


def test_an_image_is_measured_in_its_own_pixels(tmp_path: Path) -> None:
    Image.new("L", (600, 400), 128).save(tmp_path / "a.png", dpi=(150, 150))
    page = record(1, PageResult(text=""))
    (told,) = told_of(tmp_path, tmp_path / "a.png", page, kind="image")["pages"]
    assert (told["size_px"], told["size_in"], told["dpi"]) == (
        [600, 400], pytest.approx([4.0, 2.667], abs=0.002), 150.0,
    )  # fmt: skip
