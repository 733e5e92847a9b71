"""PDFs that are not what they seem get their documents, and a note that says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pytest

from ocrd.page import Block, Box, Line, Markup, PageResult, WordsFrom
from ocrd.pages.base import Rendering
from ocrd.pages.work import inspect, page
from tests.unit.document.scans import (
    LETTER,
    Truth,
    bundle,
    by_pdfium,
    hits,
    pixels,
    pymupdf,
    record,
    scan_pdf,
    sidecar,
    typeset,
)

WANTED = Rendering(dpi=144, max_pixels=120_000_000, max_pages=5000)


def notes(folder: Path, source: Path, result: PageResult | None = None, **options: Any) -> str:
    """All that the sidecar has to tell of a bundle of one page."""
    bundle(folder, source, [record(1, result or PageResult(text=""))], **options)
    told = sidecar(folder)
    return "\n".join([*told["notes"], *told["pages"][0]["notes"]])


def changed(folder: Path, change: Any, said: str = "Please wait... for the contents") -> Path:
    with pymupdf.open() as document:
        document.new_page().insert_text((72, 90), said, fontsize=12)
        change(document)
        document.save(str(folder / "a.pdf"))
    return folder / "a.pdf"


def test_a_portfolio_says_that_its_files_are_not_read(tmp_path: Path) -> None:
    def change(document: Any) -> None:
        document.embfile_add("one.txt", b"one")
        document.embfile_add("two.txt", b"two")
        document.xref_set_key(document.pdf_catalog(), "Collection", "<</Type/Collection>>")

    assert "the 2 files in it are not read" in notes(tmp_path, changed(tmp_path, change))


@pytest.mark.parametrize(
    ("said", "drawn_by_viewers", "placeholder"),
    [
        ("Please wait... for the contents", False, True),
        ("Bitte warten … http://www.adobe.com/go/reader_download_de", False, True),
        ("Veuillez patienter", True, True),
        ("Application for a permit, filled in", False, False),
    ],
)
def test_the_placeholder_of_a_form_says_that_it_is_one(
    tmp_path: Path, said: str, drawn_by_viewers: bool, placeholder: bool
) -> None:
    def change(document: Any) -> None:
        document.xref_set_key(document.pdf_catalog(), "AcroForm", "<</XFA[]/Fields[]>>")
        if drawn_by_viewers:
            document.xref_set_key(document.pdf_catalog(), "NeedsRendering", "true")

    assert ("XFA form" in notes(tmp_path, changed(tmp_path, change, said))) is placeholder


def test_a_page_whose_content_breaks_off_says_so(tmp_path: Path) -> None:
    def change(document: Any) -> None:
        content = b"0 0 200 200 re f [(unclosed) 12 << /Broken ] TJ >> ET )"
        document.update_stream(document[0].get_contents()[0], content)

    assert "may show less than it should" in notes(tmp_path, changed(tmp_path, change))


def test_a_sound_page_has_nothing_to_tell(tmp_path: Path) -> None:
    result = PageResult(text="\n".join(LETTER), lines=typeset().as_lines())
    assert notes(tmp_path, scan_pdf(tmp_path / "a.pdf", typeset()), result) == ""


def locked_attachments(folder: Path) -> Path:
    """Only embedded files are encrypted (ISO 32000-1, 7.6.5): strings and streams are plain."""
    with pymupdf.open() as document:
        document.new_page().insert_text((72, 90), "In the clear", fontsize=20)
        document.embfile_add("secret.bin", bytes(range(64)))
        crypt = document.get_new_xref()
        key = "<" + "5A" * 32 + ">"
        document.update_object(
            crypt,
            "<</Filter/Standard/V 4/R 4/Length 128/P -4/CF<</StdCF<</AuthEvent/EFOpen/CFM/AESV2"
            f"/Length 16>>>>/StmF/Identity/StrF/Identity/EFF/StdCF/O{key}/U{key}>>",
        )
        document.save(str(folder / "plain.pdf"), no_new_id=False)
        data = (folder / "plain.pdf").read_bytes()
    trailer = data.rindex(b"/Root")
    locked = data[:trailer] + b"/Encrypt %d 0 R" % crypt + data[trailer:]
    (folder / "a.pdf").write_bytes(locked)
    return folder / "a.pdf"


def test_one_whose_attachments_alone_are_locked_is_read(tmp_path: Path) -> None:
    source = locked_attachments(tmp_path)
    assert pymupdf.open(str(source)).needs_pass
    assert inspect(source, WANTED).pages == 1
    assert 0 in page(source, 1, WANTED).rgb
    assert "attached" in notes(tmp_path, source)
    assert [word.text for word in by_pdfium(tmp_path / "out" / "scan.pdf")] == [
        "In",
        "the",
        "clear",
    ]


def with_hidden(folder: Path, truth: Truth, text: str) -> Path:
    """A scan with somebody else's layer under it."""
    source = scan_pdf(folder / "scan.pdf", truth)
    with pymupdf.open(str(source)) as document:
        for index, line in enumerate(text.split("\n")):
            document[0].insert_text((72, 90 + 18 * index), line, fontsize=11, render_mode=3)
        document.save(str(folder / "a.pdf"))
    return folder / "a.pdf"


SPACED = "\n".join(" ".join(line.replace(" ", "")) for line in LETTER)


@pytest.mark.parametrize(
    ("policy", "hidden", "replaced"),
    [
        ("auto", SPACED, True),
        ("auto", "\n".join(LETTER), False),
        ("redo", "\n".join(LETTER), True),
        ("ocr", SPACED, False),
        ("keep", SPACED, False),
    ],
)
def test_a_hidden_layer_stays_or_goes_as_the_folder_says(
    tmp_path: Path, policy: str, hidden: str, replaced: bool
) -> None:
    truth = typeset()
    source = with_hidden(tmp_path, truth, hidden)
    result = PageResult(text="\n".join(LETTER), lines=truth.as_lines())
    said = notes(tmp_path, source, result, pdf_text=policy)
    pdf = tmp_path / "out" / "scan.pdf"
    assert ("was replaced" in said) == replaced
    assert pixels(pdf) == pixels(source)
    if replaced:
        assert hits(by_pdfium(pdf), truth.words) >= 0.95
        assert len(by_pdfium(pdf)) == len(truth.words)
    else:
        with pdfium.PdfDocument(str(source)) as document:
            before = document[0].get_textpage().get_text_range()
        with pdfium.PdfDocument(str(pdf)) as document:
            assert document[0].get_textpage().get_text_range() == before


@pytest.mark.parametrize("words_from", list(WordsFrom))
def test_the_sidecar_says_where_a_pages_words_come_from(
    tmp_path: Path, words_from: WordsFrom
) -> None:
    block = Block("text", "a word", (Box(0.1, 0.1, 0.2, 0.2),), Markup.PLAIN)
    line = Line("a word", Box(0.1, 0.1, 0.2, 0.2))
    result = PageResult(text="a word", blocks=(block,), lines=(line,), words_from=words_from)
    notes(tmp_path, scan_pdf(tmp_path / "a.pdf", typeset((" ",))), result)
    assert sidecar(tmp_path)["pages"][0]["words_from"] == words_from.value


PICTURED = ["Harbour", "office"]


def said_by(folder: Path, own: str, read: str) -> list[str]:
    """The words of the PDF of a page that says something, where an engine read a line as well."""
    with pymupdf.open() as document:
        document.new_page(width=500, height=500).insert_text((50, 110), own, fontsize=12)
        document.save(str(folder / "a.pdf"))
    box = Box(0.1, 0.19, 0.9, 0.24) if own in read else Box(0.1, 0.7, 0.5, 0.75)
    block, line = Block("text", read, (box,), Markup.PLAIN), Line(read, box)
    result = PageResult(text=read, blocks=(block,), lines=(line,), words_from=WordsFrom.BOTH)
    notes(folder, folder / "a.pdf", result)
    return [word.text for word in by_pdfium(folder / "out" / "scan.pdf")]


def test_words_read_in_a_picture_are_found_beside_many_more_of_the_pages_own(
    tmp_path: Path,
) -> None:
    own = "Eleven valves had been replaced since the month of March"
    assert sorted(said_by(tmp_path, own, "Harbour office")) == sorted([*own.split(), *PICTURED])


@pytest.mark.parametrize("known", ["Eleven", "valves"])
def test_a_line_of_which_the_page_says_a_word_is_found_whole(tmp_path: Path, known: str) -> None:
    line = "Eleven valves had been replaced since March"
    assert set(said_by(tmp_path, known, line)) == set(line.split())


def test_a_line_that_the_page_says_itself_gets_no_second_one(tmp_path: Path) -> None:
    line = "Eleven valves had been replaced since March"
    assert said_by(tmp_path, line, line) == line.split()
