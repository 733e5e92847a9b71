"""What was under way when the daemon last went away, found again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from ocrd.config import Folder
from ocrd.daemon.retries import why
from ocrd.daemon.wiring import House
from ocrd.errors import OcrdError
from ocrd.events import Events
from ocrd.files import display
from ocrd.job import ACTIVE, Job
from ocrd.spool.orphans import Orphan
from ocrd.worker.pages import LEDGER
from ocrd.worker.worker import SPOOL, facts


async def recover(house: House, events: Events) -> list[Orphan]:
    """Have the dispatcher take up again what the ledger says was under way.

    What a kill left in the spool of jobs that had ended goes.

    Returns:
        What the spool holds and the ledger does not know, for `take_in`.

    Raises:
        LedgerError: The ledger cannot be read.
        PlaceError: The spool cannot be read.
    """
    jobs = await house.call(LEDGER, house.ledger.unfinished)
    for job in jobs:
        events.emit("job.recovered", **facts(job), state=job.state.value)
    house.scheduler.take_over(jobs)
    unknown: list[Orphan] = []
    for orphan in await house.call(SPOOL, house.spool.orphans, ()):
        owner = await house.call(LEDGER, house.ledger.owner, orphan.token)
        if owner is None:
            unknown.append(orphan)
        elif owner.state not in ACTIVE and orphan.original is None:
            with contextlib.suppress(OcrdError):  # else the next start does
                await house.call(SPOOL, house.spool.finish, owner)
    return unknown


async def take_in(
    house: House,
    orphans: Sequence[Orphan],
    folders: Mapping[str, Folder],
    events: Events,
    *,
    again: bool = False,
) -> list[Orphan]:
    """Finish what was published already, and put every other original back into its inbox.

    Args:
        house: The parts.
        orphans: What the spool holds and the ledger does not know.
        folders: The folders in force, by name.
        events: Is told what happens.
        again: Whether the log has been told of them before.

    Returns:
        Those that cannot be taken in now: their folder is not configured, or its inbox has no
        room.  They are safe where they are.
    """
    left = []
    for orphan in orphans:
        try:
            await _take_in(house, orphan, folders, events)
        except OcrdError as error:
            left.append(orphan)
            if not again:
                events.warn("spool.orphan", path=display(str(orphan.path)), **why(error))
    return left


async def _take_in(
    house: House, orphan: Orphan, folders: Mapping[str, Folder], events: Events
) -> None:
    folder = _folder(orphan, folders)
    job = await house.call(SPOOL, _adopted, house, orphan)
    if job is not None:
        house.scheduler.take_over([job])
        events.warn("spool.adopted", **facts(job))
        return
    back = await house.call(SPOOL, house.spool.put_back, orphan, folder.inbox)
    if back is not None:
        events.warn("spool.put_back", folder=folder.name, source=display(str(back)))


def _folder(orphan: Orphan, folders: Mapping[str, Folder]) -> Folder:
    name = orphan.record.found.folder if orphan.record else ""
    if name in folders:
        return folders[name]
    raise OcrdError(
        f"folder {name} is not configured" if name else "nothing tells which folder it is of",
        hint=f"Configure it, or move what you need out of {display(str(orphan.path))} by hand.",
        kind="orphan",
    )


def _adopted(house: House, orphan: Orphan) -> Job | None:
    """The job in the ledger again, when its bundle began to leave: not to be made twice."""
    told, names = orphan.record, orphan.names
    if not orphan.sealed or orphan.original is None or told is None or names is None:
        return None
    if names.outputs is None or names.archived_to is None:
        return None
    return house.ledger.adopt(
        told.found,
        number=told.id,
        token=told.token,
        outputs=names.outputs,
        archived_to=names.archived_to,
    )
