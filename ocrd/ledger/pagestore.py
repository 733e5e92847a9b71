"""The pages of jobs: finished ones are kept, and used again where the content is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, delete, func, or_, select
from sqlalchemy.dialects.sqlite import insert

from ocrd.job import Job, JobState, Member, Page, PageState
from ocrd.ledger.fence import given, step, take
from ocrd.ledger.history import Happening
from ocrd.ledger.part import Part
from ocrd.ledger.prepared import Prepared, Record, driver
from ocrd.ledger.rows import error_columns, packed, page_columns, to_job, to_page, unpacked
from ocrd.ledger.tables import REUSABLE, jobs, pages
from ocrd.page import PageResult

_CHUNK = 64  # payloads in memory at once while they are streamed
_RUNNING = (JobState.RUNNING,)

_FINISHED = pages.c.state != PageState.PENDING
_of_job = select(func.count()).where(pages.c.job_id == jobs.c.id, _FINISHED).correlate(jobs)
_OPENED = step(
    Happening.OPENED,
    _RUNNING,
    {"pages": given("pages"), "pages_done": _of_job.scalar_subquery()},
    heed_cancel=True,
)
_RERECORDED = step(
    Happening.CHANGED,
    _RUNNING,
    {name: given(name) for name in ("size", "mtime_ns", "inode", "sha256", "members")}
    | {"pages": None, "pages_done": 0},
)

# One more finished page, unless it was finished before.
_finished_before = _of_job.where(pages.c.number == bindparam("given_number"))
_counted = {
    "pages_done": jobs.c.pages_done
    + bindparam("given_finished", type_=Integer)
    - _finished_before.scalar_subquery()
}
_fence = (jobs.c.id, jobs.c.sha256, jobs.c.entries)
_PAGE_DONE = step(None, _RUNNING, _counted, heed_cancel=True, returning=_fence)
_PAGE_RETRIED = step(Happening.PAGE_RETRIED, _RUNNING, _counted, heed_cancel=True, returning=_fence)

_insert = insert(pages)
_PUT = Prepared(
    _insert.on_conflict_do_update(
        index_elements=["job_id", "number"],
        set_={
            column.name: column
            for column in _insert.excluded
            if column.name not in ("id", "job_id", "number")
        },
    ),
    columns=[column.name for column in pages.c if column.name != "id"],
)

_of_recipe = (pages.c.job_id == bindparam("job"), pages.c.recipe == bindparam("recipe"), _FINISHED)
_FINISHED_PAGES = Prepared(select(*page_columns).where(*_of_recipe))
_PAYLOADS = Prepared(
    select(pages)
    .where(*_of_recipe, pages.c.number > bindparam("after"))
    .order_by(pages.c.number)
    .limit(_CHUNK)
)
_REUSABLE = Prepared(
    select(pages.c.payload)
    .where(REUSABLE, pages.c.sha256 == bindparam("content"))
    .where(pages.c.recipe == bindparam("recipe"), pages.c.number == bindparam("number"))
    .limit(1)
)


class PageStore(Part):
    """Keeps each page's outcome as it comes.

    A job's `recipe` is a digest of everything but the content that shapes its results.
    """

    def set_pages(self, job: Job, count: int, *, recipe: str | None = None) -> Job:
        """The document has `count` pages.  They are pending, without a row each.

        Args:
            job: As claimed.
            count: At least 0.
            recipe: Forget what was finished under any other.
        """
        with self._db.write() as connection:
            if job.pages is not None:  # else there are none
                stale = pages.c.number > count
                if recipe is not None:
                    stale = or_(stale, pages.c.recipe != recipe)
                connection.execute(delete(pages).where(pages.c.job_id == job.id, stale))
            detail = f"pages: {count}"
            row = take(connection, job, _OPENED, self._clock(), detail, pages=count)
        return to_job(row)

    def page_done(self, job: Job, page: Page, payload: str | None, *, recipe: str) -> None:
        """One page is finished.

        Args:
            job: As claimed.
            page: Done, partial or failed.
            payload: Its `PageResult` as JSON; None for a failed one.
            recipe: What its result may be used again for.
        """
        stored = packed(payload)
        with self._db.write() as connection:
            now = self._clock()
            row = take(connection, job, _PAGE_DONE, now, finished=1, number=page.number)
            _put(connection, row, page, stored, recipe)

    def page_retried(self, job: Job, page: Page, *, recipe: str) -> None:
        """One page goes to the engine again; `page` is pending and says how often and why."""
        why = f": {page.error.kind}: {page.error.message}" if page.error else ""
        detail = f"page {page.number}, tries: {page.tries}{why}"
        with self._db.write() as connection:
            now = self._clock()
            row = take(connection, job, _PAGE_RETRIED, now, detail, finished=0, number=page.number)
            _put(connection, row, page, None, recipe)

    def finished_pages(self, job: Job, recipe: str) -> dict[int, Page]:
        """Pages of this job, by number, that need not be computed again under `recipe`."""
        rows = self._db.ask(_FINISHED_PAGES, job=job.id, recipe=recipe)
        return {row.number: to_page(row) for row in rows}

    def payloads(self, job: Job, recipe: str) -> Iterator[tuple[Page, str | None]]:
        """The job's finished pages in order, each with its payload; a few in memory at a time."""
        after = 0
        while after != job.pages:
            rows = self._db.ask(_PAYLOADS, job=job.id, recipe=recipe, after=after)
            if not rows:
                return
            for row in rows:
                yield to_page(row), unpacked(row.payload)
            after = rows[-1].number

    def page_texts(self, number: int) -> list[str]:
        """What was read on each finished page of a job, in order, as plain words."""
        query = select(pages.c.payload).where(pages.c.job_id == number).order_by(pages.c.number)
        with self._db.read() as connection:
            stored = connection.execute(query).scalars().all()
        return [_words(unpacked(payload)) for payload in stored]

    def reusable(self, sha256: str, recipe: str, number: int) -> str | None:
        """The payload of a page that is done, of any job with the same content and recipe."""
        rows = self._db.ask(_REUSABLE, content=sha256, recipe=recipe, number=number)
        return unpacked(rows[0].payload) if rows else None

    def rerecord(
        self,
        job: Job,
        *,
        size: int,
        mtime_ns: int,
        inode: int,
        sha256: str,
        members: tuple[Member, ...] | None = None,
    ) -> Job:
        """The original of a running job changed: its new identity; the old one's pages go.

        Args:
            job: As claimed.
            size: And the others: what it is now.
            mtime_ns: Likewise.
            inode: Likewise.
            sha256: Likewise.
            members: Likewise; None when they are as they were.
        """
        told: dict[str, Any] = {"size": size, "mtime_ns": mtime_ns}
        told |= {"inode": inode, "sha256": sha256}
        told |= {"members": job.members if members is None else members}
        with self._db.write() as connection:
            connection.execute(delete(pages).where(pages.c.job_id == job.id))
            row = take(connection, job, _RERECORDED, self._clock(), **told)
        return to_job(row)


def _words(payload: str | None) -> str:
    if payload is None:
        return ""
    read = PageResult.from_json(payload)
    cells = (cell for block in read.blocks for row in block.rows for cell in row)
    return "\n".join([*(block.text for block in read.blocks), *cells]) or read.text


def _put(
    connection: Connection, fence: Record, page: Page, payload: bytes | None, recipe: str
) -> None:
    """Write a page of the job whose row is `fence`, over what an earlier attempt left of it."""
    values = {
        "job_id": fence.id,
        "number": page.number,
        "state": page.state,
        "recipe": recipe,
        "sha256": fence.sha256,
        "tries": page.tries,
        "tokens": page.tokens,
        "seconds": page.seconds,
        "reused": page.reused,
        "payload": payload,
        **error_columns(page.error),
    }
    _PUT.run(driver(connection), values)
