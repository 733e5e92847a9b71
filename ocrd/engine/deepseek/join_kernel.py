"""What lies between SAM's matrix products, fused into one Triton kernel.

Adding what a layer computed, normalising the sum, and cutting it into windows (or putting windows
together) are seven passes over memory in torch's own kernels, a fourth of the encoder's time.  Here
each vector of a patch is read once and written once for each of both results.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def _place(view, row, column, rows, columns, side: tl.constexpr):  # type: ignore[no-untyped-def] # Triton's
    """Where a patch lies: row by row, or window by window where there are windows."""
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
    place = tl.program_id(0).to(tl.int64)  # in `normed`, whose windows may reach beyond the view
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
