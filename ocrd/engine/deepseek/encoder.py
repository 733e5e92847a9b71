"""SAM, the first and costliest encoder of DeepSeek-OCR, computed faster with the same weights.

Its attention adds to each score what the query says about the distance to the key, by rows and by
columns.  vLLM 0.26 writes that out as a tensor of [heads, patches, patches] for each view (400 MB
for the view of 1024 pixels, in each of four layers), which no fast attention kernel accepts.  Here
the two terms never leave the small form in which they are computed, [patches, rows] and [patches,
columns]; `attention` has two ways to add them.

Nothing here imports vLLM: the weights are taken from its `ImageEncoderViT` as they lie there.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that all of torch's users know

from ocrd.engine.deepseek.attention import Attend, best_attend

PATCH = 16


def chosen() -> bool:
    """Whether this encoder is to be used: unless the environment has OCRD_ENCODER=upstream."""
    return os.environ.get("OCRD_ENCODER", "") != "upstream"


def normalise(pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Bytes to -1 … 1, to the last bit what `ToTensor` and `Normalize(0.5, 0.5)` give."""
    return ((pixels.float() / 255 - 0.5) / 0.5).to(dtype)


class SamEncoder:
    """Runs the weights of an `ImageEncoderViT`.

    What depends on the weights and the size of a view alone is computed once for each size, so the
    weights must be there before the first call and must not change afterwards.

    Args:
        sam: vLLM's module.
        attend: How to attend; the fastest for its device if omitted.
    """

    def __init__(self, sam: Any, attend: Attend | None = None) -> None:
        weight = sam.patch_embed.proj.weight
        self._sam = sam
        self._attend = attend or best_attend(weight.device)
        self._dtype = weight.dtype
        # [out, 3, 16, 16] to [out, 16 * 16 * 3]: pixels come with their colours together.
        self._patch_weight = weight.permute(0, 2, 3, 1).flatten(1).contiguous()
        self._positions: dict[int, torch.Tensor] = {}
        self._distances: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        self._convolutions = [
            layer.weight.contiguous(memory_format=torch.channels_last)
            for layer in (sam.neck[2], sam.net_2, sam.net_3)
        ]

    def __call__(self, views: torch.Tensor) -> torch.Tensor:
        """Views [n, side, side, 3] in bytes to features [n, channels, side / 64, side / 64]."""
        x = self._embed(views)
        for number, block in enumerate(self._sam.blocks):
            x = x + self._attention(number, block, x)
            hidden = F.gelu(F.linear(block.norm2(x), block.mlp.lin1.weight, block.mlp.lin1.bias))
            x = x + F.linear(hidden, block.mlp.lin2.weight, block.mlp.lin2.bias)
        return self._neck(x)

    def _embed(self, views: torch.Tensor) -> torch.Tensor:
        """Patches as vectors with their place added, [n, rows, columns, width]."""
        n, side = views.shape[:2]
        across = side // PATCH
        cut = views.view(n, across, PATCH, across, PATCH, 3).transpose(2, 3)
        patches = normalise(cut.reshape(n, across, across, -1), self._dtype)
        return F.linear(patches, self._patch_weight, self._sam.patch_embed.proj.bias) + (
            self._position(across)
        )

    def _position(self, across: int) -> torch.Tensor:
        if across not in self._positions:
            self._positions[across] = self._sam.get_abs_pos(self._sam.pos_embed, across)
        return self._positions[across]

    def _attention(self, number: int, block: Any, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.shape[1:3]
        window = block.window_size
        x = block.norm1(x)
        if window:
            x = into_windows(x, window)
        layer = block.attn
        qkv = F.linear(x, layer.qkv.weight, layer.qkv.bias)
        qkv = qkv.view(*x.shape[:3], 3, layer.num_heads, -1)
        x = self._attend(qkv, *self._distance(number, layer, x.shape[1]), layer.scale)
        x = F.linear(x, layer.proj.weight, layer.proj.bias)
        return out_of_windows(x, window, rows, columns) if window else x

    def _distance(self, number: int, layer: Any, across: int) -> tuple[torch.Tensor, torch.Tensor]:
        key = number, across
        if key not in self._distances:
            self._distances[key] = (
                by_distance(layer.rel_pos_h, across),
                by_distance(layer.rel_pos_w, across),
            )
        return self._distances[key]

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


def by_distance(table: torch.Tensor, across: int) -> torch.Tensor:
    """What each place says to a query of each place, [query, key, width].

    Args:
        table: [distances, width], one row for each distance from -(n - 1) to n - 1 of the size
            that the model was trained with; stretched for other sizes.
        across: The size asked for.
    """
    if len(table) != 2 * across - 1:
        stretched = F.interpolate(table.float().t()[None], size=2 * across - 1, mode="linear")
        table = stretched[0].t().to(table.dtype)
    place = torch.arange(across, device=table.device)
    return table[place[:, None] - place + across - 1].contiguous()


def into_windows(x: torch.Tensor, side: int) -> torch.Tensor:
    """[n, rows, columns, width] to [n * windows, side, side, width], padded with zeros."""
    n, rows, columns, width = x.shape
    down, right = -rows % side, -columns % side
    x = F.pad(x, (0, 0, 0, right, 0, down))
    x = x.view(n, (rows + down) // side, side, (columns + right) // side, side, width)
    return x.transpose(2, 3).reshape(-1, side, side, width)


def out_of_windows(x: torch.Tensor, side: int, rows: int, columns: int) -> torch.Tensor:
    """The inverse of `into_windows`."""
    width = x.shape[-1]
    high, wide = -(-rows // side), -(-columns // side)
    x = x.view(-1, high, wide, side, side, width).transpose(2, 3)
    return x.reshape(-1, high * side, wide * side, width)[:, :rows, :columns]
