"""The searchable PDF as PDF/A: by the rules of the standard, looking as it did, its words found."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from PIL import Image

from ocrd.page import Box, Line, PageResult
from tests.support.needs import few
from tests.unit.document.pdfa_rules import faults, part_of
from tests.unit.document.scans import (
    LETTER,
    READERS,
    bundle,
    by_mupdf,
    complaints,
    hits,
    off,
    pymupdf,
    record,
    scan_pdf,
    sidecar,
    two_columns,
    typeset,
    worn,
)

PDFA = frozenset({"pdfa", "json"})


def archived(folder: Path, source: Path, *results: PageResult | None, **options: Any) -> Path:
    """The PDF/A of a document whose pages say this."""
    died = {"kind": "page", "message": "it died", "hint": "Again."}
    pages = [
        record(number, result) if result else record(number, state="failed", error=died)
        for number, result in enumerate(results, start=1)
    ]
    bundle(folder, source, pages, **{"outputs": PDFA, **options})
    return folder / "out" / "scan.pdfa.pdf"


def notes(folder: Path) -> list[str]:
    told: list[str] = sidecar(folder)["notes"]
    return told


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    with pymupdf.open(str(path)) as document:
        change(document)
        document.saveIncr()
    return path


def shown(pdf: Path) -> Image.Image:
    with pymupdf.open(str(pdf)) as document:
        seen = document[0].get_pixmap(dpi=50)
    return Image.frombytes("RGB", (seen.width, seen.height), seen.samples)


def looks_alike(one: Path, other: Path) -> bool:
    return off(shown(one), shown(other)) < 3


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_a_scan_becomes_pdfa_with_its_words_in_their_places(tmp_path: Path, skew: float) -> None:
    truth = worn(two_columns(), skew)
    (tmp_path / "a.jpg").write_bytes(truth.png)
    result = PageResult(text="x", lines=truth.as_lines())
    pdf = archived(tmp_path, tmp_path / "a.jpg", result, kind="image")
    assert faults(pdf) == []
    assert part_of(pdf) == 2
    assert {name: hits(find(pdf), truth.words) >= 0.95 for name, find in READERS.items()} == (
        dict.fromkeys(READERS, True)
    )
    assert complaints(pdf) == ""
    assert notes(tmp_path) == []


@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        ("1", "a.tif", {"compression": "group4"}),
        ("L", "a.png", {}),
        ("P", "a.png", {}),
        ("RGBA", "a.png", {}),
        ("RGB", "a.webp", {"lossless": True}),
        ("CMYK", "a.jpg", {}),
        ("CMYK", "a.tif", {"compression": "tiff_lzw"}),
        ("RGB", "a.jp2", {}),
        ("RGB", "a.j2k", {}),
        ("L", "a.jp2", {}),
    ],
)
def test_an_image_of_any_kind_becomes_pdfa(
    tmp_path: Path, mode: str, name: str, options: dict[str, Any]
) -> None:
    image = Image.open(io.BytesIO(typeset(dpi=100).png)).convert("RGB").convert(mode)
    image.save(tmp_path / name, **options)
    line = Line("The", Box(0.1, 0.1, 0.2, 0.12))
    result = PageResult(text="The", lines=(line,))
    pdf = archived(tmp_path, tmp_path / name, result, kind="image")
    assert faults(pdf) == []
    assert [word.text for word in by_mupdf(pdf)] == ["The"]
    seen = shown(pdf)
    true = Image.open(io.BytesIO(typeset(dpi=100).png)).convert("L").resize(seen.size)
    assert off(seen.convert("L"), true) < 6


def typed(path: Path, *, font: str = "helv", ink: tuple[float, ...] = (0,)) -> Path:
    """A page set in a type that is not embedded, with a link on it."""
    with pymupdf.open() as document:
        page = document.new_page()
        page.insert_text((72, 90), "Invoice 48213 of March", fontname=font, color=ink)
        page.insert_link({"kind": 2, "from": pymupdf.Rect(72, 80, 120, 95), "uri": "https://a.b"})
        document.save(str(path))
    return path


def renamed(name: str) -> Callable[[Any], None]:
    """Give the font of a page another name, and no widths of its own."""

    def change(document: Any) -> None:
        document.xref_set_key(document[0].get_fonts()[0][0], "BaseFont", f"/{name}")

    return change


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_page_whose_fonts_are_not_embedded_becomes_a_picture_with_its_words(
    tmp_path: Path, rotation: int
) -> None:
    source = changed(typed(tmp_path / "a.pdf"), renamed("Frutiger"))
    changed(source, lambda doc: doc[0].set_rotation(rotation))
    pdf = archived(tmp_path, source, PageResult(text="x"))
    assert faults(pdf) == []
    assert hits(by_mupdf(pdf), by_mupdf(source)) == 1.0
    assert looks_alike(pdf, source)
    assert notes(tmp_path) == [
        "page 1 of the PDF/A is a picture: its font Frutiger is not embedded"
    ]


@pytest.mark.parametrize(
    ("font", "name"),
    [
        *((font, "") for font in ("helv", "hebi", "tiro", "tibo", "cour", "coit")),
        *(("helv", name) for name in ("Arial,Bold", "ArialMT", "TimesNewRomanPS-ItalicMT")),
        ("helv", "CourierNew"),
    ],
)
def test_a_font_that_every_viewer_has_is_embedded_and_its_text_stays_text(
    tmp_path: Path, font: str, name: str
) -> None:
    """By whichever of its names it is called."""
    source = typed(tmp_path / "a.pdf", font=font)
    if name:
        changed(source, renamed(name))
    pdf = archived(tmp_path, source, PageResult(text="x"))
    assert faults(pdf) == []
    assert hits(by_mupdf(pdf), by_mupdf(source)) == 1.0
    assert looks_alike(pdf, source)
    (grew,) = notes(tmp_path)  # by the font's program; nothing was lost
    assert grew.startswith("scan.pdfa.pdf takes ") and "were added, for the text" in grew
    with pymupdf.open(str(pdf)) as document:
        assert document[0].get_images() == []
        assert "Invoice" in document[0].get_text()


def test_its_program_is_in_the_file_once(tmp_path: Path) -> None:
    source = typed(tmp_path / "a.pdf")
    for _ in range(20):
        changed(source, lambda doc: doc.new_page().insert_text((72, 90), "More", fontname="helv"))
    pdf = archived(tmp_path, source, *[PageResult(text="x")] * 21)
    assert faults(pdf) == []
    assert pdf.stat().st_size < 120_000


@pytest.mark.parametrize("name", ["ArialNarrow", "Arial-Black", "SymbolNeu", "TimesTen-Roman"])
def test_a_font_that_is_only_called_like_one_is_none(tmp_path: Path, name: str) -> None:
    source = changed(typed(tmp_path / "a.pdf"), renamed(name))
    archived(tmp_path, source, PageResult(text="x"))
    assert notes(tmp_path) == [f"page 1 of the PDF/A is a picture: its font {name} is not embedded"]


def test_letters_of_another_width_are_not_replaced(tmp_path: Path) -> None:
    source = typed(tmp_path / "a.pdf")

    def narrow(document: Any) -> None:
        font = document[0].get_fonts()[0][0]
        document.xref_set_key(font, "Widths", f"[{' 400' * 95}]")
        document.xref_set_key(font, "FirstChar", "32")
        document.xref_set_key(font, "LastChar", "126")

    archived(tmp_path, changed(source, narrow), PageResult(text="x"))
    assert "is not embedded" in notes(tmp_path)[0]


@pytest.mark.parametrize("font", ["helv", "cour"])
@pytest.mark.parametrize(
    ("encoding", "there"),
    [
        ("<</Differences[65/g17]>>", False),
        ("<</BaseEncoding/WinAnsiEncoding/Differences[65/A/a52 97/kropka]>>", False),
        ("<</BaseEncoding/WinAnsiEncoding/Differences[65/A/B 130/.notdef]>>", True),
        ("<</BaseEncoding/WinAnsiEncoding/Differences[128/Euro/zcaron]>>", True),
    ],
)
def test_letters_that_the_font_lacks_are_not_left_out(
    tmp_path: Path, font: str, encoding: str, there: bool
) -> None:
    """Names of a font's own say nothing to another, though each of its letters may be as wide."""
    source = typed(tmp_path / "a.pdf", font=font)

    def named(document: Any) -> None:
        document.xref_set_key(document[0].get_fonts()[0][0], "Encoding", encoding)

    archived(tmp_path, changed(source, named), PageResult(text="x"))
    assert ("is not embedded" not in " ".join(notes(tmp_path))) is there


def test_a_page_whose_fonts_are_embedded_stays_as_it_is(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        page = document.new_page()
        buffer = pymupdf.Font("helv").buffer
        page.insert_font(fontname="F0", fontbuffer=buffer)
        page.insert_text((72, 90), "Invoice 48213 of March", fontname="F0")
        document.save(str(tmp_path / "a.pdf"))
    pdf = archived(tmp_path, tmp_path / "a.pdf", PageResult(text="x"))
    assert faults(pdf) == []
    assert notes(tmp_path) == []
    with pymupdf.open(str(pdf)) as document:
        assert document[0].get_images() == []


def test_hidden_text_in_fonts_that_are_not_embedded_stays(tmp_path: Path) -> None:
    truth = typeset()
    source = scan_pdf(tmp_path / "a.pdf", truth)
    changed(source, lambda doc: doc[0].insert_text((72, 90), "The quick brown fox", render_mode=3))
    pdf = archived(tmp_path, source, PageResult(text="x"))
    assert faults(pdf) == []
    assert notes(tmp_path) == []
    assert [word.text for word in by_mupdf(pdf)] == ["The", "quick", "brown", "fox"]


def script(document: Any) -> None:
    xref = document.get_new_xref()
    document.update_object(xref, "<</S/JavaScript/JS(app.alert)>>")
    document.xref_set_key(document.pdf_catalog(), "OpenAction", f"{xref} 0 R")
    document.xref_set_key(document.pdf_catalog(), "AA", f"<</WC {xref} 0 R>>")
    document.xref_set_key(
        document.pdf_catalog(), "Names", f"<</JavaScript<</Names[(a){xref} 0 R]>>>>"
    )
    document.xref_set_key(document[0].xref, "AA", f"<</O {xref} 0 R>>")


def form(document: Any) -> None:
    widget = pymupdf.Widget()
    widget.field_name, widget.field_type = "a", pymupdf.PDF_WIDGET_TYPE_TEXT
    widget.rect, widget.field_value = pymupdf.Rect(100, 300, 200, 320), "filled"
    widget.script_change = "event.value = 1"
    document[0].add_widget(widget)
    document.xref_set_key(document.pdf_catalog(), "AcroForm/XFA", "(x)")
    document.xref_set_key(document.pdf_catalog(), "AcroForm/NeedAppearances", "true")


def lzw(document: Any) -> None:
    """A content stream of nothing, as LZW: clear, end of data."""
    xref = document.get_new_xref()
    document.update_object(xref, "<<>>")
    document.update_stream(xref, b"\x80\x40\x40", compress=0)
    document.xref_set_key(xref, "Filter", "/LZWDecode")
    contents = " ".join(f"{each} 0 R" for each in [*document[0].get_contents(), xref])
    document.xref_set_key(document[0].xref, "Contents", f"[{contents}]")


def hidden_note(document: Any) -> None:
    note = document[0].add_text_annot((50, 50), "psst")
    note.set_flags(2)
    shown = document[0].add_highlight_annot(pymupdf.Rect(72, 80, 120, 95))
    document.xref_set_key(shown.xref, "F", "0")


def odd_image(document: Any) -> None:
    xref = document[0].get_images()[0][0]
    document.xref_set_key(xref, "Interpolate", "true")
    document.xref_set_key(xref, "Alternates", "[]")


def states(document: Any) -> None:
    resources = int(document.xref_get_key(document[0].xref, "Resources")[1].split()[0])
    document.xref_set_key(resources, "ExtGState", "<</G0<</TR/Identity/HTP[0 0]/BM/Multiply>>>>")


def layers(document: Any) -> None:
    document.add_ocg("layer", on=True)


def newer(document: Any) -> None:
    document.xref_set_key(document.pdf_catalog(), "Version", "/2.0")


@pytest.mark.parametrize(
    "what", few([script, form, lzw, hidden_note, odd_image, states, layers, newer])
)
def test_what_nobody_sees_is_taken_out(tmp_path: Path, what: Callable[[Any], None]) -> None:
    truth = typeset()
    source = scan_pdf(tmp_path / "a.pdf", truth)
    before = faults(source)
    assert len(faults(changed(source, what))) > len(before)
    result = PageResult(text="\n".join(LETTER), lines=truth.as_lines())
    pdf = archived(tmp_path, source, result)
    assert faults(pdf) == []
    assert complaints(pdf) == ""
    assert hits(by_mupdf(pdf), truth.words) >= 0.95
    assert looks_alike(pdf, source)


@pytest.mark.parametrize("how", ["operator", "image", "group"])
def test_inks_without_a_profile_become_a_picture(tmp_path: Path, how: str) -> None:
    truth = typeset()
    source = scan_pdf(tmp_path / "a.pdf", truth)

    def ink(document: Any) -> None:
        page = document[0]
        if how == "operator":
            page.draw_rect((300, 300, 400, 400), color=None, fill=(0.2, 0.5, 0, 0))
        elif how == "image":
            buffer = io.BytesIO()
            Image.new("CMYK", (9, 9), (90, 0, 0, 0)).save(buffer, "JPEG")
            image = page.insert_image((300, 300, 400, 400), stream=buffer.getvalue())
            document.xref_set_key(image, "ColorSpace", "/DeviceCMYK")
        else:
            document.xref_set_key(page.xref, "Group", "<</S/Transparency/CS/DeviceCMYK>>")

    changed(source, ink)
    pdf = archived(tmp_path, source, PageResult(text="x", lines=truth.as_lines()))
    assert faults(pdf) == []
    assert "no profile" in notes(tmp_path)[0]
    assert looks_alike(pdf, source)
    assert hits(by_mupdf(pdf), truth.words) >= 0.95


def test_a_file_that_is_attached_stays_and_makes_it_3b(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset())
    changed(source, lambda doc: doc.embfile_add("data.xml", b"<a/>"))
    pdf = archived(tmp_path, source, PageResult(text=""))
    assert faults(pdf) == []
    assert part_of(pdf) == 3
    with pymupdf.open(str(pdf)) as document:
        assert document.embfile_get("data.xml") == b"<a/>"


def test_a_protected_pdf_becomes_pdfa_without_protection(tmp_path: Path) -> None:
    truth = typeset()
    with pymupdf.open(str(scan_pdf(tmp_path / "a.pdf", truth))) as document:
        document.save(
            str(tmp_path / "b.pdf"), encryption=pymupdf.PDF_ENCRYPT_AES_256, owner_pw="boss"
        )
    result = PageResult(text="x", lines=truth.as_lines())
    assert faults(archived(tmp_path, tmp_path / "b.pdf", result)) == []


def test_pages_that_were_not_read_or_lie_turned_are_pdfa_as_well(tmp_path: Path) -> None:
    truth = typeset()
    source = scan_pdf(tmp_path / "a.pdf", truth, truth, truth)
    turned = PageResult(text="x", lines=(Line("up", Box(0.1, 0.1, 0.2, 0.5)),), turned=90)
    pdf = archived(tmp_path, source, None, turned, PageResult(text=""), upright=True)
    assert faults(pdf) == []
    with pymupdf.open(str(pdf)) as document:
        assert [note.info["content"] for note in document[0].annots()] == [
            "Page 1 could not be read: it died"
        ]


def test_what_the_document_says_of_itself_is_said_in_xmp(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset(dpi=40))
    told = {
        "title": "März & <Co>", "author": "Office", "subject": "s", "keywords": "k", "creator": "c",
        "creationDate": "D:20210304050607+01'00'", "modDate": "nonsense",
    }  # fmt: skip
    changed(source, lambda doc: doc.set_metadata(told))
    pdf = archived(tmp_path, source, PageResult(text=""))
    assert faults(pdf) == []
    with pymupdf.open(str(pdf)) as document:
        xmp = document.get_xml_metadata()
    assert "März &amp; &lt;Co&gt;</rdf:li>" in xmp
    assert "<xmp:CreateDate>2021-03-04T05:06:07+01:00</xmp:CreateDate>" in xmp
    assert "nonsense" not in xmp


def claiming(folder: Path, level: str) -> Path:
    """A PDF/A that comes in: one of ours, with another claim."""
    (folder / "first").mkdir()
    source = scan_pdf(folder / "a.pdf", typeset(), typeset())
    first = archived(folder / "first", source, PageResult(text=""), PageResult(text=""))

    def claim(document: Any) -> None:
        xmp = document.get_xml_metadata().replace("part>2<", f"part>{level[0]}<")
        document.set_xml_metadata(xmp.replace("conformance>B<", f"conformance>{level[1]}<"))

    return changed(first, claim)


@pytest.mark.parametrize(
    ("level", "kept"), [("1B", "1B"), ("2B", "2B"), ("3B", "3B"), ("2U", "2U"), ("2A", "2B")]
)
def test_a_pdfa_that_comes_in_stays_one(tmp_path: Path, level: str, kept: str) -> None:
    """Both results are; a level that asks for tags gives way where words were added without."""
    source = claiming(tmp_path, level)
    truth = typeset()
    read = PageResult(text="x", lines=truth.as_lines())
    pdf = archived(tmp_path, source, read, None, outputs=PDFA | {"pdf"})
    assert pdf.read_bytes().startswith(source.read_bytes())
    for made in (pdf, tmp_path / "out" / "scan.pdf"):
        other = [] if kept in ("2B", "3B") else ["6.6.4 another claim"]
        assert faults(made) == other
        with pymupdf.open(str(made)) as document:
            xmp = document.get_xml_metadata()
            assert document.metadata["producer"] in xmp
        assert f"part>{kept[0]}<" in xmp and f"conformance>{kept[1]}<" in xmp
        assert hits(by_mupdf(made), truth.words) >= 0.95


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_pages_that_lie_turned_do_not_make_it_another(
    tmp_path: Path, rotation: int, upright: bool
) -> None:
    source = changed(claiming(tmp_path, "3U"), lambda doc: doc[0].set_rotation(rotation))
    sideways = PageResult(text="x", lines=(Line("up", Box(0.1, 0.1, 0.2, 0.5)),), turned=90)
    pdf = archived(tmp_path, source, sideways, None, upright=upright)
    assert pdf.read_bytes().startswith(source.read_bytes())
    with pymupdf.open(str(pdf)) as document:
        assert "part>3<" in (xmp := document.get_xml_metadata()) and "conformance>U<" in xmp
        assert document[0].rotation == (rotation + 90 * upright) % 360


def test_what_is_noted_on_a_page_is_marked_to_be_printed(tmp_path: Path) -> None:
    """The window of a note, too, for which PDF/A-1 has no exception."""
    pdf = archived(tmp_path, claiming(tmp_path, "1B"), None, None)
    with pikepdf.open(pdf) as document:
        notes_ = [note for page in document.pages for note in page.obj.get("/Annots", [])]
        assert {str(note.Subtype) for note in notes_} == {"/Text", "/Popup"}
        assert [int(note.get("/F", 0)) & 4 for note in notes_] == [4] * len(notes_)


def test_a_claim_without_a_meaning_of_its_colours_does_not_count(tmp_path: Path) -> None:
    """As Ghostscript makes it where nobody names a profile."""
    source = claiming(tmp_path, "2B")
    changed(source, lambda doc: doc.xref_set_key(doc.pdf_catalog(), "OutputIntents", "null"))
    assert faults(source) == ["6.2.3 no sRGB as output intent"]
    pdf = archived(tmp_path, source, PageResult(text=""), PageResult(text=""))
    assert faults(pdf) == []


ELEMENTS = (
    "<rdf:Description><pdfaid:part>2</pdfaid:part>\n<pdfaid:conformance>B</pdfaid:conformance>"
)
ATTRIBUTES = "<rdf:Description pdfaid:part='1' pdfaid:conformance=\"B\">"


@pytest.mark.parametrize("claim", [ELEMENTS, ATTRIBUTES])
@pytest.mark.parametrize(
    ("font", "hidden", "true"),
    [("Frutiger", False, False), ("Helvetica", False, False), ("Frutiger", True, True)],
)
def test_a_claim_that_is_not_true_does_not_count_and_is_not_repeated(
    tmp_path: Path, claim: str, font: str, hidden: bool, true: bool
) -> None:
    def change(document: Any) -> None:
        renamed(font)(document)
        if hidden:
            document.update_stream(
                document[0].get_contents()[0], b"3 Tr\n" + document[0].read_contents()
            )
        document.set_xml_metadata(f"<x:xmpmeta>{claim}<dc:title>Kept</dc:title></x:xmpmeta>")

    source = changed(typed(tmp_path / "a.pdf"), change)
    pdf = archived(tmp_path, source, PageResult(text=""), outputs=PDFA | {"pdf"})
    assert faults(pdf) == []
    assert any("is a picture" in note for note in notes(tmp_path)) == (
        font == "Frutiger" and not hidden
    )
    with pymupdf.open(str(tmp_path / "out" / "scan.pdf")) as document:
        xmp = document.get_xml_metadata()
    assert "Kept" in xmp
    assert ("pdfaid:" in xmp) == true
    assert any(f"but its font {font} is not" in note for note in notes(tmp_path)) != true


def test_a_long_document_is_made_in_turns(tmp_path: Path, long: int) -> None:
    with pymupdf.open() as document:
        for number in range(long):
            document.new_page(width=200, height=200).insert_text((20, 90), f"page {number}")
        renamed("Frutiger")(document)
        document.save(str(tmp_path / "a.pdf"))
    pdf = archived(tmp_path, tmp_path / "a.pdf", *[PageResult(text="")] * long)
    assert faults(pdf) == []
    with pymupdf.open(str(pdf)) as document:
        assert [page.get_text().split() for page in document] == [
            ["page", str(number)] for number in range(long)
        ]
    *_, pictures, grew = notes(tmp_path)
    assert pictures == f"{long - 5} further pages of the PDF/A are pictures for such reasons"
    assert grew.startswith("scan.pdfa.pdf takes ")


def test_a_claim_does_not_count_where_a_script_speaks_against_it(tmp_path: Path) -> None:
    source = changed(claiming(tmp_path, "2B"), script)
    assert faults(source) != []
    blank = PageResult(text="")
    assert faults(archived(tmp_path, source, blank, blank, outputs=PDFA | {"pdf"})) == []
    with pymupdf.open(str(tmp_path / "out" / "scan.pdf")) as document:
        assert "pdfaid:part" not in document.get_xml_metadata()


@pytest.mark.parametrize("hidden", ["", "Hidden"])
def test_a_claim_counts_where_fonts_of_nothing_visible_are_not_embedded(
    tmp_path: Path, hidden: str
) -> None:
    """A page of visible text has a font besides that is not used, or of hidden text."""

    def change(document: Any) -> None:
        page = document[0]
        page.insert_font(fontname="Own", fontbuffer=pymupdf.Font("helv").buffer)
        page.insert_text((72, 90), "Visible", fontname="Own")
        page.insert_font(fontname="cour")
        page.insert_text((72, 120), hidden, fontname="cour", render_mode=3)
        assert [font[1] for font in page.get_fonts() if font[3] == "Courier"] == ["n/a"]

    source = changed(claiming(tmp_path, "2B"), change)
    blank = PageResult(text="")
    archived(tmp_path, source, blank, blank, outputs=PDFA | {"pdf"})
    with pymupdf.open(str(tmp_path / "out" / "scan.pdf")) as document:
        assert "pdfaid:part" in document.get_xml_metadata()
    assert not any("claims" in note for note in notes(tmp_path))


@pytest.mark.parametrize("end", [b"\nq 1 0 0 [ cm << >> (\n", b"\nBT 1 0 0"])
def test_a_page_whose_drawing_is_damaged_becomes_a_picture(tmp_path: Path, end: bytes) -> None:
    truth = typeset()
    source = scan_pdf(tmp_path / "a.pdf", truth)

    def damage(document: Any) -> None:
        broken = document[0].read_contents() + end
        document.update_stream(document[0].get_contents()[0], broken)

    changed(source, damage)
    pdf = archived(tmp_path, source, PageResult(text="x", lines=truth.as_lines()))
    assert faults(pdf) == []
    assert hits(by_mupdf(pdf), truth.words) >= 0.95
    assert looks_alike(pdf, source)
    assert "is a picture" in notes(tmp_path)[0]
