"""A page image becomes the views that the model is shown.

Pixels stay bytes: the model's own process scales them to -1 … 1, which gives the same numbers and
moves a quarter of the memory.  Pillow lets other threads run while it resizes, and while it writes
to a file, but not while it hands pixels to numpy.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ocrd.engine.deepseek.tiling import DEEPSEEK_OCR, Geometry, page_grid, tiles
from ocrd.modes import Resolution

GREY = (127, 127, 127)  # beside a page that is no square

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Views:
    """What the model is shown of one page.

    Attributes:
        overview: [base, base, 3] the whole page.
        tiles: [columns * rows, tile, tile, 3] its parts, row by row; none if it was not cut.
        grid: Columns and rows; (1, 1) if it was not cut.
    """

    overview: Pixels
    tiles: Pixels
    grid: tuple[int, int]


def prepare(image: Image.Image, resolution: Resolution, geometry: Geometry = DEEPSEEK_OCR) -> Views:
    """The views of a page, as the published code makes them."""
    if image.mode != "RGB":
        image = image.convert("RGB")
    grid = page_grid(resolution, *image.size)
    return Views(_overview(image, resolution, geometry), _cut(image, resolution, grid), grid)


def _overview(image: Image.Image, resolution: Resolution, geometry: Geometry) -> Pixels:
    square = (resolution.base, resolution.base)
    if not tiles(resolution) and resolution.base <= geometry.squash:
        return pixels(image.resize(square, Image.Resampling.BICUBIC))
    return pixels(ImageOps.pad(image, square, Image.Resampling.BICUBIC, GREY))


def _cut(image: Image.Image, resolution: Resolution, grid: tuple[int, int]) -> Pixels:
    side = resolution.tile or resolution.base
    if grid == (1, 1):
        return np.empty((0, side, side, 3), np.uint8)
    columns, rows = grid
    whole = pixels(image.resize((columns * side, rows * side), Image.Resampling.BICUBIC))
    parts = whole.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    return parts.copy(order="C").reshape(rows * columns, side, side, 3)


def pixels(image: Image.Image) -> Pixels:
    """[height, width, 3] what `numpy.asarray` makes of an image, without Python's lock.

    Pillow holds that for milliseconds while it packs a large image and joins the pieces, and the
    event loop waits.  A file in memory costs less than the wait.
    """
    with os.fdopen(os.memfd_create("ocrd-page"), "r+b", buffering=0) as file:
        image.save(file, "PPM")
        memory = mmap.mmap(file.fileno(), 0)
    size = image.height * image.width * 3
    flat = np.frombuffer(memory, np.uint8, size, len(memory) - size)
    return flat.reshape(image.height, image.width, 3)
