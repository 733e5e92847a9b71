"""A daemon whose engine holds every page until all are there, then answers all at once.

    python -m bench.wave_daemon CONFIG FILES FIGURES [TRACE]

That is what a GPU with room for so many pages makes of a full inbox: one wave in, one wave out.
Run by `bench.daemon_overhead`; writes what the waves cost as JSON to FIGURES, and what
`bench.stages` reads to TRACE.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event

from bench import stages
from bench.common import cpu_s, family
from bench.passages import PassageDisk, Passages
from bench.pulse import Pulse
from ocrd.allocator import share_arenas
from ocrd.config import load
from ocrd.daemon.daemon import Daemon
from ocrd.engine.base import EngineReport, EngineState, PageRequest
from ocrd.events import Event, Events
from ocrd.files import Shared
from ocrd.modes import PromptMode, Resolution
from ocrd.observe.log import log_sink
from ocrd.page import Block, PageResult

LOADING_S = 1.0  # all files are queued by then
LINES = 40


def answer(number: int) -> PageResult:
    """A page of grounded Markdown: a title, a figure and forty paragraphs."""
    pieces = [f"<|ref|>title<|/ref|><|det|>[[80, 40, 920, 80]]<|/det|>\n# Page {number}"]
    pieces += ["<|ref|>image<|/ref|><|det|>[[100, 90, 400, 200]]<|/det|>"]
    for line in range(LINES):
        top = 210 + 19 * line
        box = f"<|ref|>text<|/ref|><|det|>[[80, {top}, 920, {top + 17}]]<|/det|>"
        pieces.append(f"{box}\nLine {line} of page {number}: balance carried forward to account 4")
    text = "\n\n".join(pieces)
    return PageResult(
        text=text,
        blocks=(Block("text", text),),
        prompt_tokens=939,
        output_tokens=800,
        seconds=1.0,
    )


class WaveEngine:
    """Holds the pages until `size` of them are there."""

    kind, model, dpi = "fake", "wave-1", 144

    def __init__(self, size: int, told: Passages) -> None:
        self.capacity = size
        self.opened = asyncio.Event()  # every page is there
        self.go_on = asyncio.Event()
        self._held = 0
        self._told = told
        self._state = EngineState.LOADING

    def report(self) -> EngineReport:
        return EngineReport(state=self._state)

    def unsupported(self, mode: PromptMode) -> str | None:
        return None

    def unseen(self, resolution: Resolution) -> str | None:
        return None

    async def start(self, progress: Callable[[str], None]) -> None:
        await asyncio.sleep(LOADING_S)
        self._state = EngineState.READY

    async def recognise(self, request: PageRequest) -> PageResult:
        self._held += 1
        number = self._held
        self._told.mark("given to the engine", request.id)
        if self._held == self.capacity:
            self.opened.set()
        await self.go_on.wait()
        self._told.mark("answered", request.id)
        return answer(number)

    async def stop(self) -> None:
        self._state = EngineState.STOPPED


class CountingDisk(PassageDisk):
    """Counts what it makes durable."""

    def __init__(self, told: Passages) -> None:
        super().__init__(told)
        self.syncs = 0
        self._lock = threading.Lock()
        self._sharing = Shared(self._sync_dir)

    def fsync_file(self, path: Path) -> None:
        self._count()
        super().fsync_file(path)

    def fsync_dir(self, path: Path) -> None:
        self._sharing(path)

    def _sync_dir(self, path: Path) -> None:
        self._count()
        super().fsync_dir(path)

    def _count(self) -> None:
        with self._lock:
            self.syncs += 1


class Commits:
    """Counts the ledger's commits of transactions that wrote."""

    def __init__(self) -> None:
        self.count = 0
        event.listen(SqlEngine, "commit", self._count)

    def _count(self, connection: Any) -> None:
        self.count += bool(connection.get_execution_options().get("ocrd_immediate"))


class Meter:
    """Reads the counters at one moment after another."""

    def __init__(self, disk: CountingDisk, commits: Commits) -> None:
        self._disk = disk
        self._commits = commits
        self.figures: dict[str, dict[str, float]] = {}
        self._last = self._now()

    def take(self, name: str) -> None:
        """What was used since the last call goes under `name`; an empty name forgets it."""
        now = self._now()
        if name:
            self.figures[name] = {key: now[key] - self._last[key] for key in now}
        self._last = now

    def _now(self) -> dict[str, float]:
        return {
            "wall_s": time.perf_counter(),
            "main_cpu_s": time.process_time(),
            "main_kernel_s": os.times().system,
            "children_cpu_s": sum(map(cpu_s, family(os.getpid())[1:])),
            "syncs": self._disk.syncs,
            "commits": self._commits.count,
        }


async def live(config: Path, size: int, told: Passages) -> dict[str, dict[str, float]]:
    """Run the daemon; seconds, CPU, fsyncs and commits of the two waves."""
    engine, disk = WaveEngine(size, told), CountingDisk(told)
    meter = Meter(disk, Commits())
    left = size

    def watch(happened: Event) -> None:
        nonlocal left
        if happened.name == "engine.ready":
            meter.take("")
        elif happened.name == "job.done":
            left -= 1
            if not left:
                meter.take("out")

    async def waves() -> None:
        await engine.opened.wait()
        meter.take("in")
        await asyncio.sleep(0.5)  # what follows the last page of the wave does not count as out
        meter.take("")
        engine.go_on.set()

    events = Events(log_sink("json", "info", io.StringIO()), watch, told)
    daemon = Daemon(
        load(config),
        events,
        once=True,
        engine=engine,
        disk=disk,
        make_pages=told.make_pages,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(waves())
        await daemon.run()
    return meter.figures


async def traced(config: Path, size: int, trace: Path) -> dict[str, dict[str, float]]:
    """The same, with a trace for `bench.stages`; that costs a little."""
    passages = Passages()
    async with Pulse() as pulse:
        figures = await live(config, size, passages)
    stages.write(passages, pulse, trace)
    return figures


def main() -> None:
    share_arenas()
    config, size, figures, *trace = sys.argv[1:]
    if trace:
        waves = traced(Path(config), int(size), Path(trace[0]))
    else:
        waves = live(Path(config), int(size), Passages())
    Path(figures).write_text(json.dumps(asyncio.run(waves)))


if __name__ == "__main__":
    main()
