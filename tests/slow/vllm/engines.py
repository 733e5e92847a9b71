"""One resident engine on two "devices" of the CPU, shared by the tests of this folder.

Starting it takes a minute or two, so there is one for the session; what tests leave behind in it
is what an engine in service has seen, too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest_asyncio

from ocrd.engine.base import EngineState, PageRequest
from ocrd.engine.resident import VllmEngine, VllmSettings
from ocrd.engine.resident.client import VllmClient
from ocrd.events import Event, Events
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, PromptMode, Resolution
from ocrd.page import PageImage
from tests.support import waiting

HANG_S = 900
CONTEXT = 1024
LITTLE = Resolution(name="little", base=256)  # a CPU takes seconds for a view of full size
LITTLE_TOKENS = 21


def settings(checkpoint: Path) -> VllmSettings:
    return VllmSettings(
        model=str(checkpoint),
        dtype="float32",
        load_format="dummy",
        max_model_len=CONTEXT,
        max_num_batched_tokens=CONTEXT,
        max_pages_in_flight=8,
        renderer_workers=2,
        devices=[0, 1],
        page_timeout_s=HANG_S,
        resolutions=(RESOLUTIONS["tiny"], LITTLE),
        options={
            "enforce_eager": True,
            "distributed_executor_backend": "uni",
            "logits_processors": ["tests.slow.vllm.faulty:Deadly"],
        },
    )


class Resident:
    """The engine, and what it told while it started and after."""

    def __init__(self, checkpoint: Path) -> None:
        self.stages: list[str] = []
        self.told: list[Event] = []
        self.engine = VllmEngine(settings(checkpoint), events=Events(self.told.append))

    def names(self) -> list[str]:
        return [event.name for event in self.told]

    def cores(self) -> list[VllmClient]:
        """The running engines, looked at from inside: how many requests they hold, their pids."""
        cores = [unit.client for unit in self.engine.supervisors]
        return [core for core in cores if isinstance(core, VllmClient)]

    def pids(self) -> list[int | None]:
        return [core._launched.log.pid for core in self.cores()]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, the engines stand still: no page is over before a test has looked at it."""
        processes = [pid for pid in self.pids() if pid is not None]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def unfinished(self) -> int:
        """Requests that vLLM still works on."""
        return sum(
            core._engine.output_processor.get_num_unfinished_requests() for core in self.cores()
        )

    async def all_ready(self) -> None:
        await until(lambda: all(u.state is EngineState.READY for u in self.engine.supervisors))


until = partial(waiting.until, seconds=HANG_S)


def noise(seed: int, width: int = 160, height: int = 120) -> PageImage:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PageImage(width, height, pixels.tobytes())


def short(mode: str, max_tokens: int = 6) -> PromptMode:
    """A built-in mode with a short answer."""
    known = BUILT_IN_MODES[mode]
    return PromptMode(
        name=known.name,
        prompt=known.prompt,
        answers=known.answers,
        max_tokens=max_tokens,
        guard=known.guard,
    )


def little(name: str, *, seed: int = 0, max_tokens: int = 6) -> PageRequest:
    """A page that is quick to read."""
    return PageRequest(id=name, image=noise(seed), mode=short("ocr", max_tokens), resolution=LITTLE)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def resident(checkpoint: Path) -> AsyncIterator[Resident]:
    """Both engines up."""
    # As on a GPU the model runs in the engine's own process; a CPU build allows that only so.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    one = Resident(checkpoint)
    await one.engine.start(one.stages.append)
    try:
        yield one
    finally:
        await one.engine.stop()
