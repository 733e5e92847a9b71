"""Upgrades a ledger to the schema that this code knows, and copies ledgers.

A normal start, with no upgrade to do, needs neither Alembic nor a lock.
"""

from __future__ import annotations

import sqlite3
import stat
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from ocrd.files import Disk
from ocrd.ledger.errors import damaged, translated
from ocrd.ledger.readonly import APPLICATION_ID, NEWEST, backup_path, known_version
from ocrd.ledger.store import connect, make_engine, transaction
from ocrd.ledger.tables import metadata

TRIGGERS = {"jobs_added", "jobs_dropped", "jobs_changed"}  # without them, jobs would wait unnoticed


class Migrations(NamedTuple):
    """The available revisions: Alembic's folder, and the number of the newest revision."""

    folder: Path
    newest: int


MIGRATIONS = Migrations(folder=Path(__file__).parent / "migrations", newest=NEWEST)


def prepare(path: Path, busy_s: float, migrations: Migrations = MIGRATIONS) -> None:
    """Create, upgrade or accept the ledger at `path`.  Several processes may do so concurrently.

    Raises:
        LedgerError: It is newer than this code, lacks a part, or is not a ledger.
        PlaceError: It cannot be written.
    """
    with translated(path), closing(connect(path, busy_s)) as raw:
        version = known_version(raw, path, migrations.newest)
        _keep_wal(raw, busy_s)
    if version < migrations.newest:
        with translated(path, also=(SQLAlchemyError,)):
            _upgrade(path, busy_s, migrations)
    if migrations.newest == NEWEST:
        with translated(path), closing(connect(path, busy_s)) as raw:
            _refuse_incomplete(raw, path)


def _refuse_incomplete(raw: sqlite3.Connection, path: Path) -> None:
    """Refuse a ledger that lacks a table, column or trigger: good files would fail in turn."""
    there = {row[0] for row in raw.execute("SELECT name FROM sqlite_master")}
    lacking = [*(table.name for table in metadata.sorted_tables), *TRIGGERS]
    lacking = [name for name in lacking if name not in there]
    for table in metadata.sorted_tables:
        columns = {row[1] for row in raw.execute(f"PRAGMA table_info({table.name})")}
        if columns:
            lacking += [f"{table.name}.{c.name}" for c in table.c if c.name not in columns]
    if lacking:
        raise damaged(path, f"it has no {', '.join(sorted(lacking))}")


def copy_ledger(source: sqlite3.Connection, target: Path, mode: int) -> None:
    """Copy the committed contents durably, as of one moment; replaces any file at `target`.

    The copy is not in WAL mode, so that it can be read in a folder without write permission.
    """
    unfinished = target.with_name(target.name + ".tmp")
    unfinished.unlink(missing_ok=True)  # a kill during the copy leaves it behind
    unfinished.touch(mode=mode, exist_ok=False)
    try:
        with closing(sqlite3.connect(unfinished)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        Disk().fsync_file(unfinished)
        unfinished.replace(target)
        Disk().fsync_dir(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _keep_wal(raw: sqlite3.Connection, busy_s: float) -> None:
    """Put the file into WAL mode; SQLite does not wait for other processes by itself here."""
    deadline = time.monotonic() + busy_s
    while raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _upgrade(path: Path, busy_s: float, migrations: Migrations) -> None:
    engine = make_engine(partial(connect, path, busy_s, foreign_keys=False))
    try:
        with transaction(engine, immediate=True) as connection:
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
            if version >= migrations.newest:  # another process was faster
                return
            if version:  # the upgrade's lock prevents changes meanwhile
                mode = stat.S_IMODE(path.stat().st_mode)
                with closing(connect(path, busy_s)) as source:
                    copy_ledger(source, backup_path(path, version), mode)
            from alembic import command  # only here: it takes as long as the rest of a start
            from alembic.config import Config

            config = Config()
            folder = str(migrations.folder).replace("%", "%%")
            config.set_main_option("script_location", folder)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {migrations.newest}")
    finally:
        engine.dispose()
