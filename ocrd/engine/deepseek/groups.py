"""When pages that wait may begin: many at once, where many are being read.  Pure.

Answers end one by one, and a page that takes the place of each would make every step a slow one: a
step that takes in one page costs six times one that takes in none, and one that takes in sixteen
costs little more than one page's.  So places are left empty for a moment until a group fills them.
"""

from __future__ import annotations

from collections.abc import Callable

GROUP = 16  # pages; with them vLLM's usual budget of a step is full
SHARE = 8  # no more than so much of all places is left empty
LONGEST_S = 1.0  # what a page may wait for others where every place is taken


class PageGroups:
    """Says before each step whether pages may begin."""

    def __init__(self, places: int, clock: Callable[[], float]) -> None:
        self._places = places
        self._clock = clock
        self._group = min(GROUP, places // SHARE)
        self._since: float | None = None  # when the first page of this group could have begun
        self._open = False

    def admits(self, running: int, waiting: int) -> bool:
        """Whether pages that wait may begin in this step, beside those that are being read."""
        ready = min(waiting, self._places - running)
        if ready <= 0:
            self._since, self._open = None, False
            return True
        if self._since is None:
            self._since = self._clock()
        waited = self._clock() - self._since
        self._open = self._open or ready >= self._group or waited >= self._patience_s(running)
        return self._open

    def _patience_s(self, running: int) -> float:
        """The more pages a step holds up, the longer others are waited for."""
        if running <= self._places // SHARE:
            return 0.0
        return LONGEST_S * running / self._places
