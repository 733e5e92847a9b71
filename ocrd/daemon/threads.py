"""Blocking calls off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 32  # for ledger and spool calls, which wait for the disk and share its commits


class Threads:
    """Runs blocking calls off the event loop.  For one event loop at a time.

    Calls that end together wake the loop once: there are a dozen for each file, and waking it
    costs as much as some of them.
    """

    def __init__(self, count: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="call")
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: list[_Begun] = []  # the loop has been woken for them

    async def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await what `call` returns.

        A cancelled caller ends no sooner than the call, if that has begun: who takes up its work
        must not meet it.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            with self._lock:
                self._loop, self._over = loop, []
        begun = _Begun(partial(call, *args, **kwargs), loop)
        place = self._pool.submit(self._run, begun)
        try:
            await begun.over
        except asyncio.CancelledError:
            if begun.over.cancelled() and not place.cancel():
                begun.over = loop.create_future()
                await asyncio.wait({begun.over})
            raise
        return cast(T, begun.outcome())

    def stop(self) -> None:
        """Wait for what still runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, begun: _Begun) -> None:
        begun.run()
        with self._lock:
            if begun.loop is not self._loop or begun.loop.is_closed():
                return  # nobody waits any more
            first = not self._over
            self._over.append(begun)
        if first:
            begun.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            over, self._over = self._over, []
        for begun in over:
            if not begun.over.done():
                begun.over.set_result(None)


class _Begun:
    """A call, and what came of it.

    Attributes:
        loop: Of its caller.
        over: Done once it has ended.  Only the loop touches it.
    """

    def __init__(self, call: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.over: asyncio.Future[None] = loop.create_future()
        self._call = call
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make the call, on whatever thread."""
        try:
            self._value = self._call()
        except BaseException as error:  # the caller's to deal with
            self._error = error

    def outcome(self) -> Any:
        """What it returned; raises what it raised."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error  # it holds this frame, which would hold it
