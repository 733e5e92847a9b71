"""The ledger: the truth about jobs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Self

from ocrd.errors import LedgerError
from ocrd.ledger.claims import Claims
from ocrd.ledger.counters import Counters
from ocrd.ledger.database import Database, connect
from ocrd.ledger.desk import Desk
from ocrd.ledger.faults import damaged, place_at_fault, translated
from ocrd.ledger.intake import Intake
from ocrd.ledger.pagestore import PageStore
from ocrd.ledger.schema import MIGRATIONS, Migrations, prepare
from ocrd.ledger.steps import Steps
from ocrd.ledger.upkeep import Upkeep
from ocrd.mounts import filesystem_of, is_remote

CHECKED_WHOLE_BYTES = 64 * 2**20  # so much is read through in a fraction of a second


class Ledger(Intake, Claims, Steps, Counters, PageStore, Desk, Upkeep):
    """All that is known about jobs, in one SQLite file.  Open it with `Ledger.open`.

    Methods block (for a disk's fsync, or for another process's lock) and may be called from
    several threads at once.  What a method has returned is on the disk.  Any of them may raise
    `LedgerError` (locked, damaged) or `PlaceError` (disk full, read-only); then it did nothing.
    """

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        create: bool = True,
        check: bool = True,
        busy_s: float = 10.0,
        filesystem: Callable[[Path], str] = filesystem_of,
        migrations: Migrations = MIGRATIONS,
    ) -> Self:
        """Open the ledger, upgrading it if an older ocrd made it.

        Args:
            path: The file; its folder must be there.
            clock: Seconds since the epoch.
            create: Whether to make it where there is none.
            check: Whether to look for damage: the whole file if it is small.  Larger ones are
                left to `verify`; damage there shows when a damaged part is read.
            busy_s: How long a call waits for another process's lock, seconds.
            filesystem: Tells on which type of filesystem a path lies.
            migrations: The revisions to upgrade with.

        Raises:
            LedgerError: It is missing, damaged, locked, made by a newer ocrd, another program's,
                or on a network filesystem.
            PlaceError: Its folder is missing, full, read-only or not ours to write.
        """
        _refuse_remote(path, filesystem(path.parent))
        if not os.access(path, os.F_OK):
            _refuse_missing(path, create=create)
        elif check:
            _refuse_damaged(path, busy_s)
        prepare(path, busy_s, migrations)
        return cls(Database(path, busy_s), clock)

    @property
    def path(self) -> Path:
        """The file."""
        return self._db.path

    def close(self) -> None:
        """Give the file back; whoever closes it last folds its WAL into it."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _refuse_remote(path: Path, filesystem: str) -> None:
    if is_remote(filesystem):
        raise LedgerError(
            f"{path}: the ledger cannot lie on a network filesystem ({filesystem})",
            hint="Set `path` under [ledger] to a local disk, such as /var/lib/ocrd/ledger.db.",
            kind="ledger-remote",
        )


def _refuse_missing(path: Path, *, create: bool) -> None:
    fault = place_at_fault(path)
    if fault is not None:
        raise fault
    if not create:
        raise LedgerError(
            f"{path}: there is no ledger yet",
            hint="The daemon makes it when it first starts (`ocrd run`); is `path` right?",
            kind="ledger-missing",
        )


def _refuse_damaged(path: Path, busy_s: float) -> None:
    if path.stat().st_size > CHECKED_WHOLE_BYTES:
        return
    with translated(path), closing(connect(path, busy_s)) as raw:
        found = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(path, found)
