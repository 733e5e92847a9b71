"""The tables as statements are built on them.

Checks, indexes and triggers belong to the file, not to the statements: they are made by the
migrations, and a test holds these columns against what the migrations make.
"""

from __future__ import annotations

from sqlalchemy import REAL, Column, Integer, LargeBinary, MetaData, Table, Text, text

from ocrd.ledger.columns import Digits, HexDigest, Members, PathBytes, SafeText

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("source", PathBytes, nullable=False),
    Column("shown", SafeText, nullable=False),  # `source` for people who open the file by hand
    Column("state", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("mtime_ns", Digits, nullable=False),
    Column("inode", Digits, nullable=False),
    Column("sha256", HexDigest, nullable=False),
    Column("pages", Integer),
    Column("pages_done", Integer, nullable=False),
    Column("created_at", REAL, nullable=False),
    Column("not_before", REAL, nullable=False),  # 0: at once
    Column("started_at", REAL),
    Column("finished_at", REAL),
    Column("outputs", PathBytes),
    Column("archived_to", PathBytes),
    Column("failed_to", PathBytes),
    Column("error_kind", SafeText),
    Column("error_message", SafeText),
    Column("error_hint", SafeText),
    Column("ending", Text),
    Column("cancel_requested", Integer, nullable=False),
    Column("entries", Integer, nullable=False),  # history entries so far, dropped ones included
    Column("members", Members),
)

pages = Table(
    "pages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("sha256", HexDigest, nullable=False),  # the job's, beside the recipe for reuse
    Column("tries", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("seconds", REAL, nullable=False),
    Column("reused", Integer, nullable=False),
    Column("error_kind", SafeText),
    Column("error_message", SafeText),
    Column("error_hint", SafeText),
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
    Column("detail", SafeText, nullable=False),
)

tallies = Table(  # kept by triggers
    "tallies",
    metadata,
    Column("folder", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("jobs", Integer, nullable=False),
)

counters = Table(  # the last number given, for names of outputs
    "counters",
    metadata,
    Column("folder", Text, primary_key=True),
    Column("value", Integer, nullable=False),
)

# SQLite takes a partial index only where the query repeats the index's condition word for word,
# constants included: these are text, not bound parameters.
READY = text(
    "waiting.state = 'queued' AND waiting.not_before = 0"
    " AND waiting.cancel_requested = 0 AND waiting.ending IS NULL"
)
DEFERRED = text("jobs.state = 'queued' AND jobs.not_before <> 0")
AT_INBOX = text("jobs.place = 'inbox'")
JOINED_AT_INBOX = text("jobs.members IS NOT NULL AND jobs.place = 'inbox'")
NOT_DONE = text("jobs.state <> 'done'")
DONE = text("jobs.state = 'done'")
ENDING = text("jobs.ending IS NOT NULL")
CANCEL_REQUESTED = text("jobs.cancel_requested = 1")
REUSABLE = text("pages.state = 'done'")
