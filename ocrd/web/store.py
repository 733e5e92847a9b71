"""What the web process stores: tokens, sessions, and the documents that came over HTTP.

A small SQLite file of its own beside the ledger.  Secrets of tokens and sessions are stored as
digests, so that nobody who reads the file can log in with them.
"""

from __future__ import annotations

import enum
import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd.errors import PlaceError, UsageError
from ocrd.files import FileFacts, display
from ocrd.ledger.readonly import WEB
from ocrd.owners import make_for_owner, owned, whose_it_should_be

SESSION_S = 30 * 86400.0
LISTED_FILES = 10_000  # a token's newest files, among which `Store.files` looks
_PARTS = ", ".join(f"json_extract(value, '$[{part}]')" for part in range(5))
_SEEN = "(? OR folder IN (SELECT value FROM json_each(?)))"  # its values are those of `_seen`

_TABLES = """
CREATE TABLE IF NOT EXISTS tokens (
    name TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, role TEXT NOT NULL, folders TEXT,
    created_at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    digest BLOB PRIMARY KEY, token TEXT NOT NULL, expires_at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS handed (
    ticket INTEGER PRIMARY KEY AUTOINCREMENT, folder TEXT NOT NULL, source TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    token TEXT NOT NULL, at REAL NOT NULL, name TEXT, job INTEGER UNIQUE) STRICT;
CREATE INDEX IF NOT EXISTS handed_at ON handed (at);
CREATE INDEX IF NOT EXISTS handed_by ON handed (token, job);
CREATE INDEX IF NOT EXISTS handed_files ON handed (token, ticket) WHERE name IS NOT NULL;
CREATE INDEX IF NOT EXISTS handed_held ON handed (at) WHERE source LIKE '.%';
CREATE TABLE IF NOT EXISTS secret (key BLOB NOT NULL) STRICT;
"""


def store_path(ledger: Path) -> Path:
    """The path of the file, beside the ledger."""
    return ledger.with_name(WEB)


class Role(enum.StrEnum):
    """What the bearer of a token may do."""

    SUBMIT = "submit"  # hand documents over and fetch their results
    READ = "read"  # see all jobs of its folders and their results
    OPERATE = "operate"  # both, and retry and cancel

    def covers(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        return self in (other, Role.OPERATE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A client with its role and the folders in which it has it (None: all)."""

    name: str
    role: Role
    folders: frozenset[str] | None = None

    def sees(self, folder: str) -> bool:
        """Whether the token may see the folder and its jobs."""
        return self.folders is None or folder in self.folders


@dataclass(frozen=True, kw_only=True, slots=True)
class Handed:
    """The record of a document that came over HTTP and is, or was, in an inbox."""

    ticket: int  # its number here; known before the daemon has recorded a job
    folder: str
    source: str  # path below its inbox; a hidden name while it is held
    facts: FileFacts
    token: str  # name of the token that it came with; empty once deleted by its client
    at: float  # when it came; seconds since the epoch
    name: str | None = None  # the client's, if it was uploaded as a file (Mistral's `/v1/files`)
    job: int | None = None  # the job that it became, once known

    @property
    def held(self) -> bool:
        """Whether it is kept hidden, because no client has asked for it to be read."""
        return self.source.startswith(".")


class Store:
    """The SQLite file.  Several threads may use it; each statement is a transaction.

    Raises:
        PlaceError: The file cannot be used; also raised by every method.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            make_for_owner(path, 0o600)
            self._db = sqlite3.connect(
                path, timeout=10, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_TABLES)
        except (sqlite3.Error, OSError) as error:
            raise self._refused(error) from error
        self._run(
            "INSERT INTO secret SELECT ? WHERE NOT EXISTS (SELECT 1 FROM secret)",
            secrets.token_bytes(32),
        )
        self._key = bytes(self._run("SELECT key FROM secret")[0][0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- tokens, and sessions of people who logged in with one ---

    def add_token(self, name: str, role: Role, folders: frozenset[str] | None) -> str:
        """Create a token, and return its secret, which cannot be read again.

        Raises:
            UsageError: There is already a token of that name.
        """
        secret = "ocrd_" + secrets.token_urlsafe(32)
        named = None if folders is None else json.dumps(sorted(folders))
        row = (name, _digest(secret), role.value, named, time.time())
        if not self._run("INSERT OR IGNORE INTO tokens VALUES (?, ?, ?, ?, ?) RETURNING 1", *row):
            raise UsageError(
                f"there is a token {display(name)} already",
                hint="Choose another name, or remove that one: ocrd web token remove "
                + display(name),
            )
        return secret

    def remove_token(self, name: str) -> bool:
        """Delete a token and the sessions opened with it; returns whether it existed."""
        self._run("DELETE FROM sessions WHERE token = ?", name)
        return bool(self._run("DELETE FROM tokens WHERE name = ? RETURNING 1", name))

    def tokens(self) -> list[Token]:
        """All tokens, ordered by name."""
        rows = self._run("SELECT name, role, folders FROM tokens ORDER BY name")
        return [_token(row) for row in rows]

    def bearer(self, secret: str) -> Token | None:
        """The token with that secret, or None."""
        rows = self._run("SELECT name, role, folders FROM tokens WHERE digest = ?", _digest(secret))
        return _token(rows[0]) if rows else None

    def open_session(self, token: Token) -> str:
        """Open a session, and return its secret, for a cookie."""
        secret, now = secrets.token_urlsafe(32), time.time()
        self._run("DELETE FROM sessions WHERE expires_at < ?", now)
        row = (_digest(secret), token.name, now + SESSION_S)
        self._run("INSERT INTO sessions VALUES (?, ?, ?)", *row)
        return secret

    def session(self, secret: str) -> Token | None:
        """The token of a session; None if there is none or it has ended."""
        rows = self._run(
            "SELECT name, role, folders FROM sessions JOIN tokens ON tokens.name = sessions.token"
            " WHERE sessions.digest = ? AND expires_at > ?",
            _digest(secret),
            time.time(),
        )
        return _token(rows[0]) if rows else None

    def close_session(self, secret: str) -> None:
        """End a session."""
        self._run("DELETE FROM sessions WHERE digest = ?", _digest(secret))

    # --- what came in over HTTP ---

    def hand(
        self, folder: str, documents: Sequence[tuple[str, FileFacts, str | None]], token: Token
    ) -> list[Handed]:
        """Record documents (source, facts, name) about to appear in an inbox, all or none."""
        told = [
            (name, at, facts.size, facts.mtime_ns, facts.inode) for at, facts, name in documents
        ]
        rows = self._run(
            "INSERT INTO handed (folder, token, at, name, source, size, mtime_ns, inode)"  # noqa: S608 - our own words
            f" SELECT ?, ?, ?, {_PARTS} FROM json_each(?) ORDER BY key RETURNING *",
            *(folder, token.name, time.time(), json.dumps(told)),
        )
        return [_handed(row) for row in sorted(rows)]

    def lies(self, handed: Handed, source: str, facts: FileFacts) -> Handed:
        """Record where a document is, or is about to be, if the record says otherwise."""
        if (source, facts) == (handed.source, handed.facts):
            return handed
        rows = self._run(
            "UPDATE handed SET source = ?, size = ?, mtime_ns = ?, inode = ? WHERE ticket = ?"
            " RETURNING *",
            *(source, facts.size, facts.mtime_ns, facts.inode, handed.ticket),
        )
        return _handed(rows[0]) if rows else handed

    def handed(self, ticket: int) -> Handed | None:
        """The record of a ticket, or None."""
        rows = self._run("SELECT * FROM handed WHERE ticket = ?", ticket)
        return _handed(rows[0]) if rows else None

    def newest(self) -> float | None:
        """When the newest document came, seconds since the epoch; None if there is none."""
        newest: float | None = self._run("SELECT max(at) FROM handed")[0][0]
        return newest

    def handed_before(self, moment: float) -> list[Handed]:
        """The oldest 1,000 documents that came before a moment, oldest first."""
        query = "SELECT * FROM handed WHERE at < ? ORDER BY at LIMIT 1000"
        return [_handed(row) for row in self._run(query, moment)]

    def held_before(self, moment: float) -> list[Handed]:
        """Held documents that came before a moment."""
        query = "SELECT * FROM handed WHERE at < ? AND source LIKE '.%'"
        return [_handed(row) for row in self._run(query, moment)]

    def files(self, token: Token, search: str, most: int, skip: int) -> tuple[list[Handed], int]:
        """A token's files, newest first, `most` of them after `skip`; and how many match in all.

        Only the newest `LISTED_FILES` are looked at: every request waits for the file meanwhile.
        """
        newest = "SELECT * FROM handed WHERE token = ? AND name IS NOT NULL ORDER BY ticket DESC"
        such = f"FROM ({newest} LIMIT ?) WHERE {_SEEN} AND instr(lower(name), lower(?))"
        some = (token.name, LISTED_FILES, *_seen(token), search)
        rows = self._run(
            f"SELECT * {such} ORDER BY ticket DESC LIMIT ? OFFSET ?", *some, most, skip
        )
        (total,) = self._run(f"SELECT count(*) {such}", *some)[0]
        return [_handed(row) for row in rows], total

    def became(self, ticket: int, job: int) -> None:
        """Record the job that the daemon has made of a document."""
        self._run("UPDATE OR IGNORE handed SET job = ? WHERE ticket = ?", job, ticket)

    def brought(self, job: int) -> Handed | None:
        """The document that became a job; its token is empty once its client has deleted it."""
        rows = self._run("SELECT * FROM handed WHERE job = ?", job)
        return _handed(rows[0]) if rows else None

    def jobs_of(
        self, token: Token, most: int, before_id: int | None, after_id: int | None
    ) -> list[int]:
        """The ids of up to `most` (-1: all) jobs from a token, selected as by `Ledger.jobs`."""
        order = "job DESC" if after_id is None else "job"
        query = (
            f"SELECT job FROM handed WHERE token = ? AND {_SEEN} AND job < ? AND job > ? "  # noqa: S608 - ours
            f"ORDER BY {order} LIMIT ?"
        )
        ends = (2**63 - 1 if before_id is None else before_id, after_id or 0)
        return [int(row[0]) for row in self._run(query, token.name, *_seen(token), *ends, most)]

    def disown(self, handed: Handed) -> None:
        """Detach a document, and the job that it became, from its token and its signed URLs."""
        self._run("UPDATE handed SET token = '', name = NULL WHERE ticket = ?", handed.ticket)

    def forget(self, handed: Handed) -> None:
        """Delete the record of a document."""
        self._run("DELETE FROM handed WHERE ticket = ?", handed.ticket)

    def no_file(self, handed: Handed) -> None:
        """Remove a document from its client's files; its record and its job stay."""
        self._run("UPDATE handed SET name = NULL WHERE ticket = ?", handed.ticket)

    # --- signatures ---

    def link_text(self, file: Handed, expires: int) -> str:
        """What a file's signed URL signs: it is good while the token that sent the file exists.

        Users whom a proxy logs in have none here: theirs is good until it expires.
        """
        rows = self._run("SELECT hex(digest) FROM tokens WHERE name = ?", file.token)
        return f"file:{file.ticket}:{expires}:{rows[0][0] if rows else ''}"

    def sign(self, text: str) -> str:
        """A keyed digest that only this installation can make."""
        whole = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(whole, key=self._key, digest_size=24).hexdigest()

    def signed(self, text: str, signature: str) -> bool:
        """Whether `sign` made the signature for this text."""
        return secrets.compare_digest(
            self.sign(text).encode(), signature.encode("utf-8", "replace")
        )

    def _run(self, statement: str, *values: object) -> list[Any]:
        """Run a statement, one caller at a time; errors of SQLite become errors with a remedy."""
        with self._lock:
            try:
                return self._db.execute(statement, values).fetchall()
            except (sqlite3.Error, OSError) as error:
                raise self._refused(error) from error

    def _refused(self, error: Exception) -> PlaceError:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = "Run it as the daemon's user, and see that the disk has room: `df -h` tells."
        if give := whose_it_should_be(self._path):
            hint = f"It is {owned(self._path.stat())}; give it to the daemon's user: {give}"
        return PlaceError(
            f"{display(self._path)}: the web process cannot keep its file there: {why}",
            hint=hint,
            kind="web-store",
        )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _token(row: tuple[str, str, str | None]) -> Token:
    name, role, folders = row
    seen = None if folders is None else frozenset(json.loads(folders))
    return Token(name=name, role=Role(role), folders=seen)


def _seen(token: Token) -> tuple[bool, str]:
    return token.folders is None, json.dumps(sorted(token.folders or ()))


def _handed(row: tuple[Any, ...]) -> Handed:
    ticket, folder, source, size, mtime_ns, inode, token, at, name, job = row
    facts = FileFacts(size=size, mtime_ns=mtime_ns, inode=inode)
    return Handed(
        ticket=ticket, folder=folder, source=source, facts=facts, token=token, at=at, name=name,
        job=job,
    )  # fmt: skip
