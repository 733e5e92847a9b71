"""What SQLite says went wrong, as one of ocrd's errors with its remedy."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrd.errors import LedgerError, OcrdError, PlaceError

_PRIMARY = 0xFF  # SQLite's extended result codes carry the primary one in their low byte
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PLACE = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)

READING = os.R_OK
WRITING = os.R_OK | os.W_OK


@contextmanager
def translated(path: Path, access: int = WRITING) -> Iterator[None]:
    """Raise what befalls the ledger at `path` as `LedgerError` or `PlaceError`.

    Errors that only a mistake in the code can cause pass through as they are.

    Args:
        path: The ledger.
        access: What the caller needs to be allowed there.
    """
    try:
        yield
    except sqlite3.Error as error:
        told = _told(error, path, access)
        if told is None:
            raise
        raise told from error


def _told(error: sqlite3.Error, path: Path, access: int) -> OcrdError | None:
    """The error for a person: which file, what is wrong, what to do."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code in _LOCKED:
        return LedgerError(
            f"{path}: another program keeps the ledger locked",
            hint="It goes on by itself once the lock is gone; `fuser -v` on the file names who "
            "holds it (an open sqlite3 shell, a backup).",
            kind="ledger-locked",
        )
    if code == sqlite3.SQLITE_FULL:
        return disk_full(path)
    if code not in _PLACE:
        return None
    return place_at_fault(path, access) or LedgerError(
        f"{path}: the ledger cannot be used: {error}",
        hint="Look for disk errors in the kernel's log (`journalctl -k`) and run `ocrd doctor`.",
        kind="ledger-io",
    )


def damaged(path: Path, reason: str) -> LedgerError:
    """The file is not a sound ledger."""
    return LedgerError(
        f"{path}: the ledger is damaged: {reason}",
        hint=f"Stop ocrd and move {path.name}, {path.name}-wal and {path.name}-shm aside, all "
        "three.  Put a backup in their place, or nothing: then the next start makes a new ledger "
        "and records again what lies in the inboxes.",
        kind="ledger-damaged",
    )


def disk_full(path: Path) -> PlaceError:
    """No room is left where the ledger lies."""
    return PlaceError(
        f"{path}: the disk is full",
        hint=f"Free some space on the filesystem of {path.parent}; the ledger goes on by itself.",
        kind="disk-full",
    )


def place_at_fault(path: Path, access: int = WRITING) -> PlaceError | None:
    """What is wrong with the ledger's place, if that can be seen from here.

    SQLite itself only says that it cannot open a file, or that reading or writing failed.
    """
    if not os.path.isdir(path.parent):  # noqa: PTH112 - Path.is_dir raises where nothing may be seen
        return PlaceError(
            f"{path.parent}: the ledger's folder is not there",
            hint="Create it, mount it, or set another `path` under [ledger].",
            kind="missing",
        )
    return _read_only(path) or _forbidden(path, access) or _full(path)


def _forbidden(path: Path, access: int) -> PlaceError | None:
    beside = [f"{path}{end}" for end in ("", "-wal", "-shm")]
    if os.access(path.parent, access | os.X_OK):
        refused = [file for file in beside if os.access(file, os.F_OK)]
        refused = [file for file in refused if not os.access(file, access)]
    else:
        refused = [str(path.parent)]
    if not refused:
        return None
    return PlaceError(
        f"{refused[0]}: no permission",
        hint="Run the command as the daemon's user, or as root.",
        kind="no-permission",
    )


def _full(path: Path) -> PlaceError | None:
    return disk_full(path) if os.statvfs(path.parent).f_bavail == 0 else None


def _read_only(path: Path) -> PlaceError | None:
    if not os.statvfs(path.parent).f_flag & os.ST_RDONLY:
        return None
    return PlaceError(
        f"{path.parent}: the ledger's filesystem is mounted read-only",
        hint="Mount it writable again; after disk errors the kernel makes it read-only itself.",
        kind="read-only",
    )
