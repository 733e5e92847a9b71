"""Talks to one server over HTTP: asks what it can do, and has it read pages."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import Any

from ocrd.engine.base import PageRequest
from ocrd.engine.deepseek.ngram import request_args
from ocrd.engine.models import ModelProfile
from ocrd.engine.remote.handshake import AS_STARTED, FIT, PLAINLY, Abilities, abilities
from ocrd.engine.remote.http import (
    CHAT,
    CONNECT_S,
    Connection,
    DiedError,
    DownError,
    MisfitError,
    ServerError,
    UnusableError,
    chat,
    completion,
    encoded,
    message,
    trouble,
)
from ocrd.engine.remote.settings import Address, api_key
from ocrd.engine.resident.client import finish_of, page_time
from ocrd.engine.resident.pages import wanted_size
from ocrd.engine.resident.settings import (
    LETTER,
    VllmSettings,
    room,
    sampling,
    seen_otherwise,
    view,
    vllm_priority,
)
from ocrd.engine.resident.trial import trial_page
from ocrd.errors import OcrdError
from ocrd.modes import Resolution
from ocrd.page import PageResult
from ocrd.tone import pillow

ASK_S = 120.0  # time limit of the handshake
MANY_PROMPTS = 1000
TRIALS = 2
DEADLY = (
    "Every page would end it: does it lack ocrd's plugin (VLLM_PLUGINS), but not "
    "--mm-processor-kwargs? See its log; `ocrd engine serve-command` prints what fits."
)


class ServerClient:
    """A client of one server.

    Attributes:
        can: The server's abilities, as the last handshake found them.
    """

    def __init__(
        self, address: Address, settings: VllmSettings, profile: ModelProfile, threads: Executor
    ) -> None:
        self.can = Abilities(model=settings.model)
        self._address = address
        self._settings = settings
        self._profile = profile
        self._threads = threads
        self._prompts: dict[str, int | None] = {}
        self._died: list[Abilities] = []  # the server's abilities when it died of a trial page
        self._asked = 0
        self._http = Connection(address)

    async def close(self) -> None:
        """Cut every connection."""
        await self._http.close()

    async def well(self) -> str | None:
        """None if the server is well; otherwise what is wrong, to be read after its name.

        Not every kind of server has `/health`.  A router reports an error there, with text, if
        only one of its servers is ill, so `/v1/models` decides; vLLM itself answers a bare 503.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                status, body = await self._http.request("/health")
                if status == 404 or (status >= 500 and body):
                    status, body = await self._http.request("/v1/models")
        except ServerError as error:
            return error.why
        except TimeoutError:
            return "does not answer"
        return None if status < 500 else f"is not well ({status}: {message(body)})"

    async def connect(self) -> None:
        """The handshake: ask what the server serves and can do, then try one page.

        The questions are such that they cannot kill any server, whatever it lacks.

        Raises:
            ServerError: The server cannot serve, or not now.
            EngineSetupError: The key cannot be read.
        """
        self._http.key = api_key(self._settings)
        self._prompts.clear()
        if (why := await self.well()) is not None:
            raise DownError(why)
        try:
            async with asyncio.timeout(ASK_S):
                self.can = await abilities(self._http, self._settings.model, self._profile)
        except TimeoutError:
            raise DownError(f"did not answer the first questions within {ASK_S:g} s") from None
        await self._trial()

    async def read(self, request: PageRequest) -> PageResult:
        """Read a page within its time limit.

        Raises:
            ServerError: The server failed to answer, or its answer is useless.
            PageError, PageFaultError: This page cannot be read, or not now.
        """
        limit_s = self._settings.page_timeout_s
        async with page_time(limit_s, f"The server {self._address.text}"):
            return await self._read(request)

    def sees(self, resolution: Resolution) -> bool:
        """Whether the server shows the model pages at this resolution."""
        own = self._profile.processor_kwargs(resolution)
        return self.can.views or not own or resolution.name == "gundam"

    async def _trial(self) -> None:
        """Check that a letter page at the costliest resolution arrives, has room and is answered.

        A server that died of trial pages `TRIALS` times is not tried again until its abilities
        change.

        Raises:
            MisfitError: The page was not read, or the server is not tried again.
            ServerError: The server is busy or down.
        """
        if self._died.count(self.can) >= TRIALS:
            raise MisfitError("died of trial pages, and is not tried again as it is", DEADLY)
        seen = room(self._settings, self._profile)
        costliest = max(seen, key=lambda one: self._profile.image_tokens(one, *LETTER) or 0)
        try:
            await self.read(trial_page("trial", LETTER, costliest, self._profile))
        except UnusableError as error:
            raise MisfitError(f"{error.why} to a trial page", FIT) from error
        except DiedError as error:
            self._died.append(self.can)
            raise MisfitError("died of a trial page", DEADLY) from error
        except OcrdError as error:
            raise MisfitError(f"fails on a trial page: {error.message}", error.hint) from error
        self._died.clear()

    # A page

    async def _read(self, request: PageRequest) -> PageResult:
        settings, profile = self._settings, self._profile
        resolution = view(settings, profile, request.resolution)
        size = wanted_size(request.image, profile)
        expected = await self._text_tokens(request)
        body = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._body, request, resolution, size
        )
        status, answer = await self._http.request(CHAT, body)
        if status != 200:
            raise trouble(status, answer)
        text, reason, prompt_tokens, output_tokens = completion(answer)
        if reason in ("abort", "error"):
            raise UnusableError(f"gave a page up ({reason})")
        tokens = profile.image_tokens(resolution, *size) if self.can.views else None
        self._check_image(prompt_tokens, expected, tokens)
        return PageResult(
            text=text,
            blocks=profile.blocks(text, request.mode, profile.scale(*size)),
            finish=finish_of(reason, text, fixed=bool(settings.sampling.get("ignore_eos"))),
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            notes=self._notes(request, resolution),
        )

    def _notes(self, request: PageRequest, resolution: Resolution) -> tuple[str, ...]:
        """Notes on the parts of a request that this server could not fulfil."""
        notes = []
        if self._profile.processor_kwargs(resolution) and not self.can.views:
            notes += [lack for lack in self.can.lacks if lack in (PLAINLY, AS_STARTED)]
        elif self.can.views:
            notes += seen_otherwise(request.resolution, resolution)
        if self._profile.guard_of(request.mode) is not None and not self.can.guard:
            notes.append("no n-gram guard on the server")
        return tuple(notes)

    def _body(self, request: PageRequest, resolution: Resolution, size: tuple[int, int]) -> bytes:
        """A request's body.  Runs in a thread: takes milliseconds, tenths of 1 s if compressed."""
        picture, kind = encoded(pillow(request.image), size, near=self._address.near)
        words = self._profile.prompt(request.mode, request.target)
        fields = self._fields(request)
        own = self._profile.processor_kwargs(resolution)
        if own and self.can.views:
            fields["mm_processor_kwargs"] = own
        return chat(self.can.model, words, picture, kind, **fields)

    def _fields(self, request: PageRequest) -> dict[str, Any]:
        """The fields for sampling: all of them for vLLM, OpenAI's for other servers."""
        settings, profile = self._settings, self._profile
        room_left = self.can.context or settings.max_model_len
        chosen = sampling(request, profile, settings, room=room_left)
        for name in ("detokenize", "extra_args"):
            chosen.pop(name, None)
        if profile.chat:
            chosen["chat_template_kwargs"] = dict(profile.chat)
        if not self.can.vllm:
            known = ("temperature", "max_tokens", "stop", "top_p", "chat_template_kwargs")
            return {name: chosen[name] for name in known if chosen.get(name) is not None}
        self._asked += 1
        chosen |= {"request_id": f"{request.id}-{self._asked}", "priority": vllm_priority(request)}
        guard = request_args(profile.guard_of(request.mode), self.can.never_banned)
        if guard and self.can.guard:
            chosen["vllm_xargs"] = guard
        return {name: value for name, value in chosen.items() if value is not None}

    async def _text_tokens(self, request: PageRequest) -> int | None:
        """Tokens of the prompt without its image; None if the server does not say."""
        profile = self._profile
        words = profile.words(request.mode, request.target).replace(profile.image_token, "", 1)
        if words not in self._prompts:
            if len(self._prompts) >= MANY_PROMPTS:
                self._prompts.clear()
            found = (
                await self._http.tokenize(self.can.model, words)
                if profile.template and self.can.vllm
                else None
            )
            count = len(found) if found is not None else await self._said_alone(request)
            self._prompts[words] = count
        return self._prompts[words]

    async def _said_alone(self, request: PageRequest) -> int | None:
        """Tokens that the server counts when it is sent the prompt without the image."""
        words = self._profile.prompt(request.mode, request.target)
        status, body = await self._http.ask(self.can.model, words or "?")
        try:
            return completion(body)[2] if status == 200 else None
        except UnusableError:
            return None

    def _check_image(self, got: int, text: int | None, image: int | None) -> None:
        """Check by token counts that the prompt had its whole image: only they show a lost one."""
        if text is None:
            return
        if (image is not None and got != text + image) or got <= text:
            wanted = f"{text + image}" if image is not None else f"more than {text}"
            raise UnusableError(f"loses images: a prompt of {got} tokens instead of {wanted}, said")
