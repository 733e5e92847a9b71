"""When each file passes each stage of its way through the daemon.

The parts that are handed to a daemon tell of it: its events, its disk, its page source and what
drives vLLM.  Nothing in the daemon itself knows of the stages.  A file of one page is meant.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ocrd.children import ChildPool
from ocrd.daemon.wiring import page_source
from ocrd.engine.base import PageRequest
from ocrd.engine.resident.core import Answer, Ready, VllmCore
from ocrd.engine.resident.settings import VllmSettings
from ocrd.events import Event
from ocrd.files import Disk
from ocrd.page import PageImage
from ocrd.pages.base import DocumentInfo, PageSource

STAGES = (
    "claimed",
    "in the spool",
    "inspection asked",
    "inspected",
    "opened",
    "image asked",
    "image got",
    "given to the engine",
    "preparing begun",
    "preparing ended",
    "sent to vLLM",
    "first token",
    "answered",
    "recorded",
    "bundle asked",
    "bundle built",
    "sealed",
    "published",
    "archived",
    "done",
)
EVENTS = {"job.started": "opened", "page.done": "recorded", "job.done": "done"}
MADE = {"": "claimed", "bundle": "bundle asked"}  # folders below the spool, by what they are
SPOOL = ".ocrd"


class Passages:
    """Keeps the moment of each passage, by stage and job; any thread may tell of one.

    Attributes:
        ready: When the engine was; 0 before.
        at: Moments (`time.perf_counter`) by stage and job.
    """

    def __init__(self) -> None:
        self.ready = 0.0
        self.at: dict[str, dict[int, float]] = {stage: {} for stage in STAGES}
        self._cores: list[_Core] = []

    def mark(self, stage: str, job: int | str) -> None:
        """The job passes the stage now; the first time counts.

        Args:
            stage: One of `STAGES`.
            job: Its number, or a request's id, which begins with it (others are passed over).
        """
        number = str(job).partition("-")[0]
        if number.isdigit():
            self.at[stage].setdefault(int(number), time.perf_counter())

    def __call__(self, event: Event) -> None:
        """A sink for the daemon's events."""
        if event.name == "engine.ready":
            self.ready = self.ready or time.perf_counter()
        elif event.name in EVENTS:
            self.mark(EVENTS[event.name], event.fields["job"])

    def look(self) -> None:
        """Note which pages have their first token: vLLM keeps it, and tells of it only at the end.

        To be called every now and then on the event loop.
        """
        for core in self._cores:
            for request in core.begun():
                self.mark("first token", request)

    def make_pages(self, *args: Any, **kwargs: Any) -> tuple[PageSource, ChildPool]:
        """The daemon's own page source, and who asks it."""
        source, children = page_source(*args, **kwargs)
        return _Pages(self, source), children

    def core(self) -> type[VllmCore]:
        """What drives vLLM, and the pages that go through it."""
        passages = self

        class Core(_Core):
            told = passages

            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                passages._cores.append(self)

        return Core


class _Core(VllmCore):
    told: Passages

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._known: set[str] = set()

    def begun(self) -> set[str]:
        """Requests whose answer has begun since the last call."""
        states = self._engine.output_processor.request_states
        begun = {key for key, state in states.items() if not state.is_prefilling} - self._known
        self._known |= begun
        return begun

    async def read(self, request: PageRequest) -> Answer:
        self.told.mark("given to the engine", request.id)
        return await super().read(request)

    def render(self, request: PageRequest) -> Ready:
        self.told.mark("preparing begun", request.id)
        ready = super().render(request)
        self.told.mark("preparing ended", request.id)
        return ready

    async def generate(
        self, request: PageRequest, ready: Ready, settings: VllmSettings | None = None
    ) -> Answer:
        self.told.mark("sent to vLLM", request.id)
        answer = await super().generate(request, ready, settings)
        self.told.mark("answered", request.id)
        return answer


class _Pages:
    def __init__(self, told: Passages, source: PageSource) -> None:
        self._told = told
        self._source = source

    async def inspect(self, path: Path) -> DocumentInfo:
        job, _ = in_spool(path)
        self._told.mark("inspection asked", job)
        info = await self._source.inspect(path)
        self._told.mark("inspected", job)
        return info

    async def page(self, path: Path, number: int, *, codes: bool = False) -> PageImage:
        job, _ = in_spool(path)
        self._told.mark("image asked", job)
        image = await self._source.page(path, number, codes=codes)
        self._told.mark("image got", job)
        return image


class PassageDisk(Disk):
    """The real disk, and what moves on it.

    Args:
        told: Of what moved.
    """

    def __init__(self, told: Passages) -> None:
        super().__init__()
        self._told = told

    def rename_exclusive(self, source: Path, target: Path) -> None:
        super().rename_exclusive(source, target)
        job, name = in_spool(source)
        if name == "bundle":
            self._told.mark("published", job)
        elif name.startswith("source"):
            self._told.mark("archived", job)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        job, name = in_spool(target)
        if name.startswith("source"):
            self._told.mark("in the spool", job)

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        super().mkdir(path, mode)
        job, name = in_spool(path)
        if name in MADE:
            self._told.mark(MADE[name], job)

    def fsync_file(self, path: Path) -> None:
        job, name = in_spool(path)
        if name == "bundle":
            self._told.mark("bundle built", job)
        super().fsync_file(path)

    def create(self, path: Path) -> None:
        super().create(path)
        job, name = in_spool(path)
        if name == "sealed":
            self._told.mark("sealed", job)


def in_spool(path: Path) -> tuple[str, str]:
    """Whose folder in the spool a path lies in, and below what name; empty where in none."""
    _, spool, below = str(path).partition(f"/{SPOOL}/jobs/")
    job, _, name = below.partition("/")
    return (job, name.partition("/")[0]) if spool else ("", "")
