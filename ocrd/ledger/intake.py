"""How files become jobs: found in an inbox, refused there, or adopted from the spool."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, text, update

from ocrd.files import display
from ocrd.job import Found, Job, JobError, JobState, Place
from ocrd.ledger.history import Happening, note
from ocrd.ledger.rows import error_columns, to_job
from ocrd.ledger.standing import Key, Standings, is_known, members_at_inbox, padded
from ocrd.ledger.tables import AT_INBOX, jobs, pages

_BATCH = 500
_LAST_ID = text("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'jobs'")


class Intake(Standings):
    """Takes files in; telling it of the same file again changes nothing."""

    def record(self, found: Sequence[Found]) -> list[Job | None]:
        """Queue settled files, in one transaction.

        A file that a job stands for already gives None, be it that job's only file or one of a
        joined document.  One that changed while its job was queued, or after its job ended without
        moving it, gives that job with the new contents.

        A joined document of which any file is new is a new job; `withdraw` what it replaces first.

        Args:
            found: Each with the digest of its contents.

        Returns:
            For each file its job, or None where nothing was new.
        """
        results: list[Job | None] = []
        with self._db.write() as connection:
            for batch in _batches(found):
                results += self._record(connection, batch)
        return results

    def record_refused(self, found: Found, error: JobError, *, failed_to: str | None = None) -> Job:
        """A file that cannot be admitted (a FIFO, no permission): a job that failed at once.

        Its original is still in the inbox.  Whoever moves it to `failed_to` afterwards says so
        with `moved`.  As long as it stays, there is one job for it, however often it is found.

        A job that is queued for a file which was never read, or another one, fails: its file is
        not to be had.

        Args:
            found: Where and what it is; `sha256` empty, as it could not be read.
            error: Why it cannot be admitted.
            failed_to: Where it will be moved, if it can be.
        """
        with self._db.write() as connection:
            member = members_at_inbox(connection, {found.folder}).get(_key(found))
            standing = member[0] if member else _standing(connection, [found]).get(_key(found))
            if standing is None:
                values = {
                    "state": JobState.FAILED,
                    "finished_at": self._clock(),
                    "failed_to": failed_to,
                    **error_columns(error),
                }
                (row,) = self._add(connection, [found], values, Happening.REFUSED, error.message)
            elif standing.state is JobState.FAILED and _news(standing, found, error):
                values = _identity(found) | error_columns(error)
                row = self._renew(connection, standing, values, Happening.REFUSED, error.message)
            elif not standing.members and _waits_in_vain(standing, found):
                values = _identity(found) | error_columns(error)
                values |= {"state": JobState.FAILED, "finished_at": self._clock()}
                values |= {"failed_to": failed_to, "cancel_requested": 0}
                row = self._renew(connection, standing, values, Happening.REFUSED, error.message)
            else:
                return standing
        return to_job(row)

    def adopt(
        self, found: Found, *, number: int, token: str, outputs: str, archived_to: str
    ) -> Job | None:
        """Take up a job that the spool knows and this ledger does not: it is delivering.

        So it is after a ledger was lost, or put back from an older copy, once the bundle had been
        published and before the original was archived.

        Args:
            found: What the original is, and where it came from.
            number: The job's number, which names it in the spool together with its token.
            token: The job's token.
            outputs: Where its bundle lies.
            archived_to: Where its original will go.

        Returns:
            The job; None when its number is another's by now.
        """
        now = self._clock()
        values = _new(found, now) | {
            "id": number,
            "token": token,
            "state": JobState.DELIVERING,
            "place": Place.SPOOL,
            "started_at": now,
            "outputs": outputs,
            "archived_to": archived_to,
        }
        with self._db.write() as connection:
            if connection.execute(select(jobs.c.id).where(jobs.c.id == number)).first():
                return None
            row = connection.execute(insert(jobs).values(values).returning(jobs)).one()
            note(connection, [row], now, Happening.ADOPTED)
        return to_job(row)

    def _record(self, connection: Connection, batch: Sequence[Found]) -> list[Job | None]:
        standing = _standing(connection, batch)
        members = members_at_inbox(connection, {found.folder for found in batch})
        results: list[Job | None] = [None] * len(batch)
        fresh: list[int] = []
        for index, found in enumerate(batch):
            job = None if found.members else standing.get(_key(found))
            if is_known(found, members):
                continue
            if job is None or _belongs_to_another(job, found):
                fresh.append(index)
            elif not _same(job, found):
                results[index] = self._requeue(connection, job, found)
        new = [batch[index] for index in fresh]
        _give_up(connection, [(f.folder, each.source) for f in new for each in f.members])
        added = self._add(connection, new, {}, Happening.QUEUED)
        for index, row in zip(fresh, added, strict=True):
            results[index] = to_job(row)
        return results

    def _requeue(self, connection: Connection, job: Job, found: Found) -> Job:
        """The job at this name takes the new contents; an ended one starts over."""
        values: dict[str, Any] = _identity(found) | error_columns(None)
        values |= {"priority": found.priority, "state": JobState.QUEUED}
        if job.state is not JobState.QUEUED:
            values |= {"attempts": 0, "not_before": 0, "finished_at": None, "failed_to": None}
        if job.sha256 != found.sha256:
            connection.execute(delete(pages).where(pages.c.job_id == job.id))
            values |= {"pages": None, "pages_done": 0}
        return to_job(self._renew(connection, job, values, Happening.CHANGED))

    def _renew(
        self,
        connection: Connection,
        job: Job,
        values: Mapping[str, Any],
        name: Happening,
        detail: str = "",
    ) -> Row[Any]:
        counted = {**values, "entries": jobs.c.entries + 1}
        change = update(jobs).where(jobs.c.id == job.id).values(counted).returning(jobs)
        row = connection.execute(change).one()
        note(connection, [row], self._clock(), name, detail)
        return row

    def _add(
        self,
        connection: Connection,
        found: Sequence[Found],
        values: Mapping[str, Any],
        name: Happening,
        detail: str = "",
    ) -> Sequence[Row[Any]]:
        """New rows, in the order of `found`; the write lock makes their ids consecutive."""
        if not found:
            return []
        now = self._clock()
        last = connection.execute(_LAST_ID).scalar_one()
        connection.execute(insert(jobs), [{**_new(each, now), **values} for each in found])
        rows = connection.execute(select(jobs).where(jobs.c.id > last).order_by(jobs.c.id)).all()
        note(connection, rows, now, name, detail)
        return rows


def _batches(found: Sequence[Found]) -> Iterator[list[Found]]:
    """Bounded, and with each name at most once: a second sighting must see the first's job."""
    batch: dict[Key, Found] = {}
    for each in found:
        if _key(each) in batch or len(batch) == _BATCH:
            yield list(batch.values())
            batch = {}
        batch[_key(each)] = each
    if batch:
        yield list(batch.values())


def _standing(connection: Connection, batch: Sequence[Found]) -> Mapping[Key, Job]:
    """The job of a single file at each name in the inbox; of several the one that is to run."""
    found: list[Job] = []
    for folder, sources in _by_folder(map(_key, batch)):
        query = select(jobs).where(_alone_at(folder, sources))
        found += [to_job(row) for row in connection.execute(query)]
    found.sort(key=lambda job: (_precedence(job), job.id))
    return {(job.folder, job.source): job for job in found}


def _by_folder(keys: Iterable[Key]) -> Iterator[tuple[str, list[str]]]:
    """Each folder with its names, a bounded number at a time.

    SQLite searches an index for many names of one folder, but reads all of it for many pairs of a
    folder and a name.
    """
    of: dict[str, list[str]] = {}
    for folder, source in keys:
        of.setdefault(folder, []).append(source)
    for folder, sources in of.items():
        for start in range(0, len(sources), _BATCH):
            yield folder, sources[start : start + _BATCH]


def _alone_at(folder: str, sources: list[str]) -> ColumnElement[bool]:
    """Jobs of single files that bear one of these names in a folder's inbox."""
    named = jobs.c.source.in_(padded(sources))
    return and_(AT_INBOX, jobs.c.folder == folder, jobs.c.members.is_(None), named)


def _give_up(connection: Connection, keys: Iterable[Key]) -> None:
    """Files that were refused and can be read now, as parts of a document: no `retry` of them."""
    ended = jobs.c.state.in_((JobState.FAILED, JobState.CANCELLED))
    for folder, sources in _by_folder(keys):
        given_up = update(jobs).where(_alone_at(folder, sources), ended)
        connection.execute(given_up.values(place=Place.GONE))


def _precedence(job: Job) -> int:
    """Larger wins: waiting, then claimed, then ended."""
    return {JobState.QUEUED: 2, JobState.RUNNING: 1}.get(job.state, 0)


def _belongs_to_another(job: Job, found: Found) -> bool:
    """Whether the name was freed: the job's own file is being taken away just now."""
    taken = job.state is JobState.RUNNING or job.ending is not None
    return taken and not _same(job, found)


def _same(job: Job, found: Found) -> bool:
    same = (job.size, job.mtime_ns, job.inode) == (found.size, found.mtime_ns, found.inode)
    ended = job.state in (JobState.FAILED, JobState.CANCELLED)
    if ended or not job.sha256:  # perhaps it can be read by now
        return same and job.sha256 == found.sha256
    return same


def _news(job: Job, found: Found, error: JobError) -> bool:
    return not _same(job, found) or job.error is None or job.error.kind != error.kind


def _waits_in_vain(job: Job, found: Found) -> bool:
    """Whether a job is queued for contents that are not, or never were, those of `found`."""
    queued = job.state is JobState.QUEUED and job.ending is None
    return queued and not (job.sha256 and _same(job, found))


def _key(found: Found) -> Key:
    return found.folder, found.source


def _identity(found: Found) -> dict[str, Any]:
    return {
        "size": found.size,
        "mtime_ns": found.mtime_ns,
        "inode": found.inode,
        "sha256": found.sha256,
    }


def _new(found: Found, now: float) -> dict[str, Any]:
    return _identity(found) | {
        "token": secrets.token_hex(8),
        "folder": found.folder,
        "source": found.source,
        "shown": display(found.source),
        "state": JobState.QUEUED,
        "place": Place.INBOX,
        "epoch": 0,
        "attempts": 0,
        "priority": found.priority,
        "pages_done": 0,
        "created_at": now,
        "not_before": 0,
        "cancel_requested": 0,
        "entries": 1,
        "members": found.members,
    }
