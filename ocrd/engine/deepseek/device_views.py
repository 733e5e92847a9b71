"""A page becomes the views that the model is shown, on the model's own device."""

from __future__ import annotations

import torch

from ocrd.engine.deepseek.layout import GREY, Layout
from ocrd.engine.deepseek.resample import resize


def cut_on_device(page: torch.Tensor, layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
    """The views of a page.

    Args:
        page: [height, width, 3] in bytes, on whatever device.
        layout: Of its views.

    Returns:
        What `views.prepare` makes of it: the overview [base, base, 3] and the tiles
        [columns * rows, tile, tile, 3], on the page's device.
    """
    overview = page.new_full((layout.base, layout.base, 3), GREY)
    left, top = layout.margin
    inner = resize(page, layout.width, layout.height)
    overview[top : top + layout.height, left : left + layout.width] = inner
    side, columns, rows = layout.tile, layout.columns, layout.rows
    if not layout.cut:
        return overview, page.new_empty((0, side, side, 3))
    whole = resize(page, columns * side, rows * side)
    parts = whole.view(rows, side, columns, side, 3).transpose(1, 2)
    return overview, parts.reshape(rows * columns, side, side, 3)
