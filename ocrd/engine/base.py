"""The interface between the daemon and the engines that read pages."""

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
    """An engine's state, with details for people (progress, steps taken, the last fault)."""

    state: EngineState
    detail: str = ""
    devices: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()  # settings lowered after running out of memory, in order


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRequest:
    """One page to read.

    Attributes:
        id: Unique while the page is in flight; identifies the page in the engine's log.
        mode: The prompt mode to read the page in.
        resolution: How the model sees the page; ignored by engines that have no resolution modes.
        target: What to look for, in modes whose prompt has a target.
        language: The languages the page is printed in, as `ocrd.languages` names them; empty if
            not specified.  Engines whose model reads all languages alike ignore it.
        priority: Pages with a larger number go first.
        others: How many pages of the same job were in the engine before this one.  Where an
            engine queues pages, it breaks ties in priority: the smaller number goes first.
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
    """Reads pages, many concurrently.

    `recognise` may be called concurrently; more than `capacity` calls at a time gain nothing.  It
    raises `PageError` (this page can never be read), `PageFaultError` (this page broke something;
    the worker decides whether to try it again) or `EngineDownError` (wait and try again; it does
    not count as an attempt).  Cancelling the call also cancels the page in the engine.
    """

    @property
    def kind(self) -> str:
        """`rapidocr`, `vllm` …: part of sidecars and of the key of reusable results."""

    @property
    def model(self) -> str:
        """Name and version of the model; used in the same places as `kind`."""

    @property
    def capacity(self) -> int:
        """How many concurrent pages keep the engine busy."""

    @property
    def dpi(self) -> int:
        """The resolution at which PDF pages are rendered unless configured otherwise."""

    def named(self, language: str) -> tuple[str, str]:
        """The kind and model that read pages in these languages: an engine may have several."""

    def report(self) -> EngineReport:
        """The engine's present state."""

    def unsupported(self, mode: PromptMode) -> str | None:
        """None if the engine can serve the mode; otherwise a sentence that says why not."""

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        """None if the engine supports the resolution; otherwise a sentence that says why not."""

    async def start(self, progress: Callable[[str], None]) -> None:
        """Start the engine; `progress` is called with the name of each stage.

        Raises:
            EngineSetupError: It cannot be started as configured.
            EngineDownError: It could not be started now.
        """

    async def recognise(self, request: PageRequest) -> PageResult:
        """Read one page."""

    async def stop(self) -> None:
        """Release all resources.  Calls in flight fail with `EngineDownError`."""
