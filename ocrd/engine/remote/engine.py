"""Many servers as one engine: pages go to the least busy, and survive a server's death."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ocrd.engine.base import EngineReport, EngineState, PageRequest
from ocrd.engine.models import MARKDOWN, ModelProfile
from ocrd.engine.poison import KnownKillers, PoisonSearch
from ocrd.engine.remote.client import ServerClient
from ocrd.engine.remote.http import GatewayError, ServerError, UnusableError
from ocrd.engine.remote.server import Server
from ocrd.engine.remote.settings import Address, family
from ocrd.engine.resident.settings import VllmSettings, unsupported_resolution
from ocrd.errors import EngineDownError, EngineSetupError, PageError, PageFaultError
from ocrd.events import Events
from ocrd.modes import PromptMode, Resolution
from ocrd.page import PageResult

UNUSABLE = 2  # useless answers to a page before the page itself is at fault
ROUNDS = 8  # likewise, gateways that lost a server with the page


class ServerEngine:
    """Reads pages on servers that other machines run.  An `ocrd.engine.base.Engine`.

    Raises:
        EngineSetupError: `engine.profile` names no profile.
    """

    kind = "server"

    def __init__(
        self,
        settings: VllmSettings,
        *,
        events: Events | None = None,
    ) -> None:
        self.profile: ModelProfile = family(settings)
        read_as = f" (read as {self.profile.name})" if settings.profile else ""
        self.model = f"{settings.model}{read_as}"
        self.dpi = self.profile.dpi
        self._settings = settings
        self._events = events or Events()
        self._servers: list[Server] = []
        self._threads: ThreadPoolExecutor | None = None
        self._last_words: tuple[str, ...] = ()  # each server's state after a failed start
        self._state = EngineState.STOPPED
        self._changed = asyncio.Event()
        self._killers = KnownKillers()
        self._search = PoisonSearch(self._killers, self._events, split=0)
        self._on_trial: Server | None = None  # reads nothing but suspects

    @property
    def capacity(self) -> int:
        """Concurrent pages on all servers."""
        return self._settings.max_pages_in_flight * len(self._settings.servers)

    def named(self, language: str) -> tuple[str, str]:
        """The same kind and model for all languages."""
        return self.kind, self.model

    def report(self) -> EngineReport:
        """The state of the whole, and of each server."""
        serving = sum(one.state is EngineState.READY for one in self._servers)
        said = []
        if self._servers and serving < len(self._servers):
            said.append(f"{serving} of {len(self._servers)} servers serve")
        if self._search:
            said.append(f"{len(self._search)} pages are read one by one: a server died with them")
        if self.profile is MARKDOWN and not self._settings.profile:
            said.append("a model without a profile: plain Markdown, no boxes")
        return EngineReport(
            state=self._overall(),
            detail="; ".join(said),
            devices=tuple(one.told() for one in self._servers) or self._last_words,
        )

    def unsupported(self, mode: PromptMode) -> str | None:
        """None unless the model's family lacks the mode."""
        return self.profile.unsupported(mode)

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        """None unless the model does not support the resolution or the settings leave no room.

        If a server lacks it, another reads the page, or the page's notes say so.
        """
        return unsupported_resolution(self._settings, self.profile, resolution)

    async def start(self, progress: Callable[[str], None]) -> None:
        """Connect to every server; if one serves, the others are asked again and again.

        Raises:
            EngineSetupError: No server fits.
            EngineDownError: No server serves now.
        """
        self._state = EngineState.LOADING
        # These threads encode pages, which releases Python's lock.
        self._threads = ThreadPoolExecutor(
            self._settings.renderers, thread_name_prefix="ocrd-encode"
        )
        self._servers = [self._server(one, self._threads) for one in self._settings.servers]
        try:
            await asyncio.gather(*(one.start(progress) for one in self._servers))
            self._see_who_serves()
        except BaseException as error:
            words = tuple(one.told() for one in self._servers)
            await self.stop()
            self._last_words = words
            if isinstance(error, EngineSetupError | EngineDownError):
                fits = isinstance(error, EngineDownError)  # then it is tried again
                self._state = EngineState.LOADING if fits else EngineState.FAILED
            raise

    async def recognise(self, request: PageRequest) -> PageResult:
        """Read one page on the least busy server, through as many servers as it takes."""
        started = time.monotonic()
        if (refusal := self.unsupported(request.mode)) is not None:
            raise PageError(refusal, hint="Give the folder another mode.", kind="mode")
        await self._killers.refuse(request.image)
        try:
            answer = await self._somewhere(request)
        finally:
            self._search.left(request.id, finished=False)
            self._announce()
        return replace(answer, seconds=time.monotonic() - started)

    async def stop(self) -> None:
        """Disconnect from every server; pages in flight fail with `EngineDownError`."""
        self._state, self._last_words = EngineState.STOPPED, ()
        servers, self._servers = self._servers, []
        await asyncio.gather(*(one.stop() for one in servers))
        self._announce()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _server(self, address: str, threads: ThreadPoolExecutor) -> Server:
        return Server(
            ServerClient(Address(address), self._settings, self.profile, threads),
            name=address,
            capacity=self._settings.max_pages_in_flight,
            events=self._events,
            accuse=self._search.accuse,
            changed=self._announce,
        )

    # A page's way

    async def _somewhere(self, request: PageRequest) -> PageResult:
        unusable = rounds = 0
        while True:
            server = await self._admitted(request)
            try:
                answer = await server.read(request)
            except ServerError as error:
                rounds += isinstance(error, GatewayError)
                unusable += isinstance(error, UnusableError)
                if unusable >= UNUSABLE or rounds >= ROUNDS:
                    raise _no_sense(server, error) from error
            else:
                self._search.left(request.id, finished=True)
                return answer
            finally:
                self._announce()

    async def _admitted(self, request: PageRequest) -> Server:
        """A server with room for the page, once there is one."""
        while True:
            self._search.check(request.id)
            serving = [one for one in self._servers if one.state is EngineState.READY]
            suspect = request.id in self._search
            if not self._servers or (self._search.engine_at_fault if suspect else not serving):
                raise self._down()
            server = self._chosen(request, serving) if serving else None
            if server is not None:
                server.in_flight[request.id] = request  # before another page sees this room
                return server
            await self._changed.wait()

    def _chosen(self, request: PageRequest, serving: list[Server]) -> Server | None:
        """The least busy server with room; suspects go to one that then reads nothing else."""
        if not self._search:
            self._on_trial = None
        if request.id in self._search:
            if self._on_trial not in serving:
                self._on_trial = min(serving, key=lambda one: len(one.in_flight))
            trial = self._on_trial
            enters = trial is not None and trial.takes_pages
            if enters and self._search.may_enter(request.id, trial.in_flight):
                return trial
            return None
        resolution = self.profile.seen(self._settings.seen(request.resolution))
        able = [one for one in serving if one.client.sees(resolution)] or serving
        free = [one for one in able if one.takes_pages and one is not self._on_trial]
        return min(free, key=lambda one: len(one.in_flight), default=None)

    def _announce(self) -> None:
        """Wake every waiting page, so that it checks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    # The servers

    def _see_who_serves(self) -> None:
        states = {one.state for one in self._servers}
        if EngineState.READY in states:
            self._state = EngineState.READY
            return
        said = "; ".join(f"{one.name}: {one.detail}" for one in self._servers)
        if states == {EngineState.FAILED}:
            raise EngineSetupError(
                f"No server fits: {said}.", hint=self._servers[0].hint, kind="no-server"
            )
        raise EngineDownError(
            f"No server serves: {said}.",
            hint="Start them: `ocrd engine serve-command` prints how; or correct engine.servers.",
        )

    def _overall(self) -> EngineState:
        states = {one.state for one in self._servers}
        if not states or self._state is not EngineState.READY:
            return self._state
        return EngineState.READY if EngineState.READY in states else EngineState.RESTARTING

    def _down(self) -> EngineDownError:
        said = "; ".join(one.told() for one in self._servers) or "it is not started"
        return EngineDownError(
            f"No server serves: {said}.",
            hint="Pages wait until one is back; `ocrd status` shows each.",
        )


async def survey(settings: VllmSettings) -> list[Server]:
    """Each server after one handshake, disconnected again: for `ocrd doctor`."""
    engine = ServerEngine(settings)
    with ThreadPoolExecutor(settings.renderers) as threads:
        servers = [engine._server(one, threads) for one in settings.servers]
        await asyncio.gather(*(one.look() for one in servers))
        await asyncio.gather(*(one.client.close() for one in servers))
    return servers


def _no_sense(server: Server, error: ServerError) -> PageFaultError:
    return PageFaultError(
        f"The server {server.name} {error.why}, and so did another, or the same again.",
        hint="It is tried again; the log of the server, or of a proxy before it, may tell why.",
        kind="engine-error",
    )
