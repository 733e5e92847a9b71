"""A daemon whose engine holds every page until all are there, then answers all at once.

    python -m bench.wave_daemon CONFIG FILES FIGURES

That is what a GPU with room for so many pages makes of a full inbox: one wave in, one wave out.
Run by `bench.daemon_overhead`; writes what the waves cost as JSON to FIGURES.
"""

from __future__ import annotations

import asyncio
import contextlib
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

from bench.common import family
from ocrd.allocator import share_arenas
from ocrd.config import load
from ocrd.daemon.daemon import Daemon
from ocrd.engine.base import EngineReport, EngineState, PageRequest
from ocrd.events import Event, Events
from ocrd.modes import PromptMode, Resolution
from ocrd.observe.log import log_sink
from ocrd.page import PageResult
from ocrd.spool import Disk
from ocrd.spool.shared import Shared

TICK = os.sysconf("SC_CLK_TCK")
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
    return PageResult(text=text, prompt_tokens=939, output_tokens=800, seconds=1.0)


class WaveEngine:
    """Holds the pages until `size` of them are there."""

    kind, model, dpi = "fake", "wave-1", 144

    def __init__(self, size: int) -> None:
        self.capacity = size
        self.opened = asyncio.Event()  # every page is there
        self.go_on = asyncio.Event()
        self._held = 0
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
        if self._held == self.capacity:
            self.opened.set()
        await self.go_on.wait()
        return answer(number)

    async def stop(self) -> None:
        self._state = EngineState.STOPPED


class CountingDisk(Disk):
    """Counts what it makes durable."""

    def __init__(self) -> None:
        super().__init__()
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


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICK
    return 0.0


async def live(config: Path, size: int) -> dict[str, dict[str, float]]:
    """Run the daemon; seconds, CPU, fsyncs and commits of the two waves."""
    engine, disk = WaveEngine(size), CountingDisk()
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

    events = Events(log_sink("json", "info", io.StringIO()), watch)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(waves())
        await Daemon(load(config), events, once=True, engine=engine, disk=disk).run()
    return meter.figures


def main() -> None:
    share_arenas()
    config, size, figures = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    figures.write_text(json.dumps(asyncio.run(live(config, size))))


if __name__ == "__main__":
    main()
