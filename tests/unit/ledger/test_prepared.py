"""A prepared statement gives what SQLAlchemy gives for the same statement."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

import pytest
from sqlalchemy import Select, bindparam, literal, select, update
from sqlalchemy.dialects.sqlite import insert

from ocrd.job import JobState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.prepared import Prepared, driver
from ocrd.ledger.tables import counters, jobs
from tests.unit.ledger.making import found

LATIN = os.fsdecode(b"caf\xe9\n.pdf")
STATES = (JobState.QUEUED, JobState.RUNNING)
OF_FOLDER = select(jobs).where(jobs.c.folder == bindparam("folder")).order_by(jobs.c.id)
OPEN = (
    select(jobs.c.id, jobs.c.source)
    .where(jobs.c.state.in_(map(literal, STATES)), jobs.c.source == bindparam("source"))
    .limit(5)
)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    ledger.record([found("a.pdf", inode=2**64 - 1), found(LATIN, mtime_ns=-1), found("b.pdf")])
    return ledger


def by_sqlalchemy(ledger: Ledger, statement: Select[Any], **told: Any) -> list[tuple[Any, ...]]:
    with ledger._db.read() as connection:
        return [tuple(row) for row in connection.execute(statement, told)]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (OF_FOLDER, {"folder": "invoices"}),
        (OF_FOLDER, {"folder": "of no job"}),
        (OPEN, {"source": LATIN}),
        (OPEN, {"source": "a.pdf"}),
    ],
)
def test_rows_are_the_same(filled: Ledger, statement: Select[Any], told: dict[str, Any]) -> None:
    expected = by_sqlalchemy(filled, statement, **told)
    columns, prepared = statement.exported_columns.keys(), Prepared(statement)
    for _ in range(2):  # the second time with what the first has compiled
        rows = filled._db.ask(prepared, **told)
        assert [tuple(getattr(row, name) for name in columns) for row in rows] == expected


def test_columns_have_their_names(filled: Ledger) -> None:
    (row,) = filled._db.ask(Prepared(OPEN), source=LATIN)
    assert row.source == LATIN
    assert row.id == 2


def test_a_value_that_is_not_told_is_an_error(filled: Ledger) -> None:
    with pytest.raises(KeyError, match="source"):
        filled._db.ask(Prepared(OPEN))


def test_a_change_belongs_to_the_transaction(filled: Ledger) -> None:
    rename = update(jobs).where(jobs.c.id == bindparam("job")).values(folder=bindparam("name"))
    statement = Prepared(rename.returning(jobs.c.id, jobs.c.folder))
    with pytest.raises(ZeroDivisionError), filled._db.write() as connection:
        (row,) = statement.run(driver(connection), {"job": 1, "name": "letters"})
        assert (row.id, row.folder) == (1, "letters")
        raise ZeroDivisionError
    assert by_sqlalchemy(filled, OF_FOLDER, folder="letters") == []


def test_one_insert_is_run_for_many(filled: Ledger) -> None:
    statement = Prepared(insert(counters).on_conflict_do_nothing())
    many = [{"folder": name, "value": value} for value, name in enumerate("abca", 1)]
    with filled._db.write() as connection:
        statement.run_each(driver(connection), many)
    kept = by_sqlalchemy(filled, select(counters).order_by(counters.c.folder))
    assert kept == [("a", 1), ("b", 2), ("c", 3)]


def test_columns_that_are_not_told_are_left_to_the_table(filled: Ledger) -> None:
    statement = Prepared(insert(counters), columns=["folder"])
    with (
        filled._db.write() as connection,
        pytest.raises(sqlite3.IntegrityError, match=r"counters\.value"),
    ):
        statement.run(driver(connection), {"folder": "a", "value": 7})
