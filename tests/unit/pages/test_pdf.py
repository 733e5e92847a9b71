"""PDF pages come out as a viewer shows them, whatever they are made of."""

import os
import resource
from functools import cache
from pathlib import Path

import pymupdf
import pytest

from ocrd.errors import OcrdError, PageError
from ocrd.page import PageImage
from ocrd.pages.base import DocumentInfo, Rendering
from ocrd.pages.pdf import is_cut_off
from ocrd.pages.work import inspect, page
from tests.support.grain import saved as image_file
from tests.unit.pages.conftest import Put, refused
from tests.unit.pages.pdfs import (
    flag_content,
    flat_image,
    image_object,
    many_pages,
    one_page,
    pdf,
    scan,
)
from tests.unit.pages.rasters import (
    BLACK,
    BLUE,
    CORNERS,
    GREEN,
    RED,
    WHITE,
    at,
    corners,
    flag,
    near,
)
from tests.unit.pages.samples import annotated, of_text, scanned

_AES_256 = 5  # PDF_ENCRYPT_AES_256


def written(document: pymupdf.Document, **options: object) -> bytes:
    content: bytes = document.tobytes(**options)
    return content


# ---- geometry


def test_a_page_has_the_wished_for_resolution_and_its_colours_in_place(
    put: Put, wanted: Rendering
) -> None:
    path = put(one_page(flag_content(612, 792), box=b"[0 0 612 792]"))

    assert inspect(path, wanted) == DocumentInfo(kind="pdf", pages=1)
    image = page(path, 1, wanted)
    assert (image.width, image.height) == (1224, 1584)
    assert len(image.rgb) == 1224 * 1584 * 3
    assert corners(image) == CORNERS


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (90, (BLUE, RED, WHITE, GREEN)),
        (180, (WHITE, BLUE, GREEN, RED)),
        (270, (GREEN, WHITE, RED, BLUE)),
        (-90, (GREEN, WHITE, RED, BLUE)),
    ],
)
def test_a_turned_page_comes_out_turned(
    degrees: int, expected: tuple[object, ...], put: Put, wanted: Rendering
) -> None:
    content = one_page(flag_content(600, 800), box=b"[0 0 600 800]", page=b"/Rotate %d" % degrees)

    image = page(put(content), 1, wanted)
    assert (image.width, image.height) == ((1200, 1600) if degrees == 180 else (1600, 1200))
    assert corners(image) == expected


@pytest.mark.parametrize(
    ("drawn", "box", "entries", "size"),
    [
        ((600, 600, 100, 200), b"0 0 800 900", b"/CropBox[100 200 700 800]", (1200, 1200)),
        ((600, 600, -300, 50), b"-300 50 300 650", b"", (1200, 1200)),
        ((300, 300), b"0 0 300 300", b"/UserUnit 2", (1200, 1200)),
        ((100, 80), b"0 0 100 80", b"", (1000, 800)),
    ],
    ids=[
        "only what the crop box shows",
        "a box that does not begin at zero",
        "a unit larger than a point",
        "a stamp gets enough pixels",
    ],
)
def test_a_page_is_rendered_as_its_boxes_and_units_say(
    drawn: tuple[int, ...],
    box: bytes,
    entries: bytes,
    size: tuple[int, int],
    put: Put,
    wanted: Rendering,
) -> None:
    beyond = b"0 1 1 rg 0 0 800 900 re f " if entries.startswith(b"/CropBox") else b""
    content = one_page(beyond + flag_content(*drawn), box=b"[%s]" % box, page=entries)

    image = page(put(content), 1, wanted)
    assert (image.width, image.height) == size
    assert corners(image) == CORNERS


@pytest.mark.parametrize("box", [b"[0 0 0 0]", b"[9 9 9 9]", b"(nonsense)", b"[1e30 0 -1e30 5]"])
def test_a_page_of_no_size_ends_in_some_page_or_says_why(
    box: bytes, put: Put, wanted: Rendering
) -> None:
    path = put(one_page(b"", box=box))
    try:
        image = page(path, 1, wanted)
    except PageError as error:
        assert error.kind == "damaged"
    else:
        assert 0 < image.width * image.height <= wanted.max_pixels


# ---- scans


def grey_scan(dpi: int, box: tuple[float, float] = (612, 792), text: bytes = b"") -> bytes:
    width, height = (int(side * dpi / 72) for side in box)
    return scan(flat_image(width, height, 90), box=box, text=text)


@pytest.mark.parametrize(
    ("dpi", "width"),
    [(300, 1224), (100, 850), (150, 1275)],
    ids=["finer", "coarser", "a little finer"],
)
def test_a_scan_is_neither_blown_up_nor_resampled_for_nothing(
    dpi: int, width: int, put: Put, wanted: Rendering
) -> None:
    image = page(put(grey_scan(dpi)), 1, wanted)

    assert image.width == width
    assert at(image, 0.5, 0.5) == (90, 90, 90)


def test_a_scan_of_one_pixel_a_point_comes_out_as_it_is(put: Put, wanted: Rendering) -> None:
    image = page(put(grey_scan(72, box=(1240, 1754))), 1, wanted)

    assert (image.width, image.height) == (1240, 1754)


def test_type_over_a_coarse_picture_gets_the_full_resolution(put: Put, wanted: Rendering) -> None:
    text = b"BT /F 20 Tf 100 400 Td (over a picture) Tj ET"

    assert page(put(grey_scan(72, text=text)), 1, wanted).width == 1224


SCANS = scanned()


@pytest.mark.parametrize("kind", SCANS)
def test_scans_of_every_compression_show_their_ink(kind: str, put: Put, wanted: Rendering) -> None:
    image = page(put(scan(SCANS[kind], box=(144, 144))), 1, wanted)

    seen = [at(image, x, y) for x, y in ((0.5, 0.5), (0.3, 0.3), (0.2, 0.5), (0.5, 0.8))]
    assert near(seen, [BLACK, BLACK, WHITE, WHITE], tolerance=40)  # ink is not quite black


# ---- what lies upon a page


def test_annotations_and_filled_in_fields_are_shown(put: Put, wanted: Rendering) -> None:
    image = page(put(annotated()), 1, wanted)

    places = ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9))
    assert [at(image, x, y) for x, y in places] == [RED, GREEN, BLUE, WHITE]


# ---- many pages


def bar(image: PageImage) -> float:
    """How high the black bar at the foot of a page is, in points."""
    column = image.rgb[:: image.width * 3]
    return 200 * column.count(0) / image.height


def test_pages_come_in_any_order(put: Put, wanted: Rendering) -> None:
    path = put(many_pages(50))

    assert inspect(path, wanted).pages == 50
    for number in (50, 1, 25, 26):
        assert bar(page(path, number, wanted)) == pytest.approx(number, abs=0.3)


def test_a_count_that_is_a_lie_is_corrected(put: Put, wanted: Rendering) -> None:
    honest = many_pages(2)

    assert inspect(put(honest.replace(b"/Count 2", b"/Count 7")), wanted).pages == 2


def test_more_pages_than_allowed_are_too_many(put: Put) -> None:
    wanted = Rendering(dpi=144, max_pixels=10**7, max_pages=9)
    with refused("too-large", match="10 pages", hint="max_pages"):
        inspect(put(many_pages(10)), wanted)


# ---- locked, damaged, hostile


def test_a_pdf_with_a_password_is_encrypted(put: Put, wanted: Rendering) -> None:
    locked = written(of_text(2), encryption=_AES_256, user_pw="sesame", owner_pw="open")
    with refused("encrypted", match="password", hint="password"):
        inspect(put(locked), wanted)


def test_a_pdf_that_only_forbids_changes_opens(put: Put, wanted: Rendering) -> None:
    kept = written(of_text(2), encryption=_AES_256, owner_pw="open")
    path = put(kept)

    assert inspect(path, wanted).pages == 2
    assert page(path, 2, wanted).rgb.count(0) > 1000


def test_a_pdf_locked_in_a_way_of_its_own_is_encrypted(put: Put, wanted: Rendering) -> None:
    content = pdf(
        {1: b"<</Type/Catalog/Pages 2 0 R>>", 2: b"<</Type/Pages/Kids[]/Count 0>>",
         3: b"<</Filter/EBX_HANDLER/V 1>>"},
        trailer=b"/Encrypt 3 0 R/ID[<00><00>]",
    )  # fmt: skip
    with refused("encrypted"):
        inspect(put(content), wanted)


@cache
def ten_pages() -> bytes:
    return written(of_text(10), deflate=True)


@pytest.fixture(params=[1 << 20, 50], ids=["read at once", "read in blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's end is looked for in so many bytes at a time."""
    monkeypatch.setattr("ocrd.pages.pdf._BLOCK", request.param)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("padded", [False, True], ids=["cut", "cut, then zeros"])
def test_a_part_of_a_pdf_is_damaged_and_never_a_shorter_document(
    share: float, padded: bool, put: Put, wanted: Rendering
) -> None:
    whole = ten_pages()
    part = whole[: int(len(whole) * share)]
    path = put(part.ljust(len(whole), b"\0") if padded else part)
    with refused("damaged"):
        inspect(path, wanted)


def test_a_pdf_without_a_table_of_its_objects_is_repaired(put: Put, wanted: Rendering) -> None:
    whole = one_page(flag_content(600, 600), box=b"[0 0 600 600]")
    garbled = whole.replace(b"00000 n", b"77777 x").replace(b"startxref\n", b"startxref\n9")

    assert corners(page(put(garbled), 1, wanted)) == CORNERS


def test_a_pdf_followed_by_zeros_is_whole(put: Put, wanted: Rendering) -> None:
    whole = one_page(flag_content(600, 600), box=b"[0 0 600 600]")

    assert corners(page(put(whole + bytes(100_000)), 1, wanted)) == CORNERS


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("junk", [b"<html><p>404</p></html>\n" * 5000, b"\0\r\n" * 20_000])
@pytest.mark.parametrize("garbled", [False, True])
def test_what_follows_the_end_of_a_pdf_takes_nothing_away(
    junk: bytes, garbled: bool, put: Put, wanted: Rendering
) -> None:
    whole = one_page(flag_content(600, 600), box=b"[0 0 600 600]")
    if garbled:
        whole = whole.replace(b"startxref\n", b"startxref\n9")

    assert corners(page(put(whole + junk), 1, wanted)) == CORNERS


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("padded", [False, True], ids=["cut", "cut, then zeros"])
def test_an_update_thatis_cut_off_does_not_come_out_as_the_older_document(
    share: float, padded: bool, put: Put, wanted: Rendering, tmp_path: Path
) -> None:
    path = tmp_path / "updated.pdf"
    path.write_bytes(ten_pages())
    with pymupdf.open(str(path)) as document:
        document.new_page().insert_text((60, 60), "Signed on Tuesday")
        document.saveIncr()
    whole, before = path.read_bytes(), len(ten_pages())
    assert inspect(path, wanted).pages == 11
    part = whole[: before + int((len(whole) - before) * share)]
    with refused("damaged", match="cut off"):
        inspect(put(part.ljust(len(whole), b"\0") if padded else part), wanted)


def test_the_end_of_a_book_larger_than_the_memory_of_a_child_is_found(tmp_path: Path) -> None:
    """As a scanned one may be; here it is a hole in a file."""
    path, most = tmp_path / "book.pdf", resource.getrlimit(resource.RLIMIT_AS)
    whole = one_page(flag_content(600, 600), box=b"[0 0 600 600]")
    with path.open("wb") as file:
        file.write(b"%PDF-1.7\n")
        file.seek(8 << 30)
        file.write(whole)
    with path.open("rb") as file:
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, most[1]))
        try:
            assert not is_cut_off(file)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, most)


def tree(kids: bytes, count: bytes) -> bytes:
    return pdf(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Kids[%s]/Count %s>>" % (kids, count),
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
        }
    )


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (tree(b"", b"0"), {"no-pages"}),
        (tree(b"2 0 R 3 0 R", b"2"), {"damaged"}),
        (tree(b"2 0 R", b"1"), {"damaged", "no-pages"}),
        (tree(b"3 0 R", b"99999999999"), {"damaged", "too-large"}),
        (tree(b"3 0 R", b"-7"), {"damaged", "no-pages"}),
        (tree(b"99 0 R", b"1"), {"damaged", "no-pages"}),
        (pdf({1: b"<</Type/Catalog>>"}), {"damaged", "no-pages"}),
        (pdf({1: b"<</Type/Catalog/Pages 1 0 R>>"}), {"damaged", "no-pages"}),
        (b"%PDF-1.7\n", {"damaged"}),
        (b"%PDF-1.7\n" + bytes(range(256)) * 40, {"damaged"}),
    ],
    ids=[
        "no kids", "a loop and a page", "a loop", "too many", "less than none", "a kid not there",
        "no tree", "the catalogue for a tree", "a head alone", "a head and noise",
    ],
)  # fmt: skip
def test_a_tree_of_pages_that_leads_nowhere_is_told(
    content: bytes, kinds: set[str], put: Put, wanted: Rendering
) -> None:
    path = put(content)
    with pytest.raises(OcrdError) as caught:
        inspect(path, wanted)
        page(path, 1, wanted)

    assert caught.value.kind in kinds
    assert caught.value.hint


@pytest.mark.parametrize("filter_", [b"DCTDecode", b"JPXDecode", b"JBIG2Decode"])
def test_a_scan_that_cannot_be_decoded_is_a_damaged_page_not_a_blank_one(
    filter_: bytes, put: Put, wanted: Rendering
) -> None:
    path = put(scan(image_object((600, 800), b"garbage" * 99, filter_)))

    assert inspect(path, wanted).pages == 1
    with refused("damaged", by=PageError, match="Page 1"):
        page(path, 1, wanted)


def test_a_blank_page_is_a_blank_page(put: Put, wanted: Rendering) -> None:
    image = page(put(one_page(b"", box=b"[0 0 600 800]")), 1, wanted)

    assert image.rgb == b"\xff" * (1200 * 1600 * 3)


# ---- names and what is no file


@pytest.mark.parametrize(
    "name", [b"broken \xff\xfe UTF-8", b"with\na newline", b"x" * 255, "größe.jpg".encode()]
)
def test_a_file_may_have_any_name(name: bytes, put: Put, wanted: Rendering) -> None:
    path = put(many_pages(1), os.fsdecode(name))

    assert inspect(path, wanted).pages == 1
    assert page(path, 1, wanted).width == 1000


def test_an_image_may_have_any_name_too(put: Put, wanted: Rendering) -> None:
    path = put(image_file(flag(), "PNG"), os.fsdecode(b"\xff\n.pdf"))

    assert inspect(path, wanted).kind == "image"
    assert corners(page(path, 1, wanted)) == CORNERS


def test_a_text_file_named_pdf_is_told_what_it_is(put: Put, wanted: Rendering) -> None:
    with refused("unsupported", match="a text file"):
        inspect(put(b"Dear Sir or Madam,\n" * 30, "letter.pdf"), wanted)
