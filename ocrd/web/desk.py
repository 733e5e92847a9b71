"""What all HTTP interfaces do: hand documents over, look at jobs, fetch results, make requests.

Everything works as on the command line: a document appears in an inbox as by `ocrd submit`, a job
is looked up in the ledger, and the daemon, not this process, carries out requests while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import stat
import time
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from fastapi import Request

from ocrd import snapshot
from ocrd.config import Config, Folder
from ocrd.daemon import requests
from ocrd.errors import OcrdError
from ocrd.files import Disk, FileFacts
from ocrd.inbox.marker import Marker
from ocrd.inbox.submit import appear, marker_of, opened_folder, require_taken, touch
from ocrd.job import Job, JobState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.search import RANKED, index_of, search
from ocrd.names import first_free
from ocrd.oserrors import os_error
from ocrd.views.jobs import hit_facts
from ocrd.views.locate import locate
from ocrd.views.status import gather
from ocrd.web.body import Body, Incoming, received
from ocrd.web.changes import Changes
from ocrd.web.errors import MissingError, RefusedError
from ocrd.web.results import Results, opened, require_tree
from ocrd.web.store import Handed, Role, Store, Token

READY_S = 1.0
RECORDED_S = 15.0  # by then, a running daemon has recorded a document that was handed over
ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
T = TypeVar("T")
Known = Job | Handed
"""A job, or a document that the daemon has not made a job of yet."""


class Desk:
    """Carries out the requests to one installation."""

    def __init__(self, config: Config, store: Store, changes: Changes) -> None:
        self.config = config
        self.store = store
        self.changes = changes
        self.disk = Disk()
        for folder in config.folders:
            for _, tree in folder.trees():
                self.disk.know(tree)
        self._reading = asyncio.Lock()  # held files are handed over one at a time
        self._asking = asyncio.Lock()
        self._ready_until = 0.0  # by the monotonic clock: until then `_unready` holds
        self._unready: OcrdError | None = None

    # --- folders ---

    def folders(self, token: Token) -> list[Folder]:
        """The folders that the token may see."""
        return [folder for folder in self.config.folders if token.sees(folder.name)]

    def folder(self, token: Token, name: str = "", mode: str = "") -> Folder:
        """The folder that a request selects by name or mode, otherwise the default folder.

        A token that may not see the default gets its own first folder: most programs cannot name
        one.

        Raises:
            RefusedError: There is no such folder for this token.
        """
        seen, usual = self.folders(token), self.config.settings.web.folder
        wanted = name or (usual if not mode and token.sees(usual) else "")
        fitting = [
            each
            for each in seen
            if (not wanted or each.name == wanted) and (not mode or each.mode.name == mode)
        ]
        if not fitting:
            asked = f"folder {wanted!r}" if wanted else f"mode {mode!r}" if mode else "documents"
            known = ", ".join(f"{each.name} ({each.mode.name})" for each in seen) or "none"
            raise RefusedError(
                422, f"there is no folder here for {asked}", hint=f"Folders of this token: {known}."
            )
        return fitting[0]

    def received(self, request: Request, folder: Folder) -> AbstractAsyncContextManager[Body]:
        """The body of a request; its documents stream into drafts in the folder's inbox."""
        return received(request, folder.inbox, self.config.settings.web.max_upload_mib * 2**20)

    # --- handing over ---

    async def submit(
        self, documents: Sequence[Incoming], folder: Folder, token: Token
    ) -> list[Known]:
        """Make received documents appear, complete, in the inbox; what each has become so far.

        If one is refused, none appears: a client that sends them all again would otherwise have the
        others read twice.

        Raises:
            RefusedError: A document is empty.
            UsageError: The folder ignores files of such a name.
            PlaceError: The inbox cannot be written.
        """
        for each in documents:
            _require_sense(each, folder)
        handed = await self._hand(documents, folder, token, held=False)
        return await asyncio.gather(*map(self._recorded, handed))

    async def _hand(
        self, documents: Sequence[Incoming], folder: Folder, token: Token, *, held: bool
    ) -> list[Handed]:
        """Make documents appear in the inbox, under a hidden name if they are held.

        All are recorded first: a document left there after its client was refused would be read
        twice, and a hidden one without a record would stay for ever.
        """

        def noted() -> list[Handed]:
            taken, told = set[str](), []
            for each in documents:
                hidden = f".ocrd-{secrets.token_hex(16)}.held"
                source, name = (
                    (hidden, each.name) if held else (_free(each.name, folder, taken), None)
                )
                told.append((source, each.draft().facts(), name))
            return self.store.hand(folder.name, told, token)

        await _all(asyncio.to_thread(each.whole) for each in documents)
        about = zip(documents, await asyncio.to_thread(noted), strict=True)
        return await _all(asyncio.to_thread(self._give, *each, folder) for each in about)

    def _give(self, document: Incoming, noted: Handed, folder: Folder) -> Handed:
        draft = document.draft()
        try:
            with opened_folder(folder.inbox) as here:
                source, facts = draft.give(noted.source, here), draft.facts()
                document.discard()  # so that it no longer seems to be written to
                if not noted.held:
                    self._mark(folder, source, here)
        except OSError as error:
            self.store.forget(noted)
            raise os_error(error, folder.inbox) from error
        return self.store.lies(noted, source, facts)

    def _mark(self, folder: Folder, source: str, here: int) -> None:
        if marker := marker_of(folder, source):
            touch(Marker(marker).of(source), here)

    async def _recorded(self, handed: Handed) -> Known:
        """The job that the daemon makes of a document, if it runs and does so in `RECORDED_S`."""
        if snapshot.holder(self.config.spool / snapshot.LOCK) is None:
            return handed
        with contextlib.suppress(OcrdError):  # it is accepted, even if the ledger cannot be read
            return await self.changes.until(partial(self.became, handed), RECORDED_S) or handed
        return handed

    def became(self, handed: Handed, ledger: Ledger) -> Job | None:
        """The job that a document became, or None while the ledger has none."""
        if handed.job is not None and (known := ledger.job(handed.job)) is not None:
            return known
        if handed.held:
            return None
        job = ledger.newest(handed.folder, handed.source)
        if job is None or not job.untouched(handed.facts):  # none, or one of an older file
            job = self._joined(handed, ledger)
        if job is not None:
            self.store.became(handed.ticket, job.id)
        return job

    def _joined(self, handed: Handed, ledger: Ledger) -> Job | None:
        """The job of a joined document that contains this file, among the folder's latest 200."""
        folder = self.config.folder(handed.folder)
        if folder is None or folder.join == "none":
            return None
        jobs = ledger.jobs(folder=handed.folder, limit=200)
        return next((job for job in jobs if any(map(handed.facts.untouched, job.members))), None)

    # --- files that are kept until they are read ---

    async def hold(self, document: Incoming, folder: Folder, token: Token) -> Handed:
        """Keep a received document under a hidden name in the inbox, until it is read.

        Raises:
            RefusedError: The document is empty.
            UsageError: The folder ignores files of such a name.
            PlaceError: The inbox cannot be written.
        """
        _require_sense(document, folder)
        return (await self._hand([document], folder, token, held=True))[0]

    async def read(self, name: str, token: Token) -> tuple[Handed, Known]:
        """Hand a held file over, unless that has been done; what it has become so far.

        Raises:
            MissingError: This token has no such file.
            PlaceError: The inbox cannot be written.
        """
        async with self._reading:
            handed = self.file(name, token)
            if handed.held:
                handed = await asyncio.to_thread(self._take_up, handed, token)
        return handed, await self._recorded(handed)

    def uploaded(self, name: str) -> Handed | None:
        """The record of any client's uploaded file, or None."""
        ticket = re.fullmatch("t([0-9]{1,18})", name)
        found = self.store.handed(int(ticket[1])) if ticket else None
        return found if found is not None and found.name is not None else None

    def file(self, name: str, token: Token) -> Handed:
        """The record of a file that the client has uploaded.

        Raises:
            MissingError: This token has no such file, or may not see its folder.
        """
        found = self.uploaded(name)
        if found is None or found.token != token.name or not token.sees(found.folder):
            raise MissingError(f"there is no file {name}", hint="Upload it: POST /v1/files.")
        return found

    async def content(self, file: Handed) -> IO[bytes]:
        """Open an uploaded file, in the inbox or, once it has been read, where it was filed.

        Raises:
            MissingError: The file is being read, or is gone.
            PlaceError: The file cannot be read now.
        """
        job = await self.changes.until(partial(self.became, file), 0)
        folder = self.config.folder(file.folder)
        if folder is None:
            raise MissingError(
                "the file's folder is not configured any more", hint="Upload it: POST /v1/files."
            )
        place = folder.inbox / file.source
        if job is not None:
            if (filed := job.archived_to or job.failed_to) is None:
                raise MissingError("the file is being read", hint="Ask again when it has been.")
            own = [each.name for each in job.members if file.facts.untouched(each)]
            place = Path(filed, *own)
        opening = await asyncio.to_thread(opened, place, self.disk)
        if job is None and not file.facts.untouched(FileFacts.of(os.fstat(opening.fileno()))):
            opening.close()
            raise MissingError("the file is gone", hint="Upload it: POST /v1/files.")
        return opening

    def _take_up(self, held: Handed, token: Token) -> Handed:
        folder = self.folder(token, held.folder)
        name = _free(held.name or "document", folder, set())
        noted = self.store.lies(held, name, held.facts)
        try:
            with opened_folder(folder.inbox) as here:
                source = appear(held.source, name, here)
                self._mark(folder, source, here)
        except FileNotFoundError:
            self.store.forget(held)
            raise MissingError("the file is gone", hint="Upload it: POST /v1/files.") from None
        except OSError as error:
            self.store.lies(noted, held.source, held.facts)
            raise os_error(error, folder.inbox) from error
        return self.store.lies(noted, source, held.facts)

    def drop(self, file: Handed) -> None:
        """Delete an uploaded file; a job that it became stays, with its results."""
        folder = self.config.folder(file.folder)
        if not file.held:
            self.store.no_file(file)
            return
        if folder is not None:
            (folder.inbox / file.source).unlink(missing_ok=True)
        self.store.forget(file)

    # --- looking ---

    async def find(self, name: str, token: Token) -> Known:
        """The job with a number, or the job or document of a ticket (`t12`).

        Raises:
            MissingError: There is none that the token may see.
        """
        return (await self.traced(name, token))[0]

    async def traced(self, name: str, token: Token) -> tuple[Known, Handed | None]:
        """As `find`, with the document's record in the store; None if it did not come over HTTP.

        Raises:
            MissingError: There is none that the token may see.
        """
        found: Known | None = None
        handed: Handed | None = None
        if re.fullmatch("t[0-9]{1,18}", name) and (handed := self.store.handed(int(name[1:]))):
            found = await self.changes.until(partial(self.became, handed), 0) or handed
        elif re.fullmatch("[0-9]{1,18}", name):
            found = await self.changes.ask(lambda ledger: ledger.job(int(name)), None)
            handed = self.store.brought(int(name))
        theirs = handed is not None and handed.token == token.name
        if found is None or not token.sees(found.folder):
            raise _no_job(name)
        if not theirs and not token.role.covers(Role.READ):
            raise _no_job(name)
        return found, handed

    async def job(self, name: str, token: Token) -> Job:
        """A job that the token may see.

        Raises:
            MissingError: There is none for the token, or the daemon has not recorded it yet.
        """
        found = await self.find(name, token)
        if isinstance(found, Handed):
            raise MissingError(
                f"{name} waits in the inbox of {found.folder}; no daemon has recorded it yet",
                hint="It is safe and will be read; an operator starts it: systemctl start ocrd",
            )
        return found

    async def ended(self, known: Known, timeout_s: float) -> Job | None:
        """The job once it has ended; None if it has not in time, or the ledger cannot be read."""

        def look(ledger: Ledger) -> Job | None:
            job = ledger.job(known.id) if isinstance(known, Job) else self.became(known, ledger)
            return job if job is not None and job.state in ENDED else None

        with contextlib.suppress(OcrdError):  # an error would look as if it had been refused
            return await self.changes.until(look, max(timeout_s, 0))
        return None

    async def jobs(
        self,
        token: Token,
        *,
        limit: int,
        before_id: int | None = None,
        after_id: int | None = None,
        latest: int = -1,
        **such: Any,
    ) -> tuple[list[Job], bool]:
        """The jobs that the token may see, newest first, and whether there are more.

        The arguments are those of `Ledger.jobs`.  For a token that may see only the documents it
        has handed over, filters look at the `latest` of these (-1: all).
        """
        parts: list[dict[str, Any]] = [{}]
        if not token.role.covers(Role.READ):
            most = latest if any(such.values()) else limit + 1  # only the ledger knows which match
            own = await asyncio.to_thread(self.store.jobs_of, token, most, before_id, after_id)
            parts = [{"among": own}]
        elif token.folders is not None and such.get("folder") is None:
            parts = [{"folder": each} for each in sorted(token.folders)]

        def picked(ledger: Ledger) -> list[Job]:
            return [
                job
                for part in parts
                for job in ledger.jobs(
                    limit=limit + 1, before_id=before_id, after_id=after_id, **(such | part)
                )
            ]

        found: list[Job] = await self.changes.ask(picked, [])
        found.sort(key=lambda job: job.id)
        nearest = found[-limit:] if after_id is None else found[:limit]
        return nearest[::-1], len(found) > limit

    async def results(self, job: Job) -> Results:
        """The results of a job in the outbox.

        Raises:
            MissingError: There are none, or they are gone.
        """
        return await asyncio.to_thread(Results.of, job, self.disk)

    def original(self, job: Job, number: int) -> tuple[Path, int, tuple[int, int]]:
        """The original file that holds a page, the page's number in it, and its device and inode.

        Raises:
            MissingError: There is no such page, or the original is not archived or is gone.
        """
        if job.archived_to is None:
            raise MissingError(
                f"job {job.id} has no archived original", hint="It is shown once the job is done."
            )
        place = Path(job.archived_to)
        pages = Results.of(job, self.disk).pages()
        page = next((each for each in pages if each.number == number), None)
        if page is None:
            raise MissingError(f"job {job.id} has no page {number}", hint="It has fewer.")
        if page.came_from is not None:
            number = page.came_from.page
            named = [each.name for each in job.members if each.name == page.came_from.file]
            place = place.joinpath(*named)
        require_tree(place, self.disk)
        try:
            facts = self.disk.lstat(place)
        except OSError as error:
            raise os_error(error, place) from error
        if facts is None or not stat.S_ISREG(facts.st_mode):
            raise MissingError("the original is gone", hint=f"Look for it: ocrd show {job.id}")
        return place, number, (facts.st_dev, facts.st_ino)

    async def story(self, job: Job) -> tuple[list[Any], list[Any]]:
        """A job's pages and its history."""
        return await self.changes.ask(
            lambda known: (known.pages(job.id), known.events(job.id)), ([], [])
        )

    async def standing(self, token: Token) -> dict[str, Any]:
        """The facts of `ocrd status --json`, limited to the folders that the token may see."""
        facts = await asyncio.to_thread(lambda: gather(locate(self.config.file)))
        if token.folders is None:
            return facts
        facts["folders"] = [each for each in facts["folders"] if token.sees(each["name"])]
        for ended in ("latest", "failures"):
            facts[ended] = [each for each in facts[ended] if token.sees(each["folder"])]
        return facts | {"strays": [], "held": [], "hanging": [], "troubles": []}

    async def require_ready(self) -> None:
        """Look whether the status can be told; once a second, however many strangers ask.

        Raises:
            OcrdError: It cannot be.
        """
        async with self._asking:
            if time.monotonic() >= self._ready_until:
                self._unready = None
                try:
                    await self.standing(Token(name="readyz", role=Role.READ))
                except OcrdError as error:
                    self._unready = error
                self._ready_until = time.monotonic() + READY_S
        if self._unready is not None:
            raise self._unready.with_traceback(None)

    async def search(self, words: str, token: Token, limit: int) -> list[dict[str, Any]]:
        """Pages that hold all of the words, the best first.

        Raises:
            UsageError: There is no word to search for.
        """
        index = index_of(self.config.ledger)
        found = await asyncio.to_thread(search, index, words, RANKED, token.folders)
        hits: list[dict[str, Any]] = []
        for start in range(0, len(found), limit):  # until there are enough whose jobs still exist
            some = found[start : start + limit]
            numbers = {hit.job for hit in some}
            jobs: dict[int, Job] = await self.changes.ask(partial(_jobs_by_id, numbers), {})
            hits += [
                hit_facts(hit, job)
                for hit in some
                if (job := jobs.get(hit.job)) is not None and token.sees(job.folder)
            ]
            if len(hits) >= limit:
                break
        return hits[:limit]

    # --- asking ---

    def request(self, verb: str, job: Job) -> bool:
        """Have the daemon retry or cancel a job; returns whether it can be.

        If no daemon runs, the request is recorded in the ledger for its next start.
        """
        asked = {"do": verb, "jobs": [job.id]}
        return bool(requests.request(self.config.spool, asked, lambda: self.config)["jobs"])


async def _all(under_way: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait for all; their results, or the first error, raised once all have ended.

    A draft must not be closed while a thread is still writing it.
    """
    found: list[T] = []
    for outcome in await asyncio.gather(*under_way, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
        found.append(outcome)
    return found


def desk_of(request: Request) -> Desk:
    """The application's desk."""
    desk: Desk = request.app.state.desk
    return desk


def name_of(known: Known) -> str:
    """The number or ticket by which a client asks for a job or document again."""
    return str(known.id) if isinstance(known, Job) else f"t{known.ticket}"


def _require_sense(document: Incoming, folder: Folder) -> None:
    """Refuse a document that would stay unread in the inbox while its client waits."""
    require_taken(document.name, folder)
    if not document.size:
        raise RefusedError(422, f"{document.name} is empty", hint="Send the document's bytes.")


def _free(name: str, folder: Folder, taken: set[str]) -> str:
    """The first of NAME, NAME (2), … that is neither in the inbox nor in `taken`; adds it there."""

    def take(wanted: str) -> str:
        if wanted in taken or os.path.lexists(folder.inbox / wanted):
            raise FileExistsError
        taken.add(wanted)
        return wanted

    return first_free(name, take)


def _no_job(name: str) -> MissingError:
    return MissingError(f"there is no job {name}", hint="GET /api/v1/jobs lists them.")


def _jobs_by_id(numbers: Any, ledger: Ledger) -> dict[int, Job]:
    found = map(ledger.job, numbers)
    return {job.id: job for job in found if job is not None}
