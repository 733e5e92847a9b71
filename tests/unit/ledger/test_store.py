"""Those who write share the commits of one thread, and nothing else."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import IntegrityError

from ocrd.ledger.store import Writer, connect, make_engine
from tests.support.waiting import wait_for

PUT = "INSERT INTO numbers (n) VALUES (?)"
PUT_OR_GIVE_UP_ALL = "INSERT OR ROLLBACK INTO numbers (n) VALUES (?)"
PUT_THEN_FAIL = "an even number, that is"
PUT_A_STRAY = "INSERT INTO numbers (n, parent) VALUES (?, -1)"  # noticed when it is committed


class Table:
    """A table of numbers other than 13, and those who write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commits, self.tries = 0, 0
        self.connecting: Callable[[], object] = lambda: None
        with sqlite3.connect(path) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
            raw.execute(
                "CREATE TABLE numbers (n INTEGER PRIMARY KEY CHECK (n <> 13), parent INTEGER"
                " REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)"
            )
        self._engine = make_engine(self._connected)
        event.listen(self._engine, "checkout", self._trying)
        event.listen(self._engine, "commit", self.committing)
        self._writer = Writer(self._engine)

    def _connected(self) -> sqlite3.Connection:
        self.connecting()
        return connect(self.path, 0.1)

    def _trying(self, *_: object) -> None:
        self.tries += 1

    def committing(self, _connection: Connection) -> None:
        self.commits += 1

    def put(self, number: int, how: str = PUT) -> int:
        return self._writer.write(lambda connection: insert(connection, number, how))

    def crowd(self, first: int, *others: int, how: str = PUT) -> list[Future[int]]:
        """`first` is put while the others wait behind it, in this order; then they all go on."""

        def lead(connection: Connection) -> int:
            for count, number in enumerate(others[len(ended) :], start=1):  # once
                ended.append(pool.submit(self.put, number, how))
                while self._writer._waiting.qsize() < count:
                    time.sleep(0.001)
            return insert(connection, first, PUT)

        ended: list[Future[int]] = []
        with ThreadPoolExecutor(1 + len(others)) as pool:
            leader = pool.submit(self._writer.write, lead)
            leader.exception()
        return [leader, *ended]

    def numbers(self) -> list[int]:
        """As another program sees them."""
        with sqlite3.connect(self.path) as raw:
            return [row[0] for row in raw.execute("SELECT n FROM numbers ORDER BY n")]

    def close(self) -> None:
        self._writer.close()
        self._engine.dispose()


def insert(connection: Connection, number: int, how: str) -> int:
    connection.exec_driver_sql(PUT if how == PUT_THEN_FAIL else how, (number,))
    if how == PUT_THEN_FAIL and number % 2 == 0:
        raise ZeroDivisionError
    return number


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    made = Table(tmp_path / "ledger.db")
    yield made
    made.close()


def errors(ended: list[Future[int]]) -> list[type | None]:
    return [type(error) if error else None for error in (each.exception() for each in ended)]


def test_a_writer_by_itself_commits_at_once(table: Table) -> None:
    table.put(1)
    table.put(2)
    assert table.numbers() == [1, 2]
    assert table.commits == 2


@pytest.mark.parametrize(
    ("crowd", "how", "told", "kept"),
    [
        ((1, 2, 3, 4), PUT, [None] * 4, [1, 2, 3, 4]),
        ((1, 13, 3), PUT, [None, IntegrityError, None], [1, 3]),
        ((13, 2, 3), PUT, [IntegrityError, None, None], [2, 3]),  # the first
        ((1, 13), PUT, [None, IntegrityError], [1]),  # the last, who commits for all
        ((1, 2, 3), PUT_A_STRAY, [IntegrityError] * 3, []),  # the commit fails: told to all
        # SQLite gives up everything, as when the disk is full: the others' parts are done again
        ((1, 13, 2), PUT_OR_GIVE_UP_ALL, [None, IntegrityError, None], [1, 2]),
        ((1, 2, 3), PUT_THEN_FAIL, [None, ZeroDivisionError, None], [1, 3]),  # it had written
    ],
)
def test_those_who_wait_share_a_commit_and_one_that_fails_takes_nobody_with_it(
    table: Table, crowd: tuple[int, ...], how: str, told: list[type | None], kept: list[int]
) -> None:
    assert errors(table.crowd(*crowd, how=how)) == told
    assert table.numbers() == kept
    undone = how in (PUT_OR_GIVE_UP_ALL, PUT_THEN_FAIL)  # once, and then done without that one
    assert table.commits == (2 if undone else 1)
    table.put(40)
    assert table.numbers() == [*kept, 40]


def test_one_who_finds_the_file_locked_leaves_the_turn_to_the_next(table: Table) -> None:
    with sqlite3.connect(table.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            table.put(1)
        other.execute("COMMIT")
    table.put(2)
    assert table.numbers() == [2]


def test_those_who_waited_while_the_file_was_locked_have_waited_long_enough(table: Table) -> None:
    """One after the other they would wait for minutes."""
    table.connecting = lambda: wait_for(lambda: table._writer._waiting.qsize() == 29)
    with sqlite3.connect(table.path, isolation_level=None) as other, ThreadPoolExecutor(30) as pool:
        other.execute("BEGIN IMMEDIATE")
        ended = [pool.submit(table.put, number) for number in range(30)]
        assert set(errors(ended)) == {sqlite3.OperationalError}
    assert table.tries == 1


def test_what_waits_is_written_before_the_end(table: Table) -> None:
    begun = threading.Event()

    def take_a_while(_connection: Connection) -> None:
        begun.set()
        time.sleep(0.1)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(table._writer.write, take_a_while)
        begun.wait()
        table._writer.close()
        assert slow.exception() is None
    table.put(1)  # and a writer that is asked again starts again
    assert table.numbers() == [1]


def test_a_kill_before_the_shared_commit_takes_all_of_it_and_nobody_was_told_otherwise(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.ledger.test_store", str(tmp_path / "ledger.db")],
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert ended.stdout == b""
    survivor = sqlite3.connect(tmp_path / "ledger.db")
    assert survivor.execute("SELECT n FROM numbers").fetchall() == [(1,)]
    assert survivor.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    survivor.close()


class Doomed(Table):
    """Dies at its second commit."""

    def committing(self, connection: Connection) -> None:
        super().committing(connection)
        if self.commits == 2:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    doomed = Doomed(Path(sys.argv[1]))
    doomed.put(1)
    print(doomed.crowd(2, 3, 4), flush=True)
