"""The seam between the daemon and whatever reads a page."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ocrd.modes import PromptMode, Resolution
from ocrd.page import PageImage, PageResult


class EngineState(enum.StrEnum):
    """What an engine is doing, as `ocrd status` shows it."""

    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"  # it died; a new one is coming up
    FAILED = "failed"  # cannot be started as configured


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineReport:
    """An engine's state and what to tell about it (progress, steps taken, the last fault)."""

    state: EngineState
    detail: str = ""
    devices: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()  # settings lowered after running out of memory, in order


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRequest:
    """One page to read.

    Attributes:
        id: Unique while the page is in flight; names it in the engine's log.
        mode: What is asked.
        resolution: How the model is to see the page; ignored by engines without the notion.
        target: What to look for, for modes whose prompt asks.
        language: In which languages the page is printed, as `ocrd.languages` names them; empty if
            nobody said.  Engines whose model reads all of them alike do not look at it.
        priority: Larger goes first.
        others: How many pages of its job were in the engine before it: among equals, fewer goes
            first where an engine lets pages wait.
    """

    id: str
    image: PageImage
    mode: PromptMode
    resolution: Resolution
    target: str = ""
    language: str = ""
    priority: int = 0
    others: int = 0


class Engine(Protocol):
    """Reads pages, many at once.

    `recognise` may be called concurrently; at most `capacity` calls make sense at once.  It raises
    `PageError` (this page never), `PageFaultError` (this page broke something; the worker decides
    whether to try it again) or `EngineDownError` (wait and try again, no attempt lost).
    Cancelling the call gives the page up in the engine, too.
    """

    @property
    def kind(self) -> str:
        """`rapidocr`, `vllm` …: goes into sidecars and the key of reusable results."""

    @property
    def model(self) -> str:
        """Name and version of the model: likewise."""

    @property
    def capacity(self) -> int:
        """How many pages at once keep it busy."""

    @property
    def dpi(self) -> int:
        """The resolution at which it wants PDF pages rendered, unless configured otherwise."""

    def named(self, language: str) -> tuple[str, str]:
        """Kind and model of what reads pages in these languages: one engine may have several."""

    def report(self) -> EngineReport:
        """What it is doing now."""

    def unsupported(self, mode: PromptMode) -> str | None:
        """None if it can serve the mode; else a sentence saying who can."""

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        """None if it can see pages so; else a sentence saying what to do about it."""

    async def start(self, progress: Callable[[str], None]) -> None:
        """Bring it up; `progress` is told of each stage.

        Raises:
            EngineSetupError: It cannot be started as configured.
            EngineDownError: It could not be started now.
        """

    async def recognise(self, request: PageRequest) -> PageResult:
        """Read one page."""

    async def stop(self) -> None:
        """Give everything back.  Calls in flight fail with `EngineDownError`."""
