"""A full-text index of all pages read, in a file of its own that can be rebuilt from the ledger.

Contentless FTS5 keeps the positions of words but not the text (https://sqlite.org/fts5.html).
Chinese, Japanese and Korean have no spaces: each character is indexed as a word, and a run of
characters is searched as a phrase.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ocrd.errors import LedgerError, UsageError
from ocrd.ledger.errors import READING, WRITING, translated
from ocrd.ledger.readonly import SEARCH
from ocrd.owners import make_for_owner

DAMAGED = "index-damaged"
RANKED = 2_000  # from so many hits on, the newest come first: ranking a million takes seconds

_TABLES = """
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    text, content='', tokenize='unicode61 remove_diacritics 2');
CREATE TABLE IF NOT EXISTS pages (
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL, page INTEGER NOT NULL,
    folder TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS pages_by_job ON pages (job, page);
"""
_FORMER = "SELECT count(*) > 0 AND NOT max(name = 'folder') FROM pragma_table_info('pages')"
_FOUND = """
SELECT pages.job, pages.page FROM words JOIN pages ON pages.id = words.rowid
WHERE words MATCH ? AND {seen} ORDER BY {order} LIMIT ?
"""
_NEWEST, _BEST = "words.rowid DESC", "words.rank, pages.job DESC"
_UNSPACED = re.compile("([\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff])")


@dataclass(frozen=True, slots=True)
class Hit:
    """A page (1-based) of a job that contains the words."""

    job: int
    page: int


def index_of(ledger: Path) -> Path:
    """The path of a ledger's index."""
    return ledger.with_name(SEARCH)


class SearchIndex:
    """The index, open for writing; created if missing.  May be used by several threads.

    Raises:
        LedgerError, PlaceError: It cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with contextlib.suppress(OSError):  # SQLite reports why it cannot be created
            make_for_owner(path, 0o644)
        with _told(path):
            self._db = sqlite3.connect(path, timeout=10, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # lost pages can be indexed again
            if self._db.execute(_FORMER).fetchone()[0]:  # a former format, to be filled again
                self._db.executescript(
                    "DROP TABLE pages; DROP TABLE words; PRAGMA user_version = 0;"
                )
            self._db.executescript(_TABLES)
            #: Whether all jobs done before the index was created have been added.
            self.was_filled = bool(self._db.execute("PRAGMA user_version").fetchone()[0])

    def add(self, job: int, folder: str, texts: Sequence[str]) -> None:
        """Add a job's pages, in order; a job that is already indexed is left as it is."""
        with self._lock, _told(self._path), self._db:
            known = self._db.execute("SELECT 1 FROM pages WHERE job = ?", (job,)).fetchone()
            for number, text in enumerate(texts, 1) if known is None else ():
                row = self._db.execute(
                    "INSERT INTO pages (job, page, folder) VALUES (?, ?, ?)",
                    (job, number, folder),
                ).lastrowid
                self._db.execute(
                    "INSERT INTO words (rowid, text) VALUES (?, ?)", (row, _spaced(text))
                )

    def knows(self, jobs: Iterable[int]) -> set[int]:
        """The subset of the jobs that are in the index."""
        with self._lock, _told(self._path):
            query = "SELECT 1 FROM pages WHERE job = ?"
            return {job for job in jobs if self._db.execute(query, (job,)).fetchone()}

    def filled(self) -> None:
        """Record that all jobs done before the index was created have been added."""
        with self._lock, _told(self._path):
            self._db.execute("PRAGMA user_version = 1")
            self.was_filled = True

    def clear(self) -> None:
        """Remove all entries, so that the index can be filled again."""
        with self._lock, _told(self._path), self._db:
            self.was_filled = False
            self._db.execute("PRAGMA user_version = 0")
            self._db.execute("DELETE FROM pages")
            self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")

    def close(self) -> None:
        """Close the file once the current write has ended."""
        with self._lock:
            self._db.close()


def search(path: Path, words: str, limit: int, folders: Collection[str] | None = None) -> list[Hit]:
    """Pages that contain all of the words, best match first; none if there is no index yet.

    Quoted words are searched as a phrase.  If there are `RANKED` or more hits, only the newest
    `RANKED` are considered, newest first, since they are found without reading the others.

    Raises:
        UsageError: There is no word to search for.
        LedgerError, PlaceError: The index cannot be read.
    """
    wanted = _query(words)
    if not path.exists():
        return []
    with _told(path, READING), closing(sqlite3.connect(path, timeout=10)) as db:
        seen = "TRUE" if folders is None else f"folder IN ({', '.join('?' * len(folders))})"
        given = (wanted, *(folders or ()), RANKED)
        found = db.execute(_FOUND.format(seen=seen, order=_NEWEST), given).fetchall()
        if len(found) < RANKED:
            found = db.execute(_FOUND.format(seen=seen, order=_BEST), given).fetchall()
        return [Hit(*row) for row in found[:limit]]


def emptied(path: Path) -> SearchIndex:
    """An empty index; a damaged one is deleted first.

    Raises:
        LedgerError, PlaceError: It cannot be used.
    """
    try:
        with closing(SearchIndex(path)) as former:
            former.clear()
    except LedgerError as error:
        if error.kind != DAMAGED:
            raise
        for end in ("", "-wal", "-shm"):
            path.with_name(f"{path.name}{end}").unlink(missing_ok=True)
    return SearchIndex(path)


@contextlib.contextmanager
def _told(path: Path, access: int = WRITING) -> Iterator[None]:
    """Like `translated`, but a damaged index loses nothing: the hint is to rebuild it."""
    try:
        with translated(path, access):
            yield
    except LedgerError as error:
        if error.kind != "ledger-damaged":
            raise
        raise LedgerError(
            f"{path}: the search index is damaged",
            hint="Make it anew, from the ledger: ocrd search --rebuild",
            kind=DAMAGED,
        ) from error


def _query(words: str) -> str:
    """The FTS5 query: each word, or quoted run of words, as a phrase."""
    runs = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', words)]
    phrases = [_spaced(run.replace('"', " ")).strip() for run in runs]
    asked = [f'"{phrase}"' for phrase in phrases if any(map(str.isalnum, phrase))]
    if not asked:
        raise UsageError("there is no word to look for", hint="Such as: ocrd search invoice 2026")
    return " ".join(asked)


def _spaced(text: str) -> str:
    return _UNSPACED.sub(r" \1 ", text).encode("utf-8", "replace").decode()
