"""However odd a PDF is, it ends as a bundle or with a stated reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.document.base import OUTPUTS
from ocrd.errors import OcrdError
from ocrd.page import Block, Box, Line, Markup, PageResult, Word
from ocrd.pages.base import Rendering
from ocrd.pages.work import inspect, own_text, page
from tests.unit.document.scans import bundle, record
from tests.unit.pages.pdfs import one_page, pdf, stream

WANTED = Rendering(dpi=72, max_pixels=4_000_000, max_pages=50, max_side=1000)
STATED = {"damaged", "encrypted", "no-pages", "unsupported", "too-large"}
FONT = b"/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
TEXT = b"BT /F 9 Tf 20 20 Td (Some words of a page) Tj ET"
BOX = Box(0.1, 0.1, 0.9, 0.5)
READ = PageResult(
    text="word",
    blocks=(
        Block("text", "word", (BOX,), Markup.PLAIN),
        Block("image", "", (Box(0, 0, 1, 1),), Markup.PLAIN),
    ),
    lines=(Line("word", BOX, (Word("word", BOX),), 0.5),),
    turned=90,
)
BOXES = (
    *("0 0 1 1", "0 0 .1 .1", "0 0 14400 14400", "0 0 14400 1", "300 400 0 0"),
    *(
        "-500 -500 -100 -100",
        "0 0 0 0",
        "0 0 300 0",
        "0 0 1e9 1e9",
        "0 0 1e40 9",
        "0 0",
        "/a /b /c",
    ),
)
ENTRIES = (
    *(f"/UserUnit {unit}" for unit in ("0", "-1", "0.0001", "100", "75000", "1e9", "(x)")),
    *(f"/Rotate {turn}" for turn in ("90", "-90", "45", "720", "1e9", "(x)")),
    *(
        f"/CropBox {crop}{more}"
        for crop in ("[500 500 900 900]", "[0 0 0 0]", "[300 400 0 0]", "[10 10 10.5 10.5]", "[1]")
        for more in ("", "/Rotate 90/UserUnit 2")
    ),
    *("/Contents 3 0 R", "/Annots[null 99 0 R 3 0 R <</Subtype/Link/Rect[1]>> (x)]"),
)
RESOURCES = {
    "no font": b"",
    "a font that is not there": b"/Font<</F 99 0 R>>",
    "a font of no parts": b"/Font<</F<</Type/Font/Subtype/Type0/DescendantFonts[]>>>>",
    "a font of no size": b"/Font<</F<</Subtype/Type3/FontMatrix[0 0 0 0 0 0]/CharProcs<<>>"
    b"/FontBBox[0 0 0 0]/Encoding<<>>/FirstChar 0/LastChar 1/Widths[]>>>>",
}
CONTENTS = (b"/F 0 Tf", b"/F 1e9 Tf", b"-1 0 0 1 300 0 cm", b"0 0 0 0 0 0 cm", b"/X Do", b"0 Tz")
LOOP = stream(b"/X Do", b"/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 10 0 R>>>>")
LEAF = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>"


def tree(kids: bytes, count: bytes, trailer: bytes = b"") -> bytes:
    inner = b"<</Type/Pages/Parent 2 0 R/Kids[2 0 R 3 0 R]/Count 1>>"
    top = b"<</Type/Pages/Kids[%s]/Count %s>>" % (kids, count)
    return pdf({1: b"<</Type/Catalog/Pages 2 0 R>>", 2: top, 3: LEAF, 4: inner}, trailer)


PDFS = {
    **{
        f"of box {box}": one_page(TEXT, box=b"[%s]" % box.encode(), resources=FONT) for box in BOXES
    },
    **{it: one_page(TEXT, resources=FONT, page=it.encode()) for it in ENTRIES},
    **{it: one_page(TEXT, resources=fonts) for it, fonts in RESOURCES.items()},
    **{
        str(it): one_page(
            it + b" " + TEXT.replace(b"/F 9 Tf", b"" if b"Tf" in it else b"/F 9 Tf"),
            resources=FONT + b"/XObject<</X 10 0 R>>",
            more={10: LOOP},
        )
        for it in CONTENTS
    },
    "without pages": tree(b"", b"0"),
    "its own page": tree(b"2 0 R", b"1"),
    "a loop of pages": tree(b"4 0 R", b"2"),
    "fewer pages than it says": tree(b"3 0 R", b"7"),
    "a negative count": tree(b"3 0 R", b"-7"),
    "lost pages": tree(b"null 3 0 R 99 0 R", b"3"),
    "a page twice": tree(b"3 0 R 3 0 R", b"2"),
    "an unknown lock": tree(b"3 0 R", b"1", b"/Encrypt<</Filter/Standard/V 9/R 9>>"),
}


@pytest.mark.parametrize("data", PDFS.values(), ids=PDFS)
def test_any_pdf_is_made_or_refused_with_a_reason(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(data)
    try:
        count = inspect(path, WANTED).pages
    except OcrdError as error:
        assert error.kind in STATED and error.hint
        return
    pages = []
    for number in range(1, count + 1):
        try:
            image, own = page(path, number, WANTED), own_text(path, number)
            assert 0 < image.width <= 1000 and 0 < image.height <= 1000
            pages.append(record(number, own.result if own else READ))
        except OcrdError as error:
            assert error.kind in STATED and error.hint
            pages.append(record(number, READ))
    made = bundle(tmp_path, path, pages, upright=True, outputs=OUTPUTS)
    assert {"scan.md", "scan.pdf", "scan.json"} <= set(made)
