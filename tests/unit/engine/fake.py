"""An engine for load and fault tests: fast, the same answer for the same page, faults on demand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from ocrd.engine.base import EngineReport, EngineState, PageRequest
from ocrd.engine.deepseek.grounding import parse
from ocrd.errors import EngineDownError, OcrdError, PageError
from ocrd.modes import AnswerFormat, PromptMode, Resolution
from ocrd.page import Box, Line, PageImage, PageResult, Word

PLACE = Box(0.1, 0.1, 0.9, 0.2)
Fault = Callable[[PageRequest, int], OcrdError | None]
Sleep = Callable[[float], Awaitable[None]]


def words_of(image: PageImage) -> str:
    """What the fake reads on a page: a name for its pixels, or nothing if they are all alike."""
    if not image.rgb.strip(image.rgb[:1]):
        return ""
    return f"page {hashlib.sha256(image.rgb).hexdigest()[:16]}"


class FakeEngine:
    """An `Engine` without a model.

    Args:
        workers: Pages at once; further calls wait.
        delay_s: Seconds a page takes.
        fault: Asked before each page is read, with the request and how often a page of this
            content came before (0 at first); the error it returns is raised.
        refuses: Names of prompt modes that it does not serve.
        sleep: How the delay is waited for.

    Attributes:
        requests: Every request that was begun, in order.
    """

    kind = "fake"
    model = "fake-1"
    dpi = 72

    def __init__(
        self,
        *,
        workers: int = 2,
        delay_s: float = 0.0,
        fault: Fault = lambda _request, _seen: None,
        refuses: frozenset[str] = frozenset(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.capacity = workers
        self.requests: list[PageRequest] = []
        self._delay_s = delay_s
        self._fault = fault
        self._refuses = refuses
        self._sleep = sleep
        self._seen: dict[str, int] = {}
        self._state = EngineState.STOPPED
        self._places = asyncio.Semaphore(workers)
        self._stopping = asyncio.Event()

    def named(self, language: str) -> tuple[str, str]:
        """The same for all languages."""
        return self.kind, self.model

    def report(self) -> EngineReport:
        """Its state."""
        return EngineReport(state=self._state)

    def unsupported(self, mode: PromptMode) -> str | None:
        """None unless it was told to refuse the mode."""
        return f"The fake refuses {mode.name!r}." if mode.name in self._refuses else None

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        """None: it does not look."""
        return None

    async def start(self, progress: Callable[[str], None]) -> None:
        """Ready at once."""
        progress("waking up")
        self._stopping = asyncio.Event()
        self._state = EngineState.READY

    async def recognise(self, request: PageRequest) -> PageResult:
        """Read one page: after the delay, unless a fault is due or the engine is stopped."""
        if self._state is not EngineState.READY:
            raise _down()
        if (why := self.unsupported(request.mode)) is not None:
            raise PageError(why, hint="Ask for another mode.", kind="unsupported-mode")
        async with self._places:
            return await self._read(request)

    async def _read(self, request: PageRequest) -> PageResult:
        self.requests.append(request)
        words = words_of(request.image)
        seen = self._seen.get(words, 0)
        self._seen[words] = seen + 1
        await self._wait()
        if (fault := self._fault(request, seen)) is not None:
            raise fault
        line = Line(words, PLACE, tuple(Word(word, PLACE) for word in words.split()))
        said = answer_of(words, request.mode.answers)
        return PageResult(
            text=said,
            blocks=tuple(parse(said, request.mode.answers)),
            output_tokens=len(words),
            seconds=max(self._delay_s, 1e-6),
            lines=(line,) if words else (),
        )

    async def _wait(self) -> None:
        """Wait for the delay or the end of the engine, whichever comes first."""
        delay = asyncio.ensure_future(self._sleep(self._delay_s))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({delay, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            delay.cancel()
            stopping.cancel()
        if self._stopping.is_set():
            raise _down()

    async def stop(self) -> None:
        """Calls in flight fail."""
        self._state = EngineState.STOPPED
        self._stopping.set()


def answer_of(words: str, answers: AnswerFormat) -> str:
    """The words in the form that the model answers in, at `PLACE`."""
    place = "<|det|>[[100, 100, 899, 200]]<|/det|>"
    if not words or answers in (AnswerFormat.PLAIN, AnswerFormat.FIGURE):
        return words
    if answers is AnswerFormat.SPANS:
        return f"<|ref|>{words}<|/ref|>{place}"
    return f"<|ref|>text<|/ref|>{place}\n{words}"


def _down() -> EngineDownError:
    return EngineDownError("The fake engine is not running.", hint="Start it.")
