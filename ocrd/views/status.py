"""The overall state: the daemon's snapshot, the ledger's counts, the files in the inboxes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrd.names import display, ignored
from ocrd.views.locate import Located
from ocrd.views.phrases import iso

if TYPE_CHECKING:
    from ocrd.ledger.readonly import FolderGlance, Latest

LATEST, FAILURES = 10, 5
AWAY = (
    "Mount the root's file system again; until then nothing is read, and whether a daemon runs "
    "cannot be told here."
)
RELOAD = "systemctl reload ocrd takes it over, or names what wants a restart."


def gather(found: Located) -> dict[str, Any]:
    """The object that `ocrd status --json` prints; docs/operating.md explains each field.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    from ocrd.ledger.readonly import glance

    now, said = time.time(), found.word
    seen = glance(found.ledger, LATEST)
    counted = {each.folder: each for each in seen.folders}
    told = {each["name"]: each for each in said.get("folders", ())}
    known = [*told] or [*found.folders]  # implicit folders come and go
    names = [*known, *(name for name in counted if name not in known)]
    failures = [job for job in seen.ended if job.state == "failed"]
    folders = [_folder(found, name, counted.get(name), told.get(name), now) for name in names]
    facts = {
        "version": 1,
        "daemon": {
            "state": "stopped" if found.pid is None else "running",
            "pid": found.pid,
            "since": iso(said.get("started_at")),
        },
        "engine": said.get("engine") or _silent_engine(found),
        "pages_per_s": said.get("pages_per_s", 0.0),
        "pages_in_flight": said.get("pages_in_flight", 0),
        "folders": folders,
        "strays": _strays(found),
        "latest": [_ended(each) for each in seen.ended[:LATEST]],
        "failures": [_ended(each) for each in failures[:FAILURES]],
        "troubles": _troubles(found),
        "held": [{**each, "until": iso(each["until"])} for each in said.get("held", ())],
        "hanging": said.get("hanging", []),
    }
    return facts | {"left_s": _left_s(facts, seen.ended)}


def _silent_engine(found: Located) -> dict[str, Any]:
    """The engine's state when the daemon is stopped, or has only just started."""
    last = (found.snapshot or {}).get("engine") or {"kind": found.engine, "model": None}
    state = "stopped" if found.pid is None else "loading"
    return {**last, "state": state, "detail": "", "devices": [], "steps": []}


def _folder(
    found: Located,
    name: str,
    counted: FolderGlance | None,
    told: dict[str, Any] | None,
    now: float,
) -> dict[str, Any]:
    told = told or {}
    oldest = counted.oldest_waiting if counted else None
    counts = ("waiting", "running", "done", "failed", "cancelled")
    return {
        "name": name,
        **{count: getattr(counted, count) if counted else 0 for count in counts},
        "oldest_waiting_s": round(max(0.0, now - oldest), 1) if oldest is not None else None,
        "in_inbox": _in_inbox(found.folders[name]) if not told and name in found.folders else None,
        "pages_per_s": told.get("pages_per_s", 0.0),
        "settling": told.get("settling", 0),
        "unmarked": told.get("unmarked", 0),
        "overdue": told.get("overdue", []),
        "watch": told.get("watch"),
        "paused": told.get("paused"),
        "waits_until": iso(told.get("waits_until")),
        "conditions": told.get("conditions", []),
    }


def _in_inbox(inbox: Path) -> int:
    """The number of files in an inbox, except ignored names."""
    if not _holds_any(inbox, ()):
        return 0
    from ocrd.inbox.scan import lying

    return lying(str(inbox))


def _strays(found: Located) -> list[dict[str, Any]]:
    """Files in the wrong place: in `inbox/` itself, or in a directory there that is no folder's."""
    said: list[dict[str, Any]] | None = found.word.get("strays")
    if said is not None:
        return said
    root, known = found.spool.parent, found.folders.values()
    home = root / "inbox"
    below = (path.relative_to(home).parts for path in known if path.is_relative_to(home))
    if not _holds_any(home, {parts[0] for parts in below if parts}):
        return []
    from ocrd.inbox.scan import strays

    with contextlib.suppress(OSError):
        return [{"path": path, "files": files} for path, files in strays(root, known).items()]
    return []


def _holds_any(folder: Path, but: Collection[str]) -> bool:
    """Whether any other name than `but` and ignored ones is there; spares loading the scanner."""
    with contextlib.suppress(OSError):
        return any(name not in but and not ignored(name) for name in os.listdir(folder))  # noqa: PTH208 - names do
    return False


def _ended(job: Latest) -> dict[str, Any]:
    error = {"kind": job.error_kind, "message": job.error_message, "hint": job.error_hint}
    return {
        "id": job.id,
        "folder": job.folder,
        "source": display(job.source),
        "state": job.state,
        "pages": job.pages,
        "finished_at": iso(job.finished_at),
        "error": error if job.error_kind else None,
    }


def _troubles(found: Located) -> list[dict[str, Any]]:
    """Faults of the daemon itself, and differences between its configuration and the disk's."""
    said = found.word
    told = [{**each, "since": iso(each.get("since"))} for each in said.get("troubles", ())]
    if not found.spool.exists() and found.ledger.exists():
        told.append({"kind": "tree-lost", "message": f"{found.spool} is not there", "hint": AWAY})
    if any(each["kind"] == "config" for each in told):
        return told
    if found.refused is not None:
        message = f"the configuration on disk is refused: {found.refused.message}"
        return [*told, {"kind": "config", "message": message, "hint": found.refused.hint}]
    if said.get("config_digest", found.file_digest) != found.file_digest:
        message = "the configuration on disk has changed since the daemon read it"
        return [*told, {"kind": "config", "message": message, "hint": RELOAD}]
    return told


def _left_s(facts: dict[str, Any], ended: Sequence[Latest]) -> float | None:
    """Seconds until all waiting jobs are done, at the present rate; None if unknown."""
    files = sum(each["waiting"] + each["running"] for each in facts["folders"])
    counts = [job.pages for job in ended if job.pages]
    if not files or not facts["pages_per_s"]:
        return None
    pages = sum(counts) / len(counts) if counts else 1.0
    return float(round(files * pages / facts["pages_per_s"], 1))
