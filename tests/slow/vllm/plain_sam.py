"""vLLM's SAM with random weights, and parts of it written out as published formulas have them."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the name that all of torch's users know
from vllm.config import DeviceConfig, VllmConfig, set_current_vllm_config
from vllm.model_executor.models.deepencoder import ImageEncoderViT


def random_sam(
    device: str, *, depth: int, width: int, heads: int, unwindowed: tuple[int, ...], spread: float
) -> ImageEncoderViT:
    """The encoder with weights of that spread; those layers look at the whole view."""
    torch.manual_seed(7)
    with set_current_vllm_config(VllmConfig(device_config=DeviceConfig(device))):
        sam = ImageEncoderViT(
            depth=depth,
            embed_dim=width,
            num_heads=heads,
            out_chans=256,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            global_attn_indexes=unwindowed,
            window_size=14,
        )
    for parameter in sam.parameters():
        torch.nn.init.normal_(parameter, std=spread)
    return sam.eval()


def plain(
    qkv: torch.Tensor, by_row: torch.Tensor, by_column: torch.Tensor, scale: float
) -> torch.Tensor:
    """See `ocrd.engine.deepseek.encoder.Attend`."""
    n, rows, columns, _, heads, width = qkv.shape
    q, k, v = qkv.unbind(3)
    row, column = torch.arange(rows), torch.arange(columns)
    r = by_row[row[:, None] - row + rows - 1]
    c = by_column[column[:, None] - column + columns - 1]
    scores = scale * torch.einsum("nyxhc,nvuhc->nhyxvu", q, k)
    scores += torch.einsum("nyxhc,yvc->nhyxv", q, r)[..., None]
    scores += torch.einsum("nyxhc,xuc->nhyxu", q, c)[..., None, :]
    weights = scores.flatten(4).softmax(-1)
    out = torch.einsum("nhyxk,nkhc->nyxhc", weights, v.reshape(n, rows * columns, heads, width))
    return out.reshape(n, rows, columns, heads * width)


def plain_join(
    x: torch.Tensor, more: torch.Tensor, before: int, norm: torch.nn.LayerNorm, after: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `ocrd.engine.deepseek.encoder.Join`."""
    n, rows, columns, width = x.shape
    if before:
        high, wide = -(-rows // before), -(-columns // before)
        more = more.view(n, high, wide, before, before, width).transpose(2, 3)
        more = more.reshape(n, high * before, wide * before, width)[:, :rows, :columns]
    total = x + more
    normed = norm(total)
    if after:
        high, wide = -(-rows // after), -(-columns // after)
        normed = F.pad(normed, (0, 0, 0, wide * after - columns, 0, high * after - rows))
        normed = normed.view(n, high, after, wide, after, width).transpose(2, 3)
        normed = normed.reshape(-1, after, after, width)
    return total, normed
