"""The samples: the same every time, and true to what they say about themselves."""

from __future__ import annotations

import io
from pathlib import Path

import pymupdf
import pytest
from PIL import Image, ImageChops, ImageFilter, ImageOps

from ocrd.page import Box
from ocrd.samples import Sample, SamplePage, scan_of, write_samples

NAMES = {"letter.jpg", "two-columns.png", "table.tif", "photo.jpg", "chinese.jpg", "report.pdf"}
DARKER = 60  # shades by which ink is darker than the paper around it


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    written = write_samples(tmp_path_factory.mktemp("samples") / "made" / "for" / "us")
    return {sample.path.name: sample for sample in written}


def grey_pages(sample: Sample) -> list[tuple[Image.Image, SamplePage]]:
    """Each page in grey as a viewer shows it, with its truth."""
    if sample.path.suffix == ".pdf":
        with pymupdf.open(sample.path) as document:
            drawn = [page.get_pixmap(dpi=200, colorspace=pymupdf.csGRAY) for page in document]
        images = [Image.frombytes("L", (d.width, d.height), bytes(d.samples)) for d in drawn]
    else:
        images = [ImageOps.exif_transpose(Image.open(sample.path)).convert("L")]
    return list(zip(images, sample.pages, strict=True))


def pixels(box: Box, image: Image.Image, margin: int = 0) -> tuple[int, int, int, int]:
    return (
        round(box.x1 * image.width) - margin,
        round(box.y1 * image.height) - margin,
        round(box.x2 * image.width) + margin,
        round(box.y2 * image.height) + margin,
    )


def ink(image: Image.Image) -> Image.Image:
    """White where something is darker than the paper around it."""
    paper = image.filter(ImageFilter.BoxBlur(40))
    return ImageChops.subtract(paper, image).point(lambda value: 255 * (value > DARKER))


def test_every_kind_of_sample_is_written(samples: dict[str, Sample]) -> None:
    assert set(samples) == NAMES
    assert all(sample.path.is_file() for sample in samples.values())
    assert len(samples["report.pdf"].pages) == 3


def test_the_same_pixels_are_made_every_time(samples: dict[str, Sample], tmp_path: Path) -> None:
    again = {sample.path.name: sample for sample in write_samples(tmp_path)}
    for name, sample in samples.items():
        assert again[name].path.read_bytes() == sample.path.read_bytes()
        assert again[name].pages == sample.pages


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_word_of_the_truth_has_ink_in_its_box(samples: dict[str, Sample], name: str) -> None:
    for image, page in grey_pages(samples[name]):
        dark = ink(image)
        bare = [w.text for w in page.words if dark.crop(pixels(w.box, image)).getbbox() is None]
        assert bare == []


@pytest.mark.parametrize("name", ["letter.jpg", "two-columns.png", "report.pdf"])
def test_there_is_no_ink_outside_the_boxes_but_dust(samples: dict[str, Sample], name: str) -> None:
    for image, page in grey_pages(samples[name]):
        dark = ink(image)
        all_ink = dark.histogram()[255]
        for word in page.words:
            dark.paste(0, pixels(word.box, image, margin=2))
        assert dark.histogram()[255] < 0.02 * all_ink


@pytest.mark.parametrize("name", sorted(NAMES))
def test_words_and_text_tell_the_same(samples: dict[str, Sample], name: str) -> None:
    """But for the marks between Chinese runs, and hyphens at line ends."""
    for page in samples[name].pages:
        text = "".join(char for char in page.text if char.isalnum())
        words = "".join(char for word in page.words for char in word.text if char.isalnum())
        assert words == text


def test_the_photo_lies_on_its_side_until_a_viewer_turns_it(samples: dict[str, Sample]) -> None:
    with Image.open(samples["photo.jpg"].path) as stored:
        assert stored.width > stored.height
        shown = ImageOps.exif_transpose(stored)
    assert shown.height > shown.width


def test_the_pdf_holds_pictures_and_no_text(samples: dict[str, Sample]) -> None:
    with pymupdf.open(samples["report.pdf"].path) as document:
        assert [page.get_text() for page in document] == ["", "", ""]
        assert [len(page.get_images()) for page in document] == [1, 1, 1]


def test_the_two_columns_have_words_broken_at_line_ends(samples: dict[str, Sample]) -> None:
    page = samples["two-columns.png"].pages[0]
    broken = [word.text for word in page.words if word.text.endswith("-")]
    assert broken == ["cup-", "weath-"]
    assert "cup-" not in page.text
    assert "cupboard" in page.text


def test_scans_of_other_seeds_are_other_scans_of_the_same_text() -> None:
    one, other = scan_of("Ticket 4711", seed=1), scan_of("Ticket 4711", seed=2)
    assert one.data != other.data
    assert one.page.text == other.page.text == "Ticket 4711"
    assert scan_of("Ticket 4711", seed=1).data == one.data


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_scan_may_lie_any_way_with_its_boxes(turned: int) -> None:
    scan = scan_of("Ticket 4711\n\nPaid in full", turned=turned)
    image = Image.open(io.BytesIO(scan.data))
    assert (image.width > image.height) == (turned in (0, 180))
    dark = ink(image)
    for word in scan.page.words:
        assert dark.crop(pixels(word.box, image)).getbbox() is not None
        dark.paste(0, pixels(word.box, image, margin=2))
    assert dark.histogram()[255] < 40
