"""How late things happen in this process, and who in it uses the processors."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Self

from bench.common import cpu_s

TICK_S = 0.001
PAUSE_S = 0.009  # between two ticks, so that measuring costs next to nothing
LOOK_S = 0.05
USAGE_S = 0.5
CHILDREN_S = 2.0  # looking at them costs milliseconds

LOOP = "event loop"
PREPARING = "preparing threads"
CALLS = "threads for disk and ledger"
DEFAULT = "asyncio's own threads"
OTHERS = "other threads"
CHILDREN = "page workers and builders"
GROUPS = {
    "MainThread": LOOP,
    "ocrd-render": PREPARING,
    "call": CALLS,
    "claim": CALLS,
    "asyncio": DEFAULT,
}

Late = list[tuple[float, float]]
"""When, and by how many seconds."""

Usage = list[tuple[float, dict[str, float]]]
"""When, and how many seconds by whom."""


class Pulse:
    """Measures while it is entered, in this process.

    Args:
        also: Called every `LOOK_S` on the event loop.

    Attributes:
        loop: How late a task was that slept for a millisecond.  An idle loop is late by up to
            one more, since Linux is asked to wait for whole ones.
        lock: How late a thread was that did: an idle machine's timer, and Python's lock.
        usage: Seconds of CPU that were used by then, by thread (`GROUPS`), `user` and `system`.
        children: Likewise by those that work on files.
    """

    def __init__(self, also: Callable[[], None] = lambda: None) -> None:
        self.loop: Late = []
        self.lock: Late = []
        self.usage: Usage = []
        self.children: Usage = []
        self._also = also
        self._over = threading.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()
        self._tasks = [
            asyncio.create_task(self._tick()),
            asyncio.create_task(self._every(LOOK_S, self._also)),
            asyncio.create_task(self._every(USAGE_S, self._use)),
            asyncio.create_task(self._every(CHILDREN_S, self._use_of_children)),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _tick(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            self.loop.append((now, now - began - TICK_S))
            await asyncio.sleep(PAUSE_S)

    async def _every(self, seconds: float, call: Callable[[], None]) -> None:
        while True:
            call()
            await asyncio.sleep(seconds)

    def _use(self) -> None:
        self.usage.append((time.perf_counter(), used()))

    def _use_of_children(self) -> None:
        self.children.append((time.perf_counter(), {CHILDREN: sum(map(cpu_s, children()))}))

    def _beat(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            time.sleep(TICK_S)
            now = time.perf_counter()
            self.lock.append((now, now - began - TICK_S))
            time.sleep(PAUSE_S)


def used() -> dict[str, float]:
    """Seconds of CPU that this process has used so far."""
    whole = resource.getrusage(resource.RUSAGE_SELF)
    seconds = defaultdict(float, user=whole.ru_utime, system=whole.ru_stime)
    for thread in threading.enumerate():  # none of them can end before this does
        group = GROUPS.get(thread.name.partition("_")[0])
        if group is not None and thread.ident is not None:
            clock = time.pthread_getcpuclockid(thread.ident)
            seconds[group] += time.clock_gettime(clock)
    known = sum(seconds[group] for group in set(GROUPS.values()))
    seconds[OTHERS] = whole.ru_utime + whole.ru_stime - known  # those of libraries among them
    return dict(seconds)


def children() -> list[int]:
    """Page workers and document builders; not the engine, which is busy while it waits, too."""
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            pids = task.read_text().split()
        except OSError:  # the thread has ended
            continue
        found += [int(pid) for pid in pids if b"ocrd.children" in _command(pid)]
    return found


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
