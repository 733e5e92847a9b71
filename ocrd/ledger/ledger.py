"""The ledger: the truth about jobs."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from ocrd.errors import LedgerError, UsageError
from ocrd.job import Job, Member, Page
from ocrd.ledger import admin, inbox, jobs, pages, transitions
from ocrd.ledger.errors import WRITING, damaged, place_at_fault, translated
from ocrd.ledger.migrate import MIGRATIONS, Migrations, copy_ledger, prepare
from ocrd.ledger.store import Transaction, Writer, connect, make_engine, transaction
from ocrd.mounts import filesystem_of, is_remote
from ocrd.names import display
from ocrd.oserrors import os_error

P = ParamSpec("P")
T = TypeVar("T")

CHECKED_WHOLE_BYTES = 64 * 2**20  # a file up to this size is read through in a fraction of a second


def writing(
    work: Callable[Concatenate[Transaction, P], T],
) -> Callable[Concatenate[Ledger, P], T]:
    """A method that runs `work` in a transaction of its own, in the writer's thread.

    The changes are on the disk when the method returns.
    """

    def method(self: Ledger, /, *args: P.args, **kwargs: P.kwargs) -> T:
        def at_once(connection: Connection) -> T:
            return work(Transaction(connection, self._clock()), *args, **kwargs)

        with self._translated():
            return self._writer.write(at_once)

    method.__doc__ = work.__doc__
    return method


def reading(look: Callable[Concatenate[Transaction, P], T]) -> Callable[Concatenate[Ledger, P], T]:
    """A method that runs `look` on one consistent state of the ledger."""

    def method(self: Ledger, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._translated(), transaction(self._engine, immediate=False) as connection:
            return look(Transaction(connection, self._clock()), *args, **kwargs)

    method.__doc__ = look.__doc__
    return method


class Ledger:
    """All that is known about jobs, in one SQLite file.  Open it with `Ledger.open`.

    Methods block (for fsync, or for another process's lock) and may be called from several threads
    concurrently.  When a method returns, its changes are on the disk.  Any method may raise
    `LedgerError` (locked, damaged) or `PlaceError` (disk full, read-only); then nothing was
    changed.
    """

    def __init__(
        self,
        path: Path,
        opener: Callable[[], sqlite3.Connection],
        *,
        clock: Callable[[], float] = time.time,
        access: int = WRITING,
    ) -> None:
        self.path = path
        self._clock = clock
        self._opener = opener
        self._engine = make_engine(opener)
        self._writer = Writer(self._engine)
        self._translated = partial(translated, path, access, also=(SQLAlchemyError,))

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        create: bool = True,
        check: bool = True,
        busy_s: float = 10.0,
        filesystem: Callable[[Path], str] = filesystem_of,
        migrations: Migrations = MIGRATIONS,
    ) -> Self:
        """Open the ledger, upgrading it if an older ocrd made it.

        Its folder must exist.  With `check`, a ledger of at most 64 MiB is read whole for damage;
        in a larger one, which is left to `verify`, damage shows when the damaged part is read.  A
        call waits `busy_s` seconds for another process's lock.  `clock` gives seconds since the
        epoch.

        Raises:
            LedgerError: It is missing, damaged, locked, made by a newer ocrd, another program's, or
                on a network filesystem.
            PlaceError: Its folder is missing, full, read-only or not ours to write.
        """
        if is_remote(kind := filesystem(path.parent)):
            raise LedgerError(
                f"{path}: the ledger cannot lie on a network filesystem ({kind})",
                hint="Set `path` under [ledger] to a local disk, such as /var/lib/ocrd/ledger.db.",
                kind="ledger-remote",
            )
        if os.access(path, os.F_OK):
            if check:
                _refuse_damaged(path, busy_s)
        elif (fault := place_at_fault(path)) is not None:
            raise fault
        elif not create:
            raise LedgerError(
                f"{path}: there is no ledger yet",
                hint="The daemon makes it when it first starts (`ocrd run`); is `path` right?",
                kind="ledger-missing",
            )
        prepare(path, busy_s, migrations)
        return cls(path, partial(connect, path, busy_s), clock=clock)

    # --- how files become jobs ---
    record = writing(inbox.record)
    record_refused = writing(inbox.record_refused)
    adopt = writing(inbox.adopt)
    withdraw = writing(inbox.withdraw)
    active_in_inbox = reading(inbox.active_in_inbox)
    _some_in_inbox = reading(inbox.some_in_inbox)

    # --- who works on which, and how far it has come ---
    claim_some = writing(jobs.claim_some)
    resume = writing(jobs.resume)
    release = writing(jobs.release)
    unfinished = reading(jobs.unfinished)
    owner = reading(jobs.owner)
    bearer = reading(jobs.bearer)
    moved = writing(jobs.moved)
    progress = writing(jobs.progress)
    deliver = writing(jobs.deliver)
    redeliver = writing(jobs.redeliver)
    done = writing(jobs.done)
    intend_failure = writing(jobs.intend_failure)
    failed = writing(jobs.failed)
    gone = writing(jobs.gone)
    next_number = writing(jobs.next_number)

    # --- pages ---
    set_pages = writing(pages.set_pages)
    rerecord = writing(pages.rerecord)
    page_texts = reading(pages.page_texts)
    knows = reading(pages.knows)
    reusable = reading(pages.reusable)
    _some_payloads = reading(pages.some_payloads)

    # --- what an operator and the housekeeping ask for ---
    job = reading(admin.job)
    newest = reading(admin.newest)
    jobs = reading(admin.listed)
    count = reading(admin.count)
    counts = reading(admin.counts)
    pages = reading(admin.pages_of)
    events = reading(transitions.events)
    retry = writing(admin.retry)
    request_cancel = writing(admin.request_cancel)
    cancellations = reading(admin.cancellations)
    active = reading(admin.active)
    first_recorded = reading(admin.first_recorded)
    archived = reading(admin.archived)
    refiled = reading(admin.refiled)
    expired = writing(admin.expired)
    prune = writing(admin.prune)

    # --- whose ledger it is ---
    installation = reading(admin.installation_id)
    known_trees = reading(admin.known_trees)
    know_tree = writing(admin.know_tree)
    number_after = writing(admin.number_after)

    def in_inbox(self, folder: str) -> Iterator[Member]:
        """Every file in a folder's inbox that has a job; such a file need not be hashed again.

        A joined document is given as its files.  Files that could not be read are left out.
        """
        after: tuple[str, int] | None = ("", 0)
        while after is not None:
            some, after = self._some_in_inbox(folder, after)
            yield from some

    def payloads(self, job: Job, recipe: str) -> Iterator[tuple[Page, str | None]]:
        """The job's finished pages in order, each with its payload; only a few are in memory."""
        after = 0
        while after != job.pages:
            some = self._some_payloads(job, recipe, after)
            if not some:
                return
            yield from some
            after = some[-1][0].number

    def verify(self) -> list[str]:
        """Read the whole file and list the faults found; empty if it is sound."""
        try:
            with self._bare() as raw:
                return admin.faults(raw)
        except LedgerError as error:
            if error.kind != "ledger-damaged":
                raise
            return [error.message]

    def backup(self, target: Path) -> None:
        """Copy the ledger to `target` as of one moment, while it is in use.

        Raises:
            UsageError: `target` exists, or its folder does not.
            LedgerError, PlaceError: The ledger cannot be read, or the copy cannot be written.
        """
        if os.path.lexists(target):
            raise UsageError(
                f"{target} is there already", hint="Give the copy a name that nothing has."
            )
        if not target.parent.is_dir():
            raise UsageError(
                f"{display(target.parent)}: there is no such folder",
                hint="Make it, or name a file in another.",
            )
        mode = stat.S_IMODE(self.path.stat().st_mode)
        try:
            with self._bare() as raw, translated(target):
                copy_ledger(raw, target, mode)
        except OSError as error:
            raise os_error(error, target) from error

    @contextmanager
    def _bare(self) -> Iterator[sqlite3.Connection]:
        """A connection outside any transaction, for checks and copies."""
        with self._translated(), closing(self._opener()) as raw:
            yield raw

    def close(self) -> None:
        """Do pending writes and close the file; the last to close it merges its WAL."""
        self._writer.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _refuse_damaged(path: Path, busy_s: float) -> None:
    if path.stat().st_size > CHECKED_WHOLE_BYTES:
        return
    with translated(path), closing(connect(path, busy_s)) as raw:
        found = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(path, found)
