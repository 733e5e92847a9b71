"""Requests to one server: what is sent, and what an answer, or its absence, means."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import KW_ONLY, dataclass
from typing import Any

import aiohttp
from PIL import Image

from ocrd.engine.remote.settings import Address
from ocrd.engine.resident.client import page_fault
from ocrd.engine.resident.pages import TOO_LONG, too_large
from ocrd.errors import OcrdError, PageError

CHAT = "/v1/chat/completions"
CONNECT_S = 10.0
LARGEST_ANSWER = 64 << 20  # bytes
LARGEST_WEBP = 16383  # pixels of a side
HERE = "ocrd:image"  # placeholder for the picture in the JSON of the body
SOON_S = 1.0  # the usual wait before a busy server gets pages again
LONGEST_WAIT_S = 60.0
DEAD = re.compile(r"EngineCore encountered an issue|EngineDeadError")
NO_ROOM = re.compile(r"Failed to apply PageProcessor|started with room for")
# vllm-router answers 500 with this plain text if it cannot reach a server behind it.
UNREACHED = re.compile(r"\A(?:Request failed: |Failed to (?:get|read) response body)")
UNTRUSTED = "Per-request mm_processor_kwargs are disabled"
SAID = 300  # characters of an answer that are shown
BUSY = {408: "is slow", 429: "is full"}
GATEWAY = {502: "its gateway cannot reach it", 504: "its gateway waited in vain"}
WRONG_KEY = "refuses the key", "Write the server's key into engine.api_key_file."
WRONG_MODEL = (
    "does not serve the model, or is no OpenAI server",
    "Correct engine.servers and engine.model.",
)
REFUSED = {401: WRONG_KEY, 403: WRONG_KEY, 404: WRONG_MODEL}


@dataclass(eq=False)
class ServerError(Exception):
    """A server failed to read a page; the page goes to another server, and nothing is lost.

    Attributes:
        why: What the server did, to be read after its name.
        hint: What to do about it.
        wait_s: How long to send it no pages, in seconds.
        certain: Whether the server itself said that its engine is dead.
    """

    why: str
    hint: str = ""
    _: KW_ONLY
    wait_s: float = SOON_S
    certain: bool = False

    def __str__(self) -> str:
        return self.why


class BusyError(ServerError):
    """The server takes no pages for a while."""


class DownError(ServerError):
    """The server cannot be reached or is not ready: it needs a new handshake."""


class GatewayError(DownError):
    """A gateway lost the server behind it with the page, which may be the cause."""


class MisfitError(ServerError):
    """The server cannot serve as configured: wrong key, wrong model, lost images."""


class DiedError(ServerError):
    """The server's engine died, or the connection was cut: the page may be the cause."""


class UnusableError(ServerError):
    """The server is alive, but its answer to this page is useless."""


class Connection:
    """A connection to one server.

    Attributes:
        key: The server's API key; empty for none.
    """

    def __init__(self, address: Address) -> None:
        self.key = ""
        self._address = address
        # A new connection for each page: the server may close a kept one just as a page is sent,
        # and that looks as if it died.
        connector: aiohttp.BaseConnector = (
            aiohttp.TCPConnector(limit=0, force_close=True)
            if address.socket is None
            else aiohttp.UnixConnector(address.socket, limit=0, force_close=True)
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def close(self) -> None:
        """Cut every connection."""
        await self._session.close()

    async def ask(self, model: str, words: str, *picture: Any, **fields: Any) -> tuple[int, bytes]:
        """Ask a small question that is answered in one token; status and body of the answer."""
        return await self.request(CHAT, chat(model, words, *picture, max_tokens=1, **fields))

    async def tokenize(self, model: str, text: str, **fields: Any) -> list[int] | None:
        """Token ids of a text; None if the server does not say."""
        body = json.dumps({"model": model, "prompt": text, **fields}).encode()
        status, answer = await self.request("/tokenize", body)
        if status >= 500 or status in (401, 403):
            raise trouble(status, answer)
        try:
            return [int(one) for one in json.loads(answer)["tokens"]] if status == 200 else None
        except (ValueError, LookupError, TypeError):
            return None

    async def request(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer to a GET, or to a POST if there is a JSON `body`.

        Raises:
            ServerError: There is no answer, or the server is busy.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        method, url = "GET" if body is None else "POST", self._address.base + path
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                said = await _whole(answer)
                if answer.status in BUSY:
                    raise trouble(answer.status, b"", answer.headers.get("Retry-After"))
                return answer.status, said
        except aiohttp.ClientConnectorError as error:
            raise DownError(f"does not answer: {error.os_error.strerror or error}") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise DiedError("cut the connection") from error


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > LARGEST_ANSWER:
            raise UnusableError("answers without end")
    return b"".join(parts)


def chat(model: str, words: str, picture: bytes = b"", kind: str = "", **fields: Any) -> bytes:
    """The body of a question: one message, with the picture before the words.

    The picture is inserted after JSON encoding, which would otherwise scan all of it.
    """
    content: list[dict[str, Any]] = []
    if picture:
        url = f"data:image/{kind};base64,{HERE}"
        content.append({"type": "image_url", "image_url": {"url": url}})
    if words:
        content.append({"type": "text", "text": words})
    messages = [{"role": "user", "content": content}]
    head, _, tail = json.dumps({"messages": messages, "model": model, **fields}).partition(
        HERE if picture else "\0"
    )
    return b"".join((head.encode(), base64.b64encode(picture), tail.encode()))


def encoded(image: Image.Image, size: tuple[int, int], *, near: bool) -> tuple[bytes, str]:
    """A page, losslessly encoded at `size`, and the name of the image format."""
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if near:
        image.save(buffer, "BMP")
        return buffer.getvalue(), "bmp"
    if max(size) > LARGEST_WEBP:
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), "png"
    image.save(buffer, "WEBP", lossless=True, method=0, quality=0)
    return buffer.getvalue(), "webp"


def tiny() -> bytes:
    """A small white picture for questions, as BMP."""
    return encoded(Image.new("RGB", (32, 32), "white"), (32, 32), near=True)[0]


def trouble(status: int, body: bytes, retry_after: str | None = None) -> ServerError | OcrdError:
    """The error for an answer with a status other than 200."""
    said, text = message(body), body.decode(errors="replace")
    if status in BUSY:
        return BusyError(f"{BUSY[status]} ({status})", wait_s=wait(retry_after))
    if status == 503:
        return DownError("is not ready (503)")
    if status in GATEWAY:
        return GatewayError(f"{GATEWAY[status]} ({status})")
    if status in REFUSED:
        why, remedy = REFUSED[status]
        return MisfitError(f"{why} ({status}): {said}", remedy)
    if UNTRUSTED in said:
        return DownError("takes no mm_processor_kwargs any more")
    if 400 <= status < 500:
        return refused_page(status, said)
    if UNREACHED.search(text):
        return GatewayError(f"{GATEWAY[502]} ({status})")
    if DEAD.search(text):
        return DiedError("its engine died", certain=True)
    if status >= 500:
        return page_fault(RuntimeError(f"answer {status}: {said}"))
    hint = "Correct engine.servers: the address of the server itself, and http or https."
    return MisfitError(f"answers {status} instead of a page", hint)


def refused_page(status: int, said: str) -> PageError:
    """The error for a 4xx status that concerns this page alone."""
    if NO_ROOM.search(said):
        return PageError(
            f"The server has no room for the page at this resolution: {said}",
            hint="Start it with what `ocrd engine serve-command` prints, or lower the resolution.",
            kind="prepare",
        )
    if TOO_LONG.search(said):
        return too_large()
    if status == 413:
        hint = "Raise the limit of the proxy before the server (nginx: client_max_body_size 64m)."
        return PageError("The page is too large for the way to the server.", hint=hint)
    return PageError(
        f"The server refuses the page ({status}): {said}",
        hint="Try another mode or resolution; the server's log has the details.",
        kind="prepare",
    )


def wait(retry_after: str | None) -> float:
    """Seconds until a server gets pages again, by its `Retry-After` header."""
    try:
        asked = float(retry_after or SOON_S)
    except ValueError:  # a date
        return SOON_S
    return min(max(asked, 0.1), LONGEST_WAIT_S)


def message(body: bytes) -> str:
    """The message in an error's body, in any of the usual formats, truncated."""
    try:
        said: Any = json.loads(body)
        for key in ("error", "message", "detail"):
            if isinstance(said, dict) and key in said:
                said = said[key]
    except (ValueError, RecursionError):
        said = body.decode(errors="replace")
    return " ".join(str(said).split())[:SAID] or "nothing more"


def completion(body: bytes) -> tuple[str, str | None, int, int]:
    """Text, finish reason, prompt tokens and output tokens of an answer.

    Raises:
        UnusableError: The body is not a valid answer.
    """
    try:
        record = json.loads(body)
        choice, usage = record["choices"][0], record["usage"]
        text, reason = choice["message"]["content"] or "", choice["finish_reason"]
        tokens = usage["prompt_tokens"], usage["completion_tokens"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise UnusableError("answers with what is no answer") from None
    if not (isinstance(text, str) and all(type(count) is int for count in tokens)):
        raise UnusableError("answers with what is no answer")
    return text, reason, *tokens
