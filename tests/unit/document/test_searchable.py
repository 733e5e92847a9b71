"""Searching the finished PDF marks the word where it stands in the scan."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ocrd.errors import BadFileError
from ocrd.modes import AnswerFormat
from ocrd.page import Box, Line, PageResult, Word
from tests.support.needs import few, need
from tests.unit.document.scans import (
    LETTER,
    READERS,
    Truth,
    bundle,
    by_mupdf,
    by_pdfium,
    by_poppler,
    complaints,
    hits,
    inked,
    overlap,
    pixels,
    pymupdf,
    record,
    scan_pdf,
    sidecar,
    two_columns,
    typeset,
    worn,
)

PDF_ONLY = frozenset({"pdf", "json"})
SKEWS = (-2.0, -0.4, 0.0, 0.7, 1.5)  # degrees


def searchable(folder: Path, source: Path, *results: PageResult, **options: Any) -> Path:
    pages = [record(number, result) for number, result in enumerate(results, start=1)]
    bundle(folder, source, pages, **{"outputs": PDF_ONLY, **options})
    return folder / "out" / "scan.pdf"


def notes(folder: Path) -> list[str]:
    told = sidecar(folder)
    return [*told["notes"], *(note for page in told["pages"] for note in page["notes"])]


def grounded(truth: Truth, label: str = "text") -> PageResult:
    """The page as a model says it: one block with a box, no lines."""
    box = Box.around(word.box for word in truth.words)
    corners = [round(value * 999) for value in (box.x1, box.y1, box.x2, box.y2)]
    words = " ".join(word.text for word in truth.words)
    return PageResult(text=f"<|ref|>{label}<|/ref|><|det|>[{corners}]<|/det|>\n{words}")


def assert_found(pdf: Path, words: Sequence[Word], share: float) -> None:
    """Every reader finds so many of the words where they stand."""
    for name, read in READERS.items():
        assert hits(read(pdf), words) >= share, name


@pytest.mark.parametrize("font", few(["helv", "tiro", "cour", "hebo"]))
@pytest.mark.parametrize("given", ["lines", "block"])
def test_words_in_any_type_lie_on_their_place(tmp_path: Path, font: str, given: str) -> None:
    """By their lines, or by the ink in their block."""
    truth = typeset(font=font, size=11)
    lines = truth.as_lines() if given == "lines" else ()
    result = PageResult(text=grounded(truth).text, lines=lines)
    pdf = searchable(tmp_path, scan_pdf(tmp_path / "a.pdf", truth), result)
    assert_found(pdf, truth.words, 0.95)


@pytest.mark.parametrize("font", few(["cour", "cobo", "helv"]))
@pytest.mark.parametrize(("size", "leading"), few([(8, 1.5), (10, 2.2), (14, 1.5), (14, 1.1)]))
def test_a_paragraph_is_copied_in_the_order_of_reading(
    tmp_path: Path, font: str, size: float, leading: float
) -> None:
    """Of a typewriter, too, whose words stand as far apart as another's columns."""
    lines = (LETTER[0][:56], *LETTER[1:])
    truth = inked(typeset(lines, font=font, size=size, leading=leading, left=30, dpi=200))
    source = scan_pdf(tmp_path / "a.pdf", truth)
    pdf = searchable(tmp_path, source, PageResult(text="x", lines=truth.as_lines()))
    said = [word.text for word in truth.words]
    assert {name: [word.text for word in read(pdf)] for name, read in READERS.items()} == (
        dict.fromkeys(READERS, said)
    )
    assert_found(pdf, truth.words, 0.9)  # neighbours' tails are in the ink of lines set solid


@pytest.mark.parametrize("font", ["helv", "tiro", "cour", "hebo"])
def test_what_a_search_marks_is_more_word_than_white(tmp_path: Path, font: str) -> None:
    """Of a word with tall letters, deep ones, both or none."""
    lines = ("The quick cows can now see", "a warm pond; we mow every", "summer by Whitby, or so")
    truth = inked(typeset(lines, font=font, dpi=200))
    result = PageResult(text=grounded(truth).text, lines=truth.as_lines())
    pdf = searchable(tmp_path, scan_pdf(tmp_path / "a.pdf", truth), result)
    assert_found(pdf, truth.words, 1.0)


@pytest.mark.parametrize("skew", few(SKEWS))
@pytest.mark.parametrize("given", ["lines", "columns"])
def test_print_of_a_worn_scan_is_found_word_by_word(
    tmp_path: Path, given: str, skew: float
) -> None:
    """The engine gives all lines, or a box for each column and none."""
    truth = worn(two_columns(), skew)
    (tmp_path / "a.jpg").write_bytes(truth.png)
    parts = [truth.lines[:1], truth.lines[1:13], truth.lines[13:]]
    text = "\n\n".join(grounded(Truth(b"", lines)).text for lines in parts)
    lines = truth.as_lines() if given == "lines" else ()
    result = PageResult(text=text, lines=lines)
    pdf = searchable(tmp_path, tmp_path / "a.jpg", result, kind="image")
    assert_found(pdf, truth.words, 0.9)


@pytest.mark.parametrize(
    ("font", "skew"), few([*itertools.product(["helv", "tiro", "cour", "hebo"], [-0.5, 0.5])])
)
def test_a_column_in_any_type_that_lies_a_little_askew_is_found_word_by_word(
    tmp_path: Path, font: str, skew: float
) -> None:
    truth = worn(typeset(LETTER * 4, font=font, size=9, dpi=200), skew)
    (tmp_path / "a.jpg").write_bytes(truth.png)
    pdf = searchable(tmp_path, tmp_path / "a.jpg", grounded(truth), kind="image")
    assert_found(pdf, truth.words, 0.95)


@pytest.mark.parametrize("turned", [90, 180])
@pytest.mark.parametrize("given", ["lines", "blocks"])
def test_a_worn_scan_that_lay_turned_on_the_glass_is_found_word_by_word(
    tmp_path: Path, turned: int, given: str
) -> None:
    truth = worn(typeset(dpi=150), 1.0, turned)
    (tmp_path / "a.jpg").write_bytes(truth.png)
    lines = truth.as_lines() if given == "lines" else ()
    result = PageResult(text=grounded(truth).text, lines=lines, turned=turned)
    pdf = searchable(tmp_path, tmp_path / "a.jpg", result, kind="image")
    assert hits(by_mupdf(pdf), truth.words) >= 0.95


@pytest.mark.parametrize("rotation", few([0, 90, 180, 270]))
@pytest.mark.parametrize(
    ("margin", "unit", "given"),
    [(0, 1, "lines"), (40, 1, "lines"), (30, 1, "block"), (0, 2.5, "lines"), (40, 0.5, "lines")],
)
def test_turned_and_cropped_pages_of_any_unit_keep_every_word_in_its_place(
    tmp_path: Path, rotation: int, margin: float, unit: float, given: str
) -> None:
    """By its line, or by the ink of the page as it is seen."""
    truth = typeset()
    source = scan_pdf(tmp_path / "a.pdf", truth, rotation=rotation, margin=margin)
    with pymupdf.open(str(source)) as document:
        document.xref_set_key(document[0].xref, "UserUnit", str(unit))
        document.saveIncr()
    lines = truth.as_lines() if given == "lines" else ()
    pdf = searchable(tmp_path, source, PageResult(text=grounded(truth).text, lines=lines))
    assert_found(pdf, truth.words, 0.95)


def test_plain_text_finds_its_lines_on_the_page(tmp_path: Path) -> None:
    truth = typeset()
    result = PageResult(text="\n".join(LETTER))
    source = scan_pdf(tmp_path / "a.pdf", truth)
    pdf = searchable(tmp_path, source, result, answers=AnswerFormat.PLAIN)
    assert_found(pdf, truth.words, 0.95)


def test_text_without_ink_to_go_by_is_flowed_into_its_box(tmp_path: Path) -> None:
    empty = typeset((" ",))
    text = "<|ref|>text<|/ref|><|det|>[[100, 100, 900, 300]]<|/det|>\n" + " ".join(LETTER)
    pdf = searchable(tmp_path, scan_pdf(tmp_path / "a.pdf", empty), PageResult(text=text))
    inside = Box(0.095, 0.095, 0.905, 0.305)
    for found in (read(pdf) for read in READERS.values()):
        assert [word.text for word in found] == " ".join(LETTER).split()
        assert all(inside.x1 <= w.box.x1 and w.box.x2 <= inside.x2 for w in found)
        assert all(inside.y1 <= w.box.y1 and w.box.y2 <= inside.y2 for w in found)


def test_cells_of_a_table_lie_in_their_columns(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        page = document.new_page(width=612, height=792)
        cells = [("Item", "Amount", "Price"), ("Paper", "12", "3.50"), ("Toner", "15", "89.00")]
        for y, row in enumerate(cells):
            for x, cell in enumerate(row):
                page.insert_text((100 + 150 * x, 200 + 30 * y), cell, fontsize=12)
        png = page.get_pixmap(dpi=110).tobytes("png")
        placed = [Word(text, Box(*place).scaled(1 / 612, 1 / 792))
                  for *place, text, _, _, _ in page.get_text("words")]  # fmt: skip
    true = {word.text: word.box for word in inked(Truth(png, (tuple(placed),))).words}
    rows = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in cells)
    text = f"<|ref|>table<|/ref|><|det|>[[160, 230, 760, 350]]<|/det|>\n<table>{rows}</table>"
    source = scan_pdf(tmp_path / "a.pdf", Truth(png, ()))
    pdf = searchable(tmp_path, source, PageResult(text=text))
    for read in READERS.values():
        found = {word.text: word.box for word in read(pdf)}
        assert found.keys() == true.keys()
        assert all(overlap(found[word], true[word]) >= 0.5 for word in true)


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_text_read_on_a_turned_page_runs_the_way_it_is_printed(tmp_path: Path, turned: int) -> None:
    """The engine turned the page clockwise by `turned` to read it: the print runs back by it."""
    truth = typeset(dpi=60)
    source = tmp_path / "a.pdf"
    with pymupdf.open() as document:
        sideways = turned in (90, 270)
        page = document.new_page(width=792 if sideways else 612, height=612 if sideways else 792)
        page.insert_image(page.rect, stream=truth.png, rotate=turned)
        document.save(str(source))
    on_page = [Line(line.text, _turned_back(line.box, turned)) for line in truth.as_lines()]
    result = PageResult(text="x", lines=tuple(on_page), turned=turned)
    pdf = searchable(tmp_path, source, result)
    with pymupdf.open(str(pdf)) as document:
        lines = [
            line
            for block in document[0].get_text("dict")["blocks"]
            for line in block.get("lines", [])
        ]
        directions = {tuple(round(part) for part in line["dir"]) for line in lines}
        assert directions == {{90: (0, -1), 180: (-1, 0), 270: (0, 1)}[turned]}
        assert document[0].get_text().split() == " ".join(LETTER).split()
    true = [Word(w.text, _turned_back(w.box, turned)) for w in truth.words]
    assert hits(by_mupdf(pdf), true) >= 0.95


def _turned_back(box: Box, turned: int) -> Box:
    """Where a box of the upright page stands on the page that must be turned to be upright."""
    return {
        90: Box(box.y1, 1 - box.x2, box.y2, 1 - box.x1),
        180: Box(1 - box.x2, 1 - box.y2, 1 - box.x1, 1 - box.y1),
        270: Box(1 - box.y2, box.x1, 1 - box.y1, box.x2),
    }[turned]


@pytest.mark.parametrize(
    "line",
    [
        "发票号码 48213",
        "東京都千代田区 納品書",
        "대한민국 서울특별시",
        "Žluťoučký kůň úpěl ďábelské ódy",
        "Съешь ещё этих мягких булок",
        "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
        "Übertrag: 12,50 € – „Łódź“ … ½ ™ œuvre",  # noqa: RUF001 - marks beyond Latin 1
        "the 𝐱 and 😀 and 𠮷 of it",  # noqa: RUF001 - beyond the first 65,536
        "ＡＢＣ ｱｲｳ ﬁn",  # noqa: RUF001 - full width, half width, a ligature
    ],
)
def test_every_script_can_be_searched_and_copied(tmp_path: Path, line: str) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset((" ",)))
    result = PageResult(text=line, lines=(Line(line, Box(0.1, 0.1, 0.6, 0.12)),))
    pdf = searchable(tmp_path, source, result)
    for read in READERS.values():
        found = read(pdf)
        spelt = line.replace("ﬁ", "fi") if read is by_pdfium else line  # it takes ligatures apart
        assert [word.text for word in found] == spelt.split()
        assert found[0].box.x1 == pytest.approx(0.1, abs=0.01)
        assert found[-1].box.x2 == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("line", ["שלום עולם", "مرحبا بالعالم"])
def test_text_from_right_to_left_is_copied_in_the_order_of_reading(
    tmp_path: Path, line: str
) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset((" ",)))
    result = PageResult(text=line, lines=(Line(line, Box(0.2, 0.1, 0.8, 0.12)),))
    pdf = searchable(tmp_path, source, result)
    with pymupdf.open(str(pdf)) as document:
        assert all(document[0].search_for(word) for word in line.split())
        first = document[0].search_for(line.split()[0])[0]
        assert first.x1 / 612 == pytest.approx(0.8, abs=0.01)
    need("poppler")
    out = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, check=True).stdout
    marks = dict.fromkeys(map(ord, "\u202a\u202b\u202c\u200e\u200f\f"))
    assert out.decode().translate(marks).split() == line.split()


def test_numbers_in_text_from_right_to_left_stand_where_they_are_printed(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset((" ",)))
    line = "חשבונית 48213 מיום 14"
    result = PageResult(text=line, lines=(Line(line, Box(0.2, 0.1, 0.8, 0.12)),))
    with pymupdf.open(str(searchable(tmp_path, source, result))) as document:
        places = [document[0].search_for(word)[0] for word in line.split()]
    assert all(later.x1 <= earlier.x0 for earlier, later in itertools.pairwise(places))


def test_the_originals_bytes_are_the_beginning_of_the_result(tmp_path: Path) -> None:
    """Nor is the text ever seen."""
    source = scan_pdf(tmp_path / "a.pdf", typeset())
    pdf = searchable(tmp_path, source, PageResult(text="x", lines=typeset().as_lines()))
    assert pdf.read_bytes().startswith(source.read_bytes())
    assert pixels(pdf) == pixels(source)
    assert pdf.stat().st_size - source.stat().st_size < 12_000
    assert complaints(pdf) == ""


def test_a_page_with_text_of_its_own_gets_no_second_one(tmp_path: Path) -> None:
    source = tmp_path / "a.pdf"
    with pymupdf.open() as document:
        document.new_page().insert_text((72, 90), "Invoice 48213", fontsize=12)
        document.save(str(source))
    line = Line("Invoice 48213", Box(0.12, 0.1, 0.3, 0.115))
    pdf = searchable(tmp_path, source, PageResult(text="Invoice 48213", lines=(line,)))
    with pymupdf.open(str(pdf)) as document:
        assert len(document[0].search_for("48213")) == 1
    assert notes(tmp_path) == ["the page has text of its own and got no second one"]


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_stamp_on_a_scan_does_not_keep_the_scan_from_being_searchable(
    tmp_path: Path, rotation: int
) -> None:
    truth = typeset((*LETTER, "Received 2021-03-17"))
    source = scan_pdf(tmp_path / "a.pdf", truth, rotation=rotation)
    stamp = truth.lines[-1][0].box
    with pymupdf.open(str(source)) as document:
        page = document[0]
        at = pymupdf.Point(stamp.x1 * 612, stamp.y2 * 792 - 3) * page.derotation_matrix
        page.insert_text(at, "Received 2021-03-17", fontsize=12, rotate=rotation)
        document.save(str(tmp_path / "b.pdf"))
    result = PageResult(text="\n".join(LETTER), lines=truth.as_lines())
    pdf = searchable(tmp_path, tmp_path / "b.pdf", result)
    with pymupdf.open(str(pdf)) as document:
        assert len(document[0].search_for("Received")) == 1
        assert len(document[0].search_for("municipal")) == 1


def test_metadata_stays_and_the_producer_is_ocrd(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset(dpi=40))
    with pymupdf.open(str(source)) as document:
        document.set_metadata({"title": "Scan of März", "author": "Office", "producer": "Scanner"})
        document.saveIncr()
    pdf = searchable(tmp_path, source, PageResult(text=""))
    with pymupdf.open(str(pdf)) as document:
        assert document.metadata["title"] == "Scan of März"
        assert document.metadata["author"] == "Office"
        assert document.metadata["producer"].startswith("ocrd ")


def test_a_pdf_with_an_owner_password_becomes_one_without(tmp_path: Path) -> None:
    truth = typeset()
    with pymupdf.open(str(scan_pdf(tmp_path / "a.pdf", truth))) as document:
        document.save(
            str(tmp_path / "b.pdf"),
            encryption=pymupdf.PDF_ENCRYPT_AES_256,
            owner_pw="boss",
            permissions=0,
        )
    pdf = searchable(tmp_path, tmp_path / "b.pdf", PageResult(text="x", lines=truth.as_lines()))
    with pymupdf.open(str(pdf)) as document:
        assert document.metadata["encryption"] is None
    assert hits(by_poppler(pdf), truth.words) >= 0.95
    assert any("restricts" in note for note in notes(tmp_path))


def test_a_pdf_that_needs_a_password_is_refused_with_its_remedy(tmp_path: Path) -> None:
    with pymupdf.open(str(scan_pdf(tmp_path / "a.pdf", typeset(dpi=40)))) as document:
        document.save(
            str(tmp_path / "b.pdf"), encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret"
        )
    with pytest.raises(BadFileError) as caught:
        searchable(tmp_path, tmp_path / "b.pdf", PageResult(text="x"))
    assert caught.value.kind == "encrypted"
    assert "password" in caught.value.hint


def test_a_damaged_pdf_is_repaired_and_becomes_searchable(tmp_path: Path) -> None:
    truth = typeset()
    whole = scan_pdf(tmp_path / "a.pdf", truth).read_bytes()
    (tmp_path / "b.pdf").write_bytes(whole[: whole.rindex(b"xref")])
    pdf = searchable(tmp_path, tmp_path / "b.pdf", PageResult(text="x", lines=truth.as_lines()))
    assert hits(by_poppler(pdf), truth.words) >= 0.95
    assert any("damaged" in note for note in notes(tmp_path))


def test_a_file_that_is_no_pdf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"")
    with pytest.raises(BadFileError) as caught:
        searchable(tmp_path, tmp_path / "a.pdf", PageResult(text="x"))
    assert caught.value.kind == "damaged"


def test_a_signed_pdf_says_so(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset(dpi=40))
    with pymupdf.open(str(source)) as document:
        form = "<</SigFlags 3/Fields[]>>"
        document.xref_set_key(document.pdf_catalog(), "AcroForm", form)
        document.saveIncr()
    searchable(tmp_path, source, PageResult(text="x"))
    assert any("signed" in note for note in notes(tmp_path))


@pytest.mark.parametrize("how", ["inherited", "shared", "none", "indirect fonts"])
def test_resources_are_found_wherever_the_pdf_keeps_them(tmp_path: Path, how: str) -> None:
    truth = typeset()
    source = scan_pdf(tmp_path / "a.pdf", truth, truth)
    with pymupdf.open(str(source)) as document:
        page = document[0]
        own = document.xref_object(int(document.xref_get_key(page.xref, "Resources")[1].split()[0]))
        parent = int(document.xref_get_key(page.xref, "Parent")[1].split()[0])
        if how == "inherited":
            document.xref_set_key(parent, "Resources", own)
            document.xref_set_key(page.xref, "Resources", "null")
        elif how == "shared":
            xref = document.get_new_xref()
            document.update_object(xref, own)
            for index in (0, 1):
                document.xref_set_key(document[index].xref, "Resources", f"{xref} 0 R")
        elif how == "none":
            document.xref_set_key(page.xref, "Resources", "null")
        else:
            fonts = document.get_new_xref()
            document.update_object(fonts, "<<>>")
            document.xref_set_key(page.xref, "Resources", own)
            document.xref_set_key(page.xref, "Resources/Font", f"{fonts} 0 R")
        document.saveIncr()
    before = pixels(source)
    result = PageResult(text="x", lines=truth.as_lines())
    pdf = searchable(tmp_path, source, result, result)
    assert hits(by_poppler(pdf), truth.words) >= 0.95
    assert hits(by_poppler(pdf, 1), truth.words) >= 0.95
    assert pixels(pdf) == before


def test_many_pages_are_written_in_several_turns(tmp_path: Path, long: int) -> None:
    """More pages than are held at once; each has its own text, and the last one's characters."""
    source = tmp_path / "a.pdf"
    with pymupdf.open() as document:
        for _ in range(long):
            document.new_page()
        document.save(str(source))
    lines = [Line(f"page{number} 😀", Box(0.1, 0.1, 0.4, 0.12)) for number in range(1, long + 1)]
    pdf = searchable(tmp_path, source, *(PageResult(text="x", lines=(line,)) for line in lines))
    with pymupdf.open(str(pdf)) as document:
        said = [page.get_text().split() for page in document]
    assert said == [[f"page{number}", "😀"] for number in range(1, long + 1)]


def test_a_page_turned_to_be_read_is_turned_for_people_when_asked(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset(dpi=40), typeset(dpi=40))
    line = Line("word", Box(0.1, 0.1, 0.2, 0.9))
    turned = PageResult(text="word", lines=(line,), turned=90)
    pdf = searchable(tmp_path, source, turned, PageResult(text=""), upright=True)
    with pymupdf.open(str(pdf)) as document:
        assert [page.rotation for page in document] == [90, 0]
