"""Turns files into jobs, and knows which files in an inbox already have one.

A file that stands alone is identified by its name, a joined document by its files: two documents
may have the same name, and a file belongs to at most one document.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_, update

from ocrd.files import display
from ocrd.job import GIVEN_UP, UNDELIVERED, Found, Job, JobError, JobState, Member, Place
from ocrd.ledger.jobs import gone
from ocrd.ledger.store import BATCH, Transaction, batches, padded
from ocrd.ledger.tables import (
    AT_INBOX,
    JOINED_AT_INBOX,
    RETURNING,
    error_columns,
    jobs,
    jobs_by,
    pages,
    returned,
    to_job,
)
from ocrd.ledger.transitions import Happening, changed, note

_ACTIVE = jobs.c.state.in_(UNDELIVERED)
_by_name = tuple_(jobs.c.source, jobs.c.id)


# --- recording ---


def record(tx: Transaction, found: Sequence[Found]) -> list[Job | None]:
    """Queue settled files in one transaction; recording the same file again changes nothing.

    A file that already has a job, alone or as part of a joined document, gives None.  A file that
    changed while its job was queued, or after its job ended without moving it, gives that job with
    the new contents.

    A joined document with at least one new file is a new job; call `withdraw` for the jobs it
    replaces first.

    Returns:
        For each file its job, or None if nothing was new.
    """
    return [job for batch in _distinct(found) for job in _record(tx, batch)]


def record_refused(tx: Transaction, found: Found, error: JobError) -> Job:
    """Record a job that failed at once, for a file that cannot be admitted (a FIFO, no permission).

    The original stays in the inbox, and it has one job, however often it is found.

    A queued job of this name whose file was never read, or was another one, is the job that fails:
    its own file is no longer available.
    """
    member = _members_at_inbox(tx, found.folder).get(found.source)
    standing = member[0] if member else _alone_standing(tx, [found]).get(found.source)
    ending = {"state": JobState.FAILED, "finished_at": tx.now, "failed_to": None}
    refusal = found.facts() | error_columns(error)
    if standing is None:
        (row,) = _add(tx, [found], ending | refusal, Happening.REFUSED, error.message)
        return to_job(row)
    if standing.state is JobState.FAILED:
        if _same(standing, found) and standing.error and standing.error.kind == error.kind:
            return standing  # recorded before
    elif not standing.members and _waits_in_vain(standing, found):
        refusal |= ending | {"cancel_requested": 0}
    else:
        return standing
    such = [jobs.c.id == standing.id]
    (refused,) = changed(tx, such, refusal, Happening.REFUSED, error.message)
    return refused


def adopt(
    tx: Transaction, found: Found, *, number: int, token: str, outputs: str, archived_to: str
) -> Job | None:
    """Create a delivering job from a job in the spool that is missing from this ledger.

    This happens when the ledger was lost, or replaced by an older copy, after the bundle had been
    published and before the original was archived.

    Returns:
        The job; None if its number belongs to another job by now.
    """
    if tx.connection.execute(select(jobs.c.id).where(jobs.c.id == number)).first():
        return None
    values = {
        "id": number,
        "token": token,
        "state": JobState.DELIVERING,
        "place": Place.SPOOL,
        "started_at": tx.now,
        "outputs": outputs,
        "archived_to": archived_to,
    }
    (row,) = _add(tx, [found], values, Happening.ADOPTED)
    return to_job(row)


def withdraw(
    tx: Transaction, folder: str, found: Collection[Found], *, by_name: bool = False
) -> list[Job]:
    """Cancel unclaimed jobs that would read files of `found` as they were before.

    Their files stay where they are, to be looked at again.  No file of `found`, all of which lie in
    `folder`, may have a job that matches it as it is now.  With `by_name`, a joined document of the
    same name counts as the same document, recorded before these files came.
    """
    # `record` renews the job of a file that stood alone and still does.
    joining = {part.source for each in found for part in each.members}
    files = joining | {each.source for each in found if not each.members}
    names = {each.source for each in found if by_name}
    concerned = _alone(tx, folder, joining, _ACTIVE)
    for source, (job, _) in _members_at_inbox(tx, folder).items():
        if source in files or job.source in names:
            concerned.append(job)
    waiting = {job.id: job for job in concerned if _waits(job)}
    given_up = []
    for _, job in sorted(waiting.items()):
        changed = JobError(
            kind="source-changed",
            message=f"{display(job.source)}: changed, or more pages came, before it was claimed",
            hint="Nothing to do: its files are recorded anew as they are now.",
        )
        given_up.append(gone(tx, job, changed))
    return given_up


# --- what is known ---


def some_in_inbox(
    tx: Transaction, folder: str, after: tuple[str, int]
) -> tuple[list[Member], tuple[str, int] | None]:
    """A batch of the files in a folder's inbox that have a job, for `Ledger.in_inbox`.

    The first batch comes after `("", 0)`.

    Returns:
        The files, and the value of `after` for the next batch; None when there are no more.
    """
    query = select(jobs).where(AT_INBOX, jobs.c.folder == folder, _by_name > after)
    found = jobs_by(tx, query.order_by(*_by_name.clauses).limit(BATCH))
    standing: list[Member] = []
    for job in found:
        if job.members:
            standing += job.members
        elif job.sha256 or job.state is not JobState.FAILED:
            standing.append(Member(source=job.source, **job.facts()))
    return standing, (found[-1].source, found[-1].id) if found else None


def active_in_inbox(tx: Transaction, folder: str, sources: Collection[str]) -> list[Member]:
    """The given files of a folder's inbox that have a job which has not ended."""
    members = _members_at_inbox(tx, folder)
    alone = _alone(tx, folder, sources, _ACTIVE)
    found = [Member(source=job.source, **job.facts()) for job in alone]
    return found + [members[each][1] for each in sources if each in members]


def _members_at_inbox(tx: Transaction, folder: str) -> Mapping[str, tuple[Job, Member]]:
    """The files of joined documents in a folder's inbox, each with its job."""
    found = jobs_by(tx, select(jobs).where(JOINED_AT_INBOX, jobs.c.folder == folder))
    return {member.source: (job, member) for job in found for member in job.members}


def _alone_standing(tx: Transaction, batch: Sequence[Found]) -> Mapping[str, Job]:
    """The job of a single file at each name in the inbox; of several, the one still to run."""
    found = _alone(tx, batch[0].folder, [each.source for each in batch])
    later = {JobState.RUNNING: 1, JobState.QUEUED: 2}
    found.sort(key=lambda job: (later.get(job.state, 0), job.id))
    return {job.source: job for job in found}


def _alone(
    tx: Transaction, folder: str, sources: Iterable[str], *such: ColumnElement[bool]
) -> list[Job]:
    """Jobs of single files with these names in the inbox that also meet the conditions `such`.

    SQLite searches an index for many names of one folder, but scans all of it for many pairs of a
    folder and a name.
    """
    alone = select(jobs).where(AT_INBOX, jobs.c.folder == folder, jobs.c.members.is_(None), *such)
    found: list[Job] = []
    for some in batches(sources):
        found += jobs_by(tx, alone.where(jobs.c.source.in_(padded(some))))
    return found


# --- writing rows ---


def _record(tx: Transaction, batch: Sequence[Found]) -> list[Job | None]:
    standing = _alone_standing(tx, batch)
    members = _members_at_inbox(tx, batch[0].folder)
    results: list[Job | None] = [None] * len(batch)
    fresh: list[int] = []
    for index, found in enumerate(batch):
        job = None if found.members else standing.get(found.source)
        if _is_known(found, members):
            continue
        if job is None or _belongs_to_another(job, found):
            fresh.append(index)
        elif not _same(job, found):
            results[index] = _requeue(tx, job, found)
    new = [batch[index] for index in fresh]
    # No `retry` of refused files that are now read as parts of a document.
    parts = [part.source for each in new for part in each.members]
    for given_up in _alone(tx, batch[0].folder, parts, jobs.c.state.in_(GIVEN_UP)):
        moot = update(jobs).where(jobs.c.id == given_up.id).values(place=Place.GONE)
        tx.connection.execute(moot)
    for index, row in zip(fresh, _add(tx, new, {}, Happening.QUEUED), strict=True):
        results[index] = to_job(row)
    return results


def _requeue(tx: Transaction, job: Job, found: Found) -> Job:
    """Give the job at this name the new contents; a job that has ended starts over."""
    values: dict[str, Any] = found.facts() | error_columns(None)
    values |= {"priority": found.priority, "state": JobState.QUEUED}
    if job.state is not JobState.QUEUED:
        values |= {"attempts": 0, "not_before": 0, "finished_at": None, "failed_to": None}
    if job.sha256 != found.sha256:
        tx.connection.execute(delete(pages).where(pages.c.job_id == job.id))
        values |= {"pages": None, "pages_done": 0}
    (renewed,) = changed(tx, [jobs.c.id == job.id], values, Happening.CHANGED)
    return renewed


def _add(
    tx: Transaction,
    found: Sequence[Found],
    values: Mapping[str, Any],
    name: Happening,
    detail: str = "",
) -> list[dict[str, Any]]:
    """Insert a row for each file, in the order of `found`."""
    rows: list[dict[str, Any]] = []
    for each in found:
        told = {
            **each.facts(),
            "token": secrets.token_hex(8),
            "folder": each.folder,
            "source": each.source,
            "shown": display(each.source),
            "state": JobState.QUEUED,
            "place": Place.INBOX,
            "epoch": 0,
            "attempts": 0,
            "priority": each.priority,
            "pages_done": 0,
            "created_at": tx.now,
            "not_before": 0,
            "cancel_requested": 0,
            "entries": 1,
            "members": each.members,
            **values,
        }
        given = ", ".join(f":{column}" for column in told)
        new = f"INSERT INTO jobs ({', '.join(told)}) VALUES ({given}) {RETURNING}"  # noqa: S608 - our own constants
        rows += returned(tx, new, told)
    note(tx, rows, name, detail)
    return rows


def _distinct(found: Sequence[Found]) -> Iterator[list[Found]]:
    """Batches of one folder with each name at most once: its second must see the first's job."""
    batch: dict[str, Found] = {}
    folder = ""
    for each in found:
        if batch and (each.folder != folder or each.source in batch or len(batch) == BATCH):
            yield list(batch.values())
            batch = {}
        batch[each.source], folder = each, each.folder
    if batch:
        yield list(batch.values())


# --- what is the same ---


def _is_known(found: Found, members: Mapping[str, tuple[Job, Member]]) -> bool:
    """Whether every file of `found` is part of a joined document, unchanged."""
    files: Sequence[Member | Found] = found.members or (found,)
    known = [(members.get(each.source), each) for each in files]
    return all(standing is not None and standing[1].untouched(each) for standing, each in known)


def _same(job: Job, found: Found) -> bool:
    same = job.untouched(found)
    if job.state in GIVEN_UP or not job.sha256:  # it may be readable by now
        return same and job.sha256 == found.sha256
    return same


def _belongs_to_another(job: Job, found: Found) -> bool:
    """Whether the name was freed: the job's own file is being taken away right now."""
    taken = job.state is JobState.RUNNING or job.ending is not None
    return taken and not _same(job, found)


def _waits_in_vain(job: Job, found: Found) -> bool:
    """Whether a job is queued for contents that are not, or never were, those of `found`."""
    queued = job.state is JobState.QUEUED and job.ending is None
    return queued and not (job.sha256 and _same(job, found))


def _waits(job: Job) -> bool:
    """Whether a job waits to be claimed, is not about to end, and has all its files in the inbox.

    An interrupted claim may have moved some files of a document to the spool already.
    """
    begun = bool(job.members) and job.epoch > 0
    return job.state is JobState.QUEUED and job.ending is None and not begun
