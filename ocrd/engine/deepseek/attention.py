"""Attention over a grid of patches, with a term for the distance by rows and one by columns.

score(query, key) = scale * query · key + query · R[row of query - row of key]
                                        + query · C[column of query - column of key]

Two ways to the same numbers: `folded`, plain torch for any device, and `fused`, a Triton kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name that all of torch's users know

# qkv [n, rows, columns, 3, heads, width], R [2 * rows - 1, width], C [2 * columns - 1, width],
# scale -> [n, rows, columns, heads * width]
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def best_attend(device: torch.device) -> Attend:
    """The fastest for a device."""
    if device.type == "cuda":
        from ocrd.engine.deepseek.attention_kernel import fused

        return fused
    return folded


def folded(
    qkv: torch.Tensor, by_row: torch.Tensor, by_column: torch.Tensor, scale: float
) -> torch.Tensor:
    """By longer vectors: the terms follow each query, and each key has ones for its row and column.

    Their dot product is then the whole score, and any attention kernel will do.
    """
    n, rows, columns, _, heads, width = qkv.shape
    q, k, v = qkv.unbind(3)
    row_terms = torch.einsum("nyxhc,ykc->nhyxk", q, between(by_row))
    column_terms = torch.einsum("nyxhc,xkc->nhyxk", q, between(by_column))
    q, k, v = (x.reshape(n, rows * columns, heads, width).transpose(1, 2) for x in (q, k, v))
    ones = places(rows, columns, qkv.dtype, qkv.device).expand(n, heads, -1, -1)
    pad = -(width + rows + columns) % 8  # kernels want whole groups of 16 bytes
    longer_q = torch.cat([q * scale, row_terms.flatten(2, 3), column_terms.flatten(2, 3)], dim=-1)
    longer_k = torch.cat([k, ones], dim=-1)
    longer_v = F.pad(v, (0, rows + columns + pad))
    out = F.scaled_dot_product_attention(
        F.pad(longer_q, (0, pad)), F.pad(longer_k, (0, pad)), longer_v, scale=1.0
    )
    return out[..., :width].transpose(1, 2).reshape(n, rows, columns, heads * width)


def between(table: torch.Tensor) -> torch.Tensor:
    """A table by distance, [2 * places - 1, width], as [places, places, width] by query and key."""
    count = (len(table) + 1) // 2
    place = torch.arange(count, device=table.device)
    return table[place[:, None] - place + count - 1]


def places(rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A one for the row and one for the column of each patch, [patches, rows + columns]."""
    row = torch.eye(rows, dtype=dtype, device=device).repeat_interleave(columns, dim=0)
    column = torch.eye(columns, dtype=dtype, device=device).repeat(rows, 1)
    return torch.cat([row, column], dim=1)
