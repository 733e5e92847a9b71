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


_DONE = """
    SELECT id, folder, source, state, pages, finished_at, error_kind, error_message, error_hint
    FROM jobs WHERE state = 'done' ORDER BY finished_at DESC LIMIT ?
"""
_GIVEN_UP = """
    SELECT id, folder, source, state, pages, finished_at, error_kind, error_message, error_hint
    FROM jobs WHERE state = ? AND state <> 'done' ORDER BY id DESC LIMIT ?
"""


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
    """What the ledger holds, by folder, and the jobs that ended last; empty without a ledger."""

    folders: tuple[FolderGlance, ...] = ()
    ended: tuple[Latest, ...] = ()


def glance(path: Path, ended: int = 0) -> Glance:
    """Count the jobs of the ledger at `path`, changing nothing.

    Args:
        path: The ledger.
        ended: How many of each state are wanted of the jobs that ended last.

    Raises:
        LedgerError: It is damaged, locked, newer than this code, or cannot be read.
        PlaceError: It must not be read.
    """
    if not os.access(path, os.F_OK):
        return _nothing(path)
    with translated(path, READING):
        return steadily(path, lambda still: _read(path, ended, still=still))


def _nothing(path: Path) -> Glance:
    """There is no ledger; or it is where we may not look."""
    fault = place_at_fault(path, READING)
    if fault is not None and fault.kind == "no-permission":
        raise fault
    return Glance()


def _read(path: Path, ended: int, *, still: bool) -> Glance:
    with closing(read_only(path, _BUSY_S, still=still)) as raw:
        if known_version(raw, path, NEWEST) == 0:
            return Glance()
        raw.row_factory = sqlite3.Row
        folders = tuple(FolderGlance(**dict(row)) for row in raw.execute(_FOLDERS))
        rows = raw.execute(_DONE, (ended,)).fetchall()
        for state in ("failed", "cancelled"):
            rows += raw.execute(_GIVEN_UP, (state, ended)).fetchall()
        jobs = [Latest(**{**dict(row), "source": os.fsdecode(row["source"])}) for row in rows]
        jobs.sort(key=lambda job: job.finished_at or 0.0, reverse=True)
        return Glance(folders, tuple(jobs))
