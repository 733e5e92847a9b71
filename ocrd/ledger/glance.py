"""The ledger's numbers at a glance, read with the standard library alone.

`ocrd status` must be instant, must work while the daemon runs and after it stopped, and for
users who may read the ledger but not write it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ocrd.ledger.faults import READING, place_at_fault, translated
from ocrd.ledger.still import read_only, steadily
from ocrd.ledger.version import NEWEST, known_version

_BUSY_S = 2.0
_FOLDERS = """
    SELECT folder,
        sum(jobs * (state = 'queued')) AS waiting,
        sum(jobs * (state IN ('running', 'delivering'))) AS running,
        sum(jobs * (state = 'done')) AS done,
        sum(jobs * (state = 'failed')) AS failed,
        sum(jobs * (state = 'cancelled')) AS cancelled,
        (SELECT created_at FROM jobs WHERE jobs.folder = tallies.folder AND state = 'queued'
            ORDER BY created_at LIMIT 1) AS oldest_waiting
    FROM tallies GROUP BY folder ORDER BY folder
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderGlance:
    """A folder's jobs by where they stand; `running` includes those that deliver.

    `oldest_waiting` is when the oldest queued job was recorded, seconds since the epoch.
    """

    folder: str
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int
    oldest_waiting: float | None


_LATEST = """
    SELECT id, folder, source, state, pages, finished_at, error_kind, error_message, error_hint
    FROM jobs WHERE state IN ('done', 'failed', 'cancelled') ORDER BY id DESC LIMIT ?
"""
_FAILURES = """
    SELECT id, folder, source, state, pages, finished_at, error_kind, error_message, error_hint
    FROM jobs WHERE state = 'failed' AND state <> 'done' ORDER BY id DESC LIMIT ?
"""
_AMONG = 5  # times as many jobs are looked at: they end in another order than they came


@dataclass(frozen=True, kw_only=True, slots=True)
class Latest:
    """A job that has ended."""

    id: int
    folder: str
    source: str
    state: str
    pages: int | None
    finished_at: float | None
    error_kind: str | None
    error_message: str | None
    error_hint: str | None


@dataclass(frozen=True, slots=True)
class Glance:
    """What the ledger holds, by folder; empty where there is no ledger yet."""

    folders: tuple[FolderGlance, ...] = ()


def glance(path: Path) -> Glance:
    """Count the jobs of the ledger at `path`, changing nothing.

    Raises:
        LedgerError: It is damaged, locked, newer than this code, or cannot be read.
        PlaceError: It must not be read.
    """
    if not os.access(path, os.F_OK):
        return _nothing(path)
    with translated(path, READING):
        return steadily(path, lambda still: _read(path, still=still))


def latest(path: Path, limit: int, *, failed: bool = False) -> list[Latest]:
    """The jobs that ended last, the latest first; only those that failed, if `failed`.

    Raises:
        LedgerError: It is damaged, locked, newer than this code, or cannot be read.
        PlaceError: It must not be read.
    """
    if not os.access(path, os.F_OK):
        return []
    query = _FAILURES if failed else _LATEST
    with translated(path, READING):
        rows = steadily(path, lambda still: _rows(path, query, _AMONG * limit, still=still))
    ended = [Latest(**{**dict(row), "source": os.fsdecode(row["source"])}) for row in rows]
    return sorted(ended, key=lambda job: job.finished_at or 0.0, reverse=True)[:limit]


def _rows(path: Path, query: str, limit: int, *, still: bool) -> list[sqlite3.Row]:
    with closing(read_only(path, _BUSY_S, still=still)) as raw:
        if known_version(raw, path, NEWEST) == 0:
            return []
        raw.row_factory = sqlite3.Row
        return raw.execute(query, (limit,)).fetchall()


def _nothing(path: Path) -> Glance:
    """There is no ledger; or it is where we may not look."""
    fault = place_at_fault(path, READING)
    if fault is not None and fault.kind == "no-permission":
        raise fault
    return Glance()


def _read(path: Path, *, still: bool) -> Glance:
    with closing(read_only(path, _BUSY_S, still=still)) as raw:
        if known_version(raw, path, NEWEST) == 0:
            return Glance()
        raw.row_factory = sqlite3.Row
        return Glance(tuple(FolderGlance(**dict(row)) for row in raw.execute(_FOLDERS)))
