"""The scans of the demo are those whose text and word boxes the tests know."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pymupdf
import pytest
from PIL import Image, ImageChops, ImageFilter, ImageOps

from ocrd.cli.demo import SAMPLES
from ocrd.page import Box
from tests.support.needs import few
from tests.support.samples import TITLES, SamplePage, write_samples

DARKER = 60  # shades by which ink is darker than the paper around it


def grey_pages(path: Path, pages: tuple[SamplePage, ...]) -> list[tuple[Image.Image, SamplePage]]:
    """Each page in grey as a viewer shows it, with its truth."""
    if path.suffix == ".pdf":
        with pymupdf.open(path) as document:
            drawn = [page.get_pixmap(dpi=200, colorspace=pymupdf.csGRAY) for page in document]
        images = [Image.frombytes("L", (d.width, d.height), bytes(d.samples)) for d in drawn]
    else:
        images = [ImageOps.exif_transpose(Image.open(path)).convert("L")]
    return list(zip(images, pages, strict=True))


def pixels(box: Box, image: Image.Image) -> tuple[int, int, int, int]:
    return (
        round(box.x1 * image.width),
        round(box.y1 * image.height),
        round(box.x2 * image.width),
        round(box.y2 * image.height),
    )


@pytest.mark.parametrize("name", few(sorted(SAMPLES)))
def test_each_shipped_scan_has_ink_where_the_tests_expect_its_words(
    tmp_path: Path, name: str
) -> None:
    (sample,) = write_samples(tmp_path, [name])
    shipped = Path(str(resources.files("ocrd"))) / "samples" / name
    for image, page in grey_pages(shipped, sample.pages):
        paper = image.filter(ImageFilter.BoxBlur(40))
        ink = ImageChops.subtract(paper, image).point(lambda value: 255 * (value > DARKER))
        bare = [w.text for w in page.words if ink.crop(pixels(w.box, image)).getbbox() is None]
        assert bare == []


def test_the_demo_knows_every_scan_that_the_tests_make() -> None:
    assert TITLES == SAMPLES
