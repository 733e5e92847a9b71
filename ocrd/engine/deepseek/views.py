"""Makes the model's views of a page image with Pillow.

Pillow lets other threads run while it resizes or writes to a file, but not while it passes pixels
to numpy.
"""

from __future__ import annotations

import mmap
import os

import numpy as np
import numpy.typing as npt
from PIL import Image

from ocrd.engine.deepseek.tiling import GREY, Layout

Pixels = npt.NDArray[np.uint8]


def prepare(image: Image.Image, layout: Layout) -> tuple[Pixels, Pixels]:
    """The views of a page in RGB.

    Returns:
        The global view, [base, base, 3], and the tiles, [columns * rows, tile, tile, 3], row by
        row; no tiles if the page is not cut.

    Raises:
        ValueError: The page is so thin that it has no pixel in the global view.
    """
    global_view = np.full((layout.base, layout.base, 3), GREY, np.uint8)
    left, top = layout.margin
    inner = pixels(_resized(image, layout.width, layout.height))
    global_view[top : top + layout.height, left : left + layout.width] = inner
    side, columns, rows = layout.tile, layout.columns, layout.rows
    if not layout.cut:
        return global_view, np.empty((0, side, side, 3), np.uint8)
    whole = pixels(_resized(image, columns * side, rows * side))
    parts = whole.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    return global_view, parts.copy(order="C").reshape(rows * columns, side, side, 3)


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resize rows first, then columns, as Pillow did up to version 12.

    Later versions choose the order to save time on tall pages.  The model was trained with an
    earlier one, and results must not depend on the installed version.
    """
    bicubic = Image.Resampling.BICUBIC
    return image.resize((width, image.height), bicubic).resize((width, height), bicubic)


def pixels(image: Image.Image) -> Pixels:
    """[height, width, 3] like `numpy.asarray` of an image, but without holding Python's lock.

    In `asarray` Pillow holds it for milliseconds while it packs a large image and joins the pieces,
    and the event loop waits.  A file in memory costs less than that.
    """
    with os.fdopen(os.memfd_create("ocrd-page"), "r+b", buffering=0) as file:
        image.save(file, "PPM")
        memory = mmap.mmap(file.fileno(), 0)
    size = image.height * image.width * 3
    flat = np.frombuffer(memory, np.uint8, size, len(memory) - size)
    return flat.reshape(image.height, image.width, 3)
