"""A daemon whose engine is `never` ready, or reads in no time, `forever`.  Run by benchmarks."""

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
from ocrd.page import Block, PageResult


class NoEngine:
    """Takes no time; with `ready=False` it never gets ready."""

    kind, model, capacity, dpi = "none", "none-1", 4, 144

    def __init__(self, *, ready: bool) -> None:
        self._state = EngineState.LOADING
        self._ready = ready

    def named(self, language: str) -> tuple[str, str]:
        return self.kind, self.model

    def report(self) -> EngineReport:
        return EngineReport(state=self._state)

    def unsupported(self, mode: PromptMode) -> str | None:
        return None

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        return None

    async def start(self, progress: Callable[[str], None]) -> None:
        if not self._ready:
            await asyncio.Event().wait()
        self._state = EngineState.READY

    async def recognise(self, request: PageRequest) -> PageResult:
        return PageResult(text="a page", blocks=(Block("text", "a page"),), output_tokens=2)

    async def stop(self) -> None:
        self._state = EngineState.STOPPED


if __name__ == "__main__":
    share_arenas()
    engine = NoEngine(ready=sys.argv[2] == "forever")
    asyncio.run(Daemon(load(Path(sys.argv[1])), Events(), engine=engine).run())
