"""The boxes are drawn where they are, over the page as it is, as vectors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from ocrd.modes import AnswerFormat
from ocrd.page import PageResult
from tests.unit.document.scans import bundle, pymupdf, record, scan_pdf, typeset

BOXES = frozenset({"boxes"})
SAID = (
    "<|ref|>title<|/ref|><|det|>[[100, 200, 500, 300]]<|/det|>\nA\n\n"
    "<|ref|>text<|/ref|><|det|>[[100, 400, 900, 600], [100, 700, 900, 800]]<|/det|>\nB"
)
PLACES = [(100, 200, 500, 300), (100, 400, 900, 600), (100, 700, 900, 800)]


def outlines(pdf: Path) -> list[tuple[int, int, int, int]]:
    """The stroked rectangles of the first page as it is seen, in thousandths of it."""
    with pymupdf.open(str(pdf)) as document:
        page = document[0]
        seen = [
            drawing["rect"] * page.rotation_matrix
            for drawing in page.get_drawings()
            if drawing["type"] == "s"
        ]
        x, y = page.rect.width / 999, page.rect.height / 999
        return [
            (round(box.x0 / x), round(box.y0 / y), round(box.x1 / x), round(box.y1 / y))
            for box in seen
        ]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("margin", [0, 40])
def test_boxes_lie_where_the_engine_saw_them_each_with_its_label(
    tmp_path: Path, rotation: int, margin: int
) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset(dpi=40), rotation=rotation, margin=margin)
    bundle(tmp_path, source, [record(1, PageResult(text=SAID))], outputs=BOXES)
    pdf = tmp_path / "out" / "scan.boxes.pdf"
    assert outlines(pdf) == PLACES
    with pymupdf.open(str(pdf)) as document:
        assert document[0].get_text().split() == ["title", "text", "text"]
    assert pdf.read_bytes().startswith(source.read_bytes())
    assert pdf.stat().st_size < source.stat().st_size + 3_000


def test_boxes_of_spans_wear_no_label(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset(dpi=40))
    page = record(1, PageResult(text=SAID.replace("title", "你好")))
    bundle(tmp_path, source, [page], outputs=BOXES, answers=AnswerFormat.SPANS)
    with pymupdf.open(str(tmp_path / "out" / "scan.boxes.pdf")) as document:
        assert document[0].get_text().split() == []
    assert outlines(tmp_path / "out" / "scan.boxes.pdf") == PLACES


@pytest.mark.parametrize("mess", [b"0.5 0 0 0.5 50 50 cm\n", b"q q 2 0 0 2 0 0 cm\n", b"Q Q\n"])
def test_what_a_page_leaves_of_its_graphics_state_moves_no_box(tmp_path: Path, mess: bytes) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset(dpi=40))
    with pymupdf.open(str(source)) as document:
        contents = document[0].get_contents()[0]
        document.update_stream(contents, document.xref_stream(contents) + b"\n" + mess)
        document.saveIncr()
    bundle(tmp_path, source, [record(1, PageResult(text=SAID))], outputs=BOXES)
    assert outlines(tmp_path / "out" / "scan.boxes.pdf") == PLACES


def picture(folder: Path, name: str, page: dict[str, Any], **options: Any) -> Image.Image:
    """`scan.boxes.jpg` of a typeset page that is saved under this name."""
    folder.mkdir()
    letter = Image.open(io.BytesIO(typeset(dpi=100).png)).convert(options.pop("mode", "RGB"))
    letter.save(folder / name, dpi=(100, 100), **options.pop("saved", {}))
    options = {"kind": "image", "outputs": BOXES, "dpi": 100, **options}
    made = bundle(folder, folder / name, [page], **options)
    assert made == ("scan.boxes.jpg",)
    assert [path.name for path in (folder / "out").iterdir()] == ["scan.boxes.jpg"]
    return Image.open(folder / "out" / "scan.boxes.jpg")


def off(one: Image.Image, other: Image.Image) -> int:
    """How far the colours of two pictures are from each other at the worst; only boxes have any."""
    difference = ImageChops.difference(one.convert("YCbCr"), other.convert("YCbCr")).reduce(5)
    bands = (band.histogram() for band in difference.split()[1:])
    return max(level for band in bands for level, count in enumerate(band) if count)


@pytest.mark.parametrize(
    ("name", "mode", "state", "dpi"),
    [
        ("a.png", "RGB", "done", 100),
        ("a.jpg", "RGB", "partial", 100),
        ("a.jpg", "L", "done", 80),
        ("a.jpg", "RGB", "done", 130),
    ],
)
def test_one_image_gets_a_picture_that_shows_what_the_vectors_show(
    tmp_path: Path, name: str, mode: str, state: str, dpi: int
) -> None:
    page = record(1, PageResult(text=SAID), state=state)
    shown = picture(tmp_path / "image", name, page, mode=mode, dpi=dpi)
    source = scan_pdf(tmp_path / "a.pdf", typeset(dpi=100))
    bundle(tmp_path, source, [page], outputs=BOXES)
    with pymupdf.open(str(tmp_path / "out" / "scan.boxes.pdf")) as document:
        pixmap = document[0].get_pixmap(dpi=dpi, annots=False)
    truth = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
    assert shown.size == truth.size
    assert off(shown, truth) < 45
    with Image.open(tmp_path / "image" / name) as bare:
        assert off(bare.convert("RGB").resize(truth.size), truth) > 55


def test_the_picture_of_a_page_that_was_turned_to_be_read_is_turned(tmp_path: Path) -> None:
    page = record(1, PageResult(text=SAID, turned=90))
    lying = picture(tmp_path / "as-it-is", "a.jpg", page)
    upright = picture(tmp_path / "upright", "a.jpg", page, upright=True)
    assert off(lying.transpose(Image.Transpose.ROTATE_270), upright) < 40


def test_what_an_image_says_beside_its_pixels_is_not_in_the_picture(tmp_path: Path) -> None:
    page = record(1, PageResult(text=SAID))
    shown = picture(tmp_path / "image", "a.jpg", page, saved={"comment": b"from a scanner"})
    assert "comment" not in shown.info


def test_an_image_of_a_few_pixels_gets_its_picture(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), "white").save(tmp_path / "a.jpg")
    page = record(1, PageResult(text=SAID))
    bundle(tmp_path, tmp_path / "a.jpg", [page], kind="image", outputs=BOXES)
    assert Image.open(tmp_path / "out" / "scan.boxes.jpg").width <= 3


def test_several_images_get_a_pdf_of_their_boxes(tmp_path: Path) -> None:
    frame = Image.new("RGB", (85, 110), "white")
    frame.save(tmp_path / "a.tif", save_all=True, append_images=[frame])
    pages = [record(number, PageResult(text=SAID)) for number in (1, 2)]
    bundle(tmp_path, tmp_path / "a.tif", pages, kind="image", outputs=BOXES)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scan.boxes.pdf"]
