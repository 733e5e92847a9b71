"""Attention with terms for distances, written out as the published formula has it."""

from __future__ import annotations

import torch


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
