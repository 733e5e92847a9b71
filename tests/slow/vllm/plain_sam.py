"""Parts of SAM's encoder, written out as their published formulas have them."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that all of torch's users know


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
