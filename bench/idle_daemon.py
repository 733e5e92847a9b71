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
from ocrd.engine.deepseek.grounding import parse
from ocrd.events import Events
from ocrd.modes import PromptMode, Reader, Resolution
from ocrd.page import PageResult

LINES = 40


def answer() -> PageResult:
    """A page of grounded Markdown: a title, a figure and forty paragraphs."""
    pieces = ["<|ref|>title<|/ref|><|det|>[[80, 40, 920, 80]]<|/det|>\n# A page"]
    pieces += ["<|ref|>image<|/ref|><|det|>[[100, 90, 400, 200]]<|/det|>"]
    for line in range(LINES):
        top = 210 + 19 * line
        box = f"<|ref|>text<|/ref|><|det|>[[80, {top}, 920, {top + 17}]]<|/det|>"
        pieces.append(f"{box}\nLine {line} of the page: balance carried forward to account 4")
    text = "\n\n".join(pieces)
    blocks = tuple(parse(text, Reader.DOCUMENT))
    return PageResult(text=text, blocks=blocks, prompt_tokens=939, output_tokens=800, seconds=1.0)


RESULT = answer()


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
