"""Word that something in the ledger or in the daemon's snapshot has changed, for all who wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LOOK_S = 0.1


class Changes:
    """Looks at the files' times, once for all; whoever waits holds no thread.

    A commit touches the ledger's WAL, and the daemon replaces its snapshot once a second: both
    show in what `stat` says.

    Args:
        files: What to look at; those that are not there count, too.
    """

    def __init__(self, *files: Path) -> None:
        self._files = files
        self._seen = self._look()
        self._changed = asyncio.Event()
        self.generation = 0

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                self.generation += 1
                before, self._changed = self._changed, asyncio.Event()
                before.set()

    async def next(self, timeout_s: float) -> bool:
        """Wait for the next change; whether one came."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
            return True
        return False

    async def until(self, ask: Callable[[], Awaitable[T | None]], timeout_s: float) -> T | None:
        """Ask now and after each change until there is an answer; None when the time is over."""
        end = asyncio.get_running_loop().time() + timeout_s
        while True:
            event = self._changed  # before asking: a change meanwhile is not missed
            answer = await ask()
            left = end - asyncio.get_running_loop().time()
            if answer is not None or left <= 0:
                return answer
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), left)

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(map(_times, self._files))


def _times(file: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - asked ten times a second
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
