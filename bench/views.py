"""What the views of a letter page cost: made by Pillow before, or on the device from the page.

    python -m bench.views

Needs vLLM's environment; with a GPU it also sees that what the device makes is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from bench.common import machine
from ocrd.engine.deepseek.device_views import cut_on_device
from ocrd.engine.deepseek.layout import lay_out
from ocrd.engine.deepseek.views import prepare
from ocrd.modes import RESOLUTIONS

SIZE = (1224, 1584)
TURNS = 20
CUDA = torch.cuda.is_available()


def cpu_ms(work: Callable[[], object]) -> float:
    """Milliseconds of CPU of this process for one."""
    work()
    began = time.process_time()
    for _ in range(TURNS):
        work()
    return 1000 * (time.process_time() - began) / TURNS


def device_ms(work: Callable[[], object]) -> float:
    """Milliseconds from one to the next, the device's work included."""
    for _ in range(TURNS):
        work()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(10 * TURNS):
        work()
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began) / (10 * TURNS)


def main() -> None:
    page = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    layout = lay_out(*SIZE, RESOLUTIONS["gundam"])
    by_pillow = cpu_ms(lambda: prepare(Image.fromarray(page), layout))
    as_it_is = cpu_ms(lambda: torch.from_numpy(page.copy()))
    print(machine())
    print(f"in the daemon: {by_pillow:.1f} ms of CPU by Pillow, {as_it_is:.1f} ms as it is")
    print(f"ratio {by_pillow / as_it_is:.1f}")
    print(f"bytes to the engine: {3 * layout.pixels / 1e6:.1f} MB, {page.nbytes / 1e6:.1f} MB")
    if not CUDA:
        return
    there = torch.from_numpy(page).cuda()
    print(
        f"{torch.cuda.get_device_name()}: {device_ms(lambda: cut_on_device(there, layout)):.3f} ms"
    )
    made, expected = cut_on_device(there, layout), prepare(Image.fromarray(page), layout)
    same = [np.array_equal(made[0].cpu().numpy(), expected.overview)]
    same.append(np.array_equal(made[1].cpu().numpy(), expected.tiles))
    print(f"the same bytes: {all(same)}")
    if not all(same):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
