"""The invisible font is a font, and the widths it claims are the widths text is laid out with."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from ocrd.document.font import LayerFont, char_width, text_width
from ocrd.document.incremental_pdf import LayeredPdf
from ocrd.page import Box, Line, PageResult
from tests.unit.document import glyphless
from tests.unit.document.scans import bundle, pymupdf, record, scan_pdf, typeset


def font() -> LayerFont:
    return LayerFont(LayeredPdf(Path("nowhere")))


def test_the_data_in_the_package_is_what_makes_it() -> None:
    made = glyphless.files()
    assert {path.name for path in glyphless.FOLDER.iterdir()} == made.keys()
    assert all((glyphless.FOLDER / name).read_bytes() == data for name, data in made.items())


def test_freetype_loads_it_and_its_em_is_its_height() -> None:
    data = (glyphless.FOLDER / "font.ttf").read_bytes()
    assert ImageFont.truetype(io.BytesIO(data), size=1000).getmetrics() == (800, 200)


def test_no_text_is_set_in_notdef_and_widths_are_those_of_the_glyphs() -> None:
    """As PDF/A demands: a code's width in the PDF is the advance of its glyph, which is not 0."""
    data = (glyphless.FOLDER / "font.ttf").read_bytes()
    count = struct.unpack(">H", data[4:6])[0]
    entries = (data[12 + 16 * at : 28 + 16 * at] for at in range(count))
    places = {entry[:4]: struct.unpack(">II", entry[8:]) for entry in entries}
    start, length = places[b"hmtx"]
    advances = [each[0] for each in struct.iter_unpack(">Hh", data[start : start + length])]
    glyphs = zlib.decompress((glyphless.FOLDER / "cidtogid.z").read_bytes())
    used = [each[0] for each in struct.iter_unpack(">H", glyphs)]
    assert 0 not in used
    assert [advances[glyph] for glyph in used] == [char_width(chr(code)) for code in range(65536)]


def test_latin_widths_are_those_of_helvetica() -> None:
    helvetica = pymupdf.Font("helv")
    for char in "The quick brown fox, 1,250.75 % (W@gÄé)":
        true = helvetica.glyph_advance(ord(char)) * 1000
        assert char_width(char) == pytest.approx(true, abs=2)


@pytest.mark.parametrize("char", ["你", "あ", "한", "😀", "𠮷", "，"])  # noqa: RUF001 - full width
def test_east_asian_characters_fill_a_square(char: str) -> None:
    assert char_width(char) == 1000


def test_marks_that_sit_on_letters_take_no_room() -> None:
    assert text_width("e\u0301") == text_width("e")


def test_readers_of_the_pdf_agree_with_the_widths(tmp_path: Path) -> None:
    """Each character begins where the sum of the widths before it says."""
    line = "Wij il你 Ж½ﬁｱ😀é"
    source = scan_pdf(tmp_path / "a.pdf", typeset((" ",)))
    result = PageResult(text=line, lines=(Line(line, Box(0.1, 0.1, 0.9, 0.12)),))
    bundle(tmp_path, source, [record(1, result)], outputs=frozenset({"pdf"}))
    with pymupdf.open(str(tmp_path / "out" / "scan.pdf")) as document:
        blocks = document[0].get_text("rawdict")["blocks"]
    lines = [line for block in blocks for line in block.get("lines", [])]
    chars = [char for line in lines for span in line["spans"] for char in span["chars"]]
    assert "".join(char["c"] for char in chars) == line
    starts = [0.1 + 0.8 * text_width(line[:n]) / text_width(line) for n in range(len(line))]
    assert [char["bbox"][0] / 612 for char in chars] == pytest.approx(starts, abs=0.002)


def test_characters_beyond_the_first_plane_share_their_codes() -> None:
    codes = font()
    assert codes.encode("a😀b😀") == "0061F8FF0062F8FF"
    assert "<F8FF> <D83DDE00>" in codes.to_unicode().decode()
    assert "<0000> <F8FE> <0000>" in codes.to_unicode().decode()


@given(st.text())
def test_a_text_has_the_codes_of_its_characters_one_after_another(text: str) -> None:
    together, alone = font(), font()
    assert together.encode(text) == "".join(alone.encode(char) for char in text)
    assert together.to_unicode() == alone.to_unicode()
