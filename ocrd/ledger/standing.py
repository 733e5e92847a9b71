"""Which files in an inbox a job stands for already.

A file that stands alone is known by its name, a joined document by its files: two documents may
bear one name, and a file belongs to one document at most.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, select, tuple_

from ocrd.files import display
from ocrd.job import Found, Job, JobError, JobState, Member
from ocrd.ledger.fence import take
from ocrd.ledger.part import Part
from ocrd.ledger.rows import error_columns, to_job
from ocrd.ledger.steps import GONE
from ocrd.ledger.tables import AT_INBOX, JOINED_AT_INBOX, jobs

_BATCH = 500

_by_name = tuple_(jobs.c.source, jobs.c.id)
_IDENTITY = [jobs.c[name] for name in ("source", "size", "mtime_ns", "inode", "sha256", "members")]

Key = tuple[str, str]
"""A folder and a path below its inbox."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A file in an inbox that a job already stands for, as it was when it was recorded."""

    source: str
    size: int
    mtime_ns: int
    inode: int
    refused: bool


class Standings(Part):
    """What need not be recorded, and what must be recorded anew."""

    def in_inbox(self, folder: str) -> Iterator[Standing]:
        """Every file in a folder's inbox that a job stands for: they need no hashing again.

        Of a joined document each of its files, not the document.
        """
        after: tuple[str, int] = ("", 0)
        while True:
            where = (AT_INBOX, jobs.c.folder == folder, _by_name > after)
            query = (
                select(jobs.c.id, jobs.c.state, *_IDENTITY)
                .where(*where)
                .order_by(*_by_name.clauses)
                .limit(_BATCH)
            )
            with self._db.read() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            for row in rows:
                yield from _standing(row)
            after = (rows[-1].source, rows[-1].id)

    def active_in_inbox(self, folder: str, sources: Collection[str]) -> list[Standing]:
        """Those of a folder's files that a job which has not ended stands for."""
        with self._db.read() as connection:
            alone = _alone(connection, folder, sources)
            members = members_at_inbox(connection, {folder})
        found = [_standing_of(job) for job in alone]
        keys = [(folder, source) for source in sources if (folder, source) in members]
        return found + [_standing_of(members[key][1]) for key in keys]

    def withdraw(
        self, folder: str, found: Collection[Found], *, by_name: bool = False
    ) -> list[Job]:
        """Take back what waits for its claim and would read files of `found` as they were before.

        Those jobs are gone; their files stay where they are, to be looked at again.

        Args:
            folder: Where all of `found` lie.
            found: Of their files none may be one that a job stands for as it is.
            by_name: Whether a joined document of the same name is the same document, which
                lacked these files.
        """
        # The job of a file that stands alone, before and after, is renewed by `record`.
        joining = {part.source for each in found for part in each.members}
        files = joining | {each.source for each in found if not each.members}
        names = {each.source for each in found if by_name}
        with self._db.write() as connection:
            concerned = _alone(connection, folder, joining)
            for (_, source), (job, _) in members_at_inbox(connection, {folder}).items():
                if source in files or job.source in names:
                    concerned.append(job)
            waiting = {job.id: job for job in concerned if _waits(job)}
            return [self._withdraw(connection, waiting[number]) for number in sorted(waiting)]

    def _withdraw(self, connection: Connection, job: Job) -> Job:
        now, error = self._clock(), _changed(job)
        told = {"finished_at": now, **error_columns(error)}
        return to_job(take(connection, job, GONE, now, error.message, **told))


def members_at_inbox(
    connection: Connection, folders: Collection[str]
) -> Mapping[Key, tuple[Job, Member]]:
    """The files of joined documents that lie in these folders' inboxes, each with its job."""
    where = (JOINED_AT_INBOX, jobs.c.folder.in_(folders))
    found = [to_job(row) for row in connection.execute(select(jobs).where(*where))]
    return {(job.folder, member.source): (job, member) for job in found for member in job.members}


def is_known(found: Found, members: Mapping[Key, tuple[Job, Member]]) -> bool:
    """Whether every file of `found` is part of a joined document, just as it is."""
    files: Sequence[Member | Found] = found.members or (found,)
    keys = [(found.folder, each.source) for each in files]
    return all(
        key in members and _same(members[key][1], each)
        for key, each in zip(keys, files, strict=True)
    )


def _same(one: Member, other: Member | Found) -> bool:
    return (one.size, one.mtime_ns, one.inode) == (other.size, other.mtime_ns, other.inode)


def _waits(job: Job) -> bool:
    """Whether it is to be claimed, its end is not decided, and all its files are in the inbox.

    A claim that was broken off may have some files of a document in the spool already.
    """
    begun = bool(job.members) and job.epoch > 0
    return job.state is JobState.QUEUED and job.ending is None and not begun


def _alone(connection: Connection, folder: str, sources: Collection[str]) -> list[Job]:
    """Jobs that have not ended, each of one of these files in the inbox."""
    active = jobs.c.state.in_((JobState.QUEUED, JobState.RUNNING))
    where = (AT_INBOX, jobs.c.folder == folder, jobs.c.members.is_(None), active)
    ordered = sorted(sources)
    batches = [ordered[at : at + _BATCH] for at in range(0, len(ordered), _BATCH)]
    queries = [select(jobs).where(*where, jobs.c.source.in_(padded(batch))) for batch in batches]
    return [to_job(row) for query in queries for row in connection.execute(query)]


def padded(names: list[str]) -> list[str]:
    """As many as the next power of two, the last one repeated.

    Each number of them is a statement of its own, of which every connection keeps the last 128
    prepared: with hundreds of numbers that came to 13 MiB a connection.
    """
    return [*names, *names[-1:] * ((1 << (len(names) - 1).bit_length()) - len(names))]


def _standing(row: Row[tuple[object, ...]]) -> Iterator[Standing]:
    if row.members:
        yield from map(_standing_of, row.members)
    else:
        refused = row.state == JobState.FAILED and not row.sha256
        yield Standing(row.source, row.size, row.mtime_ns, row.inode, refused)


def _standing_of(file: Job | Member) -> Standing:
    return Standing(file.source, file.size, file.mtime_ns, file.inode, refused=False)


def _changed(job: Job) -> JobError:
    return JobError(
        kind="source-changed",
        message=f"{display(job.source)}: changed, or more pages came, before it was claimed",
        hint="Nothing to do: its files are recorded anew as they are now.",
    )
