"""SAM, the first and costliest encoder of DeepSeek-OCR, computed faster with the same weights.

Its attention adds to each score two terms that depend on the query and on the distance to the key,
in rows and in columns.  vLLM 0.26 materialises them as a tensor of [heads, patches, patches] for
each view (400 MB for a view of 1024 pixels, in each of four layers), which no fast attention kernel
accepts.  Here the two terms stay in the small form in which they are computed, [patches, rows] and
[patches, columns], until `kernels` adds them:

score(query, key) = scale * query · key + query · R[row of query - row of key]
                                        + query · C[column of query - column of key]

Nothing here imports vLLM: the weights of its `ImageEncoderViT` are used in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name in torch code

PATCH = 16

# qkv [n, rows, columns, 3, heads, width], R [2 * rows - 1, width], C [2 * columns - 1, width],
# scale -> [n, rows, columns, heads * width]
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]

# x [n, rows, columns, width], a tensor to add to it, the side of that tensor's windows, a
# LayerNorm, the side of the windows to cut the result into (0: no windows) -> the sum, and the
# normalised sum, [n * windows, side, side, width], with zeros where a window leaves the view
Join = Callable[
    [torch.Tensor, torch.Tensor, int, torch.nn.LayerNorm, int], tuple[torch.Tensor, torch.Tensor]
]

Tables = tuple[torch.Tensor, torch.Tensor]


def normalise(pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Bytes scaled to -1 … 1, bit for bit as `ToTensor` and `Normalize(0.5, 0.5)` do it."""
    return ((pixels.float() / 255 - 0.5) / 0.5).to(dtype)


class SamEncoder:
    """Runs the weights of an `ImageEncoderViT`.

    Values that depend only on the weights and the size of a view are computed once for each size,
    so the weights must be loaded before the first call and must not change afterwards.
    """

    def __init__(self, sam: Any, attend: Attend, join: Join) -> None:
        weight = sam.patch_embed.proj.weight
        self._sam = sam
        self._attend = attend
        self._join = join
        # [out, 3, 16, 16] to [out, 16 * 16 * 3], because a pixel's colours are adjacent in memory.
        self._patch_weight = weight.permute(0, 2, 3, 1).flatten(1).contiguous()
        self._convolutions = [
            layer.weight.contiguous(memory_format=torch.channels_last)
            for layer in (sam.neck[2], sam.net_2, sam.net_3)
        ]
        self._sizes: dict[int, tuple[torch.Tensor, list[Tables]]] = {}

    def __call__(self, views: torch.Tensor) -> torch.Tensor:
        """Features [n, channels, side / 64, side / 64] of views [n, side, side, 3] in bytes."""
        across = views.shape[1] // PATCH
        if across not in self._sizes:
            self._sizes[across] = self._of_size(across)
        position, sizes = self._sizes[across]
        x, more = self._embed(views), position.expand(len(views), -1, -1, -1).contiguous()
        for block, tables in zip(self._sam.blocks, sizes, strict=True):
            x, more = self._block(block, x, more, tables)
        return self._neck(x + more)

    def _of_size(self, across: int) -> tuple[torch.Tensor, list[Tables]]:
        """The position tables for views of `across` patches along the side.

        Returns:
            [1, rows, columns, width] to add to the patches, and for each block the tables for
            distances in rows and in columns.
        """
        tables = []
        for block in self._sam.blocks:
            reach, layer = block.window_size or across, block.attn
            tables.append((stretched(layer.rel_pos_h, reach), stretched(layer.rel_pos_w, reach)))
        return self._sam.get_abs_pos(self._sam.pos_embed, across), tables

    def _embed(self, views: torch.Tensor) -> torch.Tensor:
        """Patches as vectors, [n, rows, columns, width]."""
        n, side = views.shape[:2]
        across = side // PATCH
        cut = views.view(n, across, PATCH, across, PATCH, 3).transpose(2, 3)
        patches = normalise(cut.reshape(n, across, across, -1), self._patch_weight.dtype)
        return F.linear(patches, self._patch_weight, self._sam.patch_embed.proj.bias)

    def _block(
        self, block: Any, x: torch.Tensor, more: torch.Tensor, tables: Tables
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one transformer block; returns `x` and the tensor that the next block adds to it."""
        layer, window = block.attn, block.window_size
        x, seen = self._join(x, more, 0, block.norm1, window)
        qkv = F.linear(seen, layer.qkv.weight, layer.qkv.bias)
        qkv = qkv.view(*seen.shape[:3], 3, layer.num_heads, -1)
        seen = self._attend(qkv, *tables, layer.scale)
        seen = F.linear(seen, layer.proj.weight, layer.proj.bias)
        x, seen = self._join(x, seen, window, block.norm2, 0)
        hidden = F.gelu(F.linear(seen, block.mlp.lin1.weight, block.mlp.lin1.bias))
        return x, F.linear(hidden, block.mlp.lin2.weight, block.mlp.lin2.bias)

    def _neck(self, x: torch.Tensor) -> torch.Tensor:
        first, norm_1, _, norm_2 = self._sam.neck
        x = F.linear(x, first.weight.flatten(1))
        x = F.layer_norm(x, x.shape[-1:], norm_1.weight, norm_1.bias, norm_1.eps)
        x = F.conv2d(x.permute(0, 3, 1, 2), self._convolutions[0], padding=1).permute(0, 2, 3, 1)
        x = F.layer_norm(x, x.shape[-1:], norm_2.weight, norm_2.bias, norm_2.eps)
        x = x.permute(0, 3, 1, 2)
        for weight in self._convolutions[1:]:
            x = F.conv2d(x, weight, stride=2, padding=1)
        return x


def stretched(table: torch.Tensor, across: int) -> torch.Tensor:
    """A table by distance, interpolated for views of `across` patches along the side.

    Args:
        table: [distances, width], one row for each distance from -(n - 1) to n - 1, where n is the
            number of patches along the side in training.
        across: Patches along the side.
    """
    if len(table) == 2 * across - 1:
        return table
    stretched = F.interpolate(table.float().t()[None], size=2 * across - 1, mode="linear")
    return stretched[0].t().to(table.dtype).contiguous()
