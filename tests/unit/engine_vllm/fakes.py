"""Stand-ins: an engine of scripted answers, and clients that die."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from ocrd.engine.base import PageRequest
from ocrd.engine.resident.client import EngineDiedError, VllmClient
from ocrd.engine.resident.process import LaunchError
from ocrd.engine.resident.settings import VllmSettings
from ocrd.errors import OcrdError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, Resolution
from ocrd.page import Finish, PageImage, PageResult
from tests.unit.engine.fake import FakeEngine

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."


def page(name: str = "1", *, shade: int = 60, mode: str = "document") -> PageRequest:
    """A small page, half of it dark; pages of one shade are equal."""
    rgb = b"\xff" * (3 * 32 * 16) + bytes([shade]) * (3 * 32 * 16)
    return PageRequest(
        id=name,
        image=PageImage(32, 32, rgb),
        mode=BUILT_IN_MODES[mode],
        resolution=RESOLUTIONS["gundam"],
    )


class ScriptedEngine(FakeEngine):
    """Answers one request after the other from a list."""

    def __init__(
        self, *answers: PageResult | OcrdError, room: Collection[str] = RESOLUTIONS
    ) -> None:
        super().__init__()
        self._answers = list(answers)
        self._room = room

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        return None if resolution.name in self._room else "There is no room for it."

    async def recognise(self, request: PageRequest) -> PageResult:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, OcrdError):
            raise answer
        return answer


class FakeClient(VllmClient):
    """A client that reads every page in a few turns of the event loop, and dies of some."""

    def __init__(self, world: World) -> None:
        self.died = asyncio.Event()
        self.closed = False
        self.killed = False
        self.crowds: list[frozenset[str]] = []
        self._world = world
        self._reading: set[str] = set()

    async def read(self, request: PageRequest, settings: VllmSettings | None = None) -> PageResult:
        self._reading.add(request.id)
        self.crowds.append(frozenset(self._reading))
        self._world.most_at_once = max(self._world.most_at_once, len(self._reading))
        try:
            await self._world.work(self, request)
        finally:
            self._reading.discard(request.id)
        if self.died.is_set():
            raise EngineDiedError
        return PageResult(
            text=request.id, finish=Finish.STOP, prompt_tokens=3, output_tokens=1, notes=()
        )

    def die(self) -> None:
        self._world.deaths.append(frozenset(self._reading))
        self.died.set()

    def last_words(self) -> list[str]:
        return list(self._world.last_words)

    async def responds(self) -> bool:
        return self._world.responds

    def kill(self) -> None:
        self.killed = True
        self.died.set()

    async def close(self) -> None:
        self.closed = True


@dataclass
class World:
    """What the fake clients live in.

    Attributes:
        killers: Ids of pages that kill any client.
        refusals: What the next starts fail with, in order; None lets one succeed.
        last_words: Of every client that dies.
        hold: While cleared, pages stay in their client.
        turns: Turns of the event loop that a page takes.
    """

    killers: Collection[str] = ()
    refusals: list[list[str] | None] = field(default_factory=list)
    last_words: Iterable[str] = ()
    responds: bool = True
    turns: int = 3
    hold: asyncio.Event | None = None
    error: OcrdError | None = None
    clients: list[FakeClient] = field(default_factory=list)
    started_with: list[VllmSettings] = field(default_factory=list)
    deaths: list[frozenset[str]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    most_at_once: int = 0

    async def build(self, settings: VllmSettings, tell: Callable[[str], None]) -> FakeClient:
        self.started_with.append(settings)
        tell("loading the weights")
        await asyncio.sleep(0)
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise LaunchError(refusal) from RuntimeError("Engine core initialization failed.")
        client = FakeClient(self)
        self.clients.append(client)
        return client

    async def work(self, client: FakeClient, request: PageRequest) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.hold is not None:
            await self.hold.wait()
        if request.id in self.killers:
            client.die()
        if self.error is not None:
            raise self.error

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)
