"""Jobs in their JSON form, for the command line and HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ocrd.files import display
from ocrd.job import Place
from ocrd.views.phrases import iso

if TYPE_CHECKING:
    from ocrd.job import Job, Page
    from ocrd.ledger.search import Hit
    from ocrd.ledger.transitions import Entry


def job_facts(job: Job) -> dict[str, Any]:
    """A job as printed by `--json`.

    `outputs`, `archived_to` and `failed_to` are paths that a program can open; their `…_display`
    counterparts and `source` are for people: unprintable characters are escaped.
    """
    return {
        "id": job.id,
        "folder": job.folder,
        "source": display(job.source),
        "members": [display(member.source) for member in job.members],
        "state": job.state.value,
        "place": job.place.value,
        "attempts": job.attempts,
        "pages": job.pages,
        "pages_done": job.pages_done,
        "size": job.size,
        "sha256": job.sha256,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        **_path("outputs", job.outputs),
        **_path("archived_to", None if job.place is Place.GONE else job.archived_to),
        **_path("failed_to", job.failed_to),
        "error": job.error and job.error.shown(),
    }


def story_facts(job: Job, pages: Sequence[Page], history: Sequence[Entry]) -> dict[str, Any]:
    """A job with its pages and its history."""
    told = [{"at": iso(each.at), "name": str(each.name), "detail": each.detail} for each in history]
    page_list = [
        {
            "number": page.number,
            "state": page.state.value,
            "tries": page.tries,
            "tokens": page.tokens,
            "seconds": round(page.seconds, 3),
            "reused": page.reused,
            "error": page.error and page.error.shown(),
        }
        for page in pages
    ]
    return {**job_facts(job), "page_list": page_list, "history": told}


def hit_facts(hit: Hit, job: Job) -> dict[str, Any]:
    """A page that contains the words searched for."""
    return {"job": job.id, "page": hit.page, "folder": job.folder, "source": display(job.source)}


def _path(key: str, path: str | None) -> dict[str, str | None]:
    return {key: path, f"{key}_display": None if path is None else display(path)}
