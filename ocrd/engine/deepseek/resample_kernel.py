"""The resizing of `resample`, a pass of it in one Triton kernel."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ocrd.engine.deepseek.resample import HALF, PRECISION, Taps

BLOCK = 1024


# Pages come in all sizes: specialised, Triton would compile anew for many of them.
@triton.jit(do_not_specialize=["source", "target", "together", "count"])
def _resample(  # type: ignore[no-untyped-def] # Triton's parameters have no types of Python's
    lines,
    first,
    weights,
    out,
    source,
    target,
    together,
    count,
    half: tl.constexpr,
    precision: tl.constexpr,
    block: tl.constexpr,
):
    line = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * block + tl.arange(0, block)
    real = place < target * together
    pixel = place // together
    begin = tl.load(first + pixel, mask=real, other=0)
    total = tl.full([block], half, tl.int32)
    start = lines + line * source * together + place % together
    for number in range(count):
        weight = tl.load(weights + pixel * count + number, mask=real, other=0)
        inside = real & (begin + number < source)
        seen = tl.load(start + (begin + number) * together, mask=inside, other=0)
        total += seen.to(tl.int32) * weight
    value = tl.minimum(tl.maximum(total >> precision, 0), 255)
    tl.store(out + line * target * together + place, value.to(tl.uint8), mask=real)


def launch(lines: torch.Tensor, taps: Taps) -> torch.Tensor:
    """[lines, source, together] to [lines, target, together]; all of it contiguous."""
    count, source, together = lines.shape
    target = len(taps.first)
    out = torch.empty((count, target, together), dtype=torch.uint8, device=lines.device)
    _resample[(triton.cdiv(target * together, BLOCK), count)](
        lines,
        taps.first,
        taps.weights,
        out,
        source,
        target,
        together,
        taps.count,
        half=HALF,
        precision=PRECISION,
        block=BLOCK,
    )
    return out
