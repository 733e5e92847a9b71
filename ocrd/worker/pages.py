"""The pages of one job through the engine: streamed, fair to other jobs, none lost."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from ocrd.config import Folder
from ocrd.document.base import BARCODE, BLANK, BundleSpec, BundleSummary, Separator
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
from ocrd.pages.reading import OwnText, merged
from ocrd.pages.source import ChildPageSource
from ocrd.spool import Spool
from ocrd.worker.calls import LEDGER, SPOOL, Calls
from ocrd.worker.original import Original

_OWN_TEXT_MODES = frozenset({"ocr", "document"})  # what these ask for, a PDF may say itself
MAX_TRIES = 3  # a page that faults so often is at fault itself
ENGINE_POLL_S = 0.5
TELL_S = 1.0  # how often the ledger is told how far a job has come


Build: TypeAlias = "Callable[[BundleSpec, int], Awaitable[BundleSummary]]"

BLANKNESS = "the processor"


def separator_of(folder: Folder) -> Separator | None:
    """What ends a document in this folder; None where a file is one document."""
    if folder.separator == "none":
        return None
    return Separator(kind=folder.separator, code=folder.separator_code)


def told(error: OcrdError) -> JobError:
    """An error as the ledger keeps it."""
    return JobError(**error.shown())


@dataclass(kw_only=True)
class PageRun:
    """What all pages of one job have in common.

    Attributes:
        job: As `set_pages` gave it.
        log: Keeps each finished page.
        untold: Finished pages of which the ledger does not know.
        tell_at: When it is told of them, by the event loop's clock.
    """

    job: Job
    folder: Folder
    original: Original
    recipe: str
    log: PageLog
    untold: list[Page] = field(default_factory=list)
    tell_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What jobs are worked on with, and the settings that concern it.

    Attributes:
        home: The daemon's own tree.
        pages: Makes page images.
        build: Builds a bundle of so many pages in a child process.
        gate: Shares the engine among jobs.
        call: Runs a blocking call off the event loop.
        clock: Seconds since the epoch.
        dpi: At which PDF pages are rendered.
        window: At most so many pages of one job are under way, so that a book floods no gate.
        orientation: Sees which way up a page is, for an engine that does not.
        reuse_results: Whether a page of the same content is read once.
        versions: What produced a result.
    """

    ledger: Ledger
    spool: Spool
    home: Path
    pages: ChildPageSource
    build: Build
    engine: Engine
    gate: PageGate
    events: Events
    call: Calls
    dpi: int
    window: int
    orientation: Orientation | None
    reuse_results: bool
    versions: Mapping[str, str]
    clock: Callable[[], float] = time.time


class PageRunner:
    """Reads the pages of jobs.

    Attributes:
        progress: By job under way, how many pages it has and how many of them are finished.
    """

    def __init__(self, parts: Parts) -> None:
        self._ = parts
        self._requests = itertools.count(1)
        self.progress: dict[int, tuple[int, int]] = {}

    async def run(self, run: PageRun, count: int, finished: Collection[int]) -> None:
        """Finish every page of so many that is not finished yet.

        Raises:
            FencedError: The job is somebody else's now, or cancelled.
            OcrdError: A place fails; the pages finished so far are kept.
        """
        self.progress[run.job.id] = (count, len(finished))
        run.tell_at = asyncio.get_running_loop().time() + TELL_S
        window = asyncio.Semaphore(self._.window)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(1, count + 1):
                    if number not in finished:
                        await window.acquire()
                        task = group.create_task(self._page(run, number))
                        task.add_done_callback(lambda _task: window.release())
        except BaseExceptionGroup as failures:
            raise first_of(failures) from None
        if len(finished) + len(run.untold) < count:  # a long one: its documents may take long, too
            await self._tell_ledger(run)

    async def _page(self, run: PageRun, number: int) -> None:
        if await self._reuse(run, number):
            return
        for tries in range(1, MAX_TRIES + 1):
            try:
                result = await self._read(run, number)
            except PageFaultError as error:
                self._tell("page.fault", run, number, kind=error.kind, error=error.message)
                if tries == MAX_TRIES:
                    await self._failed(run, number, tries, error)
            except (PageError, BadFileError) as error:
                await self._failed(run, number, tries, error)
                break
            else:
                await self._finished(run, number, tries, result)
                break

    async def _reuse(self, run: PageRun, number: int) -> bool:
        payload = await self._.call(
            LEDGER, self._.ledger.reusable, run.job.sha256, run.recipe, number
        )
        if payload is None:
            return False
        payload = with_blocks(payload, run.folder.mode.answers)
        page = Page(number=number, state=PageState.DONE, reused=True)
        await self._keep(run, page, payload)
        self._tell("page.done", run, number, reused=True, seconds=0.0, tokens=0)
        return True

    async def _read(self, run: PageRun, number: int) -> PageResult:
        """One try, which waits for the engine as long as it takes: that costs no try."""
        own = await self._own_text(run, number)
        if own is not None and own.whole:
            return own.result
        result = await self._read_by_engine(run, number)
        return merged(own.result, result) if own is not None else result

    async def _own_text(self, run: PageRun, number: int) -> OwnText | None:
        """What the page says of itself, if that is wanted and sound; separators are looked at."""
        if separator_of(run.folder) is not None or not original_text_counts(run.folder):
            return None
        path, page = run.original.find(number)
        own = await self._.pages.own_text(path, page)
        return None if own is None or own.fault else own

    async def _read_by_engine(self, run: PageRun, number: int) -> PageResult:
        while True:
            if self._.engine.report().state is EngineState.READY:
                async with self._.gate.slot(run.job.id, run.folder.priority) as others:
                    path, page = run.original.find(number)
                    codes = run.folder.separator == BARCODE
                    image = await self._.pages.page(path, page, codes=codes)
                    try:
                        return await self._recognise(run, number, image, others)
                    except EngineDownError as error:
                        self._tell("page.waits", run, number, kind=error.kind, error=error.message)
            await asyncio.sleep(ENGINE_POLL_S)

    async def _recognise(
        self, run: PageRun, number: int, image: PageImage, others: int
    ) -> PageResult:
        """What the engine reads; a separator page is not shown to it, for it might invent text."""
        if await self._separates(separator_of(run.folder), image):
            return PageResult(text="", codes=image.codes, notes=("a separator page, not read",))
        request = PageRequest(
            id=f"{run.job.id}-{number}-{next(self._requests)}",
            image=image,
            mode=run.folder.mode,
            resolution=run.folder.resolution,
            target=run.folder.target,
            language=run.folder.language,
            priority=run.folder.priority,
            others=others,
        )
        if run.folder.upright and self._.orientation is not None:
            result = await read_upright(self._.engine, request, self._.orientation)
        else:
            result = await read_page(self._.engine, request)
        return replace(result, codes=image.codes) if image.codes else result

    async def _separates(self, separator: Separator | None, image: PageImage) -> bool:
        if separator is None:
            return False
        if separator.kind == BLANK:
            return await self._.call(BLANKNESS, is_blank, image)
        return separator.marks(image.codes)

    async def _finished(self, run: PageRun, number: int, tries: int, result: PageResult) -> None:
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
        await self._keep(run, page, result.to_json())
        facts = {"seconds": round(result.seconds, 3), "tokens": result.output_tokens}
        self._tell("page.partial" if doubt else "page.done", run, number, reused=False, **facts)

    async def _failed(self, run: PageRun, number: int, tries: int, error: OcrdError) -> None:
        error = run.original.blamed(number, error)
        page = Page(number=number, state=PageState.FAILED, tries=tries, error=told(error))
        await self._keep(run, page, None)
        self._tell("page.failed", run, number, kind=error.kind, error=error.message)

    async def _keep(self, run: PageRun, page: Page, payload: str | None) -> None:
        """A page is finished, and is not computed again whatever comes."""
        came_from = run.original.came_from(page.number)
        entry = Entry(page=page, result=payload, came_from=came_from)
        await self._.call(SPOOL, run.log.append, entry)
        run.untold.append(page)
        if asyncio.get_running_loop().time() >= run.tell_at:
            await self._tell_ledger(run)
        pages, done = self.progress.get(run.job.id, (0, 0))
        self.progress[run.job.id] = (pages, done + 1)

    async def _tell_ledger(self, run: PageRun) -> None:
        """For whoever looks; it also says whether the job is still ours."""
        run.tell_at = asyncio.get_running_loop().time() + TELL_S
        told, run.untold = run.untold, []
        rows = [page_row(page, None, run.recipe) for page in told]
        await self._.call(LEDGER, self._.ledger.progress, run.job, rows)

    def _tell(self, name: str, run: PageRun, number: int, **fields: object) -> None:
        emit = self._.events.debug if name == "page.done" else self._.events.warn
        emit(name, job=run.job.id, folder=run.job.folder, page=number, **fields)


def original_text_counts(folder: Folder) -> bool:
    """Whether a PDF's own text is an answer to what the folder asks."""
    return folder.mode.name in _OWN_TEXT_MODES and folder.pdf_text in ("auto", "keep")


def recipe(p: Parts, job: Job, folder: Folder, original: Original) -> str:
    """A digest of all that shapes results but the content: engine, model, prompt, dpi and so on."""
    engine, model = p.engine.named(folder.language)
    collation = original.collation.key()
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
    if collation is not None:
        parts["collation"] = collation
    if folder.separator != "none":  # what is one is not read
        parts["separator"] = [folder.separator, folder.separator_code]
    if original_text_counts(folder):
        parts["pdf_text"] = folder.pdf_text
    if folder.language:
        parts["language"] = folder.language
    if folder.upright:  # read turned, if need be
        parts["upright"] = True
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
