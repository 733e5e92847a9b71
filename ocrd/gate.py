"""Who may use the engine next: many jobs share it, and none can hold up the others.

A slot goes to the waiting page of the highest priority; among equals to the job with the
fewest pages in flight, and then to the one that has gone longest without: the one page of a
letter overtakes the 2,999 that a book still has waiting.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PageGate:
    """At most `capacity` pages in flight, handed out fairly.  For one event loop.

    Args:
        capacity: How many pages may be in flight at once; at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = max(1, capacity)
        self._in_flight: Counter[int] = Counter()
        self._waiting: dict[int, deque[asyncio.Future[int]]] = {}
        self._priority: dict[int, int] = {}
        self._served: dict[int, int] = {}  # when last given a slot, or when it came
        self._count = itertools.count()

    @property
    def in_flight(self) -> int:
        """Pages that hold a slot now."""
        return self._in_flight.total()

    @property
    def waiting(self) -> int:
        """Pages that wait for a slot now."""
        return sum(len(queue) for queue in self._waiting.values())

    @asynccontextmanager
    async def slot(self, job: int, priority: int = 0) -> AsyncIterator[int]:
        """Hold one slot for a page of `job`; how many others it held when it got this one."""
        others = await self._acquire(job, priority)
        try:
            yield others
        finally:
            self._release(job)

    async def _acquire(self, job: int, priority: int) -> int:
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job, deque()).append(turn)
        self._priority[job] = priority
        self._served.setdefault(job, next(self._count))
        self._hand_out()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the slot came with the cancellation
                self._release(job)
            elif job in self._waiting and turn in self._waiting[job]:
                self._waiting[job].remove(turn)
                self._forget_if_idle(job)
            raise

    def _release(self, job: int) -> None:
        self._in_flight[job] -= 1
        if not self._in_flight[job]:
            del self._in_flight[job]
        self._forget_if_idle(job)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self.in_flight < self.capacity:
            job = min(
                self._waiting,
                key=lambda job: (-self._priority[job], self._in_flight[job], self._served[job]),
            )
            turn = self._waiting[job].popleft()
            if not turn.cancelled():
                turn.set_result(self._in_flight[job])
                self._in_flight[job] += 1
                self._served[job] = next(self._count)
            self._forget_if_idle(job)

    def _forget_if_idle(self, job: int) -> None:
        if not self._waiting.get(job):
            self._waiting.pop(job, None)
            if job not in self._in_flight:
                self._priority.pop(job, None)
                self._served.pop(job, None)
