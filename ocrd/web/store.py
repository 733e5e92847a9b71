"""What the web process remembers: tokens, sessions, and what came in over HTTP.

A small SQLite file of its own beside the ledger.  Secrets are kept as digests: whoever reads the
file cannot log in with what stands in it.
"""

from __future__ import annotations

import enum
import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ocrd.errors import OcrdError, PlaceError, UsageError
from ocrd.files import display

SESSION_S = 30 * 86400.0

_TABLES = """
CREATE TABLE IF NOT EXISTS tokens (
    name TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, role TEXT NOT NULL, folders TEXT,
    created_at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    digest BLOB PRIMARY KEY, token TEXT NOT NULL, expires_at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS uploads (
    job INTEGER PRIMARY KEY, folder TEXT NOT NULL, token TEXT NOT NULL, at REAL NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS uploads_at ON uploads (at);
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, bytes INTEGER NOT NULL, token TEXT NOT NULL,
    at REAL NOT NULL) STRICT;
"""


def store_path(ledger: Path) -> Path:
    """Where the file lies: beside the ledger."""
    return ledger.with_name("web.db")


class Role(enum.StrEnum):
    """What the bearer of a token may do."""

    SUBMIT = "submit"  # hand documents over and fetch the results of those
    READ = "read"  # see all jobs of its folders and their results
    OPERATE = "operate"  # both, and retry and cancel

    def covers(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        return self in (other, Role.OPERATE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """Who may do what.

    Attributes:
        name: What the operator calls it.
        role: What it may do.
        folders: In which folders; None for all.
    """

    name: str
    role: Role
    folders: frozenset[str] | None = None

    def sees(self, folder: str) -> bool:
        """Whether jobs of the folder exist for it."""
        return self.folders is None or folder in self.folders


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file that a client has uploaded to be read later (Mistral's `/v1/files`).

    `bytes` is its size, `at` when it came, seconds since the epoch.
    """

    id: str
    name: str
    bytes: int
    token: str
    at: float


class Store:
    """The file.  Several threads may call; each call is one short transaction.

    Args:
        path: Where; its folder must be there.
        clock: Seconds since the epoch.

    Raises:
        PlaceError: It cannot be opened there.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        with self._told():
            path.touch(mode=0o600, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=10, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_TABLES)
            self._key = self._make_key()

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    # --- tokens ---

    def add_token(self, name: str, role: Role, folders: frozenset[str] | None) -> str:
        """Make a token; its secret, which is told this once.

        Raises:
            UsageError: There is one of that name.
        """
        secret = "ocrd_" + secrets.token_urlsafe(32)
        named = None if folders is None else json.dumps(sorted(folders))
        row = (name, _digest(secret), role.value, named, self._clock())
        with self._told():
            try:
                self._db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise UsageError(
                    f"there is a token {display(name)} already",
                    hint="Choose another name, or remove that one: ocrd web token remove "
                    + display(name),
                ) from None
        return secret

    def remove_token(self, name: str) -> bool:
        """Forget a token and the sessions that were opened with it; whether there was one."""
        with self._told():
            self._db.execute("DELETE FROM sessions WHERE token = ?", (name,))
            return self._db.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount > 0

    def tokens(self) -> list[Token]:
        """All of them, by name."""
        with self._told():
            rows = self._db.execute("SELECT name, role, folders FROM tokens ORDER BY name")
            return [_token(row) for row in rows]

    def bearer(self, secret: str) -> Token | None:
        """The token with that secret."""
        query = "SELECT name, role, folders FROM tokens WHERE digest = ?"
        with self._told():
            row = self._db.execute(query, (_digest(secret),)).fetchone()
        return None if row is None else _token(row)

    # --- sessions of people who logged in with a token ---

    def open_session(self, token: Token) -> str:
        """A session's secret, for a cookie."""
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        with self._told():
            self._db.execute("DELETE FROM sessions WHERE expires_at < ?", (now,))
            self._db.execute(
                "INSERT INTO sessions VALUES (?, ?, ?)",
                (_digest(secret), token.name, now + SESSION_S),
            )
        return secret

    def session(self, secret: str) -> Token | None:
        """Whose session it is; None when it has ended."""
        query = (
            "SELECT name, role, folders FROM sessions JOIN tokens ON tokens.name = sessions.token"
            " WHERE sessions.digest = ? AND expires_at > ?"
        )
        with self._told():
            row = self._db.execute(query, (_digest(secret), self._clock())).fetchone()
        return None if row is None else _token(row)

    def close_session(self, secret: str) -> None:
        """Log out."""
        with self._told():
            self._db.execute("DELETE FROM sessions WHERE digest = ?", (_digest(secret),))

    # --- what came in over HTTP ---

    def note_upload(self, job: int, folder: str, token: Token) -> None:
        """A job came from this token."""
        row = (job, folder, token.name, self._clock())
        with self._told():
            self._db.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)", row)

    def uploaded_by(self, job: int) -> str | None:
        """The name of the token that handed a job over."""
        with self._told():
            row = self._db.execute("SELECT token FROM uploads WHERE job = ?", (job,)).fetchone()
        return None if row is None else str(row[0])

    def uploads_before(self, moment: float, most: int = 100) -> list[int]:
        """Jobs that came in before a moment, the oldest first."""
        query = "SELECT job FROM uploads WHERE at < ? ORDER BY at LIMIT ?"
        with self._told():
            return [int(row[0]) for row in self._db.execute(query, (moment, most))]

    def forget_upload(self, job: int) -> None:
        """Nothing of the job is kept any more."""
        with self._told():
            self._db.execute("DELETE FROM uploads WHERE job = ?", (job,))

    def add_file(self, file: StoredFile) -> None:
        """A file waits to be read."""
        row = (file.id, file.name, file.bytes, file.token, file.at)
        with self._told():
            self._db.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", row)

    def file(self, number: str, token: Token) -> StoredFile | None:
        """One of the token's own files."""
        with self._told():
            row = self._db.execute(
                "SELECT id, name, bytes, token, at FROM files WHERE id = ? AND token = ?",
                (number, token.name),
            ).fetchone()
        return None if row is None else _file(row)

    def files_before(self, moment: float) -> list[StoredFile]:
        """Files that nobody has asked for since a moment."""
        query = "SELECT id, name, bytes, token, at FROM files WHERE at < ?"
        with self._told():
            return [_file(row) for row in self._db.execute(query, (moment,))]

    def remove_file(self, number: str) -> None:
        """Forget a file."""
        with self._told():
            self._db.execute("DELETE FROM files WHERE id = ?", (number,))

    # --- signatures ---

    def sign(self, text: str) -> str:
        """A keyed digest that only this installation can make."""
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=24).hexdigest()

    def signed(self, text: str, signature: str) -> bool:
        """Whether `sign` made the signature for this text."""
        return secrets.compare_digest(self.sign(text), signature)

    def _make_key(self) -> bytes:
        self._db.execute("CREATE TABLE IF NOT EXISTS secret (key BLOB NOT NULL) STRICT")
        self._db.execute(
            "INSERT INTO secret SELECT ? WHERE NOT EXISTS (SELECT 1 FROM secret)",
            (secrets.token_bytes(32),),
        )
        return bytes(self._db.execute("SELECT key FROM secret").fetchone()[0])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """One caller at a time; what SQLite refuses is told with a remedy."""
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                raise self._refused(error) from error

    def _refused(self, error: Exception) -> OcrdError:
        return PlaceError(
            f"{display(self._path)}: the web process cannot keep its file there: {error}",
            hint="Run it as the daemon's user, and see that the disk has room: `df -h` tells.",
            kind="web-store",
        )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _token(row: tuple[str, str, str | None]) -> Token:
    name, role, folders = row
    return Token(
        name=name,
        role=Role(role),
        folders=None if folders is None else frozenset(json.loads(folders)),
    )


def _file(row: tuple[str, str, int, str, float]) -> StoredFile:
    number, name, size, token, at = row
    return StoredFile(id=number, name=name, bytes=size, token=token, at=at)
