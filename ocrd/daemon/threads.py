"""Blocking calls off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 32  # for ledger and spool calls, which wait for the disk and share its commits
# For the first step of jobs, into the spool.  Hundreds are claimed at once, and none of them, nor a
# share that hangs, is to stand before the next step of a page that the engine could have.
CLAIMING = 16


class Threads:
    """Runs blocking calls off the event loop.

    Args:
        count: At most so many at once.
        name: Of the threads.
    """

    def __init__(self, count: int = THREADS, name: str = "call") -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await what `call` returns.

        A cancelled caller ends no sooner than the call, if that has begun: who takes up its work
        must not meet it.
        """
        begun = self._pool.submit(partial(call, *args, **kwargs))
        ended = asyncio.wrap_future(begun)
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if not begun.cancel():
                await asyncio.wait({ended})
            raise

    def stop(self) -> None:
        """Wait for what still runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)
