"""Keeps one engine alive on one device, even if pages kill it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ocrd.engine.base import EngineState, PageRequest
from ocrd.engine.poison import KnownKillers, PoisonSearch
from ocrd.engine.resident.client import EngineDiedError, VllmClient, unless
from ocrd.engine.resident.faults import (
    compile_cache_broken,
    next_step,
    reason,
    setup_error,
    shortage,
)
from ocrd.engine.resident.process import LaunchError, compile_caches, set_aside
from ocrd.engine.resident.settings import VllmSettings
from ocrd.errors import EngineDownError, EngineSetupError, OcrdError, PageFaultError
from ocrd.events import Events
from ocrd.page import PageResult

LONGEST_PAUSE_S = 300.0

Tell = Callable[[str], None]
Build = Callable[[VllmSettings, Tell], Awaitable[VllmClient]]


class EngineSupervisor:
    """Starts one engine on one device, watches it, and restarts it when it dies.

    When the engine dies, its pages stay here and are read by the next one, in ever smaller groups,
    until the page that kills it is found; their callers notice only that it takes longer.  The
    pages are sent back to wait only if the next engine fails to start.

    Args:
        name: The place's name, for people.
        settings: As configured; lowered here when memory is short.
        build: Starts an engine; raises `LaunchError`.
        events: Deaths, steps and recoveries are logged to it.
        killers: Each page that is found to kill the engine is added to it.
        sleep: Waits for a number of seconds.

    Attributes:
        state: What the engine is doing.
        detail: Explains the state to people.
        steps: Settings lowered so far, in order.
        calls: Pages here, including those that wait.
        client: The running engine, or None.
    """

    def __init__(
        self,
        *,
        name: str,
        settings: VllmSettings,
        build: Build,
        events: Events,
        killers: KnownKillers,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.state = EngineState.STOPPED
        self.detail = ""
        self.steps: list[str] = []
        self.calls = 0
        self._settings = settings
        self._build = build
        self._events = events
        self._sleep = sleep
        self.client: VllmClient | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._in_flight: dict[str, PageRequest] = {}
        self._suspects = PoisonSearch(killers, events, device=name)
        self._hopeless: EngineDownError | None = None
        self._barren = 0  # deaths and failed starts since a page was last read

    @property
    def capacity(self) -> int:
        """How many pages may be in the engine concurrently."""
        return self._settings.max_pages_in_flight

    @property
    def on_trial(self) -> bool:
        """Whether there are suspects: the engine is finding out which page kills it."""
        return len(self._suspects) > 0

    async def start(self, tell: Tell) -> None:
        """Start the engine, with settings lowered as far as memory demands.

        Raises:
            EngineSetupError: It failed to start.
        """
        self.state = EngineState.LOADING
        try:
            client = await self._bring_up(tell)
        except EngineSetupError as error:
            self._set(EngineState.FAILED, error.message)
            raise
        self._serve_with(client)
        self._keeper = asyncio.create_task(self._keep())

    def start_later(self) -> None:
        """Keep trying after a failed `start`, while other supervisors serve."""
        self._barren += 1
        self._keeper = asyncio.create_task(self._keep())

    async def read(self, request: PageRequest) -> PageResult:
        """Read one page, on as many successive engines as it takes.

        Raises:
            EngineDownError: There is no engine, or the next one failed to start.
            PageError, PageFaultError: This page cannot be read, or not now.
        """
        if self.state is not EngineState.READY:
            raise self._down()
        self.calls += 1
        try:
            while True:
                client = await self._enter(request)
                try:
                    return await self._through(client, request)
                except EngineDiedError:
                    continue
        finally:
            self.calls -= 1
            self._leave(request, finished=False)

    async def stop(self) -> None:
        """Stop the engine; pages still here fail with `EngineDownError`."""
        self._set(EngineState.STOPPED, "")
        tasks = {task for task in (self._keeper, self._probing) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._send_back(self._down())
        client, self.client = self.client, None
        if client is not None:
            client.died.set()
            await client.close()

    # A page's way

    async def _enter(self, request: PageRequest) -> VllmClient:
        while True:
            self._suspects.check(request.id)
            if self._hopeless is not None:
                raise self._hopeless
            client = self.client
            if client is not None and self._may_enter(client, request):
                self._in_flight[request.id] = request
                return client
            await self._changed.wait()

    def _may_enter(self, client: VllmClient, request: PageRequest) -> bool:
        return (
            not client.died.is_set()
            and len(self._in_flight) < self.capacity
            and self._suspects.may_enter(request.id, self._in_flight)
        )

    async def _through(self, client: VllmClient, request: PageRequest) -> PageResult:
        """Read the page with this engine; if the engine dies, the page stays in flight."""
        try:
            answer = await unless(client.died, client.read(request), EngineDiedError())
        except PageFaultError as fault:
            if fault.kind == "timed-out" and (self._probing is None or self._probing.done()):
                self._probing = asyncio.create_task(self._probe(client))
            raise
        self._barren = 0
        self._leave(request, finished=True)
        return answer

    def _leave(self, request: PageRequest, *, finished: bool) -> None:
        self._in_flight.pop(request.id, None)
        self._suspects.left(request.id, finished=finished)
        self._announce()

    async def _probe(self, client: VllmClient) -> None:
        """After a page ran out of time, kill the engine if it hangs and is not only slow."""
        if not await client.responds() and client is self.client:
            self._events.error("engine.hung", device=self.name)
            client.kill()

    def _announce(self) -> None:
        """Wake every waiting page, so that it checks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    # The engine's way

    async def _keep(self) -> None:
        while True:
            if self.client is not None:
                await self.client.died.wait()
                await self._bury(self.client)
            await self._revive()

    async def _bury(self, client: VllmClient) -> None:
        """Log why the engine died, lower settings or accuse its pages, and clean up after it."""
        self.client = None
        self._barren += 1
        words = client.last_words()
        why = reason(words)
        self._set(EngineState.RESTARTING, f"the engine died: {why}")
        crowd, self._in_flight = self._in_flight, {}
        self._events.error("engine.died", device=self.name, reason=why, pages=len(crowd))
        if not self._take_step(words):
            self._suspects.accuse(crowd)
            if self._suspects.engine_at_fault:
                self._hopeless = EngineDownError(
                    "The engine dies of page after page: it is not the pages.",
                    hint="See its last words in the log; a new driver or version of vLLM may be "
                    "why.",
                )
        self._announce()
        await client.close()

    async def _revive(self) -> None:
        """Start the next engine, however long it takes."""
        while True:
            await self._sleep(pause_s(self._barren))
            try:
                client = await self._bring_up(lambda stage: self._set(self.state, stage))
            except EngineSetupError as error:
                self._barren += 1
                self._set(EngineState.RESTARTING, f"{error.message} {error.hint}")
                self._events.error("engine.not-up", device=self.name, error=error.message)
                self._send_back(self._down())
            else:
                self._serve_with(client)
                return

    async def _bring_up(self, tell: Tell) -> VllmClient:
        compiled_anew = False
        while True:
            try:
                return await self._build(self._settings, tell)
            except LaunchError as fault:
                cause = fault.__cause__ or fault
                words = [*fault.words, f"{type(cause).__name__}: {cause}"]
                if not compiled_anew and compile_cache_broken(words):
                    compiled_anew = True
                    aside = ", ".join(map(str, set_aside(compile_caches())))
                    why = reason(words)
                    self._events.warn(
                        "engine.compile-cache", device=self.name, reason=why, aside=aside
                    )
                    tell("compiling anew: what was compiled before is damaged")
                elif not self._take_step(words):
                    raise setup_error(words, cause) from fault
            except OcrdError:
                raise
            except Exception as error:  # libraries may raise anything; the engine did not start
                raise setup_error([], error) from error

    def _take_step(self, words: list[str]) -> bool:
        """Lower one setting if memory was short; whether one was lowered."""
        short = shortage(words)
        step = None if short is None else next_step(self._settings, short)
        if step is None:
            return False
        self._settings = step.settings
        self.steps.append(step.note)
        self._events.warn("engine.step", device=self.name, step=step.note, short=short)
        return True

    def _serve_with(self, client: VllmClient) -> None:
        self.client = client
        self._hopeless = None
        self._set(EngineState.READY, "")
        self._events.emit("engine.ready", device=self.name)
        self._announce()

    def _send_back(self, error: EngineDownError) -> None:
        self._hopeless = error
        self._announce()

    def _down(self) -> EngineDownError:
        return not_serving(f"The engine on {self.name}", self.state, self.detail)

    def _set(self, state: EngineState, detail: str) -> None:
        self.state = state
        self.detail = detail


def not_serving(who: str, state: EngineState, detail: str) -> EngineDownError:
    """The error for a page while there is no engine; `who` begins its message."""
    return EngineDownError(
        f"{who} is not serving ({state}). {detail}".strip(),
        hint="Pages wait until it is back; `ocrd status` shows when.",
    )


def pause_s(barren: int) -> float:
    """Seconds before the next start, after so many failures in a row: 0 at first, then doubling."""
    return 0.0 if barren <= 1 else float(min(LONGEST_PAUSE_S, 2 ** (barren - 2)))
