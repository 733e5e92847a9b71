"""`ocrd run` with answers of seeded lengths, and a ceiling that is measured on request.

With random weights no answer ends by itself.  The benchmark's modes are named after the lengths of
their answers: uniform from 400 to 1,200 tokens, log-normal, or always 800.  A page's pixels
determine its length, so that every variant answers the same page at the same length.

A file `ask.json` in the root makes the engine read prepared pages directly, which is the most that
the daemon could reach: see `ceiling`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import random
import sys
import time
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.gpu_material import decoded
from ocrd.page import PageImage

if TYPE_CHECKING:
    from ocrd.engine.base import PageRequest
    from ocrd.engine.resident.client import Ready, VllmClient

ASK, ANSWER, LATE = "ask.json", "answer.json", "late"
ASK_S = 0.2
IN_FLIGHT = 512
DISTINCT = 320  # number of different pages in the ceiling
LEAST, MOST, EQUAL = 400, 1200, 800
MEDIAN, SIGMA, LONGEST = 700, 0.45, 3000
SEEDED = slice(200_000, 400_000)  # bytes of a page that differ from those of all others


def answer_tokens(mode: str, image: PageImage) -> int:
    """The length of a page's answer, by the name of its mode and the page's pixels."""
    chance = random.Random(zlib.crc32(image.rgb[SEEDED] or image.rgb))
    if mode.startswith("equal"):
        return EQUAL
    if mode.startswith("lognormal"):
        return max(LEAST // 4, min(LONGEST, round(math.exp(chance.gauss(math.log(MEDIAN), SIGMA)))))
    return chance.randint(LEAST, MOST)


def seed_lengths(shortened: int) -> None:
    """Make the engines' clients request answers of these lengths; trial pages are unaffected.

    Args:
        shortened: The lengths are divided by this, for a CPU.
    """
    clients: list[Any] = [
        importlib.import_module(f"ocrd.engine.{kind}.client") for kind in ("resident", "remote")
    ]
    usual = clients[0].sampling

    def seeded(request: PageRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        chosen: dict[str, Any] = usual(request, *args, **kwargs)
        if request.mode.name != "trial":
            tokens = max(1, answer_tokens(request.mode.name, request.image) // shortened)
            chosen |= {"max_tokens": min(kwargs["room"], tokens), "min_tokens": 0}
        return chosen

    for client in clients:
        client.sampling = seeded


def offer_ceiling(root: Path, pages: Path) -> None:
    """Make the daemon's engine look for `ask.json` once it has started."""
    from ocrd.engine import resident

    class Asked(resident.VllmEngine):
        async def start(self, progress: Any) -> None:
            await super().start(progress)
            self.asking = asyncio.create_task(answer(self, root, pages))

    resident.VllmEngine = Asked  # type: ignore[misc] # that is the point


async def answer(engine: Any, root: Path, pages: Path) -> None:
    """Measure the ceiling whenever asked, and log all the time how late the event loop is."""
    ready: dict[str, list[Ready]] = {}
    late = (root / LATE).open("w", buffering=1)
    while True:
        due = time.monotonic() + ASK_S
        await asyncio.sleep(ASK_S)
        late.write(f"{time.time():.3f} {(time.monotonic() - due) * 1e3:.2f}\n")
        if (root / ASK).exists():
            asked = json.loads((root / ASK).read_text())
            (root / ASK).unlink()
            result: dict[str, Any]
            try:
                result = await ceiling(engine, pages, ready, **asked)
            except Exception as error:  # whatever it is, the daemon must continue
                result = {"error": repr(error)}
            (root / f"{ANSWER}.new").write_text(json.dumps(result))
            (root / f"{ANSWER}.new").rename(root / ANSWER)


async def ceiling(
    engine: Any, folder: Path, known: dict[str, list[Ready]], count: int, guard: bool
) -> dict[str, Any]:
    """Generate the answers to prepared pages, up to `IN_FLIGHT` concurrently in each engine.

    Returns:
        `began`, and `done` for each page, in seconds since the epoch.
    """
    cores: list[VllmClient] = [one.client for one in engine.supervisors]
    images = await asyncio.to_thread(decoded, folder, min(count, DISTINCT))
    asked = requests(images, guard)
    if "ready" not in known:
        known["ready"] = list(await asyncio.gather(*(cores[0].prepare(one) for one in asked)))
    done: list[float] = []
    doors = [asyncio.Semaphore(IN_FLIGHT) for _ in cores]

    async def read(place: int, request: PageRequest, ready: Ready) -> None:
        async with doors[place]:
            # A new name, so that vLLM does not find the page in its encoder's cache.
            new = {**ready.inputs, "mm_hashes": {"image": [uuid.uuid4().hex]}}
            named = replace(request, id=f"ceiling-{uuid.uuid4().hex}")
            await cores[place].generate(named, replace(ready, inputs=new))
            done.append(time.time())

    began = time.time()
    work = islice(cycle(zip(asked, known["ready"], strict=True)), count)
    places = cycle(range(len(cores)))
    await asyncio.gather(*(read(next(places), *one) for one in work))
    return {"began": began, "done": done}


def requests(images: Sequence[PageImage], guard: bool) -> list[PageRequest]:
    from ocrd.engine.base import PageRequest
    from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS

    document = replace(BUILT_IN_MODES["document"], name="uniform")
    mode = document if guard else replace(document, guard=None)
    resolution = RESOLUTIONS["tiny" if images[0].width < 1000 else "gundam"]
    return [
        PageRequest(id=str(number), image=image, mode=mode, resolution=resolution)
        for number, image in enumerate(images)
    ]


def main() -> None:
    root, pages, shortened = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    from ocrd.cli.main import main as ocrd

    seed_lengths(shortened)
    offer_ceiling(root, pages)
    sys.argv = ["ocrd", "run", "--config", str(root / "config.toml")]
    ocrd()


if __name__ == "__main__":
    main()
