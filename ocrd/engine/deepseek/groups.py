"""Decides when waiting pages may begin: in groups, if many pages are being read.  Pure.

Answers end one by one, and if a new page took the place of each, every step would be slow: a step
that starts one page takes six times as long as one that starts none, and one that starts sixteen
takes little longer than that.  So places are left empty for a moment until a group can fill them.
"""

from __future__ import annotations

from collections.abc import Callable

GROUP = 16  # pages; they fill vLLM's usual token budget of a step
SHARE = 8  # at most one in so many places is left empty
LONGEST_S = 1.0  # how long a page may wait for others if all places are taken


class PageGroups:
    """Decides before each step whether pages may begin."""

    def __init__(self, places: int, clock: Callable[[], float]) -> None:
        self._places = places
        self._clock = clock
        self._group = min(GROUP, places // SHARE)
        self._since: float | None = None  # when the first page of this group could have begun
        self._open = False

    def admits(self, running: int, waiting: int) -> bool:
        """Whether waiting pages may begin in this step, while `running` pages are being read."""
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
        """Seconds to wait for a full group: the more pages are running, the longer."""
        if running <= self._places // SHARE:
            return 0.0
        return LONGEST_S * running / self._places
