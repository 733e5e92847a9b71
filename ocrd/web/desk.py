"""What HTTP asks of ocrd: documents handed over, jobs looked at, results fetched, requests made.

Everything goes the ways that the command line goes: a document appears in an inbox by one link, a
job is looked up in the ledger, and the daemon, not this process, carries out what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ocrd.config import Config, Folder
from ocrd.daemon.offline import request
from ocrd.errors import LedgerError, OcrdError
from ocrd.files import FileFacts, os_error
from ocrd.inbox.marker import Marker
from ocrd.job import Job, JobState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.readonly import read_ledger
from ocrd.ledger.search import index_of, search
from ocrd.names import ignored, included, numbered
from ocrd.web.body import BodyError, Incoming, shown
from ocrd.web.changes import Changes
from ocrd.web.results import NoResultError
from ocrd.web.store import Role, Store, Token

T = TypeVar("T")

RECORDED_S = 15.0  # a living daemon has recorded a document that was handed over by then
ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


class Desk:
    """Takes requests of one installation.

    Args:
        config: What is in force.
        store: Remembers who handed over what.
        changes: Tells when to look again.
    """

    def __init__(self, config: Config, store: Store, changes: Changes) -> None:
        self.config = config
        self.store = store
        self.changes = changes
        self._next_number: dict[Path, int] = {}

    # --- folders ---

    def folders(self, token: Token) -> list[Folder]:
        """Those that exist for the token."""
        return [folder for folder in self.config.folders if token.sees(folder.name)]

    def folder(self, token: Token, name: str = "", mode: str = "") -> Folder:
        """The folder that a request names, by itself or by its mode; else the default one.

        Raises:
            BodyError: There is none, or it is not for this token.
        """
        seen = self.folders(token)
        wanted = name or ("" if mode else self.config.settings.web.folder)
        fitting = [
            each
            for each in seen
            if (not wanted or each.name == wanted) and (not mode or each.mode.name == mode)
        ]
        if not fitting:
            asked = f"folder {wanted!r}" if wanted else f"mode {mode!r}" if mode else "documents"
            known = ", ".join(f"{each.name} ({each.mode.name})" for each in seen) or "none"
            raise BodyError(
                422, f"there is no folder here for {asked}", hint=f"Folders of this token: {known}."
            )
        return fitting[0]

    def room(self, folder: Folder) -> Incoming:
        """Where a document of the folder may stream to."""
        return Incoming(folder.inbox, self.config.settings.web.max_upload_mib * 2**20)

    # --- handing over ---

    async def submit(self, document: Incoming, folder: Folder, token: Token) -> Job:
        """Let a received document appear in the inbox, whole; the job that it became.

        Raises:
            BodyError: The folder leaves files of such a name alone.
            PlaceError: The inbox cannot be written.
            PendingError: The daemon has not recorded it; it lies safe in the inbox.
        """
        _require_taken(document, folder)
        source, facts = await asyncio.to_thread(self._place, document, folder)

        async def recorded() -> Job | None:
            try:
                job = await self._ask(lambda ledger: ledger.newest(folder.name, source))
            except LedgerError as error:
                if error.kind != "ledger-missing":
                    raise
                return None  # no daemon has ever run here
            return job if job is not None and job.untouched(facts) else None  # not an older one

        job = await self.changes.until(recorded, RECORDED_S)
        if job is None:
            raise PendingError(folder, source)
        await asyncio.to_thread(self.store.note_upload, job.id, folder.name, token)
        return job

    def _place(self, document: Incoming, folder: Folder) -> tuple[str, FileFacts]:
        first = folder.inbox / document.name
        facts = FileFacts.of(document.path.lstat())
        for number in itertools.count(self._next_number.get(first, 1)):
            target = first.with_name(numbered(document.name, number))
            try:
                os.link(document.path, target, follow_symlinks=False)
            except FileExistsError:
                continue
            except OSError as error:
                raise os_error(error, target) from error
            self._next_number[first] = number + 1
            if folder.done_marker:
                with contextlib.suppress(OSError):
                    target.with_name(Marker(folder.done_marker).of(target.name)).touch()
            document.discard()
            return target.name, facts
        raise AssertionError  # `count` never ends

    # --- looking ---

    async def job(self, number: int, token: Token) -> Job:
        """A job that the token may see.

        Raises:
            NoResultError: There is none of that number for it.
        """
        job = await self._ask(lambda ledger: ledger.job(number))
        if job is None or not await self._may_see(job, token):
            raise NoResultError(f"there is no job {number}", hint="GET /api/v1/jobs lists them.")
        return job

    async def _may_see(self, job: Job, token: Token) -> bool:
        if not token.sees(job.folder):
            return False
        if token.role.covers(Role.READ):
            return True
        return await asyncio.to_thread(self.store.uploaded_by, job.id) == token.name

    async def ended(self, number: int, timeout_s: float) -> Job | None:
        """The job once it has ended; None when it has not by then."""

        async def look() -> Job | None:
            job = await self._ask(lambda ledger: ledger.job(number))
            return job if job is not None and job.state in ENDED else None

        return await self.changes.until(look, timeout_s)

    async def jobs(self, token: Token, **filters: Any) -> list[Job]:
        """Jobs, newest first, as `Ledger.jobs`; only those of the token's folders."""
        if token.folders is None or "folder" in filters:
            return await self._ask(lambda ledger: ledger.jobs(**filters))
        found: list[Job] = []
        for folder in sorted(token.folders):
            found += await self._ask(partial(_jobs_of, folder, filters))
        found.sort(key=lambda job: job.id, reverse=True)
        return found[: filters.get("limit", 50)]

    async def story(self, number: int) -> tuple[list[Any], list[Any]]:
        """A job's pages and its history."""
        return await self._ask(lambda ledger: (ledger.pages(number), ledger.events(number)))

    async def search(self, words: str, token: Token, limit: int) -> list[dict[str, Any]]:
        """Pages that hold all of the words, the best first.

        Raises:
            UsageError: There is no word in it.
        """
        index = index_of(self.config.ledger)
        hits: list[dict[str, Any]] = []
        skip = 0
        while len(hits) < limit:  # until enough are left that the token may see
            found = await asyncio.to_thread(search, index, words, limit, skip)
            jobs = await self._ask(partial(_jobs_by_id, {hit.job for hit in found}))
            hits += [
                {"job": hit.job, "page": hit.page, "folder": job.folder, "source": job.source}
                for hit in found
                if (job := jobs.get(hit.job)) is not None and token.sees(job.folder)
            ]
            skip += len(found)
            if len(found) < limit:
                break
        return hits[:limit]

    # --- asking ---

    async def retry(self, job: Job) -> bool:
        """Put a failed or cancelled job back; whether it could be."""
        return await asyncio.to_thread(self._request, "retry", job)

    async def cancel(self, job: Job) -> bool:
        """Have a job cancelled; whether it can be."""
        return await asyncio.to_thread(self._request, "cancel", job)

    def _request(self, verb: str, job: Job) -> bool:
        asked = {"do": verb, "jobs": [job.id]}
        return bool(request(self.config.spool, asked, lambda: self.config)["jobs"])

    async def _ask(self, question: Callable[[Ledger], T]) -> T:
        return await asyncio.to_thread(read_ledger, self.config.ledger, question)


class PendingError(OcrdError):
    """A document lies in the inbox and has no job yet, as no daemon has looked.

    Args:
        folder: Whose inbox.
        source: Its path below.
    """

    kind = "pending"
    status = 202

    def __init__(self, folder: Folder, source: str) -> None:
        super().__init__(
            f"the document waits in the inbox of {folder.name}; the daemon has not recorded it yet",
            hint="It is safe and will be read.  See GET /api/v1/status; an operator starts the "
            "daemon with: systemctl start ocrd",
        )
        self.folder = folder.name
        self.source = source


def _jobs_by_id(numbers: set[int], ledger: Ledger) -> dict[int, Job]:
    found = map(ledger.job, numbers)
    return {job.id: job for job in found if job is not None}


def _jobs_of(folder: str, filters: Mapping[str, Any], ledger: Ledger) -> list[Job]:
    return ledger.jobs(folder=folder, **filters)


def _require_taken(document: Incoming, folder: Folder) -> None:
    """Refuse what would lie in the inbox unread."""
    marks = bool(folder.done_marker) and Marker(folder.done_marker).is_one(document.name)
    left_alone = marks or ignored(document.name, folder.ignore)
    if left_alone or not included(document.name, folder.include, folder.ignore):
        raise BodyError(
            422,
            f"{shown(document)}: folder {folder.name} leaves files of such a name alone",
            hint="Give it another name: hidden names and the usual temporaries are never taken.",
        )
    if not document.size:
        raise BodyError(
            422, f"{shown(document)} is empty", hint="Send the document's bytes as well."
        )
