"""The ledger's file: readers as many as there are, and one thread that writes.

A commit waits for the disk.  Whatever was asked for meanwhile is done in one transaction and shares
the next commit; each caller's part is undone by itself if it fails.
"""

from __future__ import annotations

import sqlite3
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, QueuePool, create_engine

T = TypeVar("T")

MOST = 64  # parts of one transaction, so that the first does not wait for ever
BATCH = 500  # rows in one statement, as SQLite limits its parameters
CACHE_KIB = 256  # of each connection; what is left out lies in the kernel's cache
KEPT_OPEN = 8  # connections that wait for their next use


def connect(path: Path, busy_s: float, *, foreign_keys: bool = True) -> sqlite3.Connection:
    """A connection as the ledger needs it.

    It waits `busy_s` seconds for another process's lock; foreign keys are off only while a
    migration rebuilds tables.  FULL: in WAL mode NORMAL may lose acknowledged commits on a power
    cut (https://sqlite.org/pragma.html#pragma_synchronous).
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
    """An engine with as many connections as are asked for at once."""
    # Nobody waits for a connection: a reader that a slow disk holds up holds up no other.
    pool = {"poolclass": QueuePool, "pool_size": KEPT_OPEN, "max_overflow": -1}

    def opened() -> sqlite3.Connection:
        raw = opener()
        raw.create_function("folded", 1, folded, deterministic=True)
        return raw

    return create_engine("sqlite://", creator=opened, **pool)


def folded(text: str) -> str:
    """A text as people compare names; SQLite's `lower` knows ASCII alone."""
    return unicodedata.normalize("NFC", text).casefold()


@contextmanager
def transaction(engine: Engine, *, immediate: bool) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on any error.

    A writer takes the lock at once (`immediate`): one that reads first and writes later fails when
    another process wrote in between, whatever the busy time-out
    (https://sqlite.org/rescode.html#busy_snapshot).
    """
    with engine.connect() as connection, connection.begin():
        # A listener to SQLAlchemy's own beginning would be asked about each statement, too.
        driver(connection).execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
        yield connection


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """So many at a time as a statement's `IN` takes."""
    given = list(items)
    for start in range(0, len(given), BATCH):
        yield given[start : start + BATCH]


def padded(items: Sequence[T]) -> list[T]:
    """As many as the next power of two, the last one repeated: what a statement's `IN` is given.

    Each number of them is a statement of its own, of which every connection keeps the last 128
    prepared: with hundreds of numbers that came to 13 MiB a connection.
    """
    given = list(items)
    return given + given[-1:] * ((1 << (len(given) - 1).bit_length()) - len(given))


def driver(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection, in the same transaction."""
    return cast(sqlite3.Connection, connection.connection.driver_connection)


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a function of this room works with; `now` in seconds since the epoch."""

    connection: Connection
    now: float


class Writer:
    """A thread that carries out what others ask for, one after the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: SimpleQueue[_Part[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, once it has been committed.

        Raises:
            Exception: Whatever `work` raised, or what kept the transaction from being begun or
                committed; nothing of it was done.
        """
        part = _Part(work)
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
                self._thread.start()
            self._waiting.put(part)
        return part.result.result()

    def close(self) -> None:
        """Do what waits, and end."""
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._waiting.put(None)
                thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            self._commit(first)

    def _commit(self, first: _Part[Any]) -> None:
        """One transaction for the first and whatever waits behind it by the time it is done."""
        parts, come = [first], True
        while parts:
            try:
                with transaction(self._engine, immediate=True) as connection:
                    for part in parts:  # it grows meanwhile
                        part.run(connection)
                        if come and len(parts) < MOST and (another := self._next()) is not None:
                            parts.append(another)
            except _UndoneError:  # the others again, without the one that failed
                come = False
                parts = _told(parts)
            except BaseException as error:
                if not first.begun:  # the ledger is locked: who waited meanwhile waited as long
                    parts += iter(self._next, None)
                for part in parts:
                    part.result.set_exception(part.error or error)
                return
            else:
                for part in _told(parts):
                    part.result.set_result(part.value)
                return

    def _next(self) -> _Part[Any] | None:
        try:
            part = self._waiting.get_nowait()
        except Empty:
            return None
        if part is None:
            self._waiting.put(None)  # the end comes after this transaction
        return part


class _UndoneError(Exception):
    """A part failed after it had written, and the whole transaction was undone with it."""


class _Part(Generic[T]):
    """What one caller wants done, and what came of it.

    It may be done more than once, where another part undid the first time.
    """

    value: T

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.result: Future[T] = Future()
        self.begun = False
        self.error: Exception | None = None
        self._work = work

    def run(self, connection: Connection) -> None:
        """Do it; one that fails before it has written anything leaves nothing to be undone.

        Raises:
            _UndoneError: It had written.
        """
        self.begun = True
        raw = driver(connection)
        written = raw.total_changes
        try:
            self.value = self._work(connection)
        except Exception as error:
            self.error = error
            if raw.total_changes != written or not raw.in_transaction:
                raise _UndoneError from error


def _told(parts: list[_Part[Any]]) -> list[_Part[Any]]:
    """Those that did not fail by themselves; the others are told so."""
    for part in parts:
        if part.error is not None:
            part.result.set_exception(part.error)
    return [part for part in parts if part.error is None]
