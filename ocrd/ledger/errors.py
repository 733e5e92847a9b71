"""Translates errors of the ledger into ocrd's errors with a remedy.  Standard library only.

No exception of SQLite or SQLAlchemy leaves this package: callers know neither.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrd.errors import LedgerError, OcrdError, PlaceError
from ocrd.oserrors import os_error

_PRIMARY = 0xFF  # the low byte of SQLite's extended result codes is the primary code
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PLACE = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)
# SQLite's messages about a file that was changed by hand or holds corrupted bytes.
_DAMAGE_SAID = ("no such table", "no such column", "could not decode")

READING = os.R_OK
WRITING = os.R_OK | os.W_OK


@contextmanager
def translated(
    path: Path, access: int = WRITING, *, also: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Raise errors of the ledger at `path` as an `OcrdError`.

    These are SQLite's exceptions, values that ocrd cannot have written, and the exceptions in
    `also`.  `access` is the access that the caller needs.

    Raises:
        LedgerError: The ledger is locked, damaged or cannot be used.
        PlaceError: Its folder is missing, full, read-only or not ours.
        OcrdError: SQLite refused a statement that it should accept (kind `ledger-defect`).
    """
    kinds: tuple[type[Exception], ...] = (sqlite3.Error, ValueError, zlib.error, *also)
    try:
        yield
    except kinds as error:
        raise _told(error, path, access) from error


def _told(error: Exception, path: Path, access: int) -> OcrdError:
    """The error for the operator: which file, what is wrong, what to do."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps the driver's error
    code = (getattr(cause, "sqlite_errorcode", None) or 0) & _PRIMARY
    if code in _DAMAGED or _is_garbled(error, cause):
        return damaged(path, str(cause))
    if code in _LOCKED:
        return LedgerError(
            f"{path}: another program keeps the ledger locked",
            hint="It goes on by itself once the lock is gone; `fuser -v` on the file names who "
            "holds it (an open sqlite3 shell, a backup).",
            kind="ledger-locked",
        )
    if code == sqlite3.SQLITE_FULL:
        return _answered(errno.ENOSPC, path.parent)
    if code in _PLACE:
        return place_at_fault(path, access) or LedgerError(
            f"{path}: the ledger cannot be used: {cause}",
            hint="Look for disk errors in the kernel's log (`journalctl -k`), run `ocrd doctor`.",
            kind="ledger-io",
        )
    return OcrdError(
        f"{path}: the ledger refused what it was told: {cause}",
        hint="This is a defect of ocrd: please report it with this message.",
        kind="ledger-defect",
    )


def _is_garbled(error: Exception, cause: Exception) -> bool:
    """Whether a value read from the file is one that ocrd never wrote.

    An error about a value to be written is wrapped by SQLAlchemy, and is not the file's fault.
    """
    if isinstance(error, ValueError | zlib.error):
        return True
    said = str(cause).lower()
    return isinstance(cause, sqlite3.Error) and any(words in said for words in _DAMAGE_SAID)


def damaged(path: Path, reason: str) -> LedgerError:
    """The error for a file that is not a sound ledger."""
    return LedgerError(
        f"{path}: the ledger is damaged: {reason}",
        hint=f"Stop ocrd and move {path.name}, {path.name}-wal and {path.name}-shm aside, all "
        "three.  Put a backup in their place, or nothing: then the next start makes a new ledger "
        "and records again what lies in the inboxes.",
        kind="ledger-damaged",
    )


def place_at_fault(path: Path, access: int = WRITING) -> OcrdError | None:
    """What is wrong with the ledger's file or folder; None if nothing is found.

    SQLite itself only says that it cannot open a file, or that reading or writing failed.
    """
    folder = path.parent
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises without permission to look
        return PlaceError(
            f"{path}: a folder is there, and the ledger is a file",
            hint=f'Name a file in it: path = "{path / "ledger.db"}" under [ledger].',
            kind="not-a-file",
        )
    if os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110, PTH112 - likewise
        return _answered(errno.ENOTDIR, folder)
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises without permission to look
        return PlaceError(
            f"{folder}: the ledger's folder is not there",
            hint="Create it, mount it, or set another `path` under [ledger].",
            kind="missing",
        )
    room = os.statvfs(folder)
    if room.f_flag & os.ST_RDONLY:
        return _answered(errno.EROFS, folder)
    return _forbidden(path, access) or (
        _answered(errno.ENOSPC, folder) if room.f_bavail == 0 else None
    )


def _forbidden(path: Path, access: int) -> PlaceError | None:
    refused = [path.parent]
    if os.access(path.parent, access | os.X_OK):
        beside = [path.with_name(f"{path.name}{end}") for end in ("", "-wal", "-shm")]
        there = [file for file in beside if os.access(file, os.F_OK)]
        refused = [file for file in there if not os.access(file, access)]
    if not refused:
        return None
    return PlaceError(
        f"{refused[0]}: no permission",
        hint="Run the command as the daemon's user, or as root.",
        kind="no-permission",
    )


def _answered(code: int, path: Path) -> OcrdError:
    """The error for an errno, as if the kernel had returned it."""
    return os_error(OSError(code, os.strerror(code)), path)
