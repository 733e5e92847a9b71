"""Blocking calls off the event loop: each place has threads of its own.

A share that hangs blocks its own threads and no others.  They are daemon threads, which nothing has
to end: a call that never answers delays neither other folders nor the end of the process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from ocrd.files import display

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16  # at most, for one place
IDLE_S = 10.0  # a thread without work ends after so long
LEDGER = "the ledger"  # its name as a place
SPOOL = "the spool"  # likewise
HANGS_S = 30.0  # a call that has not answered for so long is reported


@dataclass(frozen=True, kw_only=True, slots=True)
class Hanging:
    """Calls to a place that do not answer; `seconds` is how long the oldest has been running."""

    place: str
    calls: int
    seconds: float

    @property
    def message(self) -> str:
        """The sentence that an operator reads."""
        what = "a call" if self.calls == 1 else f"{self.calls} calls"
        have = "has" if self.calls == 1 else "have"
        return f"{what} to {display(self.place)} {have} not answered for {self.seconds:.0f} s"


class Calls:
    """Runs blocking calls off the event loop, on at most `threads` threads for each place."""

    def __init__(self, threads: int = THREADS) -> None:
        self._most = threads
        self._places: dict[str, _Place] = {}
        self._awaited: dict[Future[Any], asyncio.Future[Any]] = {}  # what each call's caller awaits

    async def __call__(
        self, place: Path | str, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await the result of `call`.

        `place` is what the call may have to wait for: a tree, the ledger, the spool.  If the call
        has begun, a cancelled caller still awaits its end: whoever resumes the caller's work must
        not run into it.
        """
        answer, name = Future[T](), str(place)
        if name not in self._places:
            self._places[name] = _Place(name, self._most)
        self._places[name].submit(answer, partial(call, *args, **kwargs))
        waiter = asyncio.wrap_future(answer)
        self._awaited[answer] = waiter
        try:
            return await waiter
        except asyncio.CancelledError:  # the call is cancelled, too, unless it has begun
            if answer.running() and answer in self._awaited:
                waiter = self._awaited[answer] = asyncio.wrap_future(answer)
                waiter.add_done_callback(lambda end: end.cancelled() or end.exception())
                await asyncio.wait({waiter})
            raise
        finally:
            self._awaited.pop(answer, None)

    def hanging(self, least_s: float | None = None) -> list[Hanging]:
        """The places that leave a call unanswered for `least_s` or `HANGS_S`, the longest first."""
        now, found = time.monotonic(), []
        least_s = HANGS_S if least_s is None else least_s
        for name, place in list(self._places.items()):
            waits = [now - since for since in list(place.since.values())]
            if waits and max(waits) >= least_s:
                found.append(Hanging(place=name, calls=len(waits), seconds=max(waits)))
        return sorted(found, key=lambda each: -each.seconds)

    def abandon(self) -> None:
        """Cancel all waiting callers: the process is ending, and calls that hang end with it."""
        awaited, self._awaited = self._awaited, {}
        for waiter in awaited.values():
            waiter.cancel()


class _Place:
    """The threads of one place, started as they are needed, up to `most`."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._waiting = 0  # calls
        self._idle = 0  # threads
        self._threads = 0
        self.since: dict[int, float] = {}  # by thread: when its call began

    def submit(self, answer: Future[T], call: Callable[[], T]) -> None:
        """Queue `call` for a thread; it is not run if `answer` is cancelled before."""
        with self._lock:
            self._waiting += 1
            self._queue.put((answer, call))
            if self._waiting > self._idle and self._threads < self._most:
                self._threads += 1
                self._idle += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        me = threading.get_ident()
        while (taken := self._next()) is not None:
            answer, call = taken
            if answer.set_running_or_notify_cancel():
                self.since[me] = time.monotonic()
                try:
                    tell = partial(answer.set_result, call())
                except BaseException as error:
                    tell = partial(answer.set_exception, error)
                del self.since[me]
                tell()
                del tell
            del taken, answer, call  # an idle thread keeps no job's objects alive
            with self._lock:
                self._idle += 1

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """The next call; None when this thread is to end."""
        while True:
            try:
                taken = self._queue.get(timeout=IDLE_S)
            except Empty:
                with self._lock:
                    if self._waiting:
                        continue
                    self._idle -= 1
                    self._threads -= 1
                    return None
            with self._lock:
                self._waiting -= 1
                self._idle -= 1
            return taken
