"""`ocrd run --once`: when is everything that lay in the inboxes worked off?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from ocrd.daemon.parts import House
from ocrd.errors import PlaceError
from ocrd.inbox.inboxes import Inboxes
from ocrd.job import ACTIVE

LOOK_S = 0.2
STUCK_S = 15.0  # everything left has been waiting for a place for so long


class Once:
    """Waits for the end of a run over what lies in the inboxes.

    Args:
        house: Knows the jobs.
        inboxes: Know the files that still settle.
        clock: A clock that never goes back, seconds.
    """

    def __init__(
        self,
        house: House,
        inboxes: Inboxes,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._house = house
        self._inboxes = inboxes
        self._clock = clock

    async def over(self) -> None:
        """Return when no file settles and no job is active.

        Raises:
            PlaceError: All that is left waits for a place that stays out of order.
        """
        stuck_since = None
        while True:
            settled = self._inboxes.settled()
            if settled and not self._house.dispatcher.running and not await self._active():
                return
            stuck_since = self._stuck(stuck_since, settled)
            await asyncio.sleep(LOOK_S)

    async def _active(self) -> int:
        """Jobs of the folders watched that have not come to an end."""
        counts = await self._house.call(self._house.ledger.counts)
        watched = self._inboxes.names()
        return sum(
            number
            for (folder, state), number in counts.items()
            if state in ACTIVE and folder in watched
        )

    def _stuck(self, since: float | None, settled: bool) -> float | None:
        """Since when nothing moves but the paused folders' tries; gives up in the end."""
        paused = self._house.pauses.now
        if not settled or not paused or self._house.dispatcher.running > len(paused):
            return None
        if since is None or self._clock() - since < STUCK_S:
            return self._clock() if since is None else since
        name, pause = next(iter(paused.items()))
        raise PlaceError(f"folder {name}: {pause.message}", hint=pause.hint, kind=pause.kind)
