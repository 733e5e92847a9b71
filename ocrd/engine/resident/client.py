"""One vLLM engine on one device, from an image to the model's words."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import sys
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from ocrd.engine.base import PageRequest
from ocrd.engine.models import ModelProfile
from ocrd.engine.repetition import loop_at_end
from ocrd.engine.resident.preflight import Vllm
from ocrd.engine.resident.process import Launched
from ocrd.engine.resident.settings import (
    OTHER_RESOLUTION,
    VllmSettings,
    sampling,
    seen_otherwise,
    view,
    vllm_priority,
)
from ocrd.errors import EngineDownError, PageError, PageFaultError
from ocrd.modes import Resolution
from ocrd.page import Finish, PageImage, PageResult

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")
HEALTH_S = 0.25
TOO_LONG = re.compile(r"maximum context length|maximum model length")
PROBE_S = 60.0  # the longest that one step of the model may take
# How soon a thread that prepares images gives Python's lock to another that waits for it.  With
# Python's own 5 ms a dozen of them hold up each turn of the event loop, and so every file.
SWITCH_S = 0.0005
WORTH_SHARING = 4096  # bytes; what is smaller travels with the request


class EngineDiedError(Exception):
    """The engine's process is gone, and the page with it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A page prepared for the engine."""

    inputs: Any
    room: int
    tokens: int
    scale: tuple[int, int]


class VllmClient:
    """A running engine: one `AsyncLLM`, with the settings that it was started with.

    Attributes:
        died: Set once its process is gone.
        tokenizer: The model's.
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
        # Tokenizers are lent out in as many copies as vLLM was told of workers.
        self._renderers = ThreadPoolExecutor(settings.renderers, thread_name_prefix="ocrd-render")
        self._watch = asyncio.create_task(self._watch_health())

    async def read(self, request: PageRequest, settings: VllmSettings | None = None) -> PageResult:
        """Prepare, generate, decode; all of it within the page's time limit.

        Raises:
            EngineDiedError: The engine died meanwhile.
            PageError, PageFaultError: This page cannot be read, or not now.
        """
        async with page_time(self._settings.page_timeout_s, "The engine"):
            return await self.generate(request, await self.prepare(request), settings)

    async def try_out(self, request: PageRequest) -> PageResult:
        """The same without the operator's sampling settings: for the self-test."""
        return await self.read(request, self._settings.changed(sampling={}))

    def last_words(self) -> list[str]:
        """The end of the engine's log."""
        return self._launched.log.words()

    async def responds(self) -> bool:
        """Whether it answers a call between two steps of the model."""
        try:
            async with asyncio.timeout(PROBE_S):
                await self._engine.is_sleeping()
        except (TimeoutError, self._vllm.EngineDeadError):
            return False
        return True

    def kill(self) -> None:
        """End its process at once."""
        self._launched.kill()

    async def close(self) -> None:
        """End engine, process and threads."""
        self._watch.cancel()
        self._renderers.shutdown(wait=False, cancel_futures=True)
        await self._launched.close()

    async def prepare(self, request: PageRequest) -> Ready:
        """The page as the engine takes it, made on one of the renderer threads.

        Raises:
            PageError: The model cannot see this page.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._renderers, self._render, request)

    def _render(self, request: PageRequest) -> Ready:
        resolution = self._resolution(request)
        raw = prompt(request, self._profile, resolution, self.tokenizer)
        try:
            (inputs,) = self._engine.renderer.render_cmpl([raw])
        except Exception as error:  # whatever image code makes of a strange image
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
        """The model's words for a prepared page."""
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
        """Tokens to text in one go, off the event loop, where vLLM would go token by token."""
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
    """What may take as long as a page may.

    Raises:
        PageFaultError: It took longer; `who` begins the sentence.
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
    """The outcome of reading a page, or `why` raised once whoever reads it is lost."""
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
    """The finish reason in our words; a text cut off while it went in circles looped.

    Args:
        reason: In the words of vLLM.
        text: The answer.
        fixed: Whether answers of a fixed length were asked for (`ignore_eos`, to measure speed).
    """
    if fixed:
        return Finish.STOP
    if reason == "repetition":
        return Finish.REPETITION
    if reason == "length":
        return Finish.LENGTH if loop_at_end(text) is None else Finish.REPETITION
    return Finish.STOP


def share(inputs: Any) -> None:
    """Move a page's pixels into shared memory here; vLLM would do it on the event loop.

    Where there is too little of it, vLLM sends them as it does otherwise.
    """
    for items in inputs["mm_kwargs"].values():
        for item in items:
            for field in item.values():
                tensors = field.data if isinstance(field.data, list) else [field.data]
                for tensor in tensors:
                    if tensor.nbytes >= WORTH_SHARING:
                        with contextlib.suppress(RuntimeError):
                            tensor.share_memory_()


def unprepared(error: Exception) -> PageError:
    """An error of vLLM's while it prepares a page."""
    if TOO_LONG.search(str(error)):
        return too_large()
    return PageError(
        f"The page could not be prepared for the model: {error}",
        hint="Try another resolution; the engine's log has the details.",
        kind="prepare",
    )


def page_fault(error: Exception) -> PageFaultError:
    """An error of vLLM's that concerns this request alone."""
    cause = error.__cause__ or error
    return PageFaultError(
        f"vLLM could not serve the page: {type(cause).__name__}: {cause}",
        hint="It is tried again; the engine's log has the details.",
        kind="engine-error",
    )


def pixels(page: PageImage, profile: ModelProfile) -> npt.NDArray[np.uint8]:
    """[height, width, 3] the page for vLLM's image processor, in the size that the model wants."""
    import numpy as np  # comes with vLLM, and this module is there without

    size = wanted_size(page, profile)
    if size == (page.width, page.height):
        # A copy, for torch takes no memory that it may not write to.
        return np.frombuffer(page.rgb, np.uint8).reshape(page.height, page.width, 3).copy()
    return np.array(to_pillow(page).resize(size, Image.Resampling.LANCZOS))


def wanted_size(page: PageImage, profile: ModelProfile) -> tuple[int, int]:
    """Width and height that a page is handed over in: no longer side than the profile says."""
    step, most = profile.side_multiple, profile.longest_side
    shrink = min(1.0, most / max(page.width, page.height)) if most else 1.0
    width, height = (
        max(1, round(side * shrink / step)) * step for side in (page.width, page.height)
    )
    return width, height


def to_pillow(page: PageImage) -> Image.Image:
    """The page as an image of Pillow's."""
    return Image.frombuffer("RGB", (page.width, page.height), page.rgb, "raw", "RGB", 0, 1)


def prompt(
    request: PageRequest, profile: ModelProfile, resolution: Resolution, tokenizer: Any = None
) -> dict[str, Any]:
    """A prompt as vLLM's renderer takes it; a profile may leave the template to the tokenizer."""
    words = profile.words(request.mode, request.target)
    if profile.template is None:
        content = [{"type": "image"}, {"type": "text", "text": words}]
        words = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=False,
            add_generation_prompt=True,
            **profile.chat,
        )
    return {
        "prompt": words,
        "multi_modal_data": {"image": pixels(request.image, profile)},
        "mm_processor_kwargs": profile.processor_kwargs(resolution),
    }


def check_tokens(got: int, expected: int | None, *, room: int) -> None:
    """See that the image is in the prompt, whole, and that an answer still fits.

    vLLM runs a prompt whose image got lost as plain text, without a word.

    Args:
        got: Image tokens in the prompt.
        expected: By the model's formula; None if it has none.
        room: Tokens that the context leaves for the answer.

    Raises:
        PageError: One of the three is not so.
    """
    if not got or (expected is not None and got != expected):
        raise PageError(
            f"The page stands in the prompt with {got} tokens instead of {expected}.",
            hint="The vLLM that is installed does not prepare images as ocrd expects: run "
            "`ocrd doctor`, and use a version of vLLM in the supported range.",
            kind="image-tokens",
        )
    if room < 1:
        raise too_large()


def too_large() -> PageError:
    """The verdict on a page that leaves no room for an answer."""
    return PageError(
        "Page and prompt alone fill the model's context, and no token is left for the answer.",
        hint=f"{OTHER_RESOLUTION} Or raise engine.max_model_len.",
        kind="too-large",
    )
