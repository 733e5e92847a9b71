"""Finished jobs are forgotten after a time, so that the ledger stays as small as it needs to be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ocrd.daemon.parts import House
from ocrd.errors import OcrdError
from ocrd.events import Events

EVERY_S = 3600.0
KEPT_OVER = 0.05  # so much longer than they are to be kept do jobs stay, at most an hour
BATCH = 1000  # rows in one transaction, so that claims need not wait long
DAY_S = 86400.0


async def forget_old_jobs(
    house: House, keep_days: float, events: Events, clock: Callable[[], float] = time.time
) -> None:
    """Drop done jobs older than `keep_days` from the ledger, now and all along; 0 keeps all.

    Their bundles and originals stay where they are; what is lost is their history, and that the
    same bytes would not need to be read again.
    """
    while keep_days:
        try:
            forgotten = await _forget(house, clock() - keep_days * DAY_S)
        except OcrdError as error:  # locked or full: there is time
            events.debug("ledger.not_pruned", error=error.message)
        else:
            if forgotten:
                events.emit("ledger.pruned", jobs=forgotten)
        await asyncio.sleep(min(EVERY_S, KEPT_OVER * keep_days * DAY_S))


async def _forget(house: House, before: float) -> int:
    total = 0
    while dropped := await house.call(house.ledger.prune, before, BATCH):
        total += dropped
    return total
