"""Keeps one server connected through its failures, and reports its state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ocrd.engine.base import EngineState, PageRequest
from ocrd.engine.remote.client import ServerClient
from ocrd.engine.remote.handshake import FIT
from ocrd.engine.remote.http import (
    BusyError,
    DiedError,
    DownError,
    MisfitError,
    ServerError,
    UnusableError,
)
from ocrd.engine.resident.client import unless
from ocrd.engine.resident.supervisor import pause_s
from ocrd.errors import EngineSetupError, PageFaultError
from ocrd.events import Events
from ocrd.page import PageResult

LOOK_S = 5.0  # between two health checks of a server that serves
SILENCES = 3  # failed checks in a row before it counts as dead
LONGEST_PAUSE_S = 30.0

Accuse = Callable[[Mapping[str, PageRequest]], None]


class Server:
    """Connects to one server, watches it, and reconnects when it fails.

    Args:
        events: Logs when the server comes and goes.
        accuse: Called with the pages that the server died with.
        changed: Called whenever waiting pages should check again.

    Attributes:
        state: What the server is doing.
        detail: Explains the state to people.
        in_flight: Pages on the server, by their ids.
        slow: Pages that ran out of time since one was last read.
        hint: What to do about what is wrong with the server.
    """

    def __init__(
        self,
        client: ServerClient,
        *,
        name: str,
        capacity: int,
        events: Events,
        accuse: Accuse,
        changed: Callable[[], None],
    ) -> None:
        self.client = client
        self.name = name
        self.state = EngineState.STOPPED
        self.detail = "not asked yet"
        self.hint = ""
        self.in_flight: dict[str, PageRequest] = {}
        self.slow = 0
        self._capacity = capacity
        self._events = events
        self._accuse = accuse
        self._changed = changed
        self._barren = 0  # attempts to connect since a page was last read
        self._rest_until = 0.0
        self._trouble = asyncio.Event()  # it needs a new handshake
        self._lost = asyncio.Event()  # it is dead, and every page on it is lost
        self._looking = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def resting(self) -> bool:
        """Whether it gets no pages for now because it was busy."""
        return asyncio.get_running_loop().time() < self._rest_until

    @property
    def takes_pages(self) -> bool:
        """Whether it can take one more page now."""
        ready = self.state is EngineState.READY and not self.resting
        return ready and len(self.in_flight) < self._capacity

    def told(self) -> str:
        """Its address and state, for people."""
        said = [self.detail]
        if self.state is EngineState.READY:
            said[0] = f"{self.detail}, {len(self.in_flight)} pages there"
            if self.slow:
                said.append(f"slow: {self.slow} pages in a row ran out of time")
            said += self.client.can.lacks
        return f"{self.name}: {'; '.join(said)}"

    async def start(self, tell: Callable[[str], None]) -> None:
        """Connect once; whether or not that succeeds, a task then keeps it connected."""
        tell(f"asking {self.name} what it can do")
        await self.look()
        self._keeper = asyncio.create_task(self._keep())

    async def look(self) -> None:
        """Connect for the first time, and ask what it can do."""
        self.state = EngineState.LOADING
        await self._connect()

    async def stop(self) -> None:
        """Disconnect; pages on the server are cancelled."""
        self.state, self.detail = EngineState.STOPPED, "not asked any more"
        self._lost.set()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self.client.close()

    async def read(self, request: PageRequest) -> PageResult:
        """Read one page on the server; it counts as in flight until this ends.

        Raises:
            ServerError: The server failed to answer, or its answer is useless.
            PageError, PageFaultError: This page cannot be read, or not now.
        """
        self.in_flight[request.id] = request
        try:
            answer = await unless(self._lost, self.client.read(request), DownError("was lost"))
        except ServerError as error:
            raise await self._judged(error) from error
        except PageFaultError as error:
            self.slow += error.kind == "timed-out"
            raise
        else:
            self.slow = self._barren = 0
            return answer
        finally:
            self.in_flight.pop(request.id, None)

    async def _judged(self, error: ServerError) -> ServerError:
        """Update the server's state after an error; the error to raise for the page."""
        if self._lost.is_set():
            return error
        if isinstance(error, BusyError):
            self._rest(error)
        elif isinstance(error, DiedError):
            return await self._dead_or_alive(error)
        elif isinstance(error, DownError | MisfitError):
            self._doubt(error)
        return error

    async def _dead_or_alive(self, error: DiedError) -> ServerError:
        """Tell a cut connection, which concerns one page, from a dead engine, which loses all."""
        async with self._looking:
            if self._lost.is_set():
                return error
            why = error.why if error.certain else await self.client.well()
            if why is None:
                return UnusableError(error.why)
            self._lose(f"died: {error.why}")
            return error

    def _rest(self, error: BusyError) -> None:
        loop = asyncio.get_running_loop()
        self._rest_until = loop.time() + error.wait_s
        self.detail = f"{error.why}, asked again in {error.wait_s:g} s"
        loop.call_later(error.wait_s, self._rested)

    def _rested(self) -> None:
        if not self.resting and self.state is EngineState.READY:
            self.detail = "ready"
        self._changed()

    def _doubt(self, error: ServerError) -> None:
        """Send no new pages until the next handshake; those in flight may still be read."""
        if self.state is EngineState.READY:
            fits = not isinstance(error, MisfitError)
            self.state = EngineState.RESTARTING if fits else EngineState.FAILED
            self.detail = error.why
            self._events.warn("engine.server-away", server=self.name, why=error.why)
            self._trouble.set()

    def _lose(self, words: str) -> None:
        """Handle the server's death: its pages are lost, and one of them may be the cause."""
        self.state, self.detail = EngineState.RESTARTING, words
        pages = len(self.in_flight)
        self._events.error("engine.server-died", server=self.name, why=words, pages=pages)
        self._accuse(self.in_flight)
        self._lost.set()
        self._trouble.set()
        self._changed()

    async def _keep(self) -> None:
        while True:
            if self.state is EngineState.READY:
                await self._watch()
            pause = min(LONGEST_PAUSE_S, pause_s(self._barren))
            if pause:
                self.detail += f"; asked again in {pause:g} s"
            await asyncio.sleep(pause)
            await self._connect()

    async def _watch(self) -> None:
        """Check the server's health every `LOOK_S` until it needs a new handshake."""
        silences = 0
        while True:
            try:
                await asyncio.wait_for(self._trouble.wait(), LOOK_S)
            except TimeoutError:
                why = await self.client.well()
                silences = silences + 1 if why is not None else 0
                if silences >= SILENCES and self.state is EngineState.READY:
                    self._lose(f"is gone: {why}")
            else:
                return

    async def _connect(self) -> None:
        again = self.state is EngineState.RESTARTING
        self._barren += 1
        try:
            await self.client.connect()
        except (MisfitError, EngineSetupError) as error:
            why = error.why if isinstance(error, MisfitError) else error.message
            self._away(EngineState.FAILED, why, error.hint)
        except ServerError as error:
            waiting = EngineState.RESTARTING if again else EngineState.LOADING
            self._away(waiting, f"down: {error.why}", "Start it, or correct engine.servers.")
        else:
            self._trouble, self._lost = asyncio.Event(), asyncio.Event()
            lacks = list(self.client.can.lacks)
            self.state, self.detail, self._rest_until = EngineState.READY, "ready", 0.0
            self.hint = FIT if lacks else ""
            self._events.emit("engine.server-ready", server=self.name, lacks=lacks)
            self._changed()

    def _away(self, state: EngineState, words: str, hint: str = "") -> None:
        if words not in self.detail:
            self._events.warn("engine.server-away", server=self.name, why=words)
        self.state, self.detail, self.hint = state, words, hint
        self._changed()
