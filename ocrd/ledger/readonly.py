"""Read-only access to the ledger, for members of the group, whether the daemon runs or not.

Only the standard library is loaded, since `ocrd status` must be instant; `read_ledger` loads the
rest when called.

A WAL ledger that no process has open cannot be read with `mode=ro` by a user who may not create
files beside it, but can be read as `immutable` (https://sqlite.org/wal.html, "Read-Only
Databases").  So a reader must know which of the two applies, and read again if that changed
meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ocrd.errors import LedgerError, OcrdError
from ocrd.ledger.errors import READING, place_at_fault, translated

if TYPE_CHECKING:
    from ocrd.ledger.ledger import Ledger

T = TypeVar("T")

# `PRAGMA user_version` holds the number of the last revision, `PRAGMA application_id` distinguishes
# a ledger from any other SQLite file.
APPLICATION_ID = 0x6F637264  # "ocrd"
NEWEST = 3  # the newest revision in migrations/

SEARCH = "search.db"  # beside the ledger: the full-text index
WEB = "web.db"  # beside the ledger: tokens, and the jobs that came over HTTP
_NUMBERS = {SEARCH: "SELECT max(job) FROM pages", WEB: "SELECT max(job) FROM handed"}

_GLANCE_BUSY_S = 2.0
_AHEAD_S = 3600.0  # a clock set right by less changes nothing in the order of the last files
_BUSY_S = 10.0
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
_ENDED = """
    SELECT id, folder, source, state, pages, finished_at, error_kind, error_message, error_hint
    FROM jobs WHERE
"""
_DONE = f"{_ENDED} state = 'done' AND finished_at <= ? ORDER BY finished_at DESC LIMIT ?"
_GIVEN_UP = f"{_ENDED} state = ? AND state <> 'done' ORDER BY id DESC LIMIT ?"


class FolderGlance(NamedTuple):
    """The number of a folder's jobs by state; `running` includes delivering jobs.

    `oldest_waiting` is when the oldest queued job was recorded, seconds since the epoch.
    """

    folder: str
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int
    oldest_waiting: float | None


class Latest(NamedTuple):
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


class Glance(NamedTuple):
    """The ledger's counts by folder and the jobs that ended last; empty without a ledger."""

    folders: tuple[FolderGlance, ...] = ()
    ended: tuple[Latest, ...] = ()


def glance(path: Path, ended: int = 0) -> Glance:
    """Count the jobs of the ledger at `path`, changing nothing.

    Of the done, failed and cancelled jobs, the last `ended` each are included, the latest first.
    Those of a clock that was an hour or more ahead and was then put right come last, and done ones
    are left out.

    Raises:
        LedgerError: It is damaged, locked, newer than this code, or cannot be read.
        PlaceError: There is no permission to read it.
    """
    if not os.access(path, os.F_OK):  # missing, or in a folder that we may not enter
        fault = place_at_fault(path, READING)
        if fault is not None and fault.kind == "no-permission":
            raise fault
        return Glance()
    return _steadily(path, partial(_counted, path, ended))


def read_ledger(path: Path, question: Callable[[Ledger], T]) -> T:
    """Ask the ledger a question that changes nothing; `question` may be called more than once.

    A ledger made by an older ocrd is upgraded first, which needs permission to write.

    Raises:
        LedgerError: It is missing, damaged, locked, or made by a newer ocrd.
        PlaceError: There is no permission to read it.
    """
    from ocrd.ledger.ledger import Ledger

    def version(still: bool) -> int:
        with closing(_connect(path, _BUSY_S, still)) as raw:
            return known_version(raw, path, NEWEST)

    if not os.access(path, os.R_OK) or _steadily(path, version) != NEWEST:
        with Ledger.open(path, create=False, check=False) as ledger:  # `open` raises the reason
            return question(ledger)

    def ask(still: bool) -> T:
        opener = partial(_connect, path, _BUSY_S, still)
        with Ledger(path, opener, access=READING) as ledger:
            return question(ledger)

    return _steadily(path, ask)


def number_beside(path: Path) -> int:
    """The highest job number in the files beside the ledger; 0 if there are none.

    They stay in place when the ledger is lost or replaced by an older copy.
    """
    highest = 0
    for name, query in _NUMBERS.items():
        keeper = path.with_name(name)
        still = _lies_still(keeper)
        # If one cannot be read, the code that works with it reports that.
        with suppress(sqlite3.Error), closing(_connect(keeper, _BUSY_S, still)) as raw:
            highest = max(highest, raw.execute(query).fetchone()[0] or 0)
    return highest


def _counted(path: Path, ended: int, still: bool) -> Glance:
    with closing(_connect(path, _GLANCE_BUSY_S, still)) as raw:
        if known_version(raw, path, NEWEST) == 0:
            return Glance()
        raw.row_factory, until = sqlite3.Row, time.time() + _AHEAD_S
        folders = tuple(FolderGlance(**dict(row)) for row in raw.execute(_FOLDERS))
        rows = raw.execute(_DONE, (until, ended)).fetchall()
        for state in ("failed", "cancelled"):
            rows += raw.execute(_GIVEN_UP, (state, ended)).fetchall()
        jobs = [Latest(**{**dict(row), "source": os.fsdecode(row["source"])}) for row in rows]
        jobs.sort(key=lambda job: ((at := job.finished_at or 0.0) <= until, at), reverse=True)
        return Glance(folders, tuple(jobs))


def _steadily(path: Path, look: Callable[[bool], T]) -> T:
    """Call `look` with whether no process has the ledger open, until that holds throughout."""
    while True:
        still = _lies_still(path)
        try:
            with translated(path, READING):
                found = look(still)
        except OcrdError:
            if _lies_still(path) == still:
                raise
        else:
            if _lies_still(path) == still:
                return found
        # The daemon started or stopped in between: look again.


def _connect(path: Path, busy_s: float, still: bool) -> sqlite3.Connection:
    """A connection that changes nothing and creates no file."""
    mode = "mode=ro&immutable=1" if still else "mode=ro"
    quoted = "".join(f"%{byte:02x}" for byte in os.fsencode(path.resolve()))
    uri = f"file:{quoted}?{mode}"
    return sqlite3.connect(
        uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
    )


def _lies_still(path: Path) -> bool:
    """Whether no process has the ledger open: the last to close it removes its WAL."""
    return not path.with_name(path.name + "-wal").exists()


def known_version(raw: sqlite3.Connection, path: Path, newest: int) -> int:
    """The file's revision: 0 for an empty file.

    Raises:
        LedgerError: It is newer than `newest`, or is not a ledger.
    """
    # In this order, because another process may be creating the ledger right now.
    empty = raw.execute("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
    ours = raw.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    version = int(raw.execute("PRAGMA user_version").fetchone()[0])
    if not ours and not empty:
        raise LedgerError(
            f"{path}: this is another program's database, not a ledger",
            hint="Set `path` under [ledger] to a file of ocrd's own.",
            kind="ledger-foreign",
        )
    if version > newest:
        raise LedgerError(
            f"{path}: a newer ocrd made this ledger (schema {version}, this one knows {newest})",
            hint="Install that ocrd again, or put back the copy it made before its upgrade "
            f"({backup_path(path, newest).name}); what was recorded since is lost with the copy.",
            kind="ledger-newer",
        )
    return version


def backup_path(path: Path, version: int) -> Path:
    """The path of the copy made before an upgrade from `version`."""
    return path.with_name(f"{path.name}.schema-{version}.bak")
