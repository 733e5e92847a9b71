"""One vLLM engine on one device: an image goes in, the model's text comes out."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from ocrd.engine.base import PageRequest
from ocrd.engine.models import ModelProfile
from ocrd.engine.repetition import loop_at_end
from ocrd.engine.resident.pages import check_tokens, prompt, share, unprepared
from ocrd.engine.resident.preflight import Vllm
from ocrd.engine.resident.process import Launched
from ocrd.engine.resident.settings import (
    VllmSettings,
    sampling,
    seen_otherwise,
    view,
    vllm_priority,
)
from ocrd.errors import EngineDownError, PageFaultError
from ocrd.modes import Resolution
from ocrd.page import Finish, PageResult

T = TypeVar("T")
HEALTH_S = 0.25
PROBE_S = 60.0  # the longest time that one step of the model may take
# How soon a thread that prepares images releases Python's lock to a waiting thread.  With Python's
# default of 5 ms a dozen of them would delay each turn of the event loop, and so every file.
SWITCH_S = 0.0005


class EngineDiedError(Exception):
    """The engine's process died before the page was read."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A page prepared for the engine: vLLM's inputs, room for the answer and size, in tokens."""

    inputs: Any
    room: int
    tokens: int
    scale: tuple[int, int]


class VllmClient:
    """A running engine: one `AsyncLLM`, with the settings that it was started with.

    Attributes:
        died: Set once its process is gone.
        tokenizer: The model's tokenizer.
    """

    def __init__(
        self, launched: Launched, vllm: Vllm, profile: ModelProfile, settings: VllmSettings
    ) -> None:
        self.died = asyncio.Event()
        self._launched = launched
        self._engine = launched.engine
        self._vllm = vllm
        self._profile = profile
        self._settings = settings
        self.tokenizer = self._engine.renderer.get_tokenizer()
        self._image_token = self.tokenizer.convert_tokens_to_ids(profile.image_token)
        self._never_banned = self.tokenizer.convert_tokens_to_ids(list(profile.never_banned))
        self._context = self._engine.model_config.max_model_len
        self._shares = settings.options.get("mm_tensor_ipc") == "torch_shm"
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))
        # vLLM keeps as many copies of the tokenizer as it has renderer workers.
        self._renderers = ThreadPoolExecutor(settings.renderers, thread_name_prefix="ocrd-render")
        self._watch = asyncio.create_task(self._watch_health())

    async def read(self, request: PageRequest, settings: VllmSettings | None = None) -> PageResult:
        """Prepare the page, generate and decode its text, all within the page's time limit.

        Raises:
            EngineDiedError: The engine died meanwhile.
            EngineDownError: The engine aborted the page because it is stopping.
            PageError, PageFaultError: This page cannot be read, or not now.
        """
        async with page_time(self._settings.page_timeout_s, "The engine"):
            return await self.generate(request, await self.prepare(request), settings)

    async def try_out(self, request: PageRequest) -> PageResult:
        """Like `read`, without the operator's sampling settings: for trial pages."""
        return await self.read(request, self._settings.changed(sampling={}))

    def last_words(self) -> list[str]:
        """The last warnings and errors in the engine's log, oldest first."""
        return self._launched.log.words()

    async def responds(self) -> bool:
        """Whether the engine answers a call within `PROBE_S`, as it does between two steps."""
        try:
            async with asyncio.timeout(PROBE_S):
                await self._engine.is_sleeping()
        except (TimeoutError, self._vllm.EngineDeadError):
            return False
        return True

    def kill(self) -> None:
        """Kill its process immediately."""
        self._launched.kill()

    async def close(self) -> None:
        """Shut down the engine, its process and the threads."""
        self._watch.cancel()
        self._renderers.shutdown(wait=False, cancel_futures=True)
        await self._launched.close()

    async def prepare(self, request: PageRequest) -> Ready:
        """The page as the engine expects it, prepared on one of the renderer threads.

        Raises:
            PageError: The model cannot read this page.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._renderers, self._render, request)

    def _render(self, request: PageRequest) -> Ready:
        resolution = self._resolution(request)
        raw = prompt(request, self._profile, resolution, self.tokenizer)
        try:
            (inputs,) = self._engine.renderer.render_cmpl([raw])
        except Exception as error:  # image code may raise anything for a strange image
            raise unprepared(error) from error
        if self._shares:
            share(inputs)
        tokens = inputs["prompt_token_ids"]
        room = self._context - len(tokens)
        height, width, _ = raw["multi_modal_data"]["image"].shape
        expected = self._profile.image_tokens(resolution, width, height)
        check_tokens(tokens.count(self._image_token), expected, room=room)
        return Ready(inputs, room, len(tokens), self._profile.scale(width, height))

    async def generate(
        self, request: PageRequest, ready: Ready, settings: VllmSettings | None = None
    ) -> PageResult:
        """The result of a prepared page: the model's text and its blocks."""
        arguments = sampling(
            request,
            self._profile,
            settings or self._settings,
            room=ready.room,
            never_banned=self._never_banned,
        )
        params = self._vllm.SamplingParams(output_kind=self._vllm.FINAL_ONLY, **arguments)
        answer = await self._final(request, ready, params)
        output = answer.outputs[0]
        text = output.text if params.detokenize else await self._decode(list(output.token_ids))
        return PageResult(
            text=text,
            blocks=self._profile.blocks(text, request.mode, ready.scale),
            finish=finish_of(output.finish_reason, text, fixed=params.ignore_eos),
            prompt_tokens=ready.tokens,
            output_tokens=len(output.token_ids),
            notes=seen_otherwise(request.resolution, self._resolution(request)),
        )

    def _resolution(self, request: PageRequest) -> Resolution:
        return view(self._settings, self._profile, request.resolution)

    async def _final(self, request: PageRequest, ready: Ready, params: Any) -> Any:
        final = None
        try:
            async for output in self._engine.generate(
                ready.inputs, params, request.id, priority=vllm_priority(request)
            ):
                final = output
        except self._vllm.EngineDeadError as error:
            self.died.set()
            raise EngineDiedError from error
        except Exception as error:
            raise page_fault(error) from error
        if final is None or final.outputs[0].finish_reason in (None, "abort"):
            raise EngineDownError(
                "The engine gave the page up while it was stopping.",
                hint="The page is read again when the engine is back.",
            )
        if final.outputs[0].finish_reason == "error":
            raise page_fault(RuntimeError("finish reason 'error'"))
        return final

    async def _decode(self, tokens: list[int]) -> str:
        """Decode all tokens in one call, in a thread; vLLM would do it token by token."""
        loop = asyncio.get_running_loop()
        if tokens and tokens[-1] == self.tokenizer.eos_token_id:
            tokens.pop()
        as_it_is = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        decode = functools.partial(self.tokenizer.decode, tokens, **as_it_is)
        text: str = await loop.run_in_executor(self._renderers, decode)
        return text

    async def _watch_health(self) -> None:
        while not self._engine.errored:  # noqa: ASYNC110 - vLLM has a flag, and no event
            await asyncio.sleep(HEALTH_S)
        self.died.set()


@contextlib.asynccontextmanager
async def page_time(limit_s: float, who: str) -> AsyncIterator[None]:
    """A context with the time limit of a page, in seconds.

    Raises:
        PageFaultError: The limit was exceeded; `who` begins its message.
    """
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise PageFaultError(
            f"{who} did not finish the page within {limit_s:g} s.",
            hint="Raise engine.page_timeout_s, or lower engine.max_pages_in_flight.",
            kind="timed-out",
        ) from error


async def unless(lost: asyncio.Event, reading: Coroutine[Any, Any, T], why: Exception) -> T:
    """The outcome of reading a page; raises `why` if `lost` is set before there is one."""
    answer, end = asyncio.create_task(reading), asyncio.create_task(lost.wait())
    try:
        await asyncio.wait({answer, end}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise why
    finally:
        answer.cancel()
        end.cancel()
        await asyncio.gather(answer, end, return_exceptions=True)


def finish_of(reason: str | None, text: str, *, fixed: bool = False) -> Finish:
    """The `Finish` for vLLM's finish reason; a cut-off text that ends in a loop is a repetition.

    Answers of a fixed length (`ignore_eos`, to measure speed) count as regular stops.
    """
    if fixed:
        return Finish.STOP
    if reason == "repetition":
        return Finish.REPETITION
    if reason == "length":
        return Finish.LENGTH if loop_at_end(text) is None else Finish.REPETITION
    return Finish.STOP


def page_fault(error: Exception) -> PageFaultError:
    """The page fault for an error of vLLM that concerns this request alone."""
    cause = error.__cause__ or error
    return PageFaultError(
        f"vLLM could not serve the page: {type(cause).__name__}: {cause}",
        hint="It is tried again; the engine's log has the details.",
        kind="engine-error",
    )
