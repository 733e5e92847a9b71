"""Takes the pages of one job through the engine: streamed, fair to other jobs, none lost."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from ocrd.config import Folder
from ocrd.document.base import BARCODE, BLANK, BundleSpec, Separator
from ocrd.engine.base import Engine, EngineState, PageRequest
from ocrd.engine.deepseek.grounding import with_blocks
from ocrd.engine.policy import Orientation, is_blank, read_page, read_upright
from ocrd.errors import (
    BadFileError,
    EngineDownError,
    OcrdError,
    PageError,
    PageFaultError,
    first_of,
)
from ocrd.events import Events
from ocrd.gate import PageGate
from ocrd.job import Job, JobError, Page, PageState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.pages import page_row
from ocrd.page import PageImage, PageResult
from ocrd.pagelog import Entry, PageLog
from ocrd.pages.reading import merged
from ocrd.pages.source import ChildPageSource
from ocrd.spool import Spool
from ocrd.worker.calls import LEDGER, SPOOL, Calls
from ocrd.worker.original import Original

_OWN_TEXT_MODES = frozenset({"ocr", "document"})  # a PDF's own text may answer these
_OWN_TEXT_TOLD = 4  # increased when a PDF's own text is read differently: ends reuse of old results
MAX_TRIES = 3  # after so many faults the page itself is to blame
ENGINE_POLL_S = 0.5
TELL_S = 1.0  # how often a job's progress is written to the ledger


Build: TypeAlias = "Callable[[BundleSpec, int], Awaitable[None]]"

BLANKNESS = "the processor"

_REQUESTS = itertools.count(1)  # the engine never gets the same id twice


def separator_of(folder: Folder) -> Separator | None:
    """The kind of page that separates documents in this folder; None if a file is one document."""
    if folder.separator == "none":
        return None
    return Separator(kind=folder.separator, code=folder.separator_code)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that the work on jobs needs: the daemon's other parts, and settings."""

    ledger: Ledger
    spool: Spool
    home: Path  # the daemon's own tree
    pages: ChildPageSource
    build: Build  # builds a bundle of so many pages
    engine: Engine
    gate: PageGate
    events: Events
    call: Calls
    dpi: int  # for PDF pages that are rendered
    window: int  # most pages of one job under way, so that a book does not flood the gate
    orientation: Orientation | None  # for an engine that does not see which way up a page is
    reuse_results: bool  # pages with the same content are read once
    versions: Mapping[str, str]  # of the programs and libraries that produce a result
    clock: Callable[[], float] = time.time  # seconds since the epoch


@dataclass(kw_only=True, eq=False)
class PageRun:
    """The pages of one job on their way through the engine."""

    parts: Parts
    job: Job
    folder: Folder
    original: Original
    recipe: str
    log: PageLog
    finished: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.count = len(self.original.places)
        self._separator = separator_of(self.folder)
        self._untold: list[Page] = []  # finished pages that are not in the ledger yet
        self._tell_at = 0.0  # when they are written there, by the event loop's clock
        self._has_twin = False  # whether the ledger may have results of the same pages

    def recall(self) -> Job:
        """Find the pages that need no reading: those in the log, and those that the ledger keeps.

        The ledger keeps them for a job that failed, or that an older ocrd began.  It records the
        number of pages, and forgets results of another recipe.  Blocks.

        Returns:
            The job as it is now.
        """
        ledger = self.parts.ledger
        self.job = job = ledger.set_pages(self.job, self.count, recipe=self.recipe)
        self.log.begin(self.recipe, job.sha256)
        pages = {entry.page.number: entry.page for entry in self.log.entries()}
        kept = ledger.payloads(job, self.recipe) if job.pages_done else ()
        for page, payload in kept:
            if page.number not in pages:
                result = payload and with_blocks(payload, self.folder.mode.answers)
                self.log.append(self._entry(page, result))
                pages[page.number] = page
        if len(pages) != job.pages_done:
            ledger.progress(job, [page_row(page, None, self.recipe) for page in pages.values()])
        self.finished = set(pages)
        self._has_twin = ledger.knows(job.sha256, self.recipe)
        return job

    async def read(self) -> None:
        """Finish every page that is not finished yet.

        Raises:
            FencedError: The job is no longer this attempt's, or is cancelled.
            OcrdError: A place fails; the pages finished so far are kept.
        """
        self._tell_at = asyncio.get_running_loop().time() + TELL_S
        before = len(self.finished)
        window = asyncio.Semaphore(self.parts.window)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(1, self.count + 1):
                    if number not in self.finished:
                        await window.acquire()
                        task = group.create_task(self._page(number))
                        task.add_done_callback(lambda _task: window.release())
        except BaseExceptionGroup as failures:
            raise first_of(failures) from None
        if before + len(self._untold) < self.count:  # a long job: its bundle may take long, too
            await self._tell_ledger()

    async def _page(self, number: int) -> None:
        if self._has_twin and await self._reuse(number):
            return
        for tries in range(1, MAX_TRIES + 1):
            try:
                result = await self._read(number)
            except PageFaultError as error:
                self._tell("page.fault", number, kind=error.kind, error=error.message)
                if tries == MAX_TRIES:
                    await self._failed(number, tries, error)
            except (PageError, BadFileError) as error:
                await self._failed(number, tries, error)
                break
            else:
                await self._done(number, tries, result)
                break

    async def _reuse(self, number: int) -> bool:
        reusable = self.parts.ledger.reusable
        payload = await self.parts.call(LEDGER, reusable, self.job.sha256, self.recipe, number)
        if payload is None:
            return False
        page = Page(number=number, state=PageState.DONE, reused=True)
        await self._keep(page, with_blocks(payload, self.folder.mode.answers))
        self._tell("page.done", number, reused=True, seconds=0.0, tokens=0)
        return True

    async def _read(self, number: int) -> PageResult:
        """Try once to read a page; waiting for the engine, however long, costs no try.

        A PDF page's own text is asked first, unless the folder looks for separator pages.
        """
        own = None
        asked = self._separator is None and original_text_counts(self.folder)
        if asked and self.original.where(number)[0].kind != "image":
            own = await self.parts.pages.own_text(*self.original.find(number))
        if own is None or own.fault:
            return await self._read_by_engine(number)
        return own.result if own.whole else merged(own.result, await self._read_by_engine(number))

    async def _read_by_engine(self, number: int) -> PageResult:
        while True:
            if self.parts.engine.report().state is EngineState.READY:
                async with self.parts.gate.slot(self.job.id, self.folder.priority) as others:
                    path, page = self.original.find(number)
                    codes = self.folder.separator == BARCODE
                    image = await self.parts.pages.page(path, page, codes=codes)
                    try:
                        return await self._recognise(number, image, others)
                    except EngineDownError as error:
                        self._tell("page.waits", number, kind=error.kind, error=error.message)
            await asyncio.sleep(ENGINE_POLL_S)

    async def _recognise(self, number: int, image: PageImage, others: int) -> PageResult:
        """What the engine reads.  It is not shown separator pages, for it might invent text."""
        if await self._separates(image):
            return PageResult(text="", codes=image.codes, notes=("a separator page, not read",))
        folder, engine, orientation = self.folder, self.parts.engine, self.parts.orientation
        request = PageRequest(
            id=f"{self.job.id}-{number}-{next(_REQUESTS)}",
            image=image,
            mode=folder.mode,
            resolution=folder.resolution,
            target=folder.target,
            language=folder.language,
            priority=folder.priority,
            others=others,
        )
        if folder.upright and orientation is not None:
            result = await read_upright(engine, request, orientation)
        else:
            result = await read_page(engine, request)
        return replace(result, codes=image.codes, partial=result.partial or image.flaw)

    async def _separates(self, image: PageImage) -> bool:
        if self._separator is None:
            return False
        if self._separator.kind == BLANK:
            return await self.parts.call(BLANKNESS, is_blank, image)
        return self._separator.marks(image.codes)

    async def _done(self, number: int, tries: int, result: PageResult) -> None:
        doubt = None
        if result.partial:
            hint = "Compare the text with the page image; another mode or resolution may help."
            doubt = JobError(kind="partial", message=result.partial, hint=hint)
        page = Page(
            number=number,
            state=PageState.PARTIAL if doubt else PageState.DONE,
            tries=tries,
            tokens=result.output_tokens,
            seconds=result.seconds,
            error=doubt,
        )
        await self._keep(page, result.to_json())
        facts = {"seconds": round(result.seconds, 3), "tokens": result.output_tokens}
        self._tell("page.partial" if doubt else "page.done", number, reused=False, **facts)

    async def _failed(self, number: int, tries: int, error: OcrdError) -> None:
        error = self.original.blamed(number, error)
        page = Page(number=number, state=PageState.FAILED, tries=tries, error=JobError.of(error))
        await self._keep(page, None)
        self._tell("page.failed", number, kind=error.kind, error=error.message)

    async def _keep(self, page: Page, payload: str | None) -> None:
        """Record a finished page, so that it is not computed again, even after a crash."""
        await self.parts.call(SPOOL, self.log.append, self._entry(page, payload))
        self._untold.append(page)
        if asyncio.get_running_loop().time() >= self._tell_at:
            await self._tell_ledger()
        self.finished.add(page.number)

    async def _tell_ledger(self) -> None:
        """Write the progress to the ledger, which refuses it if the job is no longer ours."""
        self._tell_at = asyncio.get_running_loop().time() + TELL_S
        untold, self._untold = self._untold, []
        rows = [page_row(page, None, self.recipe) for page in untold]
        await self.parts.call(LEDGER, self.parts.ledger.progress, self.job, rows)

    def _entry(self, page: Page, result: str | None) -> Entry:
        return Entry(page=page, result=result, came_from=self.original.came_from(page.number))

    def _tell(self, name: str, number: int, **fields: object) -> None:
        events = self.parts.events
        emit = events.debug if name == "page.done" else events.warn
        emit(name, job=self.job.id, folder=self.job.folder, page=number, **fields)


def original_text_counts(folder: Folder) -> bool:
    """Whether the folder accepts a PDF's own text as an answer."""
    return folder.mode.name in _OWN_TEXT_MODES and folder.pdf_text in ("auto", "keep")


def recipe(p: Parts, job: Job, folder: Folder, original: Original) -> str:
    """A digest of all that affects results besides the content: engine, model, prompt, dpi etc."""
    engine, model = p.engine.named(folder.language)
    parts: dict[str, object] = {
        "engine": engine,
        "model": model,
        "dpi": p.dpi,
        "prompt": folder.mode.prompt.replace("{target}", folder.target),
        "reader": folder.mode.answers.value,
        "max_tokens": folder.mode.max_tokens,
        "guard": asdict(folder.mode.guard) if folder.mode.guard else None,
        "resolution": asdict(folder.resolution),
        "only_for": None if p.reuse_results else job.token,
    }
    if original.order is not None:
        parts["collation"] = original.order
    if folder.separator != "none":  # a separator page is not read
        parts["separator"] = [folder.separator, folder.separator_code]
    if original_text_counts(folder):
        parts["pdf_text"] = [folder.pdf_text, _OWN_TEXT_TOLD]
    if folder.language:
        parts["language"] = folder.language
    if folder.upright:  # pages may be turned before they are read
        parts["upright"] = True
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
