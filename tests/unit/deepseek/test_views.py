"""The views are, pixel for pixel, those of the published code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

from ocrd.engine.deepseek.tiling import DEEPSEEK_OCR, DEEPSEEK_OCR_2, Geometry, goes_whole, lay_out
from ocrd.engine.deepseek.views import Pixels, prepare
from ocrd.modes import RESOLUTIONS, Resolution
from tests.support.needs import few


def page(width: int, height: int, seed: int = 0) -> Image.Image:
    """A page of coloured noise over a gradient: every misplaced pixel shows."""
    noise = np.random.default_rng(seed).integers(0, 120, (height, width, 3))
    slope = np.linspace(0, 130, width)[None, :, None] + np.zeros((height, width, 3))
    return Image.fromarray((noise + slope).astype(np.uint8))


def views_of(
    image: Image.Image, resolution: Resolution, geometry: Geometry = DEEPSEEK_OCR
) -> tuple[Pixels, Pixels]:
    return prepare(image, lay_out(*image.size, resolution, geometry))


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`resize` of Pillow up to 12, and so of the published code: 13 may take the columns first."""
    return image.resize((size[0], image.height)).resize(size)


def published(
    image: Image.Image, base: int, tile: int, cropping: bool, grid: tuple[int, int]
) -> tuple[Image.Image, list[Image.Image]]:
    """`tokenize_with_images` and `dynamic_preprocess` of the published `image_process.py`."""
    columns, rows = grid
    parts = []
    if cropping and grid != (1, 1):
        whole = resized(image, (columns * tile, rows * tile))
        for number in range(columns * rows):
            x, y = number % columns * tile, number // columns * tile
            parts.append(whole.crop((x, y, x + tile, y + tile)))
    if tile <= 640 and not cropping:
        image = resized(image, (tile, tile))
    fitting = resized(image, ImageOps.contain(image, (base, base)).size)
    return ImageOps.pad(fitting, (base, base), color=(127, 127, 127)), parts


def same(views: tuple[Pixels, Pixels], global_view: Image.Image, parts: list[Image.Image]) -> bool:
    whole, tiles = views
    return np.array_equal(whole, np.asarray(global_view)) and (
        len(tiles) == len(parts)
        and all(
            np.array_equal(mine, np.asarray(theirs))
            for mine, theirs in zip(tiles, parts, strict=True)
        )
    )


UNTILED = [
    (RESOLUTIONS[name], size, (1, 1))
    for name in ("tiny", "small", "base", "large")
    for size in ((900, 300), (200, 700), (1300, 1300))
]
TILED = [
    (Resolution(name="x", base=1024, tile=640, max_crops=max_crops), size, grid)
    for size, max_crops, grid in (
        ((700, 900), 6, (2, 3)),
        ((1200, 300), 6, (4, 1)),
        ((641, 600), 2, (1, 2)),
        ((640, 90), 6, (1, 1)),
    )
]


@pytest.mark.parametrize(("seen", "size", "grid"), [*few(UNTILED), *TILED])
def test_views_are_the_published_ones(
    seen: Resolution, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    image = page(*size)
    expected = published(image, seen.base, seen.tile or seen.base, bool(seen.tile), grid)
    assert same(views_of(image, seen), *expected)


def test_tiles_of_deepseek_ocr_2() -> None:
    image = page(900, 1000)
    resolution = Resolution(name="x", base=1024, tile=768, max_crops=6)
    views = views_of(image, resolution, DEEPSEEK_OCR_2)
    assert views[1].shape == (4, 768, 768, 3)
    assert same(views, *published(image, 1024, 768, True, (2, 2)))


def test_a_tall_page_is_resized_by_rows_first_whatever_pillow_prefers() -> None:
    image = page(400, 1600)  # here Pillow 13 would take the columns first
    expected = Image.new("RGB", (640, 640), (127, 127, 127))
    expected.paste(image.resize((160, 1600)).resize((160, 640)), (240, 0))
    seen, _ = views_of(image, Resolution(name="x", base=640, tile=320, max_crops=4))
    assert np.array_equal(seen, np.asarray(expected))


def test_a_page_of_which_nothing_would_be_left_is_refused() -> None:
    with pytest.raises(ValueError, match="> 0"):
        views_of(page(1, 5000), RESOLUTIONS["base"])


@pytest.mark.parametrize(
    ("size", "whole"),
    [
        ((1224, 1584), True),  # a letter page at 144 dpi: 5.8 MB instead of 10.5
        ((2480, 3508), True),  # A4 at 300 dpi
        ((4960, 7016), False),  # and at 600: 104 MB
        ((63, 700), False),
        ((64, 1024), True),
        ((64, 1025), False),
    ],
)
def test_a_page_goes_to_the_model_as_it_is_unless_it_is_huge_or_thin(
    size: tuple[int, int], whole: bool
) -> None:
    for width, height in (size, size[::-1]):
        assert goes_whole(width, height, lay_out(width, height, RESOLUTIONS["gundam"])) is whole


def test_a_letter_page_that_is_shown_tiny_is_made_tiny_before() -> None:
    assert not goes_whole(1224, 1584, lay_out(1224, 1584, RESOLUTIONS["tiny"]))


def test_threads_that_prepare_pages_do_not_disturb_each_other() -> None:
    pages = [page(650 + n, 700, seed=n) for n in range(4)]
    alone = [views_of(image, RESOLUTIONS["gundam"]) for image in pages]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda image: views_of(image, RESOLUTIONS["gundam"]), pages))
    for one, other in zip(alone, together, strict=True):
        assert all(map(np.array_equal, one, other))
