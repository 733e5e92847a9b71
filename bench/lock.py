"""What the event loop loses to threads that prepare images, as they hold Python's lock.

A job's way into the engine is some dozen calls on threads, each of which ends with the event loop
taking a turn.  Here it makes such calls, and nothing else, while images are prepared beside it:
by Pillow, as large pages are, and as with cores to spare, where resizing takes its time and no core
of this machine.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from ocrd.engine.deepseek.layout import lay_out
from ocrd.engine.deepseek.views import Pixels, pixels, prepare
from ocrd.engine.resident.client import SWITCH_S
from ocrd.modes import RESOLUTIONS

RENDERERS = 12
CALLERS = 8
SECONDS = 8.0
RESIZING_S = 0.045  # of a letter page, on one core
PYTHON = 60_000  # turns of a loop: what vLLM does in Python for each page


Prepare = Callable[[Image.Image], object]


def for_real(page: Image.Image) -> object:
    """As the engine does."""
    return prepare(page, lay_out(*page.size, RESOLUTIONS["gundam"]))


def resized_elsewhere(hand_over: Callable[[Image.Image], Pixels]) -> Prepare:
    """The same steps, with images of the right size that were made before."""
    overview, tiles = Image.new("RGB", (1024, 1024)), Image.new("RGB", (2 * 640, 3 * 640))

    def made(page: Image.Image) -> object:
        time.sleep(RESIZING_S)
        parts = hand_over(tiles).reshape(3, 640, 2, 640, 3).swapaxes(1, 2)
        return hand_over(overview), parts.copy(order="C")

    return made


class Renderers:
    """Threads that prepare one page again and again."""

    def __init__(self, way: Prepare) -> None:
        self._way = way
        noise = np.random.default_rng(0).integers(0, 256, (1584, 1224, 3), dtype=np.uint8)
        self._rgb = noise.tobytes()
        self._over = threading.Event()
        self.pages = 0

    def start(self) -> None:
        for _ in range(RENDERERS):
            threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            page = Image.frombuffer("RGB", (1224, 1584), self._rgb, "raw", "RGB", 0, 1)
            self._way(page)
            sum(range(PYTHON))
            self.pages += 1


async def calls(end: float) -> int:
    """How many calls on a thread one task gets through until then."""
    made = 0
    while time.perf_counter() < end:
        await asyncio.to_thread(time.time)
        made += 1
    return made


async def measure(what: str, way: Prepare, interval: float) -> None:
    sys.setswitchinterval(interval)
    renderers = Renderers(way)
    renderers.start()
    end = time.perf_counter() + SECONDS
    made = sum(await asyncio.gather(*(calls(end) for _ in range(CALLERS))))
    renderers.stop()
    print(
        f"{what}, {interval * 1000:g} ms: {made / SECONDS:.0f} calls/s beside "
        f"{renderers.pages / SECONDS:.1f} pages/s"
    )


def main() -> None:
    usual = sys.getswitchinterval()
    to_spare = resized_elsewhere(pixels)
    by_numpy = resized_elsewhere(np.array)
    runs: list[tuple[str, Prepare, float]] = [
        ("for real", for_real, usual),
        ("for real", for_real, SWITCH_S),
        ("cores to spare", to_spare, SWITCH_S),
        ("cores to spare, by numpy", by_numpy, SWITCH_S),
    ]
    for what, way, interval in runs * 2:
        asyncio.run(measure(what, way, interval))
        time.sleep(1.0)


if __name__ == "__main__":
    main()
