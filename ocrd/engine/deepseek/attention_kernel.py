"""The attention of SAM, fused into one Triton kernel.

A block of queries keeps its terms by column in registers, for all keys of a row have the same
columns; the term by row is then one number a query for each row of keys.  So the terms cost next
to nothing, and no score is ever written to memory.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)  # the exponential below is of base 2


# Else Triton compiles anew for a batch of one view and for every multiple of sixteen.
@triton.jit(do_not_specialize=["heads", "views", "rows"])
def _attend(  # type: ignore[no-untyped-def] # Triton's parameters have no types of Python's
    qkv,
    terms,
    out,
    scale,
    heads,
    views,
    rows,
    columns: tl.constexpr,
    padded: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
):
    head = tl.program_id(1) % heads
    view = (tl.program_id(1) // heads).to(tl.int64)
    patches = rows * columns
    stride = 3 * heads * width
    query = tl.program_id(0) * block + tl.arange(0, block)
    real = query < patches
    part = tl.arange(0, width)
    column = tl.arange(0, padded)
    inside = column < columns

    start = qkv + view * patches * stride + head * width
    q = tl.load(start + query[:, None] * stride + part, mask=real[:, None], other=0.0)
    # Each query's terms: by distance of rows, -(rows - 1) to rows - 1, then of columns.
    distances = 2 * (rows + columns) - 2
    own = terms + ((head * views + view) * patches + query) * distances
    by_row = own + query // columns + rows - 1
    by_column = own + query % columns + 2 * rows + columns - 2
    side = tl.load(by_column[:, None] - column, mask=real[:, None] & inside[None, :], other=0.0).to(
        tl.float32
    )
    side = tl.where(inside[None, :], side * LOG2_E, float("-inf"))

    best = tl.full([block], float("-inf"), tl.float32)
    total = tl.zeros([block], tl.float32)
    sums = tl.zeros([block, width], tl.float32)
    keys = start + heads * width
    values = start + 2 * heads * width
    for row in range(rows):
        place = (row * columns + column) * stride
        k = tl.load(keys + place[None, :] + part[:, None], mask=inside[None, :], other=0.0)
        v = tl.load(values + place[:, None] + part, mask=inside[:, None], other=0.0)
        up = tl.load(by_row - row, mask=real, other=0.0).to(tl.float32) * LOG2_E
        scores = tl.dot(q, k) * (scale * LOG2_E) + side
        newest = tl.maximum(best, tl.max(scores, 1) + up)
        weights = tl.exp2(scores - (newest - up)[:, None])
        fade = tl.exp2(best - newest)
        total = total * fade + tl.sum(weights, 1)
        sums = tl.dot(weights.to(v.dtype), v, sums * fade[:, None])
        best = newest
    place = out + (view * patches + query[:, None]) * (heads * width) + head * width + part
    tl.store(place, (sums / total[:, None]).to(out.dtype.element_ty), mask=real[:, None])


def fused(
    qkv: torch.Tensor, by_row: torch.Tensor, by_column: torch.Tensor, scale: float
) -> torch.Tensor:
    """See `encoder.Attend`; `qkv` must be contiguous."""
    return launch(qkv, distance_terms(qkv, by_row, by_column), scale)


def distance_terms(
    qkv: torch.Tensor, by_row: torch.Tensor, by_column: torch.Tensor
) -> torch.Tensor:
    """What each query says of every distance, [heads, n * patches, distances], in one product."""
    heads, width = qkv.shape[4:]
    queries = qkv.view(-1, 3, heads, width)[:, 0].transpose(0, 1)
    return torch.matmul(queries, torch.cat([by_row, by_column]).t())


def launch(
    qkv: torch.Tensor,
    terms: torch.Tensor,
    scale: float,
    *,
    block: int = 64,
    warps: int = 4,
    stages: int = 3,
) -> torch.Tensor:
    """Run the kernel with `block` queries a program; the defaults are the fastest on an H100."""
    n, rows, columns, _, heads, width = qkv.shape
    out = torch.empty((n, rows, columns, heads * width), dtype=qkv.dtype, device=qkv.device)
    _attend[(triton.cdiv(rows * columns, block), n * heads)](
        qkv,
        terms,
        out,
        scale,
        heads,
        n,
        rows,
        columns=columns,
        padded=max(16, triton.next_power_of_2(columns)),
        width=width,
        block=block,
        num_warps=warps,
        num_stages=stages,
    )
    return out
