"""What the event loop loses to threads that prepare images, as they hold Python's lock.

A job's way into the engine is some dozen calls on threads, each of which ends with the event loop
taking a turn.  Here it makes such calls, and nothing else, while images are prepared beside it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import numpy as np
from PIL import Image

from ocrd.engine.deepseek.views import prepare
from ocrd.engine.resident.core import SWITCH_S
from ocrd.modes import RESOLUTIONS

RENDERERS = 12
CALLERS = 8
SECONDS = 8.0
PYTHON = 60_000  # turns of a loop: what vLLM does in Python for each page


class Renderers:
    """Threads that prepare one page again and again."""

    def __init__(self) -> None:
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
            prepare(page, RESOLUTIONS["gundam"])
            sum(range(PYTHON))
            self.pages += 1


async def calls(end: float) -> int:
    """How many calls on a thread one task gets through until then."""
    made = 0
    while time.perf_counter() < end:
        await asyncio.to_thread(time.time)
        made += 1
    return made


async def measure(interval: float) -> None:
    sys.setswitchinterval(interval)
    renderers = Renderers()
    renderers.start()
    end = time.perf_counter() + SECONDS
    made = sum(await asyncio.gather(*(calls(end) for _ in range(CALLERS))))
    renderers.stop()
    print(
        f"{interval * 1000:g} ms: {made / SECONDS:.0f} calls/s beside "
        f"{renderers.pages / SECONDS:.1f} pages/s"
    )


def main() -> None:
    usual = sys.getswitchinterval()
    for interval in (usual, SWITCH_S) * 2:
        asyncio.run(measure(interval))
        time.sleep(1.0)


if __name__ == "__main__":
    main()
