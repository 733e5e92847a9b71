"""Brings a file to the schema that this code knows.

The usual start, with nothing to do, needs neither Alembic nor a lock.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from ocrd.ledger.database import connect, make_engine, transaction
from ocrd.ledger.faults import translated
from ocrd.ledger.version import APPLICATION_ID, NEWEST, backup_path, known_version


@dataclass(frozen=True, kw_only=True, slots=True)
class Migrations:
    """The revisions this code has: Alembic's folder, and the number of the newest."""

    folder: Path
    newest: int


MIGRATIONS = Migrations(folder=Path(__file__).parent / "migrations", newest=NEWEST)


def prepare(
    path: Path,
    busy_s: float,
    migrations: Migrations = MIGRATIONS,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Make, upgrade or accept the ledger at `path`.  Several processes may do so at once.

    Raises:
        LedgerError: It is newer than this code, or no ledger at all.
        PlaceError: It cannot be written.
    """
    with translated(path), closing(connect(path, busy_s)) as raw:
        version = known_version(raw, path, migrations.newest)
        _keep_wal(raw, busy_s, sleep)
    if version < migrations.newest:
        with translated(path):
            _upgrade(path, busy_s, migrations)


def _keep_wal(raw: sqlite3.Connection, busy_s: float, sleep: Callable[[float], None]) -> None:
    """Put the file into WAL mode; SQLite does not wait for others by itself here."""
    deadline = time.monotonic() + busy_s
    while raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            sleep(0.02)


def _upgrade(path: Path, busy_s: float, migrations: Migrations) -> None:
    engine = make_engine(partial(connect, path, busy_s, foreign_keys=False))
    try:
        with transaction(engine, immediate=True) as connection:
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
            if version >= migrations.newest:  # another process was quicker
                return
            if version:
                _back_up(path, backup_path(path, version), busy_s)
            _run(connection, migrations)
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {migrations.newest}")
    finally:
        engine.dispose()


def _run(connection: Connection, migrations: Migrations) -> None:
    from alembic import command  # only here: it costs as much as the rest of a start
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations.folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _back_up(path: Path, copy: Path, busy_s: float) -> None:
    """A durable copy of what is committed; the upgrade's lock keeps it still meanwhile."""
    unfinished = copy.with_name(copy.name + ".tmp")
    unfinished.unlink(missing_ok=True)  # a kill in the middle leaves one
    unfinished.touch(mode=stat.S_IMODE(path.stat().st_mode), exist_ok=False)
    try:
        with (
            closing(connect(path, busy_s)) as source,
            closing(sqlite3.connect(unfinished)) as target,
        ):
            source.backup(target)
        _sync(unfinished)
        unfinished.replace(copy)
        _sync(copy.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
