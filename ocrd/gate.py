"""Who may use the engine next: many jobs share it, and none can hold up the others.

A slot goes to the waiting page of the highest priority; among equals to the job with the
fewest pages in flight, and then to the job that has waited longest since its last slot: the one
page of a letter overtakes the 2,999 that a book still has waiting.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Pages:
    """The pages of one job: how many hold a slot, and which wait for one."""

    served: int  # counter value when the job last got a slot, or when it arrived
    priority: int = 0
    in_flight: int = 0
    waiting: deque[asyncio.Future[int]] = field(default_factory=deque)


class PageGate:
    """Lets at most `capacity` pages be in flight, shared fairly among jobs.  For one event loop.

    Args:
        capacity: How many pages may be in flight at once; at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = max(1, capacity)
        self._jobs: dict[int, _Pages] = {}
        self._count = itertools.count()

    @property
    def in_flight(self) -> int:
        """Pages that hold a slot now."""
        return sum(pages.in_flight for pages in self._jobs.values())

    @property
    def waiting(self) -> int:
        """Pages that wait for a slot now."""
        return sum(len(pages.waiting) for pages in self._jobs.values())

    @asynccontextmanager
    async def slot(self, job: int, priority: int = 0) -> AsyncIterator[int]:
        """Hold a slot for a page of `job`; yields how many others the job held when it got it."""
        pages = self._jobs.setdefault(job, _Pages(next(self._count)))
        pages.priority = priority
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        pages.waiting.append(turn)
        self._hand_out()
        try:
            yield await turn
        finally:
            if turn.done() and not turn.cancelled():  # even if it was cancelled meanwhile
                pages.in_flight -= 1
            elif turn in pages.waiting:
                pages.waiting.remove(turn)
            if not pages.in_flight and not pages.waiting and self._jobs.get(job) is pages:
                del self._jobs[job]
            self._hand_out()

    def _hand_out(self) -> None:
        while self.in_flight < self.capacity:
            asking = [pages for pages in self._jobs.values() if pages.waiting]
            if not asking:
                return
            first = min(asking, key=lambda each: (-each.priority, each.in_flight, each.served))
            turn = first.waiting.popleft()
            if not turn.cancelled():
                turn.set_result(first.in_flight)
                first.in_flight += 1
                first.served = next(self._count)
