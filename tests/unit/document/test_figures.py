"""Figures are cut out of the page where the engine saw them, the right way up."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from ocrd.page import PageResult
from tests.support.grain import saved
from tests.unit.document.scans import Truth, bundle, pymupdf, record, scan_pdf

SAID = (
    "<|ref|>image<|/ref|><|det|>[[500, 250, 750, 500]]<|/det|>\n\n"
    "<|ref|>image_caption<|/ref|><|det|>[[500, 510, 750, 530]]<|/det|>\nFigure 1: Flag"
)


def flag_page() -> Truth:
    """A page with a flag in the box of `SAID`: red above, blue below, white around."""
    image = Image.new("RGB", (612, 792), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((306, 198, 459, 297), fill="red")
    draw.rectangle((306, 297, 459, 396), fill="blue")
    return Truth(saved(image, "PNG"), ())


def colours(path: Path) -> tuple[str, str]:
    """The colour in the middle of the upper and of the lower half."""
    with Image.open(path) as figure:
        width, height = figure.size
        pixels = [figure.getpixel((width // 2, height * part // 4)) for part in (1, 3)]
    names = []
    for pixel in pixels:
        assert isinstance(pixel, tuple)
        red, green, blue = pixel
        assert green < 60
        names.append("red" if red > 200 > 60 > blue else "blue" if blue > 200 > 60 > red else "?")
    return names[0], names[1]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("margin", [0, 40])
def test_a_figure_is_cut_out_of_the_page_as_it_is_seen(
    tmp_path: Path, rotation: int, margin: float
) -> None:
    source = scan_pdf(tmp_path / "a.pdf", flag_page(), rotation=rotation, margin=margin)
    bundle(tmp_path, source, [record(1, PageResult(text=SAID))])
    figure = tmp_path / "out" / "images" / "1-1.jpg"
    assert colours(figure) == ("red", "blue")
    with Image.open(figure) as image:
        assert image.size == pytest.approx((612 / 4 * 2, 792 / 4 * 2), abs=3)  # at 144 dpi


def test_a_figure_of_a_turned_page_is_turned_upright(tmp_path: Path) -> None:
    """The engine turned the page by 90 degrees clockwise: what was left is now on top."""
    image = Image.open(io.BytesIO(flag_page().png)).transpose(Image.Transpose.ROTATE_90)
    image.save(tmp_path / "a.png")
    on_page = "<|ref|>image<|/ref|><|det|>[[250, 250, 500, 500]]<|/det|>"
    page = record(1, PageResult(text=on_page, turned=90))
    bundle(tmp_path, tmp_path / "a.png", [page], kind="image")
    assert colours(tmp_path / "out" / "images" / "1-1.jpg") == ("red", "blue")


def test_the_markdown_and_the_sidecar_link_to_the_figure(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", flag_page(), flag_page())
    bundle(tmp_path, source, [record(1, PageResult(text="")), record(2, PageResult(text=SAID))])
    out = tmp_path / "out"
    link = "![Figure 1: Flag](images/2-1.jpg)\n\nFigure 1: Flag\n"
    assert out.joinpath("scan.md").read_text() == f"\n\n<!-- page 2 -->\n\n{link}"
    assert '"image": "images/2-1.jpg"' in out.joinpath("scan.json").read_text()
    assert [path.name for path in out.joinpath("images").iterdir()] == ["2-1.jpg"]


def test_pages_without_figures_make_no_folder(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", flag_page())
    made = bundle(tmp_path, source, [record(1, PageResult(text="just text"))])
    assert not (tmp_path / "out" / "images").exists()
    assert "images" not in made


def test_a_sliver_is_noted_and_leaves_no_link(tmp_path: Path) -> None:
    said = "<|ref|>image<|/ref|><|det|>[[500, 250, 501, 500]]<|/det|>"
    source = scan_pdf(tmp_path / "a.pdf", flag_page())
    bundle(tmp_path, source, [record(1, PageResult(text=said))])
    assert (tmp_path / "out" / "scan.md").read_text() == "\n"
    assert "too thin" in (tmp_path / "out" / "scan.json").read_text()


def test_a_model_that_goes_in_circles_does_not_fill_the_disk(tmp_path: Path) -> None:
    same = "<|ref|>image<|/ref|><|det|>[[500, 250, 750, 500]]<|/det|>\n"
    others = "".join(same.replace("750", str(600 + n)) for n in range(300))
    source = scan_pdf(tmp_path / "a.pdf", flag_page())
    said = PageResult(text=same * 50 + others)
    bundle(tmp_path, source, [record(1, said)], dpi=20)
    assert len(list((tmp_path / "out" / "images").iterdir())) == 100
    assert (tmp_path / "out" / "scan.md").read_text().count("(images/1-1.jpg)") == 51


def test_a_figure_on_a_page_as_large_as_pdf_allows_is_bounded(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        document.new_page(width=14400, height=14400)
        document.save(str(tmp_path / "a.pdf"))
    said = "<|ref|>image<|/ref|><|det|>[[0, 0, 999, 999]]<|/det|>"
    options: dict[str, Any] = {"dpi": 600, "outputs": frozenset({"images"})}
    bundle(tmp_path, tmp_path / "a.pdf", [record(1, PageResult(text=said))], **options)
    with Image.open(tmp_path / "out" / "images" / "1-1.jpg") as figure:
        assert 25_000_000 < figure.width * figure.height < 31_000_000
