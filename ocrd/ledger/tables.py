"""The tables, for building statements, and the conversion of their rows to ocrd's types.

Checks, indexes and triggers are needed in the file, not for statements: migrations create them, and
a test compares these columns with those that the migrations create.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    REAL,
    Column,
    Executable,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator

from ocrd.job import Job, JobError, JobState, Member, Page, PageState, Place
from ocrd.ledger.store import Transaction, driver


class Kept(TypeDecorator[Any]):
    """A Python value stored as the SQLite type `impl`.

    `keep` converts a value for SQLite, `give` converts it back; None is NULL.
    """

    impl: Any = Text
    cache_ok = True

    def __init__(
        self, impl: type[Text | LargeBinary], keep: Callable[[Any], Any], give: Callable[[Any], Any]
    ) -> None:
        super().__init__()
        self.impl = impl()
        self.keep, self.give = keep, give

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """Convert a value for the column."""
        return None if value is None else self.keep(value)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        """Convert a value from the column."""
        return None if value is None else self.give(value)


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _as_json(members: tuple[Member, ...]) -> str | None:
    """JSON, whose escapes can represent undecodable names: each lone surrogate is escaped."""
    return json.dumps([asdict(member) for member in members]) if members else None


def _from_json(kept: str) -> tuple[Member, ...]:
    return tuple(Member(**each) for each in json.loads(kept))


PATH = Kept(LargeBinary, os.fsencode, os.fsdecode)  # as the kernel has it: names need not be text
DIGEST = Kept(LargeBinary, bytes.fromhex, bytes.hex)  # half the size of hex, in the index too
DIGITS = Kept(Text, str, int)  # inodes reach 2**64 - 1, and a forged mtime 2**63 ns and more
SAFE_TEXT = Kept(Text, _escaped, str)  # for people; UTF-8 cannot hold undecodable names
MEMBERS = Kept(Text, _as_json, _from_json)

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("source", PATH, nullable=False),
    Column("shown", SAFE_TEXT, nullable=False),  # `source` for people, who also search in it
    Column("state", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("mtime_ns", DIGITS, nullable=False),
    Column("inode", DIGITS, nullable=False),
    Column("sha256", DIGEST, nullable=False),
    Column("pages", Integer),
    Column("pages_done", Integer, nullable=False),
    Column("created_at", REAL, nullable=False),
    Column("not_before", REAL, nullable=False),  # 0: immediately
    Column("started_at", REAL),
    Column("finished_at", REAL),
    Column("outputs", PATH),
    Column("archived_to", PATH),
    Column("failed_to", PATH),
    Column("error_kind", SAFE_TEXT),
    Column("error_message", SAFE_TEXT),
    Column("error_hint", SAFE_TEXT),
    Column("ending", Text),
    Column("cancel_requested", Integer, nullable=False),
    Column("entries", Integer, nullable=False),  # history entries so far, dropped ones included
    Column("members", MEMBERS),
)

pages = Table(
    "pages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("sha256", DIGEST, nullable=False),  # the job's; with the recipe, the key for reuse
    Column("tries", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("seconds", REAL, nullable=False),
    Column("reused", Integer, nullable=False),
    Column("error_kind", SAFE_TEXT),
    Column("error_message", SAFE_TEXT),
    Column("error_hint", SAFE_TEXT),
    Column("payload", LargeBinary),  # PageResult as JSON, zlib
)

history = Table(
    "history",
    metadata,
    Column("job_id", Integer, primary_key=True),
    Column("slot", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("at", REAL, nullable=False),
    Column("name", Text, nullable=False),
    Column("detail", SAFE_TEXT, nullable=False),
)

tallies = Table(  # maintained by triggers
    "tallies",
    metadata,
    Column("folder", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("jobs", Integer, nullable=False),
)

counters = Table(  # the last number used, for names of outputs
    "counters",
    metadata,
    Column("folder", Text, primary_key=True),
    Column("value", Integer, nullable=False),
)

installation = Table("installation", metadata, Column("id", Text, nullable=False))  # one row

trees = Table(  # the known trees, and the file system of each
    "trees",
    metadata,
    Column("path", PATH, primary_key=True),
    Column("fsid", Text, nullable=False),
)

# SQLite uses a partial index only if the query repeats the index's condition word for word,
# constants included: so these are text, without bound parameters.
READY = (
    "waiting.state = 'queued' AND waiting.not_before = 0"
    " AND waiting.cancel_requested = 0 AND waiting.ending IS NULL"
)
DEFERRED = "state = 'queued' AND not_before <> 0"
AT_INBOX = text("jobs.place = 'inbox'")
JOINED_AT_INBOX = text("jobs.members IS NOT NULL AND jobs.place = 'inbox'")
NOT_DONE = text("jobs.state <> 'done'")
DONE = text("jobs.state = 'done'")
ENDING = text("jobs.ending IS NOT NULL")
CANCEL_REQUESTED = text("jobs.cancel_requested = 1")
REUSABLE = text("pages.state = 'done'")

page_columns = [column for column in pages.c if column.name != "payload"]


_KEPT = {
    column.name: column.type
    for table in (jobs, pages, history)
    for column in table.c
    if isinstance(column.type, Kept)
}
_JOB = [column.name for column in jobs.c]
RETURNING = f"RETURNING {', '.join(_JOB)}"


def at_once(tx: Transaction, statement: str, told: Mapping[str, Any]) -> sqlite3.Cursor:
    """Execute frequent statements in plain SQL: SQLAlchemy would take most of the time.

    A parameter named like a column is converted as that column's values are.
    """
    try:
        kept = {
            name: _KEPT[name].process_bind_param(value, None) if name in _KEPT else value
            for name, value in told.items()
        }
    except ValueError as error:  # as a ValueError it would count as damage to the file
        raise sqlite3.DataError(f"{statement}: {error}") from error
    return driver(tx.connection).execute(statement, kept)


def returned(tx: Transaction, statement: str, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same for a statement that ends in `RETURNING`: the returned rows of `jobs`, by column."""
    found = [dict(zip(_JOB, row, strict=True)) for row in at_once(tx, statement, told).fetchall()]
    for row in found:
        for name in _KEPT.keys() & row.keys():
            row[name] = _KEPT[name].process_result_value(row[name], None)
    return found


def to_job(row: Mapping[Any, Any]) -> Job:
    """The job in a complete row of `jobs`."""
    told = dict(row)
    del told["shown"], told["entries"]
    told["error"] = _to_error(told)
    told["state"], told["place"] = JobState(told["state"]), Place(told["place"])
    told["ending"] = told["ending"] and JobState(told["ending"])
    told["cancel_requested"], told["members"] = bool(row["cancel_requested"]), row["members"] or ()
    told["not_before"] = float(told["not_before"])  # RETURNING gives a 0 as it was written
    return Job(**told)


def jobs_by(tx: Transaction, query: Executable) -> list[Job]:
    """The jobs selected by a query for complete rows."""
    return [to_job(row) for row in tx.connection.execute(query).mappings()]


def to_page(row: Row[Any]) -> Page:
    """The page in a row of `pages`, or of its `page_columns` (all but the payload)."""
    return Page(
        number=row.number,
        state=PageState(row.state),
        tries=row.tries,
        tokens=row.tokens,
        seconds=row.seconds,
        reused=bool(row.reused),
        error=_to_error(dict(row._mapping)),
    )


def error_columns(error: JobError | None) -> dict[str, Any]:
    """The three columns of an error; all NULL without one."""
    told = asdict(error) if error else dict.fromkeys(("kind", "message", "hint"))
    return {f"error_{name}": value for name, value in told.items()}


def packed(payload: str | None) -> bytes | None:
    """A payload as it is stored; a model's answer may hold what strict UTF-8 refuses."""
    return None if payload is None else zlib.compress(payload.encode("utf-8", "surrogatepass"))


def unpacked(stored: bytes | None) -> str | None:
    """The inverse of `packed`."""
    return None if stored is None else zlib.decompress(stored).decode("utf-8", "surrogatepass")


def _to_error(told: dict[str, Any]) -> JobError | None:
    """The error in a row; its columns are removed from `told`."""
    kind, message, hint = (told.pop(f"error_{name}") for name in ("kind", "message", "hint"))
    return None if kind is None else JobError(kind=kind, message=message, hint=hint)
