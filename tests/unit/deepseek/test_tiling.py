"""Token counts and grids are the official ones, for images of every shape."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrd.engine.deepseek import tiling
from ocrd.engine.deepseek.tiling import DEEPSEEK_OCR, DEEPSEEK_OCR_2
from ocrd.modes import RESOLUTIONS, Resolution
from tests.support.needs import examples

GUNDAM = RESOLUTIONS["gundam"]
OCR_2 = Resolution(name="ocr-2", base=1024, tile=768, max_crops=6)

sides = st.integers(1, 4000)
views = st.sampled_from([512, 640, 768, 1024, 1280]) | st.integers(4, 96).map(lambda n: 16 * n)
crops = st.integers(2, 9)


def published_grid(width: int, height: int, tile: int, max_num: int) -> tuple[int, int]:
    """`count_tiles` of the published `image_process.py`, rule by rule."""
    pairs = {
        (i, j)
        for n in range(2, max_num + 1)
        for i in range(1, n + 1)
        for j in range(1, n + 1)
        if i * j <= max_num and i * j >= 2
    }
    best, best_difference = (1, 1), float("inf")
    for pair in sorted(pairs, key=lambda p: p[0] * p[1]):
        difference = abs(width / height - pair[0] / pair[1])
        if difference < best_difference:
            best_difference, best = difference, pair
        elif difference == best_difference and (
            width * height > 0.5 * tile * tile * pair[0] * pair[1]
        ):
            best = pair
    return best


@pytest.mark.parametrize(
    ("name", "tokens", "sizes"),
    [  # untiled modes cost the same for every page, gundam what the shape of the page asks
        ("tiny", 73, [(1, 1), (100, 4000), (640, 640), (2550, 3300)]),
        ("small", 111, [(1, 1), (2550, 3300)]),
        ("base", 273, [(1, 1), (2550, 3300)]),
        ("large", 421, [(1, 1), (2550, 3300)]),
        ("gundam", 273, [(640, 640)]),  # fits a tile: no tiles
        ("gundam", 903, [(1224, 1584)]),  # a letter page: 2 by 3
        ("gundam", 933, [(641, 4000)]),  # a till roll: 1 by 6
        ("gundam", 693, [(1280, 1280)]),  # a square: 2 by 2
    ],
)
def test_the_tokens_of_a_page(name: str, tokens: int, sizes: list[tuple[int, int]]) -> None:
    assert {tiling.prompt_tokens(RESOLUTIONS[name], *size) for size in sizes} == {tokens}


def test_the_costliest_pages() -> None:
    nine = Resolution(name="nine", base=1024, tile=640, max_crops=9)
    assert [*map(tiling.most_tokens, RESOLUTIONS.values())] == [73, 111, 273, 421, 933]
    assert tiling.most_tokens(nine) == 1263
    assert tiling.costliest_shape(nine) == (1, 9)
    assert tiling.costliest([*RESOLUTIONS.values(), nine]) is nine


@pytest.mark.parametrize(
    ("width", "height", "count"), [(768, 768, 0), (1224, 1584, 6), (900, 700, 6), (3000, 500, 6)]
)
def test_deepseek_ocr_2_takes_256_and_144_a_tile_and_one(
    width: int, height: int, count: int
) -> None:
    assert tiling.prompt_tokens(OCR_2, width, height, DEEPSEEK_OCR_2) == 256 + 1 + 144 * count


@settings(max_examples=examples(300))
@given(width=sides, height=sides, base=views, tile=views, max_crops=crops)
def test_every_shape_costs_what_the_published_formula_says(
    width: int, height: int, base: int, tile: int, max_crops: int
) -> None:
    resolution = Resolution(name="any", base=base, tile=tile, max_crops=max_crops)
    w, h = (1, 1)
    if width > tile or height > tile:
        w, h = published_grid(width, height, tile, max_crops)
    assert tiling.grid(resolution, width, height) == (w, h)
    q, t = math.ceil((base // 16) / 4), math.ceil((tile // 16) / 4)
    with_rows = q * (q + 1) + 1 + ((h * t) * (w * t + 1) if w > 1 or h > 1 else 0)
    without = q * q + 1 + ((h * t) * (w * t) if w > 1 or h > 1 else 0)
    assert tiling.prompt_tokens(resolution, width, height) == with_rows
    assert tiling.prompt_tokens(resolution, width, height, DEEPSEEK_OCR_2) == without
    assert with_rows <= tiling.most_tokens(resolution, DEEPSEEK_OCR)


def test_a_tie_between_shapes_goes_to_the_later_for_large_images_only() -> None:
    # 5:4 is as far from 1:2 as from 2:1, and half of two tiles is 409,600 pixels.
    two = Resolution(name="two", base=1024, tile=640, max_crops=2)
    assert tiling.grid(two, 700, 560) == (1, 2)
    assert tiling.grid(two, 1250, 1000) == (2, 1)


@given(base=views, tile=views, max_crops=crops)
def test_a_resolution_survives_the_way_to_the_processor(
    base: int, tile: int, max_crops: int
) -> None:
    tiled = Resolution(name="request", base=base, tile=tile, max_crops=max_crops)
    plain = Resolution(name="request", base=base)
    for resolution in (tiled, plain):
        assert tiling.from_processor_kwargs(tiling.processor_kwargs(resolution)) == resolution


@pytest.mark.parametrize("name", ["base_size", "image_size", "max_crops"])
@pytest.mark.parametrize("value", [None, "640", 640.0, True])
def test_processor_arguments_that_are_no_numbers_are_refused(name: str, value: object) -> None:
    kwargs = {"base_size": 1024, "image_size": 640, "max_crops": 6, name: value}
    with pytest.raises(ValueError, match=name):
        tiling.from_processor_kwargs(kwargs)


@pytest.mark.parametrize(
    ("resolution", "said"),
    [
        (Resolution(name="x", base=1000), "base must be a multiple of 16"),
        (Resolution(name="x", base=32), "base must be a multiple of 16 from 64"),
        (Resolution(name="x", base=1024, tile=650, max_crops=4), "tile must be a multiple of 16"),
        (Resolution(name="x", base=1024, tile=640, max_crops=10), "max_crops must be 2 to 9"),
        (Resolution(name="x", base=1024, tile=640), "max_crops must be 2 to 9"),
        (Resolution(name="x", base=1024, max_crops=4), "tile must be a multiple of 16"),
    ],
)
def test_a_resolution_that_cannot_be_is_explained(resolution: Resolution, said: str) -> None:
    assert said in (tiling.problem(resolution) or "")


def test_deepseek_ocr_2_knows_only_two_sides() -> None:
    assert tiling.problem(OCR_2, DEEPSEEK_OCR_2) is None
    assert tiling.problem(Resolution(name="x", base=768), DEEPSEEK_OCR_2) is None
    said = tiling.problem(GUNDAM, DEEPSEEK_OCR_2)
    assert said == "tile must be 768 or 1024 for this model, not 640"


@pytest.mark.parametrize("resolution", RESOLUTIONS.values(), ids=RESOLUTIONS)
def test_the_built_in_resolutions_can_be(resolution: Resolution) -> None:
    assert tiling.problem(resolution) is None
