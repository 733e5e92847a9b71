"""SAM's attention, and the steps between its matrix products, each fused into one Triton kernel.

In the attention a block of queries keeps its terms by column in registers, because the keys of
every row have the same columns; the term by row is then one number per query for each row of keys.
So the terms cost next to nothing, and no score is ever written to memory.

Adding a layer's output, normalising the sum, and cutting it into windows (or joining windows) are
seven passes over memory in torch's own kernels, a quarter of the encoder's time.  Here each patch's
vector is read once, and written once for each of the two results.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 64  # queries per program; with 4 warps and 3 stages the fastest on an H100
LOG2_E = tl.constexpr(1.4426950408889634)  # the exponential below has base 2


# Otherwise Triton compiles again for a batch of one view and for every multiple of sixteen.
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
    n, rows, columns, _, heads, width = qkv.shape
    # The terms of each query for every distance, [heads, n * patches, distances], in one product.
    queries = qkv.view(-1, 3, heads, width)[:, 0].transpose(0, 1)
    terms = torch.matmul(queries, torch.cat([by_row, by_column]).t())
    out = torch.empty((n, rows, columns, heads * width), dtype=qkv.dtype, device=qkv.device)
    _attend[(triton.cdiv(rows * columns, BLOCK), n * heads)](
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
        block=BLOCK,
        num_warps=4,
        num_stages=3,
    )
    return out


@triton.jit
def _place(view, row, column, rows, columns, side: tl.constexpr):  # type: ignore[no-untyped-def] # Triton's
    """The index of a patch in memory: row by row, or window by window if `side` is not 0."""
    if side:
        high, wide = (rows + side - 1) // side, (columns + side - 1) // side
        window = (view * high + row // side) * wide + column // side
        return (window * side + row % side) * side + column % side
    return (view * rows + row) * columns + column


@triton.jit(do_not_specialize=["rows", "columns"])
def _join(  # type: ignore[no-untyped-def] # Triton's parameters have no types of Python's
    x,
    more,
    weight,
    bias,
    total,
    normed,
    rows,
    columns,
    eps: tl.constexpr,
    width: tl.constexpr,
    padded: tl.constexpr,
    before: tl.constexpr,
    after: tl.constexpr,
):
    place = tl.program_id(0).to(tl.int64)  # in `normed`; its windows may extend beyond the view
    if after:
        high, wide = (rows + after - 1) // after, (columns + after - 1) // after
        inner, window = place % (after * after), place // (after * after)
        row = window // wide % high * after + inner // after
        column = window % wide * after + inner % after
        view = window // (wide * high)
    else:
        row, column = place // columns % rows, place % columns
        view = place // (columns * rows)
    part = tl.arange(0, padded)
    there = part < width
    target = normed + place * width + part
    if (row < rows) & (column < columns):
        patch = _place(view, row, column, rows, columns, 0) * width + part
        joined = _place(view, row, column, rows, columns, before) * width + part
        value = tl.load(x + patch, mask=there, other=0.0).to(tl.float32)
        value += tl.load(more + joined, mask=there, other=0.0).to(tl.float32)
        kept = value.to(total.dtype.element_ty)
        tl.store(total + patch, kept, mask=there)
        value = kept.to(tl.float32)
        mean = tl.sum(value, 0) / width
        apart = tl.where(there, value - mean, 0.0)
        scale = 1.0 / tl.sqrt(tl.sum(apart * apart, 0) / width + eps)
        w = tl.load(weight + part, mask=there, other=0.0).to(tl.float32)
        b = tl.load(bias + part, mask=there, other=0.0).to(tl.float32)
        tl.store(target, (apart * scale * w + b).to(normed.dtype.element_ty), mask=there)
    else:
        tl.store(target, tl.zeros([padded], normed.dtype.element_ty), mask=there)


def joined(
    x: torch.Tensor, more: torch.Tensor, before: int, norm: torch.nn.LayerNorm, after: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `encoder.Join`; both tensors must be contiguous."""
    n, rows, columns, width = x.shape
    total = torch.empty_like(x)
    shape: tuple[int, ...] = (n, rows, columns)
    if after:
        shape = (n * -(-rows // after) * -(-columns // after), after, after)
    normed = torch.empty((*shape, width), dtype=x.dtype, device=x.device)
    _join[(shape[0] * shape[1] * shape[2],)](
        x,
        more,
        norm.weight,
        norm.bias,
        total,
        normed,
        rows,
        columns,
        eps=norm.eps,
        width=width,
        padded=triton.next_power_of_2(width),
        before=before,
        after=after,
        num_warps=2,
    )
    return total, normed
