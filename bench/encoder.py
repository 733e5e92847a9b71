"""The vision encoders' time for a page: vLLM's against ours.

    python -m bench.encoder [--pages 1 8 32] [--size 1224 1584]

All variants run the same random weights on the same pages in one process: vLLM's own code as its
model calls it, view by view; and ours, on a GPU.  On a CPU give `--pages 1`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import CLIPVisionConfig
from vllm.config import DeviceConfig, VllmConfig, set_current_vllm_config
from vllm.distributed import (
    ensure_model_parallel_initialized,
    init_distributed_environment,
)
from vllm.model_executor.models.deepencoder import DeepCLIPVisionTransformer, build_sam_vit_b

from ocrd.engine.deepseek import encoder as ours
from ocrd.engine.deepseek.encoder import Attend
from ocrd.engine.deepseek.model import encode_by_size, in_parts
from ocrd.engine.deepseek.tiling import page_grid
from ocrd.modes import RESOLUTIONS

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
DTYPE = torch.bfloat16 if CUDA else torch.float32
GUNDAM = RESOLUTIONS["gundam"]


def build() -> tuple[Any, Any]:
    """SAM and CLIP as vLLM has them, with random weights."""
    backend = "nccl" if CUDA else "gloo"
    init_distributed_environment(1, 0, "tcp://127.0.0.1:29671", 0, backend)
    ensure_model_parallel_initialized(1, 1)
    torch.set_default_dtype(DTYPE)
    clip_config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_attention_heads=16,
        num_hidden_layers=24,
        image_size=224,
        patch_size=14,
        projection_dim=512,
    )
    with DEVICE:
        sam = build_sam_vit_b()
        clip = DeepCLIPVisionTransformer(clip_config, None, prefix="vision_model")
    for module in (sam, clip):
        for parameter in module.parameters():
            if parameter.ndim == 1:
                torch.nn.init.ones_(parameter)
            else:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    for module in clip.modules():
        if hasattr(module, "quant_method"):
            module.quant_method.process_weights_after_loading(module)
    return sam.eval(), clip.eval()


def seconds(work: Callable[[], object], least: int = 3, limit: float = 2.0) -> float:
    """Of one call, the median of some after two to warm up."""
    work()
    work()
    taken: list[float] = []
    while len(taken) < least or sum(taken) < limit / 4:
        synchronise()
        begin = time.perf_counter()
        work()
        synchronise()
        taken.append(time.perf_counter() - begin)
        if sum(taken) > limit:
            break
    return sorted(taken)[len(taken) // 2]


def synchronise() -> None:
    if CUDA:
        torch.cuda.synchronize()


class Bench:
    """Pages of one shape, ready on the device."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.sam, self.clip = build()
        columns, rows = page_grid(GUNDAM, *size)
        self.tiles = columns * rows if (columns, rows) != (1, 1) else 0
        make = partial(torch.randint, 0, 256, dtype=torch.uint8, device=DEVICE)
        self.overview = make((1, GUNDAM.base, GUNDAM.base, 3))
        self.cut = make((self.tiles, GUNDAM.tile, GUNDAM.tile, 3))

    def theirs(self, pages: int) -> None:
        """As vLLM does it: each page's overview, then its tiles."""
        for _ in range(pages):
            for views in (self.overview_chw, self.cut_chw):
                if len(views):
                    self.clip(views, self.sam(views))

    def prepare_theirs(self) -> None:
        """Pixels as they come to vLLM's model, numbers of its type."""
        self.overview_chw, self.cut_chw = (
            ours.normalise(views, DTYPE).permute(0, 3, 1, 2).contiguous()
            for views in (self.overview, self.cut)
        )

    def clip_as_it_is(self, seen: torch.Tensor) -> torch.Tensor:
        known: torch.Tensor = self.clip(seen, seen)
        return known

    def mine(self, pages: int, attend: Attend) -> Callable[[], object]:
        sam = ours.SamEncoder(self.sam, attend)
        clip = self.clip_as_it_is
        stacks = [self.overview] * pages + [self.cut] * pages

        def encode(views: torch.Tensor) -> torch.Tensor:
            seen = in_parts(sam, views, (views.shape[1] // ours.PATCH) ** 2)
            return in_parts(clip, seen, seen[0, 0].numel())

        return lambda: encode_by_size(stacks, encode)


def attends() -> dict[str, Attend]:
    if not CUDA:
        return {}
    from ocrd.engine.deepseek.attention_kernel import fused

    return {"fused": fused}


def whole(bench: Bench, counts: list[int]) -> None:
    """Milliseconds a page and GiB at the peak, for each number of pages at once."""
    bench.prepare_theirs()
    for pages in counts:
        variants: dict[str, Callable[[], object]] = {"vLLM": partial(bench.theirs, pages)}
        for name, attend in attends().items():
            variants[name] = bench.mine(pages, attend)
        for name, work in variants.items():
            if CUDA:
                torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated() if CUDA else 0
            spent = seconds(work) / pages * 1e3
            peak = (torch.cuda.max_memory_allocated() - before) / 2**30 if CUDA else 0.0
            print(f"{pages:3} pages  {name:8} {spent:8.2f} ms a page  {peak:6.2f} GiB", flush=True)


def agree(bench: Bench) -> None:
    """How far each variant's features are from vLLM's, in float32 and in the type measured."""
    views = bench.overview
    chw = ours.normalise(views, DTYPE).permute(0, 3, 1, 2).contiguous()
    theirs = bench.sam(chw).float()
    exact = theirs
    if CUDA:
        bench.sam.float()
        exact = bench.sam(chw.float())
        bench.sam.to(DTYPE)
    for name, result in [
        ("vLLM", theirs),
        *((name, ours.SamEncoder(bench.sam, a)(views).float()) for name, a in attends().items()),
    ]:
        print(f"error of {name:8} {((result - exact).norm() / exact.norm()).item():.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The vision encoders' time for a page.")
    parser.add_argument("--pages", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--size", type=int, nargs=2, default=[1224, 1584])
    options = parser.parse_args()
    config = VllmConfig(device_config=DeviceConfig(DEVICE.type))
    with torch.inference_mode(), set_current_vllm_config(config):
        bench = Bench(tuple(options.size))
        agree(bench)
        whole(bench, options.pages)


if __name__ == "__main__":
    main()
