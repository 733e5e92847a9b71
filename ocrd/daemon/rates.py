"""How fast it goes: pages and jobs as the events tell them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from ocrd.events import Event

WINDOW_S = 60.0
PAGE_EVENTS = frozenset({"page.done", "page.partial", "page.failed"})
JOB_ENDS = frozenset({"job.done", "job.failed", "job.cancelled"})
FAILURES = frozenset({"job.failed", "file.refused"})


class Rates:
    """A sink that counts pages and jobs, and knows each folder's pages per second of late.

    Args:
        clock: A clock that never goes back, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._recent: deque[tuple[float, str]] = deque()
        self._lately = Counter[str]()  # the same by folder
        self.pages = 0
        self.reused = 0
        self.ended = 0
        self.failed = 0

    def __call__(self, event: Event) -> None:
        """Count one event."""
        if event.name in PAGE_EVENTS:
            self.pages += 1
            self.reused += bool(event.fields.get("reused"))
            self._recent.append((self._clock(), event.fields["folder"]))
            self._lately[event.fields["folder"]] += 1
        elif event.name in JOB_ENDS:
            self.ended += 1
        self.failed += event.name in FAILURES

    def pages_per_s(self, folder: str | None = None) -> float:
        """Pages finished per second over the last minute (or since the start, if sooner).

        Args:
            folder: Whose; of all if None.
        """
        now = self._clock()
        while self._recent and self._recent[0][0] < now - WINDOW_S:
            self._lately[self._recent.popleft()[1]] -= 1
        span = min(WINDOW_S, now - self._started)
        pages = len(self._recent) if folder is None else self._lately[folder]
        return pages / span if span > 0 else 0.0
