"""A daemon whose engine is never ready, or reads nothing in no time.  Run by the benchmarks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from ocrd.allocator import share_arenas
from ocrd.config import load
from ocrd.daemon.daemon import Daemon
from ocrd.engine.base import EngineReport, EngineState, PageRequest
from ocrd.events import Events
from ocrd.modes import PromptMode, Resolution
from ocrd.page import Block, Box, Line, PageResult

TEXT = "<|ref|>text<|/ref|><|det|>[[100, 100, 900, 140]]<|/det|>\nA line of text on the page."
RESULT = PageResult(
    text=TEXT,
    blocks=(Block("text", TEXT),),
    output_tokens=len(TEXT),
    lines=(Line("A line of text on the page.", Box(0.1, 0.1, 0.9, 0.14)),),
)


class NoEngine:
    """Takes no time; with `ready=False` it never gets ready."""

    kind, model, capacity, dpi = "none", "none-1", 4, 72

    def __init__(self, *, ready: bool) -> None:
        self._state = EngineState.LOADING
        self._ready = ready

    def report(self) -> EngineReport:
        return EngineReport(state=self._state)

    def unsupported(self, mode: PromptMode) -> str | None:
        return None

    def unseen(self, resolution: Resolution) -> str | None:
        return None

    async def start(self, progress: Callable[[str], None]) -> None:
        if not self._ready:
            await asyncio.Event().wait()
        self._state = EngineState.READY

    async def recognise(self, request: PageRequest) -> PageResult:
        return RESULT

    async def stop(self) -> None:
        self._state = EngineState.STOPPED


async def live(config: Path, how: str) -> None:
    """Run with an engine that is `never` ready; `ready`, until all is done; ready `forever`."""
    engine = NoEngine(ready=how != "never")
    await Daemon(load(config), Events(), once=how == "ready", engine=engine).run()


if __name__ == "__main__":
    share_arenas()
    asyncio.run(live(Path(sys.argv[1]), sys.argv[2]))
