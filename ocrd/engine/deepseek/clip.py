"""CLIP, the second encoder of DeepSeek-OCR, with less work for the host.

vLLM's layers cost the host some half a millisecond each, 24 of them, however few views there are:
more than the device needs for a page that comes alone, as pages do when all places are taken and
one becomes free.  Here each layer is a handful of plain calls on the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that all of torch's users know


class ClipEncoder:
    """Runs the weights of a `DeepCLIPVisionTransformer`.

    Args:
        clip: vLLM's module.
    """

    def __init__(self, clip: Any) -> None:
        self._clip = clip

    @staticmethod
    def fits(clip: Any) -> bool:
        """Whether the weights are plain ones: whole, not quantised and not repacked."""
        width = clip.config.hidden_size
        projection = clip.transformer.layers[0].self_attn.qkv_proj
        weight = getattr(projection, "weight", None)
        dtype = clip.pre_layrnorm.weight.dtype
        return weight is not None and (weight.shape, weight.dtype) == ((3 * width, width), dtype)

    def __call__(self, seen: torch.Tensor) -> torch.Tensor:
        """SAM's features [n, width, rows, columns] to [n, 1 + rows * columns, width]."""
        # It is given features for patches; of pixels it only asks how many views they are.
        x = self._clip.pre_layrnorm(self._clip.embeddings(seen, seen))
        for layer in self._clip.transformer.layers:
            x = x + self._attention(layer.self_attn, layer.layer_norm1(x))
            x = x + self._mlp(layer.mlp, layer.layer_norm2(x))
        return x

    def _attention(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        qkv = F.linear(x, layer.qkv_proj.weight, layer.qkv_proj.bias)
        q, k, v = qkv.view(n, length, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, scale=layer.scale)
        out = out.transpose(1, 2).reshape(n, length, width)
        return F.linear(out, layer.out_proj.weight, layer.out_proj.bias)

    def _mlp(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        activation: Callable[[torch.Tensor], torch.Tensor] = layer.activation_fn
        hidden = activation(F.linear(x, layer.fc1.weight, layer.fc1.bias))
        return F.linear(hidden, layer.fc2.weight, layer.fc2.bias)
