"""A PDF made from an image file looks like the image and keeps its data where it can."""

from __future__ import annotations

import io
import random
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageDraw, ImageOps

from ocrd.document.base import PageOrigin
from ocrd.document.source_pdf import from_frames
from ocrd.page import PageResult
from tests.support.needs import need
from tests.unit.document.scans import (
    LETTER,
    bundle,
    by_mupdf,
    by_poppler,
    complaints,
    hits,
    off,
    pymupdf,
    record,
    sidecar,
    typeset,
)
from tests.unit.pages.rasters import png

EMPTY = PageResult(text="")


def to_pdf(folder: Path, source: Path, *results: PageResult, **options: Any) -> Path:
    pages = [record(number, result) for number, result in enumerate(results or (EMPTY,), start=1)]
    outputs = frozenset({"pdf", "json"})
    bundle(folder, source, pages, **{"kind": "image", "outputs": outputs, **options})
    pdf = folder / "out" / "scan.pdf"
    assert complaints(pdf) == ""
    return pdf


def picture(mode: str = "RGB", size: tuple[int, int] = (240, 160)) -> Image.Image:
    """An image in which every corner differs, smooth enough to survive a JPEG."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    width, height = size
    draw.rectangle((0, 0, width // 3, height // 3), fill=(200, 30, 30))
    draw.rectangle((width * 2 // 3, 0, width, height // 4), fill=(30, 160, 60))
    draw.ellipse((width // 4, height // 2, width // 2, height - 10), fill=(40, 60, 190))
    return image.convert(mode)


def as_shown(pdf: Path, size: tuple[int, int], page: int = 0) -> Image.Image:
    """The page by poppler, at the image's own size."""
    need("poppler")
    command = ["pdftoppm", "-png", "-f", str(page + 1), "-l", str(page + 1)]
    command += ["-scale-to-x", str(size[0]), "-scale-to-y", str(size[1]), str(pdf)]
    png = subprocess.run(command, capture_output=True, check=True).stdout
    return Image.open(io.BytesIO(png)).convert("RGB")


def extracted(pdf: Path) -> Image.Image:
    """The first page's image by poppler's pdfimages, pixel for pixel."""
    root = pdf.with_name("image")
    subprocess.run(["pdfimages", "-png", str(pdf), str(root)], check=True)
    return Image.open(f"{root}-000.png").convert("RGB")


def embedded(pdf: Path, page: int = 0) -> tuple[str, bytes]:
    """The dictionary and the raw stream of a page's image."""
    with pymupdf.open(str(pdf)) as document:
        xref = document[page].get_images()[0][0]
        return document.xref_object(xref), document.xref_stream_raw(xref)


def page_size(pdf: Path, page: int = 0) -> tuple[int, int]:
    with pymupdf.open(str(pdf)) as document:
        rect = document[page].rect
        return round(rect.width), round(rect.height)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_stands_upright_and_its_bytes_are_unchanged(
    tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = tmp_path / "a.jpg"
    picture().save(source, quality=95, exif=exif, dpi=(100, 100))
    with Image.open(source) as stored:
        true = ImageOps.exif_transpose(stored)
    pdf = to_pdf(tmp_path, source)
    assert off(as_shown(pdf, true.size), true) < 3
    assert embedded(pdf)[1] == source.read_bytes()
    assert page_size(pdf) == tuple(round(side * 72 / 100) for side in true.size)


@pytest.mark.parametrize("orientation", [1, 6, 3, 8, 5])
def test_words_read_on_a_turned_photo_lie_on_their_place(tmp_path: Path, orientation: int) -> None:
    truth = typeset(dpi=100)
    back = {
        6: Image.Transpose.ROTATE_90,
        3: Image.Transpose.ROTATE_180,
        8: Image.Transpose.ROTATE_270,
        5: Image.Transpose.TRANSPOSE,
    }
    upright = Image.open(io.BytesIO(truth.png))
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif)
    result = PageResult(text="\n".join(LETTER), lines=truth.as_lines())
    pdf = to_pdf(tmp_path, tmp_path / "a.jpg", result)
    assert hits(by_mupdf(pdf), truth.words) >= 0.9
    assert hits(by_poppler(pdf), truth.words) >= 0.9


def test_a_bitonal_page_stays_bitonal_and_small(tmp_path: Path) -> None:
    page = Image.open(io.BytesIO(typeset(dpi=200).png)).convert("1", dither=Image.Dither.NONE)
    page.save(tmp_path / "a.tif", compression="group4", dpi=(200, 200))
    pdf = to_pdf(tmp_path, tmp_path / "a.tif")
    entries, data = embedded(pdf)
    assert "/CCITTFaxDecode" in entries
    assert "/BitsPerComponent 1" in entries
    assert len(data) < 1.1 * (tmp_path / "a.tif").stat().st_size
    assert page_size(pdf) == (612, 792)
    assert off(extracted(pdf), page) == 0


@pytest.mark.parametrize("photometric", [0, 1])
def test_black_stays_black_whichever_way_a_fax_counts(tmp_path: Path, photometric: int) -> None:
    page = picture("1", (200, 100))
    page.save(tmp_path / "a.tif", compression="group4", tiffinfo={262: photometric})
    with Image.open(tmp_path / "a.tif") as stored:
        true = stored.convert("RGB")
    pdf = to_pdf(tmp_path, tmp_path / "a.tif")
    assert off(extracted(pdf), true) == 0
    assert as_shown(pdf, page.size).getpixel((100, 20)) == (255, 255, 255)


def test_a_fax_of_unequal_resolutions_keeps_its_proportions(tmp_path: Path) -> None:
    picture("1", (1728, 1078)).save(tmp_path / "a.tif", dpi=(204, 98))
    assert page_size(to_pdf(tmp_path, tmp_path / "a.tif")) == (610, 792)


ROW = bytes(range(1, 7)) * 40  # eighty pixels of RGB


@pytest.mark.parametrize("level", [6, 0])
def test_a_png_stays_as_it_is_unless_it_is_packed_badly(tmp_path: Path, level: int) -> None:
    rows = b"".join(b"\0" + ROW for _ in range(60))
    (tmp_path / "a.png").write_bytes(png(80, 60, 8, 2, rows, level=level))
    pdf = to_pdf(tmp_path, tmp_path / "a.png")
    assert (zlib.compress(rows, level) in pdf.read_bytes()) == (level == 6)
    assert pdf.stat().st_size < 3_000
    assert extracted(pdf).tobytes() == ROW * 60


def test_one_that_is_interlaced_is_shown_as_it_is_meant(tmp_path: Path) -> None:
    """Two pixels side by side, which come in two passes."""
    rows = b"\0" + bytes((255, 0, 0)) + b"\0" + bytes((0, 0, 255))
    (tmp_path / "a.png").write_bytes(png(2, 1, 8, 2, rows, level=6, interlaced=True))
    pdf = to_pdf(tmp_path, tmp_path / "a.png")
    assert extracted(pdf).tobytes() == bytes((255, 0, 0, 0, 0, 255))


def test_one_that_was_cut_off_gets_a_page_that_says_so(tmp_path: Path) -> None:
    rows = random.Random(1).randbytes(60 * 241)
    whole = png(80, 60, 8, 2, bytes(value % 5 for value in rows), level=6)
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    to_pdf(tmp_path, tmp_path / "a.png")
    notes = sidecar(tmp_path)["notes"]
    assert "page 1 of the PDF is empty" in notes[0]


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_is_not_inverted(tmp_path: Path, name: str) -> None:
    picture("CMYK").save(tmp_path / name)
    pdf = to_pdf(tmp_path, tmp_path / name)
    assert "/DeviceCMYK" in embedded(pdf)[0]
    shown = as_shown(pdf, (240, 160))
    red, white = shown.getpixel((20, 20)), shown.getpixel((120, 30))
    assert isinstance(red, tuple)
    assert isinstance(white, tuple)
    assert red[0] > 150 > 100 > red[1]
    assert min(white) > 245


@pytest.mark.parametrize(("mode", "colours"), [("RGB", "/ICCBased"), ("L", "/DeviceGray")])
def test_a_colour_profile_goes_along_where_it_is_of_the_right_kind(
    tmp_path: Path, mode: str, colours: str
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture(mode).save(tmp_path / "a.jpg", icc_profile=profile)
    assert colours in embedded(to_pdf(tmp_path, tmp_path / "a.jpg"))[0]


def test_every_frame_of_a_tiff_is_a_page_with_its_own_text(tmp_path: Path) -> None:
    truths = [typeset((f"Page {word} of the fax",), size=20) for word in ("one", "two", "three")]
    frames = [Image.open(io.BytesIO(truth.png)).convert("1") for truth in truths]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:], dpi=(110, 110))
    results = [PageResult(text="x", lines=truth.as_lines()) for truth in truths]
    pdf = to_pdf(tmp_path, tmp_path / "a.tif", *results)
    for page, truth in enumerate(truths):
        assert hits(by_poppler(pdf, page), truth.words) == 1


def test_a_frame_that_cannot_be_decoded_leaves_a_page_that_says_so(tmp_path: Path) -> None:
    frames = [picture("L", (300, 300)) for _ in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.tif") as stored:
        stored.seek(1)
        offset = stored.tag_v2[273][0]  # type: ignore[attr-defined]  # a TIFF's
    data = bytearray((tmp_path / "a.tif").read_bytes())
    at = data.index(offset.to_bytes(4, "little"), len(data) // 3)
    data[at : at + 4] = (0xFFFFFF00).to_bytes(4, "little")  # the strip lies beyond the file
    (tmp_path / "b.tif").write_bytes(data)
    pdf = to_pdf(tmp_path, tmp_path / "b.tif", EMPTY, EMPTY, EMPTY)
    with pymupdf.open(str(pdf)) as document:
        assert ["cannot be shown" in page.get_text() for page in document] == [False, True, False]
    assert sidecar(tmp_path)["notes"][0].startswith("page 2 of the PDF is empty")


def test_an_image_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (5000, 5000)).save(tmp_path / "a.png")
    pdf = to_pdf(tmp_path, tmp_path / "a.png", max_pixels=1_000_000)
    with pymupdf.open(str(pdf)) as document:
        assert "cannot be shown" in document[0].get_text()


@pytest.mark.parametrize(
    ("size", "dpi", "points"),
    [
        ((2480, 3508), (300, 300), (595, 842)),
        ((2480, 3508), None, (595, 842)),  # no tag: 300 dpi
        ((1654, 2339), None, (595, 842)),  # no tag, smaller: 200 dpi
        ((4032, 3024), (72, 72), (968, 726)),  # a phone's meaningless 72 dpi
        ((3264, 2448), (72, 72), (783, 588)),
        ((8064, 6048), (72, 72), (1008, 756)),
        ((1190, 842), (72, 72), (1190, 842)),  # a page that was drawn for a screen
        ((4800, 3200), (150, 150), (2304, 1536)),  # a plan
        ((2480, 3508), (1, 1), (595, 842)),
        ((800, 600), (96, 96), (600, 450)),
    ],
)
def test_the_page_has_the_size_of_the_paper(
    tmp_path: Path, size: tuple[int, int], dpi: Any, points: tuple[int, int]
) -> None:
    options = {"dpi": dpi} if dpi else {}
    Image.new("1", size, 1).save(tmp_path / "a.png", **options)
    place = PageOrigin(source=tmp_path / "a.png", kind="image", page=1, pages=1)
    base = from_frames([place], tmp_path / "base.pdf", max_pixels=100_000_000)
    assert page_size(base.path) == pytest.approx(points, abs=1)


def test_a_huge_image_is_a_page_that_readers_can_show(tmp_path: Path) -> None:
    Image.new("1", (60_000, 300)).save(tmp_path / "a.png")
    assert page_size(to_pdf(tmp_path, tmp_path / "a.png"))[0] == 14_400
