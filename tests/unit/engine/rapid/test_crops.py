"""Crops and bands of real pixels."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocrd.engine.rapid.crops import Crop, bands, cut
from ocrd.engine.rapid.ink import rules
from ocrd.engine.rapid.quads import Quad

WORDS = ((20, 120), (140, 390), (420, 780), (810, 1560), (1590, 1980))  # columns
ROWS = (12, 30)


def strip(*, dark: bool = False) -> np.ndarray:
    """A line of five words: solid bars 18 rows high on a strip of 2000 x 40."""
    paper, ink = (30, 220) if dark else (230, 20)
    image = Image.new("RGB", (2000, 40), (paper,) * 3)
    draw = ImageDraw.Draw(image)
    for left, right in WORDS:
        draw.rectangle((left, ROWS[0], right - 1, ROWS[1] - 1), fill=(ink,) * 3)
    return np.asarray(image)


def whole(pixels: np.ndarray) -> Quad:
    height, width = pixels.shape[:2]
    return (0, 0), (width, 0), (width, height), (0, height)


@pytest.fixture(params=[False, True], ids=["dark on light", "light on dark"])
def crop(request: pytest.FixtureRequest) -> Crop:
    pixels = strip(dark=request.param)
    return cut(pixels, whole(pixels))


def test_the_ink_of_a_line_is_found(crop: Crop) -> None:
    assert crop.gap(0, 20) == (0, 20)
    assert crop.gap(60, 200) == (120, 140)
    assert crop.gap(30, 110) is None
    assert (round(crop.top * 40), round(crop.bottom * 40)) == ROWS


def test_an_upright_rule_beside_a_line_makes_it_no_higher() -> None:
    pixels = strip().copy()
    pixels[:, 4:8] = pixels[:, 1992:1995] = 90
    pixels[:20, 1200:1202] = pixels[20:, 1201:1203] = 90  # it leans
    crop = cut(pixels, whole(pixels))
    assert (round(crop.top * 40), round(crop.bottom * 40)) == ROWS


@pytest.mark.parametrize(
    "others",
    [
        [(10, 0, 14, 40), (20, 0, 40, 40)],  # I H: as high as the crop
        [(10, 0, 14, 40), (20, 20, 40, 40)],  # l a: on the base line
        [(4, 8, 16, 30), (20, 0, 23, 40), (30, 8, 42, 30), (46, 0, 49, 40)],  # Korean syllables
        [(10, 10, 30, 30), (50, 0, 75, 40)],  # a shaded word
    ],
)
def test_strokes_as_high_as_a_tight_crop_are_letters(others: list[tuple[int, ...]]) -> None:
    pixels = np.full((40, 120, 3), 230, np.uint8)
    for left, top, right, bottom in others:
        pixels[top:bottom, left:right] = 20
    crop = cut(pixels, whole(pixels))
    assert [int(column) for column in np.flatnonzero(crop.inked)] == [
        column for left, _, right, _ in others for column in range(left, right)
    ]
    assert (crop.top, crop.bottom) == (0, 1)


def test_letters_end_where_their_page_does() -> None:
    pixels = strip()[ROWS[0] : ROWS[1]]
    crop = cut(pixels, ((0, -4), (2000, -4), (2000, 22), (0, 22)))
    assert (round(crop.top * 26), round(crop.bottom * 26)) == (4, 22)


def test_a_stroke_alone_is_as_high_as_it_is() -> None:
    pixels = np.full((40, 20, 3), 230, np.uint8)
    pixels[:, 8:12] = 20
    crop = cut(pixels, whole(pixels))
    assert (crop.top, crop.bottom) == (0, 1)


def test_a_long_line_is_cut_between_words(crop: Crop) -> None:
    word_too_long = 1200  # for the reach of the search: it is cut all the same
    cuts = [0, 405, 795, word_too_long, 1575, 2000]
    assert crop.parts() == list(pairwise(cuts))


def test_a_cut_between_words_is_told_from_one_inside_a_word_by_the_other_gaps(crop: Crop) -> None:
    least = crop.word_gap(3)
    assert 10 < least < 20
    assert crop.parted(130, least)
    assert not crop.parted(1200, least)


def test_white_before_and_behind_a_line_is_no_gap_between_words() -> None:
    pixels = np.concatenate([np.full((40, 300, 3), 230, np.uint8), strip()[:, :400]], axis=1)
    crop = cut(pixels, whole(pixels))
    assert 10 < crop.word_gap(1) < 20


def test_a_bolder_word_weighs_more() -> None:
    image = Image.new("RGB", (400, 40), "white")
    draw = ImageDraw.Draw(image)
    for left in range(10, 190, 12):
        draw.rectangle((left, 10, left + 3, 30), fill="black")
        draw.rectangle((200 + left, 10, 200 + left + 5, 30), fill="black")
    pixels = np.asarray(image)
    crop = cut(pixels, whole(pixels))
    assert crop.weight(0.5, 1) / crop.weight(0, 0.5) == pytest.approx(1.5, rel=0.1)


def test_a_short_line_is_left_whole() -> None:
    pixels = strip()[:, :300]
    assert cut(pixels, whole(pixels)).parts() == [(0, 300)]


def test_a_sloping_line_is_laid_straight() -> None:
    image = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(image).line((50, 100, 350, 160), fill="black", width=12)
    quad: Quad = ((53, 85), (353, 145), (347, 175), (47, 115))
    crop = cut(np.asarray(image), quad)
    assert crop.width == pytest.approx(306, abs=1)
    assert crop.bottom - crop.top == pytest.approx(12 / crop.height, abs=0.1)


def test_an_ordinary_page_is_one_band() -> None:
    page = np.zeros((1400, 1000, 3), np.uint8)
    assert [(left, top) for left, top, _ in bands(page)] == [(0, 0)]


@pytest.mark.parametrize("upright", [True, False])
def test_a_very_long_page_is_cut_where_it_is_empty(upright: bool) -> None:
    page = np.full((6000, 1000, 3), 255, np.uint8)
    page[50:5950:100, 100:900] = 0  # a rule every hundred rows
    found = bands(page if upright else page.transpose(1, 0, 2))
    starts = [top if upright else left for left, top, _ in found]
    lengths = [band.shape[0 if upright else 1] for _, _, band in found]
    assert starts[0] == 0
    assert sum(lengths) == 6000
    assert max(lengths) <= 2500
    assert all(start % 100 != 50 for start in starts)


def ruled_page(*, turned: float = 0.0) -> np.ndarray:
    """A page with text of strokes, a level rule, an upright rule, and noise."""
    image = Image.new("L", (1200, 1600), 235)
    draw = ImageDraw.Draw(image)
    for line in range(20):
        for stroke in range(60):
            draw.rectangle(
                (200 + 12 * stroke, 100 + 30 * line, 203 + 12 * stroke, 116 + 30 * line), 40
            )
    draw.line((200, 900, 1000, 900), fill=90, width=2)
    draw.line((600, 900, 600, 1100), fill=90, width=2)
    grain = np.random.default_rng(1).normal(0, 12, (1600, 1200))
    tilted = image.rotate(-turned, resample=Image.Resampling.BICUBIC, fillcolor=235, center=(0, 0))
    grey = np.clip(np.asarray(tilted) + grain, 0, 255).astype(np.uint8)
    return np.dstack([grey] * 3)


@pytest.mark.parametrize("degrees", [0, 2])
def test_rules_are_found_where_they_are_drawn_and_not_in_the_strokes_of_letters(
    degrees: float,
) -> None:
    lines: list[Quad] = [
        ((200, y - 2), (920, y - 2), (920, y + 18), (200, y + 18)) for y in range(100, 700, 30)
    ]
    found = rules(ruled_page(turned=degrees), math.radians(degrees), lines)
    level = [rule for rule in found if rule[1] == rule[3]]
    upright = [rule for rule in found if rule[0] == rule[2]]
    assert level == [pytest.approx((200, 900, 1000, 900), abs=8)]
    assert upright == [pytest.approx((600, 900, 600, 1100), abs=8)]
