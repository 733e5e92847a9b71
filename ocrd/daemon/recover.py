"""Finds again what was under way when the daemon last ended."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from ocrd.daemon.scheduler import Scheduler
from ocrd.daemon.troubles import Troubles
from ocrd.errors import OcrdError
from ocrd.files import display
from ocrd.job import ACTIVE
from ocrd.spool.orphans import Orphan
from ocrd.worker.calls import LEDGER, SPOOL


async def recover(scheduler: Scheduler) -> list[Orphan]:
    """Hand the scheduler the jobs that were under way according to the ledger.

    What a kill left in the spool of jobs that had ended is removed.

    Returns:
        The job folders in the spool that the ledger does not know, for `take_in`.

    Raises:
        LedgerError: The ledger cannot be read.
        PlaceError: The spool cannot be read.
    """
    p = scheduler.parts
    jobs = await p.call(LEDGER, p.ledger.unfinished)
    for job in jobs:
        p.events.emit("job.recovered", **job.told(), state=job.state.value)
    scheduler.take_over(jobs)
    unknown: list[Orphan] = []
    for orphan in await p.call(SPOOL, p.spool.orphans):
        owner = await p.call(LEDGER, p.ledger.owner, orphan.jobdir.token)
        if owner is None:
            unknown.append(orphan)
        elif owner.state not in ACTIVE and orphan.original is None:
            with contextlib.suppress(OcrdError):  # otherwise the next start does it
                await p.call(SPOOL, p.spool.finish, owner)
    return unknown


async def take_in(
    scheduler: Scheduler, orphans: Sequence[Orphan], troubles: Troubles, *, again: bool = False
) -> list[Orphan]:
    """Finish orphans that were being published, and put all other originals back into the inbox.

    The reasons why others are not go into `troubles`; orphans that were tried before (`again`) are
    not logged.

    Returns:
        The orphans that cannot be taken in now: their folder is not configured, say, or its inbox
        has no room.  They are safe where they are.
    """
    p = scheduler.parts
    left, why = [], []
    for orphan in orphans:
        try:
            await _take_in(scheduler, orphan)
        except OcrdError as error:
            left.append(orphan)
            why.append(error)
            if not again:
                p.events.warn("spool.orphan", path=display(str(orphan.jobdir.path)), **error.told())
    troubles.orphans = why
    return left


async def _take_in(scheduler: Scheduler, orphan: Orphan) -> None:
    p, record, names = scheduler.parts, orphan.record, orphan.names
    lies = display(orphan.jobdir.path)
    name = record.found.folder if record else ""
    folder = scheduler.folders.get(name)
    if folder is None or record is None:
        if await p.call(SPOOL, p.spool.was_taken, orphan):
            return
        told = f"folder {name} is not configured" if record else "nothing tells of which folder"
        ways = "Configure the folder, or move" if record else "Move"
        hint = f"{ways} what you need out of {lies} by hand."
        raise OcrdError(told, hint=hint, kind="orphan")
    if orphan.sealed and orphan.original and names and names.outputs and names.archived_to:
        # Its bundle may have left in part: it must not be made twice.
        adopt = partial(p.ledger.adopt, outputs=names.outputs, archived_to=names.archived_to)
        job = await p.call(LEDGER, adopt, record.found, number=record.id, token=record.token)
        if job is not None:
            scheduler.take_over([job])
            p.events.warn("spool.adopted", **job.told())
            return
    back = await p.call(SPOOL, p.spool.put_back, orphan, folder.inbox)
    if back is not None:
        p.events.warn("spool.put_back", folder=folder.name, source=display(back))
