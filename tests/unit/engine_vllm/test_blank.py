"""Is there anything on this page?"""

import pytest
from PIL import Image, ImageChops, ImageDraw

from ocrd.engine.policy import is_blank
from ocrd.page import PageImage

LETTER = (1224, 1584)


def blank(image: Image.Image, noise: float = 0) -> bool:
    if noise:  # about its own middle, 128
        image = ImageChops.add(image, Image.effect_noise(image.size, noise), offset=-128)
    rgb = image.convert("RGB")
    return is_blank(PageImage(*rgb.size, rgb.tobytes()))


@pytest.mark.parametrize(
    ("shade", "noise"), [(255, 0), (250, 0), (128, 0), (0, 0), (240, 4), (240, 20)]
)
def test_a_page_of_one_shade_is_blank_however_grainy(shade: int, noise: float) -> None:
    assert blank(Image.new("L", LETTER, shade), noise)


def test_a_page_smaller_than_a_cell_can_be_asked() -> None:
    assert blank(Image.new("L", (2, 2), 255))


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
    assert not blank(page, noise)


def test_two_specks_of_dust_are_nothing_and_a_page_number_is_something() -> None:
    page = Image.new("L", LETTER, 255)
    for x, y in ((300, 400), (801, 1203)):
        page.paste(0, (x, y, x + 2, y + 2))
    assert blank(page)
    page = Image.new("L", LETTER, 255)
    ImageDraw.Draw(page).text((600, 1500), "7", fill=0, font_size=24)
    assert not blank(page)
