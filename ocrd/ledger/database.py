"""Connections and transactions: one writer at a time in this process, any number of readers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError

from ocrd.ledger.faults import WRITING, translated
from ocrd.ledger.group import GroupCommit
from ocrd.ledger.prepared import Prepared, Record, driver

# Of each connection, and a busy daemon has dozens; what is left out lies in the kernel's cache.
CACHE_KIB = 256

_IMMEDIATE = "ocrd_immediate"


def connect(path: Path, busy_s: float, *, foreign_keys: bool = True) -> sqlite3.Connection:
    """A connection as the ledger needs it.

    FULL: in WAL mode NORMAL may lose acknowledged commits on a power cut
    (https://sqlite.org/pragma.html#pragma_synchronous).

    Args:
        path: The ledger.
        busy_s: How long to wait for another process's lock, seconds.
        foreign_keys: Off only while a migration rebuilds tables.
    """
    # The pool hands a connection from thread to thread, but never to two at once.
    raw = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    try:
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute(f"PRAGMA cache_size = {-CACHE_KIB}")
        raw.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")
    except sqlite3.Error:
        raw.close()
        raise
    return raw


def make_engine(opener: Callable[[], sqlite3.Connection]) -> Engine:
    """An engine whose writers take the write lock when they begin.

    A transaction that reads first and writes later fails at once when another process wrote in
    between, whatever the busy time-out (https://sqlite.org/rescode.html#busy_snapshot).
    """
    engine = create_engine("sqlite://", creator=opener, poolclass=QueuePool, pool_size=8)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get(_IMMEDIATE, False)
        driver(connection).execute("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@contextmanager
def transaction(engine: Engine, *, immediate: bool) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on any error."""
    with engine.connect() as connection:
        connection.execution_options(**{_IMMEDIATE: immediate})
        with connection.begin():
            yield connection


class Database:
    """The ledger's file, open.  May be used from several threads at once.

    Args:
        path: The ledger.
        busy_s: How long to wait for another process's lock, seconds.
        opener: Makes a connection; one that may write by default.
        access: What its user needs to be allowed.
    """

    def __init__(
        self,
        path: Path,
        busy_s: float,
        *,
        opener: Callable[[], sqlite3.Connection] | None = None,
        access: int = WRITING,
    ) -> None:
        self.path = path
        self.busy_s = busy_s
        self._access = access
        self._engine = make_engine(opener or partial(connect, path, busy_s))
        # Waiting for a turn there wakes at once; SQLite's own waiting sleeps and looks again.
        self._writers = GroupCommit(self._writer)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its beginning.

        When it ends, it is on the disk.  Those of several threads may share one commit.

        Raises:
            LedgerError, PlaceError: SQLite could not do it; nothing of it was done.
        """
        with self._translated(), self._writers.part() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the ledger.

        Raises:
            LedgerError, PlaceError: SQLite could not do it.
        """
        with self._translated(), transaction(self._engine, immediate=False) as connection:
            yield connection

    def ask(self, statement: Prepared, **told: Any) -> list[Record]:
        """The rows of one statement that only reads: it sees one moment without a transaction.

        Raises:
            LedgerError, PlaceError: SQLite could not do it.
        """
        with self._translated(), closing(self._engine.raw_connection()) as lent:
            return statement.run(cast(sqlite3.Connection, lent.driver_connection), told)

    @contextmanager
    def bare(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own outside any transaction, for checks and checkpoints."""
        with translated(self.path), closing(connect(self.path, self.busy_s)) as raw:
            yield raw

    def close(self) -> None:
        """Give every connection back; the last one to go folds the WAL into the file."""
        self._writers.close()
        self._engine.dispose()

    def _writer(self) -> Connection:
        return self._engine.connect().execution_options(**{_IMMEDIATE: True})

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self.path, self._access):
            try:
                yield
            except DBAPIError as error:
                if isinstance(error.orig, sqlite3.Error):
                    raise error.orig from None
                raise
