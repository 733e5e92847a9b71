"""Is there anything on this page?"""

import random

import pytest
from PIL import Image, ImageChops, ImageDraw

from ocrd.engine.policy import is_blank
from ocrd.page import PageImage

LETTER = (1224, 1584)


def as_page(image: Image.Image) -> PageImage:
    return PageImage(*image.size, image.tobytes())


@pytest.mark.parametrize("shade", [255, 250, 128, 0])
def test_a_page_of_one_shade_is_blank(shade: int) -> None:
    assert is_blank(as_page(Image.new("RGB", LETTER, (shade, shade, shade))))


@pytest.mark.parametrize("paper", [250, 220, 180])
@pytest.mark.parametrize("lines", [2, 30])
@pytest.mark.parametrize("noise", [0, 8])
def test_faint_print_is_something(paper: int, lines: int, noise: int) -> None:
    """As of a ribbon or a cartridge at its end: 35 of 255 darker than the paper."""
    page = Image.new("L", LETTER, paper)
    for line in range(lines):
        place = (144, 144 + 31 * line)
        text = "The quick brown fox jumps over the lazy dog"
        ImageDraw.Draw(page).text(place, text, fill=paper - 35, font_size=24)
    if noise:  # about its own middle, 128
        page = ImageChops.add(page, Image.effect_noise(LETTER, noise), offset=-128)
    assert not is_blank(as_page(page.convert("RGB")))


@pytest.mark.parametrize("noise", [4, 20])
def test_grainy_paper_is_blank(noise: int) -> None:
    page = ImageChops.add(
        Image.new("L", LETTER, 240), Image.effect_noise(LETTER, noise), offset=-128
    )
    assert is_blank(as_page(page.convert("RGB")))


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
