"""Checks that the ledger agrees with the disk; it reads a copy with plain SQLite."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

from tests.slow.faults.evidence import Site, digest, files_below, is_hidden, originals_below

_JOBS = """
    SELECT id, state, place, sha256, pages, pages_done, outputs, archived_to, failed_to,
        error_kind, error_message, error_hint, shown,
        (SELECT count(*) FROM pages WHERE job_id = jobs.id AND state <> 'pending') AS recorded
    FROM jobs ORDER BY id
"""
_ENDED = {"done", "failed", "cancelled"}


def audit_ledger(site: Site, *, over: bool) -> list[str]:
    """False entries in the ledger, and files on the disk that it does not know."""
    file = site.ledger_file()
    if not file.is_file():
        return [f"there is no ledger at {file}"]
    try:
        rows = _rows(file)
    except sqlite3.DatabaseError as error:
        return [f"the ledger cannot be read: {error}"]
    wrong = [fault for row in rows for fault in _audit_job(row, over=over)]
    return wrong + _audit_disk(site, rows) if over else wrong


def _rows(ledger: Path) -> list[sqlite3.Row]:
    """All jobs, from a copy, so that the original keeps its WAL as a killed daemon left it."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            if Path(f"{ledger}{suffix}").exists():
                shutil.copy(f"{ledger}{suffix}", Path(folder, f"ledger{suffix}"))
        connection = sqlite3.connect(Path(folder, "ledger"))
        try:
            connection.row_factory = sqlite3.Row
            faults = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            if faults != ["ok"]:
                raise sqlite3.DatabaseError("; ".join(faults))
            return connection.execute(_JOBS).fetchall()
        finally:
            connection.close()


def _audit_job(row: sqlite3.Row, *, over: bool) -> list[str]:
    name = f"job {row['id']} ({row['shown']})"
    if row["state"] not in _ENDED:
        return [f"{name} is still {row['state']}"] if over else []
    if row["state"] == "done":
        return [f"{name} {fault}" for fault in _audit_done(row)]
    return [f"{name} {fault}" for fault in _audit_failed(row)]


def _audit_done(row: sqlite3.Row) -> list[str]:
    wrong = []
    if not row["pages"] or row["pages"] != row["pages_done"]:
        wrong.append(f"is done with {row['pages_done']} of {row['pages']} pages")
    if row["recorded"] != row["pages"]:
        wrong.append(f"has {row['recorded']} pages recorded of {row['pages']}")
    if _file(row["outputs"]) is None:
        wrong.append("is done and names no bundle")
    if row["place"] != "archive":
        wrong.append(f"is done and its original is said to be in {row['place']}")
    return wrong


def _audit_failed(row: sqlite3.Row) -> list[str]:
    if row["place"] == "gone":
        return []
    wrong = [] if row["place"] == "failed" else [f"has ended in {row['place']}"]
    told = [row["error_kind"], row["error_message"], row["error_hint"]]
    return wrong + ([] if all(told) else ["failed without saying why"])


def _audit_disk(site: Site, rows: list[sqlite3.Row]) -> list[str]:
    """Each filed original and each bundle belongs to one job and is where the job says."""
    wrong = []
    for kind, column in (("archive", "archived_to"), ("failed", "failed_to")):
        said = Counter(_file(row[column]) for row in rows if row["place"] == kind)
        there = {path: digest(path) for path in _originals(site, kind)}
        wrong += [f"no job knows {site.shown(path)}" for path in there.keys() - said.keys()]
        wrong += [f"{count} jobs claim {path}" for path, count in said.items() if count > 1]
        for row in rows:
            path = _file(row[column])
            if row["place"] == kind and there.get(path or Path()) != row["sha256"].hex():
                wrong.append(f"job {row['id']}: its original is not at {path}")
    return wrong + _audit_outputs(site, rows)


def _audit_outputs(site: Site, rows: list[sqlite3.Row]) -> list[str]:
    said = Counter(_file(row["outputs"]) for row in rows if row["state"] == "done")
    wrong = [f"{count} jobs claim the bundle {path}" for path, count in said.items() if count > 1]
    wrong += [f"the bundle {path} is not there" for path in said if path and not path.is_dir()]
    unknown = _bundles(site) - {path for path in said if path}
    return wrong + [f"no job knows the bundle {site.shown(path)}" for path in sorted(unknown)]


def _originals(site: Site, kind: str) -> list[Path]:
    top = site.root / kind
    folders = sorted(top.iterdir()) if top.is_dir() else []
    return [path for folder in folders for path in originals_below(folder)]


def _bundles(site: Site) -> set[Path]:
    top = site.root / "outbox"
    sidecars = [path for path in files_below(top) if path.suffix == ".json"]
    return {path.parent for path in sidecars if not is_hidden(path, top)}


def _file(stored: bytes | None) -> Path | None:
    return None if stored is None else Path(os.fsdecode(stored))
