"""Statements that are compiled once and then run by the driver alone.

SQLAlchemy keeps what it has compiled, too, but to find it, bind it and dress the result it takes
several times as long as SQLite takes for a statement that touches one row.  These are the ones
that every file meets; all others go through SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol, cast

from sqlalchemy import Connection, Select, UpdateBase
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

_DIALECT = SQLiteDialect_pysqlite()

Convert = Callable[[Any], Any]


class Record(Protocol):
    """A row, its columns by name: of a prepared statement, or SQLAlchemy's own."""

    def __getattr__(self, column: str) -> Any:
        """What stands in the column."""


class _Told(NamedTuple):
    """A value that is told when the statement is run."""

    name: str
    convert: Convert | None


class Prepared:
    """A statement as the driver takes it.

    Args:
        statement: With a `bindparam` for each value that is told when it is run.  Its collections
            are of a fixed size (`in_` a list of literals).
        columns: Of an INSERT: those that are told, if not all of the table's.
    """

    def __init__(
        self, statement: UpdateBase | Select[Any], *, columns: Collection[str] | None = None
    ) -> None:
        self._statement = statement
        self._columns = None if columns is None else list(columns)

    def run(self, raw: sqlite3.Connection, told: Mapping[str, Any]) -> list[Record]:
        """Run it once; the rows it gives.

        Raises:
            sqlite3.Error: As SQLite answered.
        """
        rows = raw.execute(self._text, self._bound(told)).fetchall()
        return [self._record(row) for row in rows]

    def run_each(self, raw: sqlite3.Connection, told: Iterable[Mapping[str, Any]]) -> None:
        """Run it for each; it gives no rows."""
        raw.executemany(self._text, map(self._bound, told))

    def _bound(self, told: Mapping[str, Any]) -> list[Any]:
        return [
            each
            if not isinstance(each, _Told)
            else told[each.name]
            if each.convert is None
            else each.convert(told[each.name])
            for each in self._values
        ]

    def _record(self, row: Sequence[Any]) -> Record:
        values = list(row)
        for place, convert in self._converts:
            values[place] = convert(values[place])
        return self._make(values)

    @cached_property
    def _compiled(self) -> SQLCompiler:
        """Not before it is run: a command that looks at one table does not wait for all."""
        return self._statement.compile(dialect=_DIALECT, column_keys=self._columns)

    @cached_property
    def _text(self) -> str:
        return str(self._compiled)

    @cached_property
    def _values(self) -> list[Any]:
        """What is bound, in order: constants as they are, and `_Told`s."""
        binds = {name: bind for bind, name in self._compiled.bind_names.items()}
        values: list[Any] = []
        for name in self._compiled.positiontup or ():
            convert = _implemented(binds[name].type).bind_processor(_DIALECT)
            if binds[name].required:
                values.append(_Told(name, convert))
            else:
                value = binds[name].effective_value
                values.append(value if convert is None else convert(value))
        return values

    @cached_property
    def _converts(self) -> list[tuple[int, Convert]]:
        """The columns that Python sees otherwise than SQLite."""
        converts = [
            _implemented(column.type).result_processor(_DIALECT, None)
            for column in self._statement.exported_columns
        ]
        return [(place, convert) for place, convert in enumerate(converts) if convert]

    @cached_property
    def _make(self) -> Callable[[Sequence[Any]], Record]:
        names = [str(column.key) for column in self._statement.exported_columns]
        kind: Any = namedtuple("_Row", names)  # type: ignore[misc] # its fields are known only now
        return cast(Callable[[Sequence[Any]], Record], kind._make)


def driver(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection, in the same transaction."""
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def _implemented(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.dialect_impl(_DIALECT)
