"""Files and jobs for the tests, made the way the daemon makes them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any

from sqlalchemy import event

from ocrd.job import Found, Job, JobError, Member, Page, PageState, joined
from ocrd.ledger.ledger import Ledger

NO_TEXT = JobError(kind="damaged", message="cannot be opened", hint="Scan it again.")


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        Ledger.open(path).close()
        return path.read_bytes()


def opened(path: Path, **options: Any) -> Ledger:
    """The ledger at `path`; a new one is a copy: to make it anew takes longer than most tests."""
    if not path.exists():
        path.write_bytes(_empty())
    return Ledger.open(path, **options)


class Clock:
    """Time that only moves when told."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def found(source: str = "scan.pdf", folder: str = "invoices", **others: Any) -> Found:
    """A settled file whose size, inode and digest follow from its name."""
    digest = hashlib.sha256(f"{folder}/{source}".encode("utf-8", "surrogateescape")).hexdigest()
    number = int(digest[:8], 16)
    file = Found(
        folder=folder,
        source=source,
        size=number % 10_000,
        mtime_ns=1_700_000_000_000_000_000 + number,
        inode=number,
        sha256=digest,
    )
    return replace(file, **others)


def member(source: str, folder: str = "invoices", **others: Any) -> Member:
    """One file of a joined document, the same as `found` gives for it alone."""
    file = found(source, folder)
    part = Member(
        source=source,
        size=file.size,
        mtime_ns=file.mtime_ns,
        inode=file.inode,
        sha256=file.sha256,
    )
    return replace(part, **others)


def document(
    source: str, *files: str | Member, folder: str = "invoices", priority: int = 0
) -> Found:
    """A joined document of these files, in this order."""
    parts = [member(each, folder) if isinstance(each, str) else each for each in files]
    return joined(folder, source, parts, priority)


def queued(
    ledger: Ledger, source: str = "scan.pdf", folder: str = "invoices", **others: Any
) -> Job:
    """One recorded file."""
    (job,) = ledger.record([found(source, folder, **others)])
    assert job is not None
    return job


def taken_next(ledger: Ledger, now: float = 0.0, exclude_folders: Iterable[str] = ()) -> Job | None:
    """The next job, claimed by itself; None where no job may run."""
    taken = ledger.claim_some(1, now=now, exclude_folders=frozenset(exclude_folders))
    return taken[0] if taken else None


def claimed(ledger: Ledger, source: str = "scan.pdf", folder: str = "invoices") -> Job:
    """One recorded file, claimed."""
    queued(ledger, source, folder)
    others = {known for known, _ in ledger.counts()} - {folder}
    job = taken_next(ledger, exclude_folders=others)
    assert job is not None and job.source == source
    return job


def spooled(ledger: Ledger, source: str = "scan.pdf", folder: str = "invoices") -> Job:
    """One claimed file, its original in the spool."""
    return ledger.moved(claimed(ledger, source, folder))


def delivering(ledger: Ledger, source: str = "scan.pdf", folder: str = "invoices") -> Job:
    """One file whose names in outbox and archive are recorded."""
    job = spooled(ledger, source, folder)
    return ledger.deliver(job, outputs=f"/outbox/{source}", archived_to=f"/archive/{source}")


def done(ledger: Ledger, source: str = "scan.pdf", folder: str = "invoices") -> Job:
    """One file that is through."""
    return ledger.done(delivering(ledger, source, folder))


def failed(ledger: Ledger, source: str = "scan.pdf", folder: str = "invoices") -> Job:
    """One file in failed/."""
    job = spooled(ledger, source, folder)
    return ledger.failed(ledger.intend_failure(job, NO_TEXT, f"/failed/{source}"))


def page(number: int, state: PageState = PageState.DONE, **others: Any) -> Page:
    """One finished page."""
    return Page(number=number, state=state, tries=1, tokens=40 + number, seconds=0.5, **others)


def work(ledger: Ledger, call: Callable[[], object]) -> int:
    """How many instructions of SQLite's machine a call takes: its cost, whatever the hour."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def counting(raw: Any, _record: object, _proxy: object) -> None:
        raw.set_progress_handler(count, 1)

    pool = ledger._engine.pool
    event.listen(pool, "checkout", counting)
    call()
    event.remove(pool, "checkout", counting)
    return steps


MANY_DONE = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
    INSERT INTO jobs (token, folder, source, shown, state, place, size, mtime_ns, inode, sha256,
        pages, pages_done, created_at, finished_at, archived_to, entries)
    SELECT printf('%016x', :first + i), printf('folder-%d', i % 20),
        CAST(printf('%07d.pdf', :first + i) AS BLOB), printf('%07d.pdf', :first + i), :state,
        :place, 1000, '1', CAST(i AS TEXT), randomblob(32), 1, 1, i, i,
        CAST(printf('/archive/%07d.pdf', :first + i) AS BLOB), 1 FROM n
"""
THEIR_PAGES = """
    INSERT INTO pages (job_id, number, state, recipe, sha256, tries, tokens, seconds, reused,
        payload) SELECT id, 1, 'done', 'r', sha256, 1, 100, 0.5, 0, randomblob(200) FROM jobs
        WHERE state = 'done' AND id NOT IN (SELECT job_id FROM pages)
"""


def many(path: Path, count: int, state: str = "done", place: str = "archive") -> None:
    """Put so many further jobs into a ledger, the quick way; done ones have a page each."""
    with closing(sqlite3.connect(path)) as raw, raw:
        first = raw.execute("SELECT coalesce(max(id), 0) FROM jobs").fetchone()[0]
        told = {"count": count, "first": first, "state": state, "place": place}
        raw.execute(MANY_DONE, told)
        raw.execute(THEIR_PAGES)


def python(code: str, *args: object) -> str:
    """What a new interpreter that runs `code` with `args` in `sys.argv` prints; it ends well."""
    command = [sys.executable, "-c", code, *map(str, args)]
    root = Path(__file__).parents[3]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=root, check=True).stdout


Say = Callable[..., None]


def forked(work: Callable[..., object], *args: object) -> tuple[BaseProcess, IO[str]]:
    """Another process, which has begun with `work(say, *args)`; and what it says, as it says it.

    No ledger that it opens may be open here: SQLite's locks are those of a process.
    """
    reader, writer = os.pipe()

    def begin() -> None:
        os.close(reader)
        work(lambda *words: os.write(writer, f"{' '.join(map(str, words))}\n".encode()), *args)

    process = multiprocessing.get_context("fork").Process(target=begin)
    process.start()
    os.close(writer)
    return process, open(reader, encoding="ascii")


def answer(process: BaseProcess, said: IO[str]) -> str:
    """What a process says until it ends well."""
    with said:
        told = said.read()
    process.join()
    assert process.exitcode == 0
    return told
