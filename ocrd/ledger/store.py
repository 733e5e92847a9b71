"""Access to the ledger's file: any number of readers, and one thread that writes.

A commit waits for the disk.  Writes requested meanwhile are done in one transaction and share the
next commit; if one caller's part fails, only that part is undone.
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

MOST = 64  # the most parts of one transaction, so that the first does not wait for ever
BATCH = 500  # the most rows in one statement, since SQLite limits its parameters
CACHE_KIB = 256  # per connection; the kernel caches the rest
KEPT_OPEN = 8  # idle connections kept for reuse


def connect(path: Path, busy_s: float, *, foreign_keys: bool = True) -> sqlite3.Connection:
    """Open a connection with the ledger's settings.

    It waits `busy_s` seconds for another process's lock; foreign keys are off only while a
    migration rebuilds tables.  `synchronous` is FULL because in WAL mode NORMAL may lose
    acknowledged commits on a power cut (https://sqlite.org/pragma.html#pragma_synchronous).
    """
    # The pool passes a connection from thread to thread, but never to two at a time.
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
    """An engine that opens as many connections as are needed concurrently."""
    # No thread waits for a connection: a reader held up by a slow disk does not hold up others.
    pool = {"poolclass": QueuePool, "pool_size": KEPT_OPEN, "max_overflow": -1}

    def opened() -> sqlite3.Connection:
        raw = opener()
        raw.create_function("folded", 1, folded, deterministic=True)
        return raw

    return create_engine("sqlite://", creator=opened, **pool)


def folded(text: str) -> str:
    """A text normalised for comparison as people compare names; SQLite's `lower` is ASCII only."""
    return unicodedata.normalize("NFC", text).casefold()


@contextmanager
def transaction(engine: Engine, *, immediate: bool) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on any error.

    A writer takes the lock at the start (`immediate`): a transaction that reads first and writes
    later fails if another process wrote in between, regardless of the busy timeout
    (https://sqlite.org/rescode.html#busy_snapshot).
    """
    with engine.connect() as connection, connection.begin():
        # A listener on SQLAlchemy's own begin event would be called for each statement, too.
        driver(connection).execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
        yield connection


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Split items into lists small enough for a statement's `IN`."""
    given = list(items)
    for start in range(0, len(given), BATCH):
        yield given[start : start + BATCH]


def padded(items: Sequence[T]) -> list[T]:
    """The items padded to a power of two by repeating the last, as values of a statement's `IN`.

    Each length makes a statement of its own, and every connection keeps the last 128 statements
    prepared: with hundreds of lengths that took 13 MiB per connection.
    """
    given = list(items)
    return given + given[-1:] * ((1 << (len(given) - 1).bit_length()) - len(given))


def driver(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection, in the same transaction."""
    return cast(sqlite3.Connection, connection.connection.driver_connection)


@dataclass(frozen=True, slots=True)
class Transaction:
    """The connection and the time (s since the epoch) that this package's functions work with."""

    connection: Connection
    now: float


class Writer:
    """A thread that carries out the writes of all callers, one after the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: SimpleQueue[_Part[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def write(self, work: Callable[[Connection], T]) -> T:
        """The result of `work`, once its changes are committed.

        Raises:
            Exception: Any exception of `work`, or one that prevented the transaction from beginning
                or committing; then nothing was changed.
        """
        part = _Part(work)
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
                self._thread.start()
            self._waiting.put(part)
        return part.result.result()

    def close(self) -> None:
        """Do the pending writes, and end the thread."""
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._waiting.put(None)
                thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            self._commit(first)

    def _commit(self, first: _Part[Any]) -> None:
        """Run one transaction for `first` and the parts that are queued while it runs."""
        parts, come = [first], True
        while parts:
            try:
                with transaction(self._engine, immediate=True) as connection:
                    for part in parts:  # the list grows meanwhile
                        part.run(connection)
                        if come and len(parts) < MOST and (another := self._next()) is not None:
                            parts.append(another)
            except _UndoneError:  # repeat the others, without the one that failed
                come = False
                parts = _told(parts)
            except BaseException as error:
                if not first.begun:  # the ledger is locked: the queued parts waited as long
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
            self._waiting.put(None)  # stop after this transaction
        return part


class _UndoneError(Exception):
    """A part failed after it had written, so the whole transaction was rolled back."""


class _Part(Generic[T]):
    """One caller's write, and its result.

    It may run more than once, if another part's failure rolled it back.
    """

    value: T

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.result: Future[T] = Future()
        self.begun = False
        self.error: Exception | None = None
        self._work = work

    def run(self, connection: Connection) -> None:
        """Run the work; a failure before anything was written needs no rollback.

        Raises:
            _UndoneError: The work failed after it had written.
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
    """The parts that did not fail by themselves; the others are given their exception."""
    for part in parts:
        if part.error is not None:
            part.result.set_exception(part.error)
    return [part for part in parts if part.error is None]
