"""An engine for load and fault tests: fast, and the same answer for the same page."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable

from ocrd.engine.base import EngineReport, EngineState, PageRequest
from ocrd.engine.deepseek.grounding import parse
from ocrd.errors import EngineDownError
from ocrd.modes import AnswerFormat, PromptMode, Resolution
from ocrd.page import Box, Line, PageImage, PageResult, Word

PLACE = Box(0.1, 0.1, 0.9, 0.2)


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

    Attributes:
        requests: Every request that was begun, in order.
    """

    kind = "fake"
    model = "fake-1"
    dpi = 72

    def __init__(self, *, workers: int = 2, delay_s: float = 0.0) -> None:
        self.capacity = workers
        self.requests: list[PageRequest] = []
        self._delay_s = delay_s
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
        """None: it serves all."""
        return None

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        """None: it does not look."""
        return None

    async def start(self, progress: Callable[[str], None]) -> None:
        """Ready at once."""
        progress("waking up")
        self._stopping = asyncio.Event()
        self._state = EngineState.READY

    async def recognise(self, request: PageRequest) -> PageResult:
        """Read one page: after the delay, unless the engine is stopped."""
        if self._state is not EngineState.READY:
            raise _down()
        async with self._places:
            self.requests.append(request)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._delay_s)
            if self._stopping.is_set():
                raise _down()
        words, answers = words_of(request.image), request.mode.answers
        line = Line(words, PLACE, tuple(Word(word, PLACE) for word in words.split()))
        said = answer_of(words, answers)
        return PageResult(
            text=said,
            blocks=tuple(parse(said, answers)),
            output_tokens=len(words),
            seconds=max(self._delay_s, 1e-6),
            lines=(line,) if words else (),
        )

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
