"""Makes the model's views of a page on the model's own device.

Pillow needs 50 ms of CPU to make the views of a letter page, and they are larger than the page.  A
GPU takes well under a millisecond, but its views must be those that the model was trained with.  So
this is not torch's bicubic interpolation, which does not widen the kernel and rounds differently,
but Pillow's own arithmetic: weights of 22 bits, integers, first the rows, rounded to bytes, then
the columns.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from ocrd.engine.deepseek.tiling import GREY, Layout

PRECISION = 22  # bits of a weight's fraction: of 32, eight are the pixel's and two guard the sum
HALF = 1 << (PRECISION - 1)
REACH = 2.0  # pixels that the bicubic kernel covers on either side
SHARPNESS = -0.5  # the kernel's parameter, commonly called `a`

Taps = tuple[torch.Tensor, torch.Tensor]  # `taps`, on the device
Resample = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Floats = npt.NDArray[np.float64]


def cut_on_device(page: torch.Tensor, layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
    """The views of a page.

    Args:
        page: [height, width, 3] in bytes, on any device.
        layout: The layout of its views.

    Returns:
        The same as `views.prepare`: the global view [base, base, 3] and the tiles
        [columns * rows, tile, tile, 3], on the page's device.
    """
    global_view = page.new_full((layout.base, layout.base, 3), GREY)
    left, top = layout.margin
    inner = resize(page, layout.width, layout.height)
    global_view[top : top + layout.height, left : left + layout.width] = inner
    side, columns, rows = layout.tile, layout.columns, layout.rows
    if not layout.cut:
        return global_view, page.new_empty((0, side, side, 3))
    whole = resize(page, columns * side, rows * side)
    parts = whole.view(rows, side, columns, side, 3).transpose(1, 2)
    return global_view, parts.reshape(rows * columns, side, side, 3)


def resize(page: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """[height, width, 3] the bytes that Pillow's bicubic resize makes of [rows, columns, 3]."""
    rows, columns, colours = page.shape
    if columns != width:
        page = _resample(page, _taps(columns, width, page.device))
    if rows != height:
        stack = page.reshape(1, rows, width * colours)
        page = _resample(stack, _taps(rows, height, page.device))
    return page.reshape(height, width, colours)


def _resample(lines: torch.Tensor, taps: Taps) -> torch.Tensor:
    """Resize the middle axis: [lines, source, together] to [lines, target, together]."""
    work = compiled() if lines.is_cuda else resampled
    return work(lines, *taps)


def resampled(lines: torch.Tensor, first: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`_resample` in plain torch; if compiled, only the result is written to memory."""
    place = first[:, None] + torch.arange(weights.shape[1], device=lines.device)
    seen = lines[:, place.clamp(max=lines.shape[1] - 1)].int()
    total = (seen * weights[None, :, :, None]).sum(2, dtype=torch.int32) + HALF
    return (total >> PRECISION).clamp(0, 255).to(torch.uint8)


@functools.cache
def compiled() -> Resample:
    """`resampled`, compiled once for pages of every size."""
    work: Resample = torch.compile(resampled, dynamic=True)
    return work


@functools.lru_cache(maxsize=256)
def _taps(source: int, target: int, device: torch.device) -> Taps:
    """`taps` on the device, cached because the pages of a folder mostly have one size."""
    first, weights = taps(source, target)
    return torch.from_numpy(first).to(device), torch.from_numpy(weights).to(device)


def taps(source: int, target: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The source pixels and their weights, when a line of `source` pixels is resized to `target`.

    Returns:
        [target] the first source pixel with a weight, and [target, taps] the weights of that pixel
        and those after it, in units of 2 ** -22; 0 for pixels beyond the end.
    """
    scale = source / target
    wider = max(scale, 1.0)  # when shrinking, a pixel averages all that it covers
    reach = REACH * wider
    centres = (np.arange(target) + 0.5) * scale
    first = np.maximum(np.trunc(centres - reach + 0.5), 0)
    counts = np.minimum(np.trunc(centres + reach + 0.5), source) - first
    columns = [
        np.where(number < counts, _bicubic((number + first - centres + 0.5) / wider), 0.0)
        for number in range(math.ceil(reach) * 2 + 1)
    ]
    weights = np.stack(columns, 1) / functools.reduce(np.add, columns)[:, None]  # in Pillow's order
    whole = np.trunc(weights * (1 << PRECISION) + np.copysign(0.5, weights))
    return first.astype(np.int32), whole.astype(np.int32)


def _bicubic(distance: Floats) -> Floats:
    """The kernel of Keys (1981), as Pillow computes it."""
    x = np.abs(distance)
    near = ((SHARPNESS + 2.0) * x - (SHARPNESS + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * SHARPNESS
    return np.where(x < 1.0, near, np.where(x < REACH, far, 0.0))
