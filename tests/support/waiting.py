"""Waits for another process or thread, long enough for a very busy machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

HANG_S = 240.0
"""Seconds after which something that has not happened is assumed never to happen."""


class Process(Protocol):
    """A process that may end: a `subprocess.Popen` or a `Forked`."""

    def poll(self) -> int | None: ...


def wait_for(
    true: Callable[[], object],
    *,
    despite: tuple[type[Exception], ...] = (),
    process: Process | None = None,
    seconds: float = HANG_S,
) -> None:
    """Wait until a condition holds; the test fails if it never does.

    Args:
        true: The condition.
        despite: Exceptions that it may raise meanwhile.
        process: A process that must keep running: if it ends, the test fails.
        seconds: The longest wait; it must suffice on a busy machine.
    """
    end = time.monotonic() + seconds
    while True:
        asked = time.thread_time()
        with suppress(*despite):
            if true():
                return
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < end, f"not within {seconds:.0f} s"
        # The awaited process needs the core, too: the checks take at most a tenth of it.
        time.sleep(max(0.02, 9 * (time.thread_time() - asked)))


async def until(true: Callable[[], object], *, seconds: float = HANG_S) -> None:
    """Wait in an event loop until a condition holds that nothing announces: a state, a thread."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
