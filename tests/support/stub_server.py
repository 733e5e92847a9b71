"""A server with OpenAI's interface and no model: answers as vLLM does, on demand slow or wrong.

Its text of a page is a name made from the page's pixels, as the fake engine's is.  As a program
(`python -m tests.support.stub_server PORT DELAY_S`) it can be killed for real.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from PIL import Image

from ocrd.engine.deepseek import tiling
from ocrd.modes import RESOLUTIONS, AnswerFormat
from ocrd.page import PageImage
from tests.unit.engine.fake import answer_of, words_of

LIMIT = 64 << 20
ENGINE_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
UNTRUSTED = (
    "Per-request mm_processor_kwargs are disabled by default because they can change multimodal "
    "preprocessing resource usage."
)
TRIAL = (1224, 1584)  # pixels of the page that the engine tries a server out with
SMALL_TRIAL = (612, 70)  # pixels; used by tests that are about other pages


def refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status)


@dataclass
class Asked:
    """A request to read a page: the image, the prompt, the body, and the image's format."""

    image: PageImage
    words: str
    body: dict[str, Any]
    kind: str

    @property
    def trial(self) -> bool:
        return (self.image.width, self.image.height) in (TRIAL, SMALL_TRIAL)


Script = Callable[[Asked], Awaitable[web.StreamResponse | None]]


@dataclass
class Stub:
    """How a server behaves, and what it saw.

    Attributes:
        model: Name of the model that it serves.
        plugin: State of ocrd's plugin: `there`, `untrusted` (vLLM lacks the flag to trust
            `mm_processor_kwargs`) or `none`.
        guard: Whether the n-gram guard is loaded.
        key: The API key that it requires; empty for none.
        vllm: Whether it behaves like vLLM or like another server.
        loses_images: Whether it counts the tokens of the prompt alone, as if it ignored images.
        dies_of_trials: Whether a trial page kills its engine.
        script: Called before a page is answered; a response that it returns is sent instead.
        pages: All pages that it was asked to read but the trial pages.
        killed_by_kwargs: Whether it received arguments that kill a vLLM without the plugin.
    """

    model: str = "deepseek-ai/DeepSeek-OCR"
    plugin: str = "there"
    guard: bool = True
    key: str = ""
    vllm: bool = True
    loses_images: bool = False
    dies_of_trials: bool = False
    healthy: int = 200
    health: str = ""
    delay_s: float = 0.0
    script: Script | None = None
    pages: list[Asked] = field(default_factory=list)
    killed_by_kwargs: bool = False
    trials: int = 0
    url: str = ""

    async def start(self, port: int = 0, socket: str | None = None) -> Stub:
        app = web.Application(client_max_size=LIMIT, middlewares=[self._guarded])
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        if self.vllm:
            app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        if socket is not None:
            self._site: web.BaseSite = web.UnixSite(self._runner, socket)
            self.url = f"unix:{socket}"
        else:
            self._site = web.TCPSite(self._runner, "127.0.0.1", port)
        await self._site.start()
        if socket is None:
            self.port = self._runner.addresses[0][1]
            self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def die(self) -> None:
        """Cut every connection and stop listening."""
        server = self._runner.server
        assert server is not None
        with contextlib.suppress(RuntimeError):  # it is dead already
            await self._site.stop()
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def stop(self) -> None:
        await self.die()
        await self._runner.cleanup()

    def cut(self, request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if self.key and request.path != "/health" and given != f"Bearer {self.key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=self.healthy, text=self.health)

    async def _models(self, _: web.Request) -> web.Response:
        owner = "vllm" if self.vllm else "library"
        entry = {"id": self.model, "owned_by": owner, "root": self.model}
        if self.vllm:
            entry["max_model_len"] = 8192  # type: ignore[assignment]  # as in vLLM
        return web.json_response({"object": "list", "data": [entry]})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = body["prompt"]
        tokens = [1] * body.get("add_special_tokens", True)
        special = text.startswith("<") and text.endswith(">") and " " not in text
        tokens += [7 + len(text)] if special else [2] * len(text)
        return web.json_response({"count": len(tokens), "tokens": tokens, "max_model_len": 8192})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["model"] != self.model:
            return refusal(404, f"The model `{body['model']}` does not exist.")
        if (refused := self._refused(body)) is not None:
            return refused
        image, words, kind = _content(body)
        if image is None:
            return _completion("", len(words) + 1)
        asked = Asked(image, words, body, kind)
        self.request = request
        if asked.trial:
            self.trials += 1
            if self.dies_of_trials:
                return refusal(500, ENGINE_DEAD)
            return _completion("Up", self._tokens(asked))
        self.pages.append(asked)
        await asyncio.sleep(self.delay_s)
        scripted = await self.script(asked) if self.script is not None else None
        if scripted is not None:
            return scripted
        return _completion(self.read(asked), self._tokens(asked))

    def read(self, asked: Asked) -> str:
        """The text of a page, as the model would write it."""
        answers = AnswerFormat.DOCUMENT if "Convert" in asked.words else AnswerFormat.PLAIN
        answers = (
            AnswerFormat.SPANS if "OCR this" in asked.words or "Locate" in asked.words else answers
        )
        return answer_of(words_of(asked.image), answers)

    def _refused(self, body: dict[str, Any]) -> web.Response | None:
        told = body.get("mm_processor_kwargs")
        if told is not None and self.vllm:
            if self.plugin == "untrusted":
                return refusal(400, UNTRUSTED)
            number = isinstance(told.get("base_size"), int)
            if self.plugin == "none":
                self.killed_by_kwargs |= number
                why = "Failed to apply DeepseekOCRProcessor on data={} with kwargs={}"
                return refusal(500, ENGINE_DEAD) if number else refusal(400, why)
            if not number:
                why = "`base_size` of `mm_processor_kwargs` must be an integer, got 'ocrd?'"
                return refusal(400, why)
        if self.guard and body.get("vllm_xargs", {}).get("ngram_size") == 0:
            return refusal(400, "`ngram_size` must be a whole number from 2 to 4096, got 0")
        return None

    def _tokens(self, asked: Asked) -> int:
        text = len(asked.words) + (2 if self.vllm else 1)  # vLLM puts a newline between
        told = asked.body.get("mm_processor_kwargs")
        seen = tiling.from_processor_kwargs(told) if told else RESOLUTIONS["gundam"]
        image = tiling.prompt_tokens(seen, asked.image.width, asked.image.height)
        return text if self.loses_images else text + image


def _content(body: dict[str, Any]) -> tuple[PageImage | None, str, str]:
    (message,) = body["messages"]
    parts = {part["type"]: part for part in message["content"]}
    words = parts.get("text", {}).get("text", "")
    if "image_url" not in parts:
        return None, words, ""
    head, _, data = parts["image_url"]["image_url"]["url"].partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    return PageImage(*image.size, image.tobytes()), words, head.removeprefix("data:image/")


def _completion(text: str, prompt_tokens: int) -> web.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": max(1, len(text))}
    return web.json_response({"choices": [choice | {"finish_reason": "stop"}], "usage": usage})


async def _serve(port: int, delay_s: float) -> None:
    await Stub(delay_s=delay_s).start(port)
    await asyncio.Event().wait()


def main(words: Sequence[str]) -> None:
    """Serve on a port, with a delay of some seconds for each page."""
    port, delay_s = words
    asyncio.run(_serve(int(port), float(delay_s)))


if __name__ == "__main__":
    main(sys.argv[1:])
