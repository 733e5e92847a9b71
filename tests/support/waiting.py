"""Waiting for what another process or thread does: as long as the busiest machine takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

HANG_S = 240.0
"""What has not come to pass after so many seconds never does."""


class Process(Protocol):
    """One that may end: `subprocess.Popen`, `Forked`."""

    def poll(self) -> int | None: ...


def wait_for(
    true: Callable[[], object],
    *,
    despite: tuple[type[Exception], ...] = (),
    process: Process | None = None,
    seconds: float = HANG_S,
) -> None:
    """Wait until something is true; the test fails if it never is.

    Args:
        true: Says so.
        despite: What it may raise meanwhile.
        process: One that runs all the time: its end ends the waiting, too.
        seconds: How long a machine may take that has much else to do.
    """
    end = time.monotonic() + seconds
    while True:
        asked = time.thread_time()
        with suppress(*despite):
            if true():
                return
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < end, f"not within {seconds:.0f} s"
        # What is waited for needs the core, too: asking takes a fifth of it at the most.
        time.sleep(max(0.02, 4 * (time.thread_time() - asked)))


async def until(true: Callable[[], object], *, seconds: float = HANG_S) -> None:
    """Wait in an event loop for what does not tell when it is so: a state, a thread, a process."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
