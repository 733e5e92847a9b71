"""The views that are made on the model's device are those that Pillow makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrd.engine.deepseek.device_views import compiled, cut_on_device, resampled, resize, taps
from ocrd.engine.deepseek.tiling import lay_out
from ocrd.engine.deepseek.views import prepare
from ocrd.modes import RESOLUTIONS, Resolution

pytestmark = pytest.mark.vllm

side = st.integers(1, 400)


def noise(width: int, height: int, seed: int) -> np.ndarray:
    """Black and white dots: the kernel overshoots at every edge, and every rounding shows."""
    dots = np.random.default_rng(seed).integers(0, 2, (height, width, 3)) * 255
    return dots.astype(np.uint8)


def by_pillow(page: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rows first, as Pillow did it always up to 12."""
    image = Image.fromarray(page)
    rows = image.resize((width, image.height), Image.Resampling.BICUBIC)
    return np.asarray(rows.resize((width, height), Image.Resampling.BICUBIC))


@given(width=side, height=side, wide=side, high=side, seed=st.integers(0, 9))
@settings(max_examples=100)
def test_resizing_is_pillows_to_the_last_bit(
    width: int, height: int, wide: int, high: int, seed: int
) -> None:
    page = noise(width, height, seed)
    ours = resize(torch.from_numpy(page), wide, high)
    assert np.array_equal(ours.numpy(), by_pillow(page, wide, high))


@pytest.mark.parametrize("size", [(1224, 1584), (2550, 3300), (2000, 700)])
def test_real_sizes(size: tuple[int, int]) -> None:
    page = noise(*size, 1)
    for target in [(1280, 1920), (791, 1024)]:
        ours = resize(torch.from_numpy(page), *target)
        assert np.array_equal(ours.numpy(), by_pillow(page, *target))


@pytest.mark.parametrize(
    "resolution",
    [
        RESOLUTIONS["tiny"],
        RESOLUTIONS["large"],
        RESOLUTIONS["gundam"],
        Resolution(name="nine", base=1024, tile=640, max_crops=9),
    ],
    ids=lambda resolution: resolution.name,
)
@pytest.mark.parametrize("size", [(1224, 1584), (900, 300), (70, 700), (640, 640), (1024, 1024)])
def test_both_ways_give_the_same_views(resolution: Resolution, size: tuple[int, int]) -> None:
    page = noise(*size, 2)
    layout = lay_out(*size, resolution)
    before = prepare(Image.fromarray(page), layout)
    global_view, tiles = cut_on_device(torch.from_numpy(page), layout)
    assert np.array_equal(global_view.numpy(), before[0])
    assert np.array_equal(tiles.numpy(), before[1])


def test_compiled_once_it_makes_the_same_of_pages_of_every_size() -> None:
    """One graph for rows and one for columns; a third would hold up pages while they wait."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    for lines, source, target, together in [
        (40, 70, 31, 3), (1, 40, 97, 51), (30, 300, 70, 3), (1, 90, 20, 93), (33, 64, 64, 3),
    ]:  # fmt: skip
        page = torch.randint(0, 2, (lines, source, together), dtype=torch.uint8) * 255
        first, weights = map(torch.from_numpy, taps(source, target))
        ours = compiled()(page, first, weights)
        assert torch.equal(ours, resampled(page, first, weights))
    assert counters["stats"]["unique_graphs"] == 2
