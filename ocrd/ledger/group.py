"""Group commit: transactions of several threads, made durable by one commit.

A commit waits for the disk; whoever comes meanwhile waits for its turn.  A caller that others wait
behind therefore leaves the transaction open to them and returns once the last of them has committed
for all.  Nobody waits for company: a caller by itself commits at once.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from ocrd.ledger.prepared import driver

MOST = 64  # parts of one group, so that the first does not wait for ever


class GroupCommit:
    """Hands out turns to write.

    Args:
        connect: A new connection.  One group after the other has it, as long as nothing fails.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._coming = 0  # callers that have not had their turn
        self._spare: Connection | None = None  # between two groups
        self._group: _Group | None = None  # open to whoever has the turn
        self._refused: Exception | None = None  # why the last group that could not begin did not
        self._refusals = 0

    @contextmanager
    def part(self) -> Iterator[Connection]:
        """A transaction: what it did is on the disk at its end, or undone if it raised.

        Raises:
            DBAPIError, sqlite3.Error: The group could not be begun or committed; nothing was done.
        """
        before = self._refusals
        self._take_turn()
        try:
            group = self._group = self._group or self._begin(before)
            try:
                with group.part() as connection:
                    yield connection
            finally:
                if group.broken or not self._coming or group.parts >= MOST:
                    self._group = None
                    self._spare = group.end()
        finally:
            self._turn.release()
        group.wait()

    def close(self) -> None:
        """Give the connection back; nobody writes any more."""
        with self._turn:
            spare, self._spare = self._spare, None
            if spare is not None:
                spare.close()

    def _begin(self, before: int) -> _Group:
        """A new group; none for who waited while another was refused, with so many `before` it.

        For a lock that stays, each waits as long as SQLite does: together, not one by one.
        """
        if self._refused is not None and self._refusals > before:
            raise self._refused
        spare, self._spare = self._spare, None
        try:
            group = _Group(spare or self._connect())
        except Exception as error:
            self._refused = error
            self._refusals += 1
            raise
        self._refused = None
        return group

    def _take_turn(self) -> None:
        with self._counting:
            self._coming += 1
        try:
            self._turn.acquire()
        finally:
            with self._counting:
                self._coming -= 1


class _Group:
    """One transaction of SQLite; each caller's part is a savepoint in it.  One caller at a time.

    Except the first: as long as it is not done, nobody else has done anything that could be lost.
    """

    def __init__(self, connection: Connection) -> None:
        self.parts = 0
        self._connection = connection
        self._over = threading.Lock()  # held until then; an `Event` costs several times as much
        self._over.acquire()
        self._error: BaseException | None = None
        try:
            self._transaction = connection.begin()
        except BaseException:
            connection.close()
            raise
        self._raw = driver(connection)

    @property
    def broken(self) -> bool:
        """Whether the whole transaction is given up, as SQLite does when the disk is full."""
        return self._error is not None

    @contextmanager
    def part(self) -> Iterator[Connection]:
        """What one caller does: all of it or nothing, whatever becomes of the others' parts."""
        first = self.parts == 0
        self.parts += 1
        if not first:
            self._raw.execute("SAVEPOINT part")
        try:
            yield self._connection
            if not first:
                self._raw.execute("RELEASE part")
        except BaseException as error:
            self._undo(error, first=first)
            raise

    def end(self) -> Connection | None:
        """Commit for all; their `wait` tells what came of it.

        Returns:
            The connection, if it is as good as before.
        """
        try:
            if not self.broken:
                self._transaction.commit()
        except Exception as error:
            self._error = error
        finally:
            try:
                if self.broken:
                    self._give_back()
            finally:
                self._over.release()
        return None if self.broken else self._connection

    def wait(self) -> None:
        """Until the group is on the disk.

        Raises:
            DBAPIError, sqlite3.Error: It is not, and never will be.
        """
        with self._over:
            pass
        if self._error is not None:
            raise self._error

    def _undo(self, error: BaseException, *, first: bool) -> None:
        if first or not self._raw.in_transaction:
            self._error = error
            return
        try:
            self._raw.execute("ROLLBACK TO part")
            self._raw.execute("RELEASE part")
        except sqlite3.Error as fatal:
            self._error = fatal

    def _give_back(self) -> None:
        try:
            if self._raw.in_transaction:  # SQLAlchemy takes one whose commit failed for ended
                self._raw.rollback()
        finally:
            self._connection.close()
