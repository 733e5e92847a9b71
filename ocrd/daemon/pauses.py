"""Folders that wait because a place is out of order.  Pure: time is a parameter.

A full disk or a vanished share is a condition of a place, not a fault of a job.  A paused folder
claims nothing; now and then one of its stalled jobs goes first and tries.  When that works, the
condition has ended and the rest follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ocrd.errors import OcrdError

FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Why a folder waits, since when, and when it is tried again (times of one clock)."""

    kind: str
    message: str
    hint: str
    since: float
    until: float
    delay: float

    def over(self, now: float) -> bool:
        """Whether it is time for a try: not after years, when the clock was put back meanwhile."""
        return now >= self.until or now < self.until - self.delay


class Pauses:
    """Which folders are paused now."""

    def __init__(self) -> None:
        self._paused: dict[str, Pause] = {}

    @property
    def now(self) -> Mapping[str, Pause]:
        """The paused folders by name."""
        return self._paused

    def met(self, folder: str, error: OcrdError, now: float) -> bool:
        """A job of `folder` met a condition.  True when the folder was not paused before."""
        before = self._paused.get(folder)
        if before is None:
            self._paused[folder] = Pause(
                kind=error.kind,
                message=error.message,
                hint=error.hint,
                since=now,
                until=now + FIRST_DELAY_S,
                delay=FIRST_DELAY_S,
            )
            return True
        if before.over(now):  # the try failed; several jobs stalling at once are one failure
            delay = min(before.delay * 2, LONGEST_DELAY_S)
            self._paused[folder] = replace(
                before,
                kind=error.kind,
                message=error.message,
                hint=error.hint,
                until=now + delay,
                delay=delay,
            )
        return False

    def due(self, now: float) -> list[str]:
        """Paused folders whose next try has come."""
        return [folder for folder, pause in self._paused.items() if pause.over(now)]

    def ended(self, folder: str) -> Pause | None:
        """A job of `folder` got through: the pause that ends with it, if there was one."""
        return self._paused.pop(folder, None)
