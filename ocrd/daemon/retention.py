"""Deletes what was kept long enough: archived originals first, then the jobs that know of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ocrd.ages import AgeClock
from ocrd.config import Folder, fixed_part
from ocrd.daemon.troubles import Troubles
from ocrd.errors import OcrdError
from ocrd.files import Disk
from ocrd.job import Job
from ocrd.spool.expiry import Fate, tidy
from ocrd.worker.calls import LEDGER, SPOOL
from ocrd.worker.naming import dated
from ocrd.worker.pages import Parts

EVERY_S = 3600.0
KEPT_OVER = 0.05  # jobs may stay for this fraction of their time longer, at most an hour
BATCH = 1000  # rows in one transaction, so that claims need not wait long
ORIGINALS = 100  # deleted before the ledger records it
DAY_S = 86400.0


class Retention:
    """Regularly deletes originals, and forgets done jobs after `keep_done_days` (never with 0)."""

    def __init__(
        self,
        parts: Parts,
        folders: Callable[[], Mapping[str, Folder]],
        *,
        keep_done_days: float,
        troubles: Troubles,
        ages: AgeClock,
        disk: Disk | None = None,
    ) -> None:
        self._parts, self._events = parts, parts.events
        self._folders = folders
        self._keep_done_days = keep_done_days
        self._troubles, self._ages = troubles, ages
        self._disk = disk or Disk()

    async def run(self) -> None:
        """Run until cancelled.  What cannot be done now is done in the next round."""
        while True:
            try:
                await self.round()
            except OcrdError as error:  # the ledger is locked, or the disk is full
                self._events.debug("retention.waits", error=error.message)
            kept_s = self._keep_done_days * DAY_S
            await asyncio.sleep(min(EVERY_S, KEPT_OVER * kept_s) if kept_s else EVERY_S)

    async def round(self) -> None:
        """Delete and forget what is due now.

        Raises:
            LedgerError, PlaceError: The ledger cannot be used.
        """
        expiring = [each for each in self._folders().values() if each.keep_archive_days]
        if not expiring and not self._keep_done_days:
            return
        now = await self._parts.call(SPOOL, self._ages.now, self._newest)
        doubt = self._ages.doubt
        if doubt is not None and doubt is not self._troubles.clock:
            self._events.warn("clock.leapt", **doubt.told())
        self._troubles.clock = doubt
        if now is None:
            return
        fates: Counter[Fate] = Counter()
        for folder in expiring:
            fates += await self._parts.call(str(folder.archive), self._expire_in, folder, now)
        if fates[Fate.DELETED] or fates[Fate.FOREIGN]:
            self._events.emit(
                "archive.expired", deleted=fates[Fate.DELETED], left=fates[Fate.FOREIGN]
            )
        await self._prune({folder.name for folder in expiring}, now)

    def _newest(self) -> float | None:
        """When the newest job in the ledger was recorded or done, seconds since the epoch."""
        for job in self._parts.ledger.jobs(limit=1):
            return max(job.created_at, job.finished_at or 0.0)
        return None

    def _expire_in(self, folder: Folder, now: float) -> Counter[Fate]:
        """Delete due originals of one folder in batches, each then recorded in the ledger."""
        fates: Counter[Fate] = Counter()
        archive, last = fixed_part(folder.archive), 0
        before, ledger = now - folder.keep_archive_days * DAY_S, self._parts.ledger
        younger = ledger.first_recorded(before, now)
        while _holds_something(archive):
            jobs = ledger.archived(
                folder.name, before, after=last, younger=younger, limit=ORIGINALS
            )
            if not jobs:
                break
            last = jobs[-1].id
            met = dict.fromkeys(ledger.refiled(jobs), Fate.GONE)
            for job in jobs:
                fate = None if job.id in met else self._fate(job, archive, folder)
                if fate is not None:
                    met[job.id] = fate
            ledger.expired(met)
            fates.update(met.values())
        return fates

    def _fate(self, job: Job, archive: Path, folder: Folder) -> Fate | None:
        """What became of one original; None if that is still open."""
        try:
            fate = self._parts.spool.expire(job, archive)
        except (OSError, OcrdError) as error:
            self._events.debug("archive.waits", folder=folder.name, job=job.id, error=str(error))
            return None
        if fate in (Fate.DELETED, Fate.GONE) and job.archived_to:
            in_use = dated(folder.archive, self._parts.clock())
            tidy(Path(job.archived_to).parent, archive, in_use, self._disk)
        return None if fate is Fate.OUTSIDE else fate

    async def _prune(self, expiring: set[str], now: float) -> None:
        """Forget done jobs, except those whose originals are still to be deleted."""
        if not self._keep_done_days:
            return
        before, ledger, total = now - self._keep_done_days * DAY_S, self._parts.ledger, 0
        younger = await self._parts.call(LEDGER, ledger.first_recorded, before, now)
        due = partial(ledger.prune, before, BATCH, younger=younger, keep_archived=expiring)
        while dropped := await self._parts.call(LEDGER, due):
            total += dropped
        if total:
            self._events.emit("ledger.pruned", jobs=total)


def _holds_something(archive: Path) -> bool:
    """Whether the archive has anything in it; without, it may be a share that is not mounted."""
    with contextlib.suppress(OSError):
        return next(archive.iterdir(), None) is not None
    return False
