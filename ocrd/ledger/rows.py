"""From rows to what the rest of ocrd knows: jobs, pages, errors; and back."""

from __future__ import annotations

import zlib
from typing import Any

from ocrd.job import Job, JobError, JobState, Page, PageState, Place
from ocrd.ledger.prepared import Record
from ocrd.ledger.tables import pages

page_columns = [column for column in pages.c if column.name != "payload"]


def to_job(row: Record) -> Job:
    """A row of `jobs`, whole."""
    return Job(
        id=row.id,
        token=row.token,
        folder=row.folder,
        source=row.source,
        state=JobState(row.state),
        place=Place(row.place),
        attempts=row.attempts,
        priority=row.priority,
        size=row.size,
        mtime_ns=row.mtime_ns,
        inode=row.inode,
        sha256=row.sha256,
        pages=row.pages,
        pages_done=row.pages_done,
        created_at=row.created_at,
        not_before=float(row.not_before),  # RETURNING gives a 0 as it was written
        started_at=row.started_at,
        finished_at=row.finished_at,
        outputs=row.outputs,
        archived_to=row.archived_to,
        failed_to=row.failed_to,
        error=_to_error(row),
        cancel_requested=bool(row.cancel_requested),
        epoch=row.epoch,
        ending=None if row.ending is None else JobState(row.ending),
        members=row.members,
    )


def to_page(row: Record) -> Page:
    """A row of `pages`, or of its `page_columns`: all but the payload."""
    return Page(
        number=row.number,
        state=PageState(row.state),
        tries=row.tries,
        tokens=row.tokens,
        seconds=row.seconds,
        reused=bool(row.reused),
        error=_to_error(row),
    )


def error_columns(error: JobError | None) -> dict[str, Any]:
    """The three columns of an error; all NULL for none."""
    if error is None:
        return {"error_kind": None, "error_message": None, "error_hint": None}
    return {
        "error_kind": error.kind,
        "error_message": error.message,
        "error_hint": error.hint,
    }


def packed(payload: str | None) -> bytes | None:
    """A payload as it is stored; a model may say what strict UTF-8 refuses."""
    return None if payload is None else zlib.compress(payload.encode("utf-8", "surrogatepass"))


def unpacked(stored: bytes | None) -> str | None:
    """The inverse of `packed`."""
    return None if stored is None else zlib.decompress(stored).decode("utf-8", "surrogatepass")


def _to_error(row: Record) -> JobError | None:
    if row.error_kind is None:
        return None
    return JobError(kind=row.error_kind, message=row.error_message, hint=row.error_hint)
