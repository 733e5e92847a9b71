"""The ledger: the truth about jobs."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from ocrd.errors import LedgerError, UsageError
from ocrd.files import os_error
from ocrd.job import Job, JobError, Page, Standing
from ocrd.ledger import admin, history, inbox, jobs, pages
from ocrd.ledger.errors import READING, damaged, missing, place_at_fault, translated
from ocrd.ledger.migrate import MIGRATIONS, Migrations, copy_ledger, prepare
from ocrd.ledger.store import Store, Transaction, connect
from ocrd.mounts import filesystem_of, is_remote

P = ParamSpec("P")
T = TypeVar("T")

CHECKED_WHOLE_BYTES = 64 * 2**20  # so much is read through in a fraction of a second

PageOutcome = tuple[Page, str | None]
"""A page as it ended, and its `PageResult` as JSON where that is to be used again."""


def _write(
    work: Callable[Concatenate[Transaction, P], T],
) -> Callable[Concatenate[Ledger, P], T]:
    """A method that does `work` as a transaction of its own."""

    def method(self: Ledger, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._store.write(work, *args, **kwargs)

    method.__doc__ = work.__doc__
    return method


def _read(look: Callable[Concatenate[Transaction, P], T]) -> Callable[Concatenate[Ledger, P], T]:
    """A method that looks at one moment of the ledger."""

    def method(self: Ledger, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._store.read(look, *args, **kwargs)

    method.__doc__ = look.__doc__
    return method


class Ledger:
    """All that is known about jobs, in one SQLite file.  Open it with `Ledger.open`.

    Methods block (for a disk's fsync, or for another process's lock) and may be called from
    several threads at once.  What a method has returned is on the disk.  Any of them may raise
    `LedgerError` (locked, damaged) or `PlaceError` (disk full, read-only); then it did nothing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

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

        Args:
            path: The file; its folder must be there.
            clock: Seconds since the epoch.
            create: Whether to make it where there is none.
            check: Whether to look for damage: the whole file if it is small.  Larger ones are
                left to `verify`; damage there shows when a damaged part is read.
            busy_s: How long a call waits for another process's lock, seconds.
            filesystem: Tells on which type of filesystem a path lies.
            migrations: The revisions to upgrade with.

        Raises:
            LedgerError: It is missing, damaged, locked, made by a newer ocrd, another program's,
                or on a network filesystem.
            PlaceError: Its folder is missing, full, read-only or not ours to write.
        """
        _refuse_remote(path, filesystem(path.parent))
        if not os.access(path, os.F_OK):
            _refuse_missing(path, create=create)
        elif check:
            _refuse_damaged(path, busy_s)
        prepare(path, busy_s, migrations)
        return cls(Store(path, busy_s, clock))

    @classmethod
    def to_read(cls, path: Path, opener: Callable[[], sqlite3.Connection]) -> Self:
        """The ledger over connections that may not write, for `readonly`."""
        return cls(Store(path, 0.0, time.time, opener=opener, access=READING))

    # --- how files become jobs ---
    record = _write(inbox.record)
    record_refused = _write(inbox.record_refused)
    adopt = _write(inbox.adopt)
    withdraw = _write(inbox.withdraw)
    active_in_inbox = _read(inbox.active_in_inbox)

    # --- who works on which, and how far it has come ---
    claim_some = _write(jobs.claim_some)
    resume = _write(jobs.resume)
    release = _write(jobs.release)
    unfinished = _read(jobs.unfinished)
    owner = _read(jobs.owner)
    bearer = _read(jobs.bearer)
    moved = _write(jobs.moved)
    redeliver = _write(jobs.redeliver)
    done = _write(jobs.done)
    failed = _write(jobs.failed)
    cancelled = _write(jobs.cancelled)
    gone = _write(jobs.gone)
    next_number = _write(jobs.next_number)

    # --- pages ---
    set_pages = _write(pages.set_pages)
    rerecord = _write(pages.rerecord)
    finished_pages = _read(pages.finished_pages)
    page_texts = _read(pages.page_texts)
    reusable = _read(pages.reusable)

    # --- what an operator and the housekeeping ask for ---
    job = _read(admin.job)
    newest = _read(admin.newest)
    jobs = _read(admin.listed)
    count = _read(admin.count)
    counts = _read(admin.counts)
    pages = _read(admin.pages_of)
    events = _read(history.events)
    retry = _write(admin.retry)
    request_cancel = _write(admin.request_cancel)
    cancellations = _read(admin.cancellations)
    archived = _read(admin.archived)
    refiled = _read(admin.refiled)
    expired = _write(admin.expired)
    prune = _write(admin.prune)

    # --- whose ledger it is ---
    installation = _read(admin.installation_id)
    known_trees = _read(admin.known_trees)
    know_tree = _write(admin.know_tree)

    def in_inbox(self, folder: str) -> Iterator[Standing]:
        """Every file in a folder's inbox that a job stands for: they need no hashing again.

        Of a joined document each of its files, not the document.
        """
        after: tuple[str, int] | None = ("", 0)
        while after is not None:
            some, after = self._store.read(inbox.some_in_inbox, folder, after)
            yield from some

    def deliver(
        self,
        job: Job,
        *,
        outputs: str | None,
        archived_to: str,
        pages: Iterable[PageOutcome] | None = None,
        recipe: str = "",
    ) -> Job:
        """The bundle is complete and will be published under these names.

        Args:
            job: Running, its original in the spool.
            outputs: The bundle's absolute path, or None for a folder that makes none.
            archived_to: The original's.
            pages: All its pages; None for what `page_done` has recorded.
            recipe: What their results may be used again for.
        """
        rows = _packed(pages, recipe)
        return self._store.write(
            jobs.deliver, job, outputs=outputs, archived_to=archived_to, pages=rows
        )

    def intend_failure(
        self,
        job: Job,
        error: JobError,
        failed_to: str,
        *,
        cancelled: bool = False,
        pages: Iterable[PageOutcome] | None = None,
        recipe: str = "",
    ) -> Job:
        """The original will go to `failed_to` for this reason.  May be said again.

        An original that lies in failed/ already, from an earlier failure, stays where it is.

        Args:
            job: Not ended.
            error: The reason.
            failed_to: The original's path.
            cancelled: Whether a person wants it so.
            pages: As for `deliver`.
            recipe: Likewise.
        """
        rows = _packed(pages, recipe)
        return self._store.write(
            jobs.intend_failure, job, error, failed_to, cancelled=cancelled, pages=rows
        )

    def page_done(self, job: Job, page: Page, payload: str | None, *, recipe: str) -> None:
        """One page is finished.

        Args:
            job: As claimed.
            page: Done, partial or failed.
            payload: Its `PageResult` as JSON; None for a failed one.
            recipe: What its result may be used again for.
        """
        row = pages.page_values(page, payload, recipe)
        self._store.write(pages.page_done, job, row)

    def payloads(self, job: Job, recipe: str) -> Iterator[PageOutcome]:
        """The job's finished pages in order, each with its payload; a few in memory at a time."""
        after = 0
        while after != job.pages:
            some = self._store.read(pages.some_payloads, job, recipe, after)
            if not some:
                return
            yield from some
            after = some[-1][0].number

    def verify(self) -> list[str]:
        """Read the whole file and say what is wrong with it; an empty list when nothing is."""
        try:
            with self._store.bare() as raw:
                return admin.faults(raw)
        except LedgerError as error:
            if error.kind != "ledger-damaged":
                raise
            return [error.message]

    def backup(self, target: Path) -> None:
        """A copy of the ledger as of one moment, while it is in use.

        Raises:
            UsageError: Something lies at `target`.
            LedgerError, PlaceError: The ledger cannot be read, or the copy cannot be written.
        """
        if os.path.lexists(target):
            raise UsageError(
                f"{target} is there already", hint="Give the copy a name that nothing has."
            )
        mode = stat.S_IMODE(self.path.stat().st_mode)
        try:
            with self._store.bare() as raw, translated(target):
                copy_ledger(raw, target, mode)
        except OSError as error:
            raise os_error(error, target) from error

    @property
    def path(self) -> Path:
        """The file."""
        return self._store.path

    def close(self) -> None:
        """Give the file back; whoever closes it last folds its WAL into it."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _packed(found: Iterable[PageOutcome] | None, recipe: str) -> list[dict[str, Any]] | None:
    if found is None:
        return None
    return [pages.page_values(page, payload, recipe) for page, payload in found]


def _refuse_remote(path: Path, filesystem: str) -> None:
    if is_remote(filesystem):
        raise LedgerError(
            f"{path}: the ledger cannot lie on a network filesystem ({filesystem})",
            hint="Set `path` under [ledger] to a local disk, such as /var/lib/ocrd/ledger.db.",
            kind="ledger-remote",
        )


def _refuse_missing(path: Path, *, create: bool) -> None:
    fault = place_at_fault(path)
    if fault is not None:
        raise fault
    if not create:
        raise missing(path)


def _refuse_damaged(path: Path, busy_s: float) -> None:
    if path.stat().st_size > CHECKED_WHOLE_BYTES:
        return
    with translated(path), closing(connect(path, busy_s)) as raw:
        found = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(path, found)
