"""ALTO and hOCR: valid by their schemas, every word in its place, pages never shifted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocrd.page import Block, Box, Line, Markup, PageResult, Word
from ocrd.pages.owntext import own_text
from tests.unit.document.archives import (
    ALTO,
    assert_valid,
    by_alto,
    by_hocr,
    of_class,
    overlaps,
    place,
    properties,
)
from tests.unit.document.scans import (
    LETTER,
    bundle,
    by_mupdf,
    hits,
    pymupdf,
    record,
    scan_pdf,
    two_columns,
    typeset,
    worn,
)

FILES = frozenset({"alto", "hocr"})


def made(folder: Path, source: Path, *pages: dict[str, Any], **options: Any) -> tuple[Any, Any]:
    """The bundle's ALTO and hOCR."""
    bundle(folder, source, pages, **{"outputs": FILES, **options})
    return assert_valid(folder / "out")


@pytest.mark.parametrize("skew", [-1.5, 0.0, 1.0])
@pytest.mark.parametrize("given", ["lines", "blocks"])
def test_every_word_of_a_scan_is_told_in_its_place_and_order(
    tmp_path: Path, given: str, skew: float
) -> None:
    truth = worn(two_columns(), skew)
    (tmp_path / "a.jpg").write_bytes(truth.png)
    parts = [truth.lines[:1], truth.lines[1:13], truth.lines[13:]]
    blocks = tuple(
        Block("text", "\n".join(said(line) for line in part), (around_all(part),), Markup.PLAIN)
        for part in parts
    )
    lines = truth.as_lines() if given == "lines" else ()
    result = PageResult(text="x", blocks=blocks, lines=lines)
    alto, hocr = made(tmp_path, tmp_path / "a.jpg", record(1, result), kind="image")
    for found in (by_alto(alto), by_hocr(hocr)):
        assert hits(found, truth.words) >= 0.95
        assert [word.text for word in found] == [word.text for word in truth.words]
    assert len(alto.findall(".//a:TextBlock", ALTO)) == len(of_class(hocr, "ocr_carea")) == 3
    assert len(of_class(hocr, "ocr_line")) == len(truth.lines)
    if not skew:
        assert max(overlaps([place(node) for node in of_class(hocr, "ocr_line")])) <= 0.2


def said(line: tuple[Word, ...]) -> str:
    return " ".join(word.text for word in line)


def around_all(lines: tuple[tuple[Word, ...], ...]) -> Box:
    return Box.around(word.box for line in lines for word in line)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_places_are_those_of_the_page_as_it_is_seen(tmp_path: Path, rotation: int) -> None:
    truth = typeset()
    source = scan_pdf(tmp_path / "a.pdf", truth, rotation=rotation, margin=30)
    page = record(1, PageResult(text="x", lines=truth.as_lines()))
    alto, hocr = made(tmp_path, source, page)
    assert hits(by_alto(alto), truth.words) >= 0.95
    assert hits(by_hocr(hocr), truth.words) >= 0.95
    assert place(of_class(hocr, "ocr_page")[0]) == (0, 0, 935, 1210)  # 110 dpi: the scan's own
    assert properties(of_class(hocr, "ocr_page")[0])["scan_res"] == "110 110"


def test_a_page_set_in_type_is_told_by_its_own_words(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        page = document.new_page()
        for index, line in enumerate(LETTER):
            page.insert_text((72, 90 + 20 * index), line, fontsize=10)
        document.save(str(tmp_path / "a.pdf"))
    with pymupdf.open(str(tmp_path / "a.pdf")) as document:
        own = own_text(document[0])
    assert own is not None
    alto, _ = made(tmp_path, tmp_path / "a.pdf", record(1, own.result))
    assert hits(by_alto(alto), by_mupdf(tmp_path / "a.pdf")) == 1.0


def test_confidence_is_told_of_every_word_and_of_the_page(tmp_path: Path) -> None:
    truth = typeset()
    sure = [0.9, 0.4, 0.7, 0.8, 0.6]
    lines = [
        replace(line, confidence=value) for line, value in zip(truth.as_lines(), sure, strict=True)
    ]
    page = record(1, PageResult(text="x", lines=tuple(lines)))
    alto, hocr = made(tmp_path, scan_pdf(tmp_path / "a.pdf", truth), page)
    for line, value in zip(alto.findall(".//a:TextLine", ALTO), sure, strict=True):
        assert {float(word.get("WC")) for word in line.iterfind("a:String", ALTO)} == {value}
    told = [float(properties(node)["x_wconf"]) for node in of_class(hocr, "ocrx_word")]
    assert sorted(set(told)) == [40, 60, 70, 80, 90]
    lengths = [len(said(line)) for line in truth.lines]
    mean = sum(map(lambda value, length: value * length, sure, lengths)) / sum(lengths)
    assert float(alto.find(".//a:Page", ALTO).get("PC")) == pytest.approx(mean, abs=0.001)


def test_an_engine_that_cannot_tell_how_sure_it_is_tells_nothing(tmp_path: Path) -> None:
    truth = typeset()
    page = record(1, PageResult(text="x", lines=truth.as_lines()))
    alto, hocr = made(tmp_path, scan_pdf(tmp_path / "a.pdf", truth), page)
    assert not alto.findall(".//*[@WC]") and not alto.findall(".//*[@PC]")
    assert all("x_wconf" not in properties(node) for node in of_class(hocr, "ocrx_word"))


def test_figures_and_tables_are_told_as_such(tmp_path: Path) -> None:
    truth = typeset()
    box = Box.around(word.box for word in truth.words)
    blocks = (
        Block("image", "", (Box(0.1, 0.5, 0.6, 0.8),), Markup.PLAIN),
        Block("table", "", (box,), Markup.PLAIN, rows=tuple((said(x),) for x in truth.lines)),
    )
    page = record(1, PageResult(text="x", blocks=blocks, lines=truth.as_lines()))
    alto, hocr = made(tmp_path, scan_pdf(tmp_path / "a.pdf", truth), page)
    kinds = [node.tag.rpartition("}")[2] for node in alto.find(".//a:PrintSpace", ALTO)]
    assert kinds == ["Illustration", "ComposedBlock"]
    assert [node.get("class") for node in of_class(hocr, "ocr_page")[0]] == [
        "ocr_photo", "ocr_table",
    ]  # fmt: skip


def test_a_page_that_was_not_read_keeps_its_number_and_says_why(tmp_path: Path) -> None:
    truth = typeset(dpi=40)
    died = {"kind": "page", "message": 'it "died" & <left>', "hint": "Try again."}
    pages = [
        record(1, state="failed", error=died),
        record(2, PageResult(text="")),
        record(3, PageResult(text="x", lines=truth.as_lines())),
        record(4, PageResult(text="beyond the end")),
    ]
    alto, hocr = made(tmp_path, scan_pdf(tmp_path / "a.pdf", truth, truth, truth), *pages)
    told = alto.findall(".//a:Page", ALTO)
    assert [page.get("PHYSICAL_IMG_NR") for page in told] == ["1", "2", "3", "4"]
    assert told[0].get("QUALITY_DETAIL") == 'Page 1 could not be read: it "died" & <left>'
    assert [len(page.findall(".//a:String", ALTO)) > 0 for page in told] == [0, 0, 1, 0]
    assert [len(of_class(page, "ocrx_word")) > 0 for page in of_class(hocr, "ocr_page")] == [
        0, 0, 1, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line", ["<b> & \"x\" 'y'", "\x00\x08 \ufffe \ud800 z", "שלום 48213 עולם", "東京都 納品書"]
)
def test_whatever_was_read_is_told_word_by_word(tmp_path: Path, line: str) -> None:
    """In the order of reading, whichever way the script runs; what XML cannot hold is replaced."""
    source = scan_pdf(tmp_path / "a.pdf", typeset((" ",)))
    page = record(1, PageResult(text=line, lines=(Line(line, Box(0.1, 0.1, 0.8, 0.12)),)))
    facts = {
        "source": os.fsdecode(b"a\xff<&>.pdf"),
        "engine": '"e"',
        "finished_at": "2026-01-02T03:04:05+00:00",
    }
    alto, hocr = made(tmp_path, source, page, facts=facts)
    true = line.encode(errors="replace").decode().split()
    spelt = ["".join(c if c >= " " and c != "\ufffe" else "\ufffd" for c in word) for word in true]
    assert [len(word.text) for word in by_alto(alto)] == [len(word) for word in spelt]
    if "z" not in line:
        assert [word.text for word in by_alto(alto)] == spelt
        assert [word.text for word in by_hocr(hocr)] == spelt


def test_an_engines_own_words_count_where_the_ink_says_nothing(tmp_path: Path) -> None:
    boxes = [Box(0.1, 0.1, 0.15, 0.12), Box(0.4, 0.1, 0.6, 0.12)]
    words = tuple(map(Word, ("left", "right"), boxes))
    line = Line("left right", Box.around(boxes), words)
    page = record(1, PageResult(text="x", lines=(line,)))
    alto, _ = made(tmp_path, scan_pdf(tmp_path / "a.pdf", typeset((" ",))), page)
    assert hits(by_alto(alto), words) == 1.0
