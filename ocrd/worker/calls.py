"""Blocking calls off the event loop: each place has threads of its own.

A share that hangs takes its own threads and no others.  They are daemon threads, ended by nobody: a
call that never answers keeps neither its folder's neighbours nor the end of the process waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar, cast

from ocrd.files import display

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16  # for one place at most
IDLE_S = 10.0  # a thread without work ends after so long
LEDGER = "the ledger"  # as a place
SPOOL = "the spool"  # likewise
HANGS_S = 30.0  # a call that has not answered for so long is told of


@dataclass(frozen=True, kw_only=True, slots=True)
class Hanging:
    """Calls to a place that do not answer; `seconds` is for how long the oldest has not."""

    place: str
    calls: int
    seconds: float

    @property
    def message(self) -> str:
        """What an operator is told."""
        what = "a call" if self.calls == 1 else f"{self.calls} calls"
        have = "has" if self.calls == 1 else "have"
        return f"{what} to {display(self.place)} {have} not answered for {self.seconds:.0f} s"


class Calls:
    """Runs blocking calls off the event loop, on so many threads for one place at most."""

    def __init__(self, threads: int = THREADS) -> None:
        self._most = threads
        self._places: dict[str, _Place] = {}
        self._awaited: set[_Asked] = set()

    async def __call__(
        self, place: Path | str, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await what `call` returns.

        It waits, if it does, for `place`: a tree, the ledger, the spool.  A cancelled caller ends
        no sooner than the call, if that has begun: who takes up its work must not meet it.
        """
        asked, name = _Asked(partial(call, *args, **kwargs)), str(place)
        if name not in self._places:
            self._places[name] = _Place(name, self._most)
        at = self._places[name]
        at.submit(asked)
        self._awaited.add(asked)
        try:
            return cast(T, await asked.ended)
        except asyncio.CancelledError:  # as `asked.ended` is
            if at.has_begun(asked) and not asked.over:
                asked.ended = asyncio.get_running_loop().create_future()
                asked.ended.add_done_callback(lambda end: end.cancelled() or end.exception())
                await asyncio.wait({asked.ended})
            raise
        finally:
            self._awaited.discard(asked)

    def hanging(self, least_s: float | None = None) -> list[Hanging]:
        """The places that have not answered a call for so long, or `HANGS_S`, the longest first."""
        now, found = time.monotonic(), []
        least_s = HANGS_S if least_s is None else least_s
        for name, place in list(self._places.items()):
            waits = [now - since for since in list(place.since.values())]
            if waits and max(waits) >= least_s:
                found.append(Hanging(place=name, calls=len(waits), seconds=max(waits)))
        return sorted(found, key=lambda each: -each.seconds)

    def abandon(self) -> None:
        """Let go whoever waits for a call: the process ends, and calls that hang end with it."""
        for asked in list(self._awaited):
            asked.over = True
            asked.ended.cancel()


class _Asked:
    """A call, and the future of its loop that gets its answer."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.begun = False
        self.over = False  # it has returned, or was let go
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Any] = self._loop.create_future()

    def tell(self, answer: Any, error: BaseException | None) -> None:
        """From any thread; nobody is told whose loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, answer, error)

    def _end(self, answer: Any, error: BaseException | None) -> None:
        self.over = True
        if self.ended.done():  # nobody waits for it, or only hears now that it was cancelled
            return
        if error is None:
            self.ended.set_result(answer)
        else:
            self.ended.set_exception(error)


class _Place:
    """The threads of one place: as many as are needed, up to the most."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Asked] = SimpleQueue()
        self._waiting = 0  # calls
        self._idle = 0  # threads
        self._threads = 0
        self.since: dict[int, float] = {}  # by thread: when its call began

    def submit(self, asked: _Asked) -> None:
        """Have it called when its turn comes."""
        with self._lock:
            self._waiting += 1
            self._queue.put(asked)
            if self._waiting > self._idle and self._threads < self._most:
                self._threads += 1
                self._idle += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def has_begun(self, asked: _Asked) -> bool:
        """Whether a thread has taken it up: one that is cancelled before never is."""
        with self._lock:
            return asked.begun

    def _serve(self) -> None:
        me = threading.get_ident()
        while (taken := self._next()) is not None:
            if taken.begun:
                self.since[me] = time.monotonic()
                try:
                    tell = partial(taken.tell, taken.call(), None)
                except BaseException as error:
                    tell = partial(taken.tell, None, error)
                del self.since[me]
                tell()
                del tell
            del taken  # a thread that waits keeps no job's things
            with self._lock:
                self._idle += 1

    def _next(self) -> _Asked | None:
        """The next call, begun unless it was cancelled; None when this thread is to end."""
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
                taken.begun = not taken.ended.cancelled()
            return taken
