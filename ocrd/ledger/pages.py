"""The pages of jobs: their results, and which results can be reused for the same content.

A job's `recipe` is a digest of everything except the content that shapes its results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, or_, select

from ocrd.job import Found, Job, Page, PageState
from ocrd.ledger.store import Transaction
from ocrd.ledger.tables import (
    REUSABLE,
    at_once,
    error_columns,
    packed,
    pages,
    to_page,
    unpacked,
)
from ocrd.ledger.transitions import RUNNING, Happening, take
from ocrd.page import PageResult

CHUNK = 64  # the most payloads in memory while they are streamed

PAGES_DONE = {
    "pages_done": "(SELECT count(*) FROM pages WHERE job_id = jobs.id AND state <> 'pending')"
}
"""The SQL that updates a job's `pages_done`: the number of its finished pages."""


PageRow = dict[str, Any]
"""The columns of a page's row, as made by `page_row`."""


def page_row(page: Page, payload: str | None, recipe: str) -> PageRow:
    """A finished page's row, without its job; the result can be reused under the same `recipe`.

    The payload is the page's `PageResult` as JSON; None if the page failed or the result is kept
    elsewhere.  Packing takes time, so it is done here, where no other writer has to wait for it.
    """
    return {
        "number": page.number,
        "state": page.state,
        "recipe": recipe,
        "tries": page.tries,
        "tokens": page.tokens,
        "seconds": page.seconds,
        "reused": page.reused,
        "payload": packed(payload),
        **error_columns(page.error),
    }


def put_pages(tx: Transaction, job: Job, rows: Sequence[PageRow]) -> None:
    """Write finished pages of a job, before a step that counts them (`PAGES_DONE`).

    If the step is fenced, these rows are rolled back with it.
    """
    for row in rows:  # if the job does not exist, no row is written: the step reports that
        at_once(tx, _PUT, row | {"job_id": job.id})


def set_pages(tx: Transaction, job: Job, count: int, *, recipe: str | None = None) -> Job:
    """Record that the document has `count` pages.  Pending pages have no row.

    Pages beyond `count`, and those finished under another recipe, are forgotten.
    """
    if job.pages is not None:  # otherwise it has no rows
        stale = pages.c.number > count
        if recipe is not None:
            stale = or_(stale, pages.c.recipe != recipe)
        tx.connection.execute(delete(pages).where(pages.c.job_id == job.id, stale))
    opened, told, values = Happening.OPENED, f"pages: {count}", {"pages": count}
    return take(tx, job, opened, RUNNING, values, sql=PAGES_DONE, heed_cancel=True, detail=told)


def rerecord(tx: Transaction, job: Job, now: Found) -> Job:
    """Record that the original of a running job changed into `now`; its pages are forgotten."""
    values = {**now.facts(), "members": now.members, "pages": None, "pages_done": 0}
    tx.connection.execute(delete(pages).where(pages.c.job_id == job.id))
    return take(tx, job, Happening.CHANGED, RUNNING, values)


def some_payloads(
    tx: Transaction, job: Job, recipe: str, after: int
) -> list[tuple[Page, str | None]]:
    """Up to `CHUNK` of the job's pages after page `after` that need not be read again, in order.

    A done page whose result is not stored here is left out: only the job's log may have it.
    """
    told = {"job": job.id, "recipe": recipe, "after": after}
    rows = tx.connection.execute(_PAYLOADS, told)
    return [(to_page(row), unpacked(row.payload)) for row in rows]


def page_texts(tx: Transaction, number: int) -> list[str]:
    """The plain text of each page of a job, in page order; empty where none is kept."""
    query = "SELECT payload FROM pages WHERE job_id = :job ORDER BY number"
    return [_words(unpacked(payload)) for (payload,) in at_once(tx, query, {"job": number})]


def _words(payload: str | None) -> str:
    if payload is None:
        return ""
    read = PageResult.from_json(payload)
    cells = (cell for block in read.blocks for row in block.rows for cell in row)
    return "\n".join([*(block.text for block in read.blocks), *cells]) or read.text


def knows(tx: Transaction, sha256: str, recipe: str) -> bool:
    """Whether `reusable` has a payload for at least one page."""
    told = {"sha256": sha256, "recipe": recipe}
    return at_once(tx, _SAME_CONTENT, told).fetchone() is not None


def reusable(tx: Transaction, sha256: str, recipe: str, number: int) -> str | None:
    """The payload of a page that is done, from any job with the same content and recipe."""
    told = {"sha256": sha256, "recipe": recipe, "number": number}
    found = at_once(tx, f"{_SAME_CONTENT} AND number = :number", told).fetchone()
    return unpacked(found and found[0])


_COLUMNS = [column.name for column in pages.c if column.name != "id"]
_GIVEN = ["sha256" if name == "sha256" else f":{name}" for name in _COLUMNS]
_PUT = f"""
    INSERT INTO pages ({", ".join(_COLUMNS)})
    SELECT {", ".join(_GIVEN)} FROM jobs WHERE id = :job_id
    ON CONFLICT (job_id, number) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:-1])},
        payload = coalesce(excluded.payload, payload)
"""  # noqa: S608 - our own words
_PAYLOADS = (
    select(pages)
    .where(pages.c.job_id == bindparam("job"), pages.c.recipe == bindparam("recipe"))
    .where(or_(pages.c.payload.is_not(None), pages.c.state == PageState.FAILED))
    .where(pages.c.number > bindparam("after"))
    .order_by(pages.c.number)
    .limit(CHUNK)
)
_SAME_CONTENT = f"""
    SELECT payload FROM pages WHERE {REUSABLE} AND payload IS NOT NULL
    AND sha256 = :sha256 AND recipe = :recipe
"""  # noqa: S608 - likewise
