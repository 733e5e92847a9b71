"""Fills the search index with the text of jobs, after they are done and without delaying any."""

from __future__ import annotations

import asyncio
import contextlib

from ocrd.errors import OcrdError
from ocrd.events import Event
from ocrd.job import JobState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.search import DAMAGED, SearchIndex, emptied, index_of
from ocrd.worker.pages import Parts

BATCH = 200  # jobs checked together when catching up
INDEX = "the search index"  # its name as a place
AGAIN_S = 60.0  # the wait after the index could not be written


class Indexing:
    """Adds each job when it is done; at the start, also those that an earlier run did not reach."""

    def __init__(self, parts: Parts) -> None:
        self._ledger, self._events, self._call = parts.ledger, parts.events, parts.call
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    def __call__(self, event: Event) -> None:
        """Queue a job that is done; may be called on any thread."""
        if event.name == "job.done":
            done = (int(event.fields["job"]), str(event.fields["folder"]))
            self._loop.call_soon_threadsafe(self._done.put_nowait, done)

    async def run(self) -> None:
        """Run until cancelled; if the index cannot be written, try again later."""
        self._events.add(self)
        try:
            while True:
                try:
                    index = await self._call(INDEX, SearchIndex, index_of(self._ledger.path))
                    await self._fill(index)
                except OcrdError as error:
                    self._events.warn("search.waits", **error.told())
                    if error.kind == DAMAGED:
                        await self._make_anew()
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._events.remove(self)

    async def _make_anew(self) -> None:
        with contextlib.suppress(OcrdError):  # the next try reports it
            (await self._call(INDEX, emptied, index_of(self._ledger.path))).close()

    async def _fill(self, index: SearchIndex) -> None:
        try:
            await self._call(INDEX, catch_up, self._ledger, index)
            while True:
                await self._call(INDEX, add_job, self._ledger, index, *await self._done.get())
        finally:
            index.close()


def catch_up(ledger: Ledger, index: SearchIndex) -> int:
    """Add the done jobs that the index lacks, newest first; the number added.

    If an earlier run reached the oldest job, the first batch that the index knows entirely ends the
    search: all older jobs are in it, too.
    """
    before: int | None = None
    added = 0
    while jobs := ledger.jobs(state=JobState.DONE, limit=BATCH, before_id=before):
        known = index.knows(job.id for job in jobs)
        for job in jobs:
            if job.id not in known:
                add_job(ledger, index, job.id, job.folder)
                added += 1
        if len(known) == len(jobs) and index.was_filled:
            break
        before = jobs[-1].id
    else:
        index.filled()
    return added


def add_job(ledger: Ledger, index: SearchIndex, number: int, folder: str) -> None:
    """Add the text of one job's pages, if there is any."""
    if texts := ledger.page_texts(number):
        index.add(number, folder, texts)
