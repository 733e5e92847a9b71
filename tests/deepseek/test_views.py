"""The views are, pixel for pixel, those of the published code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

from ocrd.engine.deepseek.tiling import DEEPSEEK_OCR_2
from ocrd.engine.deepseek.views import Views, prepare
from ocrd.modes import RESOLUTIONS, Resolution


def page(width: int, height: int, seed: int = 0) -> Image.Image:
    """A page of coloured noise over a gradient: every misplaced pixel shows."""
    noise = np.random.default_rng(seed).integers(0, 120, (height, width, 3))
    slope = np.linspace(0, 130, width)[None, :, None] + np.zeros((height, width, 3))
    return Image.fromarray((noise + slope).astype(np.uint8))


def published(
    image: Image.Image, base: int, tile: int, cropping: bool, grid: tuple[int, int]
) -> tuple[Image.Image, list[Image.Image]]:
    """`tokenize_with_images` and `dynamic_preprocess` of the published `image_process.py`."""
    columns, rows = grid
    parts = []
    if cropping and grid != (1, 1):
        resized = image.resize((columns * tile, rows * tile))
        for number in range(columns * rows):
            x, y = number % columns * tile, number // columns * tile
            parts.append(resized.crop((x, y, x + tile, y + tile)))
    if tile <= 640 and not cropping:
        image = image.resize((tile, tile))
    return ImageOps.pad(image, (base, base), color=(127, 127, 127)), parts


def same(views: Views, overview: Image.Image, parts: list[Image.Image]) -> bool:
    return np.array_equal(views.overview, np.asarray(overview)) and (
        len(views.tiles) == len(parts)
        and all(
            np.array_equal(mine, np.asarray(theirs))
            for mine, theirs in zip(views.tiles, parts, strict=True)
        )
    )


@pytest.mark.parametrize("name", ["tiny", "small", "base", "large"])
@pytest.mark.parametrize("size", [(900, 300), (200, 700), (1300, 1300)])
def test_untiled_modes(name: str, size: tuple[int, int]) -> None:
    image, base = page(*size), RESOLUTIONS[name].base
    views = prepare(image, RESOLUTIONS[name])
    assert views.grid == (1, 1)
    assert same(views, *published(image, base, base, False, (1, 1)))


@pytest.mark.parametrize(
    ("size", "max_crops", "grid"),
    [
        ((700, 900), 6, (2, 3)),
        ((1200, 300), 6, (4, 1)),
        ((641, 600), 2, (1, 2)),
        ((640, 90), 6, (1, 1)),
    ],
)
def test_tiles(size: tuple[int, int], max_crops: int, grid: tuple[int, int]) -> None:
    image = page(*size)
    views = prepare(image, Resolution(name="x", base=1024, tile=640, max_crops=max_crops))
    assert views.grid == grid
    assert same(views, *published(image, 1024, 640, True, grid))


def test_tiles_of_deepseek_ocr_2() -> None:
    image = page(900, 1000)
    resolution = Resolution(name="x", base=1024, tile=768, max_crops=6)
    views = prepare(image, resolution, DEEPSEEK_OCR_2)
    assert views.tiles.shape == (4, 768, 768, 3)
    assert same(views, *published(image, 1024, 768, True, (2, 2)))


def test_a_page_in_other_colours_is_shown_in_rgb() -> None:
    grey = page(300, 200).convert("L")
    views = prepare(grey, RESOLUTIONS["base"])
    assert np.array_equal(
        views.overview, prepare(grey.convert("RGB"), RESOLUTIONS["base"]).overview
    )


def test_threads_that_prepare_pages_do_not_disturb_each_other() -> None:
    pages = [page(650 + n, 700, seed=n) for n in range(6)]
    alone = [prepare(image, RESOLUTIONS["gundam"]) for image in pages]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda image: prepare(image, RESOLUTIONS["gundam"]), pages))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.overview, other.overview)
        assert np.array_equal(one.tiles, other.tiles)
