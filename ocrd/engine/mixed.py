"""This machine's own engine, with remote servers for the pages it has no room for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ocrd.engine.base import Engine, EngineReport, EngineState, PageRequest
from ocrd.errors import EngineDownError, EngineSetupError, OcrdError
from ocrd.events import Events
from ocrd.modes import PromptMode, Resolution
from ocrd.page import PageResult

AGAIN_S = 30.0  # between attempts to start a half that failed to start


class MixedEngine:
    """Two engines as one: pages go to the first while it has room.  An `ocrd.engine.base.Engine`.

    If one half is down or fails to start, only its share of the speed is lost.

    Args:
        local: The preferred half; its kind and model stand for the whole.
        servers: Takes the pages beyond the first half's capacity, and all pages while the first
            is down.
    """

    def __init__(
        self,
        local: Engine,
        servers: Engine,
        *,
        events: Events | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.kind, self.model = local.kind, local.model  # both are configured to be the same
        self._halves = (local, servers)
        self._in_flight = [0, 0]
        self._events = events or Events()
        self._sleep = sleep
        self._later: list[asyncio.Task[None]] = []

    @property
    def capacity(self) -> int:
        """The sum of both halves' capacities."""
        return sum(half.capacity for half in self._halves)

    @property
    def dpi(self) -> int:
        """The first half's: both have the same model."""
        return self._halves[0].dpi

    def named(self, language: str) -> tuple[str, str]:
        """The first half's answer: both have the same kind and model."""
        return self._halves[0].named(language)

    def report(self) -> EngineReport:
        """The better of the two states, with the details of both halves."""
        reports = [half.report() for half in self._halves]
        states = {report.state for report in reports}
        return EngineReport(
            state=next(state for state in _BEST_FIRST if state in states),
            detail="; ".join(
                f"{half.kind}: {report.detail or report.state}"
                for half, report in zip(self._halves, reports, strict=True)
                if report.detail or report.state is not EngineState.READY
            ),
            devices=tuple(device for report in reports for device in report.devices),
            steps=tuple(step for report in reports for step in report.steps),
        )

    def unsupported(self, mode: PromptMode) -> str | None:
        """Why one of the halves cannot serve the mode: a page may go to either."""
        return next(filter(None, (half.unsupported(mode) for half in self._halves)), None)

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        """Why one of the halves does not support the resolution: a page may go to either."""
        return next(
            filter(None, (half.unsupported_resolution(resolution) for half in self._halves)), None
        )

    async def start(self, progress: Callable[[str], None]) -> None:
        """Start both halves concurrently; one that fails is tried again in the background."""
        outcomes = await asyncio.gather(
            *(half.start(progress) for half in self._halves), return_exceptions=True
        )
        failures = [outcome for outcome in outcomes if outcome is not None]
        if len(failures) == len(self._halves):
            await self.stop()
            raise next((f for f in failures if isinstance(f, EngineDownError)), failures[0])
        for half, outcome in zip(self._halves, outcomes, strict=True):
            if isinstance(outcome, OcrdError):
                self._events.error("engine.not-up", device=half.kind, error=str(outcome))
                self._later.append(asyncio.create_task(self._start_later(half)))
            elif outcome is not None:
                await self.stop()
                raise outcome

    async def recognise(self, request: PageRequest) -> PageResult:
        """Read one page on the first half, or on the second where the first is full or down."""
        first = self._chosen()
        try:
            return await self._read(first, request)
        except EngineDownError:
            return await self._read(1 - first, request)

    async def stop(self) -> None:
        """Stop both halves, and the background attempts to start one."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        self._later.clear()
        await asyncio.gather(*(half.stop() for half in self._halves))

    def _chosen(self) -> int:
        """The first half that is ready and has room, otherwise the first that is ready, or 0."""
        both = range(len(self._halves))
        ready = [n for n in both if self._halves[n].report().state is EngineState.READY] or [0]
        return next((n for n in ready if self._in_flight[n] < self._halves[n].capacity), ready[0])

    async def _read(self, number: int, request: PageRequest) -> PageResult:
        self._in_flight[number] += 1
        try:
            return await self._halves[number].recognise(request)
        finally:
            self._in_flight[number] -= 1

    async def _start_later(self, half: Engine) -> None:
        """Try to start a half until it is up, or until it cannot be started as configured."""
        while True:
            await self._sleep(AGAIN_S)
            try:
                await half.start(lambda _stage: None)
            except EngineSetupError as error:
                self._events.error("engine.not-up", device=half.kind, error=str(error))
            except EngineDownError:
                continue
            return


_BEST_FIRST = (
    EngineState.READY,
    EngineState.RESTARTING,
    EngineState.LOADING,
    EngineState.FAILED,
    EngineState.STOPPED,
)
