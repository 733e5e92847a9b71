"""At start: what was under way when the daemon last went away, found again."""

from __future__ import annotations

from collections.abc import Mapping

from ocrd.config import Folder
from ocrd.daemon.parts import House
from ocrd.events import Events
from ocrd.inbox.names import display
from ocrd.job import Job
from ocrd.spool.orphans import Orphan
from ocrd.worker.worker import facts


async def recover(house: House, folders: Mapping[str, Folder], events: Events) -> list[Job]:
    """Jobs to take up again, oldest first; originals the ledger does not know go to an inbox.

    Raises:
        LedgerError: The ledger cannot be read.
        PlaceError: The spool cannot be read.
    """
    jobs = await house.call(house.ledger.unfinished)
    for job in jobs:
        events.emit("job.recovered", **facts(job), state=job.state.value)
    for orphan in await house.call(house.spool.orphans, ()):
        if await house.call(house.ledger.owner, orphan.token) is None:
            await _put_back(house, orphan, folders, events)
    return jobs


async def _put_back(
    house: House, orphan: Orphan, folders: Mapping[str, Folder], events: Events
) -> None:
    """Back to the inbox it came from; without one it stays, and the log says where."""
    found = orphan.record.found if orphan.record else None
    folder = folders.get(found.folder) if found else None
    if folder is None or found is None:
        events.warn("spool.orphan", path=display(str(orphan.path)))
        return
    back = await house.call(house.spool.put_back, orphan, folder.inbox)
    if back is not None:
        events.warn("spool.put_back", folder=folder.name, source=display(str(back)))
