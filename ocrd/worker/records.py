"""What the document builder is handed of a job's pages, and what is said when none can be read."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ocrd.errors import BadFileError, OcrdError
from ocrd.files import display
from ocrd.job import Job, JobError, Page


def isotime(seconds: float) -> str:
    """Local time with its offset, to the second."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def page_line(page: Page, payload: str | None, came_from: dict[str, Any] | None = None) -> str:
    """One page as the document builder reads it: a JSON object on a line of its own."""
    error = page.error
    record = {
        "number": page.number,
        "state": page.state.value,
        "tries": page.tries,
        "tokens": page.tokens,
        "seconds": round(page.seconds, 3),
        "reused": page.reused,
        "error": error and {"kind": error.kind, "message": error.message, "hint": error.hint},
        "result": json.loads(payload) if payload is not None else None,
    }
    if came_from is not None:
        record["came_from"] = came_from
    return json.dumps(record, ensure_ascii=False) + "\n"


def nothing_read(job: Job, pages: list[Page]) -> OcrdError:
    """A document of which no page could be read has failed, for its first page's reason."""
    first = min(pages, key=lambda page: page.number).error
    if first is None:
        first = JobError(kind="unreadable", message="no reason recorded", hint="See the log.")
    what = "the page" if len(pages) == 1 else f"none of the {len(pages)} pages"
    return BadFileError(
        f"{display(job.source)}: {what} could be read: {first.message}"
        if len(pages) > 1
        else f"{display(job.source)}: {first.message}",
        hint=first.hint,
        kind=first.kind,
    )
