"""Is there anything on this page?"""

import random

import pytest
from PIL import Image, ImageDraw

from ocrd.engine.policy import is_blank
from ocrd.page import PageImage

LETTER = (1224, 1584)


def as_page(image: Image.Image) -> PageImage:
    return PageImage(*image.size, image.tobytes())


@pytest.mark.parametrize("shade", [255, 250, 128, 0])
def test_a_page_of_one_shade_is_blank(shade: int) -> None:
    assert is_blank(as_page(Image.new("RGB", LETTER, (shade, shade, shade))))


def test_paper_with_the_noise_of_a_scanner_is_blank() -> None:
    noise = random.Random(1)
    image = Image.new("RGB", (400, 600), "white")
    for x in range(400):
        for y in range(600):
            grey = 250 - noise.randrange(12)
            image.putpixel((x, y), (grey, grey, grey))
    assert is_blank(as_page(image))


def test_two_specks_of_dust_do_not_make_it_written() -> None:
    image = Image.new("RGB", LETTER, "white")
    for x, y in ((300, 400), (801, 1203)):
        image.paste((0, 0, 0), (x, y, x + 2, y + 2))
    assert is_blank(as_page(image))


def test_a_page_number_alone_is_something() -> None:
    image = Image.new("RGB", LETTER, "white")
    ImageDraw.Draw(image).text((600, 1500), "7", fill="black", font_size=24)
    assert not is_blank(as_page(image))


def test_a_page_smaller_than_a_cell_can_be_asked() -> None:
    assert is_blank(PageImage(2, 2, b"\xff" * 12))
