"""Queries and changes for operators, and upkeep that keeps the ledger small and sound."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypedDict, Unpack

from sqlalchemy import (
    ColumnElement,
    TextClause,
    and_,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    text,
)

from ocrd.files import NOT_A_FILE
from ocrd.job import ACTIVE, GIVEN_UP, UNDELIVERED, Job, JobState, Page, PageState, Place
from ocrd.ledger.store import Transaction, batches, folded, padded
from ocrd.ledger.tables import (
    CANCEL_REQUESTED,
    DONE,
    NOT_DONE,
    at_once,
    error_columns,
    installation,
    jobs,
    jobs_by,
    page_columns,
    pages,
    to_page,
    trees,
)
from ocrd.ledger.transitions import Happening, changed

_UNREAD = (PageState.FAILED, PageState.PENDING)

_TALLY_FAULTS = """
    WITH counted AS (SELECT folder, state, count(*) AS jobs FROM jobs GROUP BY folder, state),
    kept AS (SELECT folder, state, jobs FROM tallies WHERE jobs > 0)
    SELECT folder, state FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept)
    UNION SELECT folder, state FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted)
"""
_PAGE_FAULTS = """
    SELECT jobs.id FROM jobs WHERE pages_done <>
        (SELECT count(*) FROM pages WHERE job_id = jobs.id AND pages.state <> 'pending')
"""
_MOOT = and_(NOT_DONE, jobs.c.state.in_(GIVEN_UP), jobs.c.place == Place.GONE)


_FIRST_NUMBER = """
    INSERT INTO sqlite_sequence (name, seq)
    SELECT 'jobs', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'jobs')
"""
_NUMBERS_AFTER = "UPDATE sqlite_sequence SET seq = :number WHERE name = 'jobs' AND seq < :number"

# --- looking ---


def job(tx: Transaction, number: int) -> Job | None:
    """The job with this number as it is now, if it exists."""
    return next(iter(jobs_by(tx, select(jobs).where(jobs.c.id == number))), None)


def newest(tx: Transaction, folder: str, source: str) -> Job | None:
    """The newest job of a file with this path below the folder's inbox."""
    query = select(jobs).where(jobs.c.folder == folder, jobs.c.source == source)
    return next(iter(jobs_by(tx, query.order_by(jobs.c.id.desc()).limit(1))), None)


class Such(TypedDict, total=False):
    """A filter of jobs: a job must match every key given."""

    state: JobState | None
    folder: str | None
    since: float | None  # recorded at or after this time, seconds since the epoch
    name: str | None  # part of the path below the inbox, regardless of case


def listed(
    tx: Transaction,
    *,
    limit: int = 50,
    before_id: int | None = None,
    after_id: int | None = None,
    among: Collection[int] | None = None,
    **such: Unpack[Such],
) -> list[Job]:
    """Jobs, newest first; with `before_id` only older ones, to continue after the last job listed.

    With `after_id`, the jobs recorded soonest after it, also newest first; with `among`, only jobs
    with these numbers.
    """
    query = select(jobs).where(*_picked(such))
    if before_id is not None:
        query = query.where(jobs.c.id < before_id)
    if among is not None:  # JSON, because a statement takes a limited number of parameters
        numbers = func.json_each(json.dumps([*among])).table_valued("value")
        query = query.where(jobs.c.id.in_(select(numbers.c.value)))
    if after_id is None:
        return jobs_by(tx, query.order_by(jobs.c.id.desc()).limit(limit))
    query = query.where(jobs.c.id > after_id)
    return jobs_by(tx, query.order_by(jobs.c.id).limit(limit))[::-1]


def count(tx: Transaction, **such: Unpack[Such]) -> int:
    """How many jobs `listed` would return without a limit."""
    state, folder = such.get("state"), such.get("folder")
    if such.get("since") is None and such.get("name") is None:  # such counts are kept as tallies
        kept = counts(tx).items()
        return sum(n for (f, s), n in kept if folder in (None, f) and state in (None, s))
    query = select(func.count()).select_from(jobs).where(*_picked(such))
    number: int = tx.connection.execute(query).scalar_one()
    return number


def _picked(such: Such) -> Iterator[ColumnElement[bool] | TextClause]:
    if (state := such.get("state")) is not None:
        yield jobs.c.state == state
        if state is not JobState.DONE:
            yield NOT_DONE
    if (folder := such.get("folder")) is not None:
        yield jobs.c.folder == folder
    if (since := such.get("since")) is not None:
        yield jobs.c.created_at >= since
    if (name := such.get("name")) is not None:
        yield func.instr(func.folded(jobs.c.shown), folded(name)) > 0


def counts(tx: Transaction) -> dict[tuple[str, JobState], int]:
    """The number of jobs of each folder in each state, without zeros."""
    rows = at_once(tx, "SELECT folder, state, jobs FROM tallies WHERE jobs > 0", {})
    return {(folder, JobState(state)): number for folder, state, number in rows}


def pages_of(tx: Transaction, number: int) -> list[Page]:
    """All pages of a job, pending ones included, as far as their number is known."""
    query = select(*page_columns).where(pages.c.job_id == number)
    known = {row.number: to_page(row) for row in tx.connection.execute(query)}
    total = tx.connection.execute(select(jobs.c.pages).where(jobs.c.id == number)).scalar()
    for missing in range(1, (total or 0) + 1):
        known.setdefault(missing, Page(number=missing, state=PageState.PENDING))
    return [known[each] for each in sorted(known)]


# --- asking ---


def retry(tx: Transaction, numbers: Collection[int] | None = None) -> list[Job]:
    """Put these jobs, or all that failed, back into the queue; their finished pages are kept.

    A job is left as it is if its original is gone, or lies in the inbox under the name of a newer
    or active job.  "All" excludes links and pipes: they would fail again, and a file that replaces
    one is found anyway.

    Returns:
        The jobs put back.
    """
    if numbers is None:
        a_file = jobs.c.error_kind.is_distinct_from(NOT_A_FILE)
        failed = select(jobs.c.id).where(NOT_DONE, jobs.c.state == JobState.FAILED, a_file)
        numbers = tx.connection.execute(failed).scalars().all()
    return [each for batch in batches(sorted(set(numbers))) for each in _retry(tx, batch)]


def request_cancel(tx: Transaction, numbers: Collection[int]) -> list[Job]:
    """Ask for queued or running jobs to be cancelled; delivering jobs continue.

    Returns:
        The jobs that will be cancelled, as they are now.
    """
    asked: list[Job] = []
    can = (jobs.c.state.in_(UNDELIVERED), jobs.c.ending.is_(None), jobs.c.cancel_requested == 0)
    for batch in batches(sorted(set(numbers))):
        such = (jobs.c.id.in_(padded(batch)), *can)
        asked += changed(tx, such, {"cancel_requested": 1}, Happening.CANCEL_REQUESTED)
    return asked


def cancellations(tx: Transaction) -> list[Job]:
    """Queued and running jobs whose cancellation was requested and is yet to be done."""
    where = (CANCEL_REQUESTED, jobs.c.state.in_(UNDELIVERED))
    return jobs_by(tx, select(jobs).where(*where).order_by(jobs.c.id))


def active(tx: Transaction, numbers: Collection[int]) -> set[int]:
    """The subset of these jobs that have not ended."""
    found: set[int] = set()
    for batch in batches(sorted(set(numbers))):
        where = (jobs.c.id.in_(padded(batch)), jobs.c.state.in_(ACTIVE))
        found |= set(tx.connection.execute(select(jobs.c.id).where(*where)).scalars())
    return found


def _retry(tx: Transaction, batch: Sequence[int]) -> list[Job]:
    connection = tx.connection
    ids = connection.execute(
        select(jobs.c.id).where(jobs.c.id.in_(padded(batch)), *_retriable())
    ).scalars()
    chosen = ids.all()
    unread = or_(pages.c.payload.is_(None), pages.c.state.in_(_UNREAD))
    connection.execute(delete(pages).where(pages.c.job_id.in_(padded(chosen)), unread))
    kept = select(func.count()).where(pages.c.job_id == jobs.c.id).scalar_subquery()
    values = {
        "state": JobState.QUEUED,
        "attempts": 0,
        "not_before": 0,
        "pages_done": kept,
        "started_at": None,
        "finished_at": None,
        "ending": None,
        "cancel_requested": 0,
        **error_columns(None),
    }
    return changed(tx, [jobs.c.id.in_(padded(chosen))], values, Happening.RETRIED)


def _retriable() -> list[ColumnElement[bool]]:
    """Conditions: ended, the original still there, and not superseded by another job."""
    other = jobs.alias("other")
    newer = exists().where(
        other.c.place == Place.INBOX,
        other.c.folder == jobs.c.folder,
        other.c.source == jobs.c.source,
        other.c.members.is_(None),
        other.c.id != jobs.c.id,
        or_(other.c.state.in_(UNDELIVERED), other.c.id > jobs.c.id),
    )
    there = jobs.c.place != Place.GONE
    return [jobs.c.state.in_(GIVEN_UP), there, or_(jobs.c.place != Place.INBOX, ~newer)]


# --- forgetting ---


LAST_NUMBER = 2**63 - 1  # no job has it


def first_recorded(tx: Transaction, since: float, until: float) -> int:
    """The lowest number of a job recorded between two moments, `LAST_NUMBER` if there is none.

    Later jobs are younger than `since`, whatever a clock that had been put back says of them.
    Moments are in seconds since the epoch.
    """
    span = jobs.c.created_at.between(since, until)
    number: int | None = tx.connection.execute(select(func.min(jobs.c.id)).where(span)).scalar()
    return LAST_NUMBER if number is None else number


def archived(
    tx: Transaction,
    folder: str,
    before: float,
    *,
    after: int = 0,
    younger: int = LAST_NUMBER,
    limit: int = 100,
) -> list[Job]:
    """Jobs of a folder, done before a moment, whose originals lie in the archive.

    `before` is in seconds since the epoch.  The number of the last job returned is the next
    `after`; `younger` is the first number that counts as done later.
    """
    query = select(jobs).where(
        DONE,
        jobs.c.folder == folder,
        jobs.c.id > after,
        jobs.c.id < younger,
        jobs.c.place == Place.ARCHIVE,
        jobs.c.finished_at < before,
    )
    return jobs_by(tx, query.order_by(jobs.c.id).limit(limit))


def refiled(tx: Transaction, among: Sequence[Job]) -> set[int]:
    """The jobs whose path in the archive a later job now has: their own originals are gone."""
    latest = (
        select(jobs.c.archived_to, func.max(jobs.c.id).label("latest"))
        .where(DONE, jobs.c.archived_to.in_(padded([each.archived_to for each in among])))
        .group_by(jobs.c.archived_to)
    )
    newest = {row.archived_to: row.latest for row in tx.connection.execute(latest)}
    return {each.id for each in among if newest.get(each.archived_to, each.id) > each.id}


def expired(tx: Transaction, fates: Mapping[int, str]) -> None:
    """Record that these jobs' archived originals are gone or not ours, each with the reason."""
    for number, fate in fates.items():
        such = (DONE, jobs.c.id == number, jobs.c.place == Place.ARCHIVE)
        changed(tx, such, {"place": Place.GONE}, Happening.EXPIRED, fate)


def prune(
    tx: Transaction,
    before: float,
    limit: int = 1000,
    *,
    younger: int = LAST_NUMBER,
    keep_archived: Collection[str] = (),
) -> int:
    """Forget jobs that were done before a moment (seconds since the epoch), oldest first.

    The same goes for failed or cancelled jobs whose original is gone, since no retry is possible.
    Their pages and history are deleted with them; the space is reused.  Jobs of `keep_archived`
    folders are kept while their originals lie in the archive, and all from number `younger`.

    Returns:
        The number of jobs deleted; equal to `limit` if there may be more.
    """
    kept = and_(jobs.c.place == Place.ARCHIVE, jobs.c.folder.in_(keep_archived))
    old = select(jobs.c.id).where(jobs.c.finished_at < before, jobs.c.id < younger)
    old = old.order_by(jobs.c.finished_at)
    forgotten = 0
    for which in (and_(DONE, not_(kept)), _MOOT):  # each by its own index
        some = old.where(which).limit(limit - forgotten)
        forgotten += tx.connection.execute(delete(jobs).where(jobs.c.id.in_(some))).rowcount
    return forgotten


def faults(raw: sqlite3.Connection) -> list[str]:
    """Read the whole file and list the faults found; empty if it is sound."""
    found = [row[0] for row in raw.execute("PRAGMA integrity_check")]
    if found != ["ok"]:
        return found
    strays = raw.execute("PRAGMA foreign_key_check").fetchall()
    tallies_off = raw.execute(_TALLY_FAULTS).fetchall()
    pages_off = raw.execute(_PAGE_FAULTS).fetchall()
    return [
        *(f"a row of {table} belongs to no job" for table, *_ in strays),
        *(f"folder {name}: its {state} jobs are miscounted" for name, state in tallies_off),
        *(f"job {number}: its finished pages are miscounted" for (number,) in pages_off),
    ]


# --- whose ledger it is ---


def installation_id(tx: Transaction) -> str:
    """The random identifier of this installation, which never changes."""
    told: str = tx.connection.execute(select(installation.c.id)).scalar_one()
    return told


def known_trees(tx: Transaction) -> dict[str, str]:
    """The file system of each known tree, by the tree's path."""
    return {row.path: row.fsid for row in tx.connection.execute(select(trees))}


def know_tree(tx: Transaction, path: str, fsid: str) -> None:
    """Record the file system of a tree that was verified, or adopted by an operator."""
    tx.connection.execute(insert(trees).prefix_with("OR REPLACE").values(path=path, fsid=fsid))


def number_after(tx: Transaction, number: int) -> None:
    """Give new jobs numbers higher than this from now on."""
    for statement in (_FIRST_NUMBER, _NUMBERS_AFTER):
        tx.connection.execute(text(statement), {"number": number})
