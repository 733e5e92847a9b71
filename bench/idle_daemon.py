"""A daemon for benchmarks whose engine is `never` ready, or reads in no time, `forever`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from ocrd.cli.run import share_arenas
from ocrd.config import load
from ocrd.daemon.daemon import Daemon
from ocrd.engine.base import EngineState, PageRequest
from ocrd.events import Events
from ocrd.page import Block, PageResult
from tests.unit.engine.fake import FakeEngine


class NoEngine(FakeEngine):
    """An engine that takes no time; with `ready=False` it never becomes ready."""

    kind, model, dpi = "none", "none-1", 144

    def __init__(self, *, ready: bool) -> None:
        super().__init__(workers=4)
        self._state = EngineState.LOADING
        self._ready = ready

    async def start(self, progress: Callable[[str], None]) -> None:
        if not self._ready:
            await asyncio.Event().wait()
        await super().start(progress)

    async def recognise(self, request: PageRequest) -> PageResult:
        return PageResult(text="a page", blocks=(Block("text", "a page"),), output_tokens=2)


if __name__ == "__main__":
    share_arenas()
    engine = NoEngine(ready=sys.argv[2] == "forever")
    asyncio.run(Daemon(load(Path(sys.argv[1])), Events(), engine=engine).run())
