"""Requests to one server: what goes over the wire, and what is made of a wire that breaks."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import aiohttp
from PIL import Image

from ocrd.engine.remote.answers import BUSY, DiedError, DownError, UnusableError, trouble
from ocrd.engine.remote.settings import Address

CHAT = "/v1/chat/completions"
CONNECT_S = 10.0
LARGEST_ANSWER = 64 << 20
LARGEST_WEBP = 16383  # pixels of a side
HERE = "ocrd:image"  # where the picture goes in the body that is written around it


class Connection:
    """To one server.

    Attributes:
        key: What it takes for a key.
    """

    def __init__(self, address: Address) -> None:
        self.key = ""
        self._address = address
        # A connection for each page: one that is kept may be closed by the server just as a page
        # is sent, and that looks like a death.
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

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of an answer."""
        status, body = await self._request("GET", path, None)
        return status, body.decode(errors="replace")

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of an answer to JSON."""
        return await self._request("POST", path, body)

    async def ask(self, model: str, words: str, *picture: Any, **fields: Any) -> tuple[int, str]:
        """Something small, to be answered in one token."""
        status, answer = await self.post(CHAT, chat(model, words, *picture, max_tokens=1, **fields))
        return status, answer.decode(errors="replace")

    async def tokenize(self, model: str, text: str, **fields: Any) -> list[int] | None:
        """Token ids of a text; None from a server that does not tell."""
        body = json.dumps({"model": model, "prompt": text, **fields}).encode()
        status, answer = await self.post("/tokenize", body)
        if status >= 500 or status in (401, 403):
            raise trouble(status, answer.decode(errors="replace"))
        try:
            return [int(one) for one in json.loads(answer)["tokens"]] if status == 200 else None
        except (ValueError, LookupError, TypeError):
            return None

    async def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        url = self._address.base + path
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                said = await _whole(answer)
                if answer.status in BUSY:
                    raise trouble(answer.status, "", answer.headers.get("Retry-After"))
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
    """The body of a question: one message, its picture before its words.

    The picture is no text that JSON would have to look through.
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
    """A page's pixels, none changed but for the size, and what they are written as."""
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
    """A picture to ask with, as BMP."""
    return encoded(Image.new("RGB", (32, 32), "white"), (32, 32), near=True)[0]
