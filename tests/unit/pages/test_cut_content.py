"""A page whose drawing operators break off is told from one that is whole."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pymupdf
import pytest

from ocrd.pages.base import Rendering
from ocrd.pages.work import own_text, page
from ocrd.pdfcontent import broken_content
from tests.unit.pages.pdfs import one_page, stream

WANTED = Rendering(dpi=36, max_pixels=1_000_000, max_pages=9)
FONT = b"/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
LINES = [b"BT /F 9 Tf 20 %d Td (Line %d \\( (of) it) Tj ET" % (380 - 30 * n, n) for n in range(12)]
SOUND = b"q 1 0 0 rg 10 10 50 50 re f Q\n" + b"\n".join(LINES)
PACKED = zlib.compress(SOUND)
FLUSHED = zlib.compressobj()
UNENDED = FLUSHED.compress(SOUND) + FLUSHED.flush(zlib.Z_SYNC_FLUSH)
PICTURE = b"q BI /W 2 /H 4 /BPC 8 /CS /G ID (<[BT(<[ EI Q\n"  # any bytes may occur in one

LONG = b"q 1 0 0 1 0 0 cm Q\n" * 14_000  # more than is looked at; it draws nothing


def begun_in(line: bytes, place: bytes) -> bytes:
    """A long content of which what is looked at begins at a place in a line."""
    rest = line[line.index(place) :]
    return b"q\n" * 9 + line + LONG[len(LONG) - (1 << 18) + len(rest) :]


SOUND_ONES = {
    "plain": SOUND,
    "packed": PACKED,
    "without its checksum": PACKED[:-4],
    "flushed and never ended": UNENDED,
    "a picture in it": PICTURE + SOUND,
    "nothing": b"",
    "a comment at its end": SOUND + b"\n% (unread [ BT",
    "a mark of nesting": b"/A <</B (x)>> BDC " + SOUND + b" EMC\0\0",
    "left open": b"q q " + SOUND,
    "words like the end of a picture": b"BT /F 9 Tf (PARTEI [x) Tj (BEI <x) Tj (BEI 50 %) Tj ET",
    "such words after a picture": PICTURE + b"BT /F 9 Tf (PARTEI [x) Tj (EI 50 %) Tj ET",
    "a picture without a space at its end": PICTURE.replace(b" EI", b"EI") + SOUND,
    "a picture in letters": b"q BI /W 2 /H 4 /F /A85 ID <(EI\n[~>EI Q\n" + SOUND,
    "deep in parentheses": b"BT (" + b"(" * 30 + b"x" + b")" * 30 + b") Tj ET",
    "no number": b"[nan 3] 0 d " + SOUND,
    "a reference": b"/A <</B 3 0 R>> BDC " + SOUND + b" EMC",
    **{
        f"long, begun in {line!r}": begun_in(line, b"*")
        for line in (
            b"BT (a * <b) Tj ET\n",
            b"BT (a * [b Q c) Tj ET\n",
            b"BT (a * 5 q b) Tj ET\n",
            b"BT (a * BT b BT) Tj ET\n",
            b"q BI /W 2 /H 4 ID <( * [\xffBT ID <\xff EI Q\n",
        )
    },
}
CUT_ONES = {
    "half of the packed data": PACKED[: len(PACKED) // 2],
    "all but the end of the packed data": PACKED[:-12],
    "nonsense in the packed data": PACKED[:-120] + b"\xff" * 30 + PACKED[-90:],
    "in a text": SOUND[: SOUND.rindex(b" ET")],
    "in a string": SOUND[: SOUND.rindex(b"it)")],
    "in a nested string": SOUND[: SOUND.rindex(b"f) it)")],
    "in an array": LINES[0] + b" [(a) 3",
    "in hexadecimal": LINES[0] + b" <4142",
    "before an operator": LINES[0] + b" 1 0 0",
    "in a picture": LINES[0] + b" BI /W 2 /H 4 ID xx",
    "in a dictionary": LINES[0] + b" /A <</B 3",
    "in a string of a long one": LONG + b" BT (x",
    "in a long picture": LONG + b" BI /W 2 /H 4 ID " + b"\xff( " * 9,
}


Form: TypeAlias = "Callable[[bytes], bytes]"


def body(content: bytes) -> bytes:
    packed = not content or content[:1] == b"\x78"
    return stream(content, b"/Filter/FlateDecode" if packed else b"")


def as_content(content: bytes) -> bytes:
    more = {10: stream(b"10 10 50 50 re f"), 11: body(content)}
    return one_page(b"", resources=FONT, page=b"/Contents[10 0 R 11 0 R]", more=more)


def as_one_of_three(content: bytes) -> bytes:
    more = {10: body(PACKED), 11: body(content), 12: body(PACKED)}
    return one_page(b"", resources=FONT, page=b"/Contents[10 0 R 11 0 R 12 0 R]", more=more)


def as_form(content: bytes) -> bytes:
    entries = b"/Type/XObject/Subtype/Form/BBox[0 0 300 400]/Resources<<" + FONT + b">>"
    form = body(content).replace(b"<<", b"<<" + entries, 1)
    own = b"BT /F 9 Tf 20 390 Td (Words around it) Tj ET /Fm Do"
    return one_page(own, resources=FONT + b"/XObject<</Fm 10 0 R>>", more={10: form})


def flaws(path: Path, data: bytes) -> set[str | None]:
    """What is said of the page's image and of its own text."""
    path.write_bytes(data)
    own = own_text(path, 1)
    return {page(path, 1, WANTED).flaw, *([own.result.partial] if own else [])}


@pytest.mark.parametrize("form", [as_content, as_one_of_three, as_form])
@pytest.mark.parametrize("content", SOUND_ONES.values(), ids=SOUND_ONES)
def test_a_sound_page_is_whole(tmp_path: Path, form: Form, content: bytes) -> None:
    assert flaws(tmp_path / "a.pdf", form(content)) == {None}


@pytest.mark.parametrize("form", [as_content, as_one_of_three, as_form])
@pytest.mark.parametrize("content", CUT_ONES.values(), ids=CUT_ONES)
def test_a_page_that_breaks_off_is_not(tmp_path: Path, form: Form, content: bytes) -> None:
    assert flaws(tmp_path / "a.pdf", form(content)) == {"its content breaks off in the file"}


def a_form(content: bytes, resources: bytes = b"") -> bytes:
    entries = b"/Type/XObject/Subtype/Form/BBox[0 0 300 400]/Resources<<" + resources + b">>"
    return stream(content, entries)


def test_a_form_counts_where_it_is_drawn(tmp_path: Path) -> None:
    """Some programs give a page the forms of all pages."""
    cut = a_form(b"1 0 0")
    outer = a_form(b"/Inner Do", b"/XObject<</Inner 10 0 R>>")
    forms = b"/XObject<</Cut 10 0 R/Outer 11 0 R>>"
    flaws_of = [
        flaws(tmp_path / "a.pdf", one_page(own, resources=forms, more={10: cut, 11: outer}))
        for own in (b"q Q", b"/Cut Do", b"/Outer Do")
    ]
    assert [None in found for found in flaws_of] == [True, False, False]


@pytest.mark.parametrize(
    "parts",
    [
        {"resources": FONT + b"/XObject<</X<</Subtype/Form/BBox[0 0 9 9]>>>>"},
        {"resources": FONT, "page": b"/Contents 1 0 R"},
    ],
)
def test_what_is_no_stream_does_not_stop_a_page(tmp_path: Path, parts: Any) -> None:
    assert flaws(tmp_path / "a.pdf", one_page(SOUND + b" /X Do", **parts)) == {None}


def test_a_page_that_unpacks_to_hundreds_of_megabytes_takes_little_memory() -> None:
    with pymupdf.open() as document:
        sheet = document.new_page()
        sheet.insert_text((72, 72), "x")
        (content,) = sheet.get_contents()
        document.update_stream(content, b"0 0 m 9 9 l S\n" * 6_000_000)
        packed = document.tobytes()
    with pymupdf.open(stream=packed) as document:
        tracemalloc.start()
        try:
            assert broken_content(document[0]) == ""
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()
