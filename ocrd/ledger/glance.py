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
from urllib.parse import quote

from ocrd.ledger.faults import READING, place_at_fault, translated
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
        while True:
            still = _is_still(path)
            try:
                found = _read(path, immutable=still)
            except sqlite3.Error:
                if _is_still(path) == still:
                    raise
            else:
                if _is_still(path) == still:
                    return found
            # The daemon started or stopped in between: look again.


def _nothing(path: Path) -> Glance:
    """There is no ledger; or it is where we may not look."""
    fault = place_at_fault(path, READING)
    if fault is not None and fault.kind == "no-permission":
        raise fault
    return Glance()


def _is_still(path: Path) -> bool:
    """Whether nobody has the ledger open: the last to close it takes its WAL away."""
    return not path.with_name(path.name + "-wal").exists()


def _read(path: Path, *, immutable: bool) -> Glance:
    """One look.

    A WAL ledger that nobody has open cannot be read with `mode=ro` by who may not create files
    beside it; as `immutable` it can (https://sqlite.org/wal.html, "Read-Only Databases").
    """
    mode = "immutable=1" if immutable else "mode=ro"
    uri = f"file:{quote(os.fsencode(path.resolve()))}?{mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S)) as raw:
        if known_version(raw, path, NEWEST) == 0:
            return Glance()
        raw.row_factory = sqlite3.Row
        return Glance(tuple(FolderGlance(**dict(row)) for row in raw.execute(_FOLDERS)))
