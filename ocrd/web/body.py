"""Request bodies that stream into files: never a whole document in memory, never twice on disk.

A document comes raw, as a part of a form, or as base64 in a JSON string.  In every case its bytes
go, as they arrive, into a hidden draft in the inbox; the rest of the body is small and stays in
memory.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from fastapi import Request
from python_multipart.multipart import MultipartParser, parse_options_header

from ocrd.inbox.submit import Draft, opened_folder
from ocrd.names import fit
from ocrd.oserrors import os_error
from ocrd.web.errors import RefusedError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

LONG = 4096  # a longer JSON string, in bytes, is taken for a document
SMALL = 1 << 20  # bytes that a body may have besides its documents
MOST = 200  # documents in one body: each holds a file open
_FLUSH = 1 << 20
_FORM, _FIELDS = 1 << 14, 16  # bytes and fields of a form of the page's: both take time to decode


class Incoming:
    """A document that is being received, of at most `limit` bytes, as a draft in `folder`.

    The folder must exist and be on the file system of the inbox.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.name = "document"
        self.size = 0
        self.folder = folder
        self._limit = limit
        self._waiting = bytearray()
        self._draft: Draft | None = None

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            RefusedError: The document is larger than allowed.
            PlaceError: The draft cannot be written.
        """
        self.size += len(chunk)
        if self.size > self._limit:
            raise too_large(self._limit)
        self._waiting += chunk
        if len(self._waiting) >= _FLUSH:
            await asyncio.to_thread(self.draft)

    def draft(self) -> Draft:
        """The draft, with everything received so far written to it.

        Raises:
            PlaceError: The draft cannot be written.
        """
        waiting, self._waiting = self._waiting, bytearray()
        try:
            if self._draft is None:
                with opened_folder(self.folder) as here:
                    self._draft = Draft(here)
            self._draft.write(waiting)
        except OSError as error:
            raise os_error(error, self.folder) from error
        return self._draft

    def whole(self) -> None:
        """Sync the whole draft to the disk, so that it needs no more room when it appears.

        Raises:
            PlaceError: The draft cannot be written.
        """
        try:
            self.draft().sync()
        except OSError as error:
            raise os_error(error, self.folder) from error

    def discard(self) -> None:
        """Close the draft, which removes it unless it has appeared under its name."""
        if self._draft is not None:
            self._draft.close()
            self._draft = None


@dataclass
class Body:
    """The received body of a request.

    Its fields are those of a form (the last of each name) or of the JSON, in which an `Incoming`
    stands for each document.
    """

    folder: Path  # for its documents: it exists, and is on the file system of the inbox
    limit: int  # most bytes of each document
    fields: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)  # of a form: all values of a name
    documents: list[Incoming] = field(default_factory=list)

    def document(self, name: str = "") -> Incoming:
        """Add the next document, to be written.

        Raises:
            RefusedError: There are too many documents.
        """
        if len(self.documents) == MOST:
            raise RefusedError(
                413, f"more than {MOST} documents at once", hint="Send several requests."
            )
        made = Incoming(self.folder, self.limit)
        made.name = safe_name(name)
        self.documents.append(made)
        return made

    async def decoded(self, told: object, name: object = None) -> Incoming | None:
        """The document of a JSON value; a short string is decoded, a long one already has been."""
        if isinstance(told, str) and told:
            document = self.document()
            sink = _Base64(document)
            await sink.write(told.encode("ascii", "replace"))
            await sink.end()
        elif isinstance(told, Incoming):
            document = told
        else:
            return None
        document.name = safe_name(str(name or "document"))
        return document


@contextlib.asynccontextmanager
async def received(request: Request, folder: Path, limit: int) -> AsyncIterator[Body]:
    """The body of a request; documents that have not appeared by the end are removed.

    Raises:
        RefusedError: The body is malformed or too large.
        PlaceError: A draft cannot be written.
    """
    body = Body(folder, limit)
    try:
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        if kind == b"multipart/form-data":
            await _read_form(request, options, body)
        elif kind == b"application/json":
            await _read_json(request, body)
        else:
            await _read_raw(request, body)
        yield body
    finally:
        for document in body.documents:
            document.discard()


async def small_form(request: Request) -> dict[str, str]:
    """The fields of a form without documents; it is limited, because its sender may be unknown.

    Raises:
        RefusedError: The form is too large.
    """
    sent = bytearray()
    refused = RefusedError(
        413, "the form is larger than any of the page's", hint="Reload the page and try again."
    )
    async for chunk in request.stream():
        sent += chunk
        if len(sent) > _FORM:
            raise refused
    try:
        return dict(parse_qsl(sent.decode("utf-8", "replace"), max_num_fields=_FIELDS))
    except ValueError:  # too many
        raise refused from None


async def _read_raw(request: Request, body: Body) -> None:
    if int(request.headers.get("content-length", "0")) > body.limit:
        raise too_large(body.limit)  # before a client that expects 100 Continue sends any of it
    told = _file_name(request.headers.get("content-disposition", ""))
    document = body.document(request.query_params.get("name") or told or "document")
    async for chunk in request.stream():
        await document.write(chunk)
    if not document.size:
        raise RefusedError(400, "the body is empty", hint="Send the document as the body.")


class _Form:
    """Collects what the push parser reports; documents' data waits in `pending` to be written."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._header = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._text: bytearray | None = None
        self._document: Incoming | None = None
        self._small = 0
        self.whole = False
        self.pending: list[tuple[Incoming, bytes]] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._count(end - start)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count(end - start)

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        headers, self._headers = self._headers, {}
        told = headers.get(b"content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(told)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = _file_name(told)
        if filename is None:
            self._text, self._document = bytearray(), None
            return
        self._text = None
        self._document = self._body.document(filename)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._document is not None:
            self.pending.append((self._document, data[start:end]))
        elif self._text is not None:
            self._count(end - start)
            self._text += data[start:end]

    def _part_end(self) -> None:
        if self._text is not None:
            told = self._text.decode("utf-8", "replace")
            self._body.fields[self._name] = told
            self._body.lists.setdefault(self._name, []).append(told)

    def _end(self) -> None:
        self.whole = True

    def _count(self, small: int) -> None:
        self._small += small
        if self._small > SMALL:
            raise too_large(SMALL)


async def _read_form(request: Request, options: Mapping[bytes, bytes], body: Body) -> None:
    form, why = _Form(body), "its end is missing"
    try:
        parser = MultipartParser(options.get(b"boundary", b""), form.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            for document, data in form.pending:
                await document.write(data)
            form.pending.clear()
    except ValueError as error:  # the parser's own errors are ValueErrors
        form.whole, why = False, str(error)
    if not form.whole:
        raise RefusedError(400, f"the form cannot be read: {why}", hint="Send multipart/form-data.")


async def _read_json(request: Request, body: Body) -> None:
    reader = JsonReader(body)
    async for chunk in request.stream():
        await reader.feed(chunk)
    told = reader.end()
    if not isinstance(told, dict):
        raise RefusedError(400, "the JSON is no object", hint="Send a JSON object.")
    body.fields = told


class JsonReader:
    """A reader of JSON whose long strings are documents in base64: they are streamed to files.

    In the value that `end` returns, an `Incoming` stands for each; `Body.decoded` can make one of a
    short string.  The head of a data URI is removed.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._skeleton = bytearray()
        self._string: bytearray | None = None  # the beginning of the string under way
        self._sink: _Base64 | None = None
        self._escaped = False
        self._mark = secrets.token_hex(16)

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        at = 0
        while at < len(chunk):
            at = await (self._outside(chunk, at) if self._string is None else self._in(chunk, at))

    def end(self) -> Any:
        """The parsed body.

        Raises:
            RefusedError: It is not valid JSON.
        """
        try:
            told = json.loads(self._skeleton)
            json.dumps(told, ensure_ascii=False).encode()  # refuses lone surrogates, too
            return self._filled(told)
        except (ValueError, RecursionError) as error:
            raise RefusedError(
                400, f"the body is no JSON: {error}", hint="Send a JSON object."
            ) from error

    async def _outside(self, chunk: bytes, at: int) -> int:
        quote = chunk.find(b'"', at)
        end = len(chunk) if quote < 0 else quote + 1
        self._keep(chunk[at:end])
        if quote >= 0:
            self._string = bytearray()
        return end

    async def _in(self, chunk: bytes, at: int) -> int:
        """Take the string's part of a chunk; where in the chunk to go on."""
        end = _STRING.match(chunk, at + self._escaped).end()  # type: ignore[union-attr]  # "" fits
        self._escaped = chunk[end:] == b"\\"  # the character that it escapes is in the next chunk
        if end == len(chunk) or self._escaped:
            await self._string_data(chunk[at:])
            return len(chunk)
        await self._string_data(chunk[at:end])
        await self._string_end()
        return end + 1

    async def _string_data(self, data: bytes) -> None:
        if self._sink is not None:
            await self._sink.write(data)
            return
        assert self._string is not None  # noqa: S101 - `_in` is called only within a string
        self._string += data
        if len(self._string) > LONG:
            self._sink = _Base64(self._body.document())
            await self._sink.write(bytes(self._string))

    async def _string_end(self) -> None:
        if self._sink is not None:
            await self._sink.end()
            self._keep(f'{self._mark}{len(self._body.documents) - 1}"'.encode())
        else:
            self._keep(bytes(self._string or b"") + b'"')
        self._string = self._sink = None

    def _keep(self, data: bytes) -> None:
        self._skeleton += data
        if len(self._skeleton) > SMALL:
            raise too_large(SMALL)

    def _filled(self, told: Any) -> Any:
        if isinstance(told, dict):
            return {key: self._filled(value) for key, value in told.items()}
        if isinstance(told, list):
            return [self._filled(value) for value in told]
        if isinstance(told, str) and told.startswith(self._mark):
            return self._body.documents[int(told.removeprefix(self._mark))]
        return told


_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_URI = re.compile(rb"data:([^,]*),", re.IGNORECASE)
_ESCAPED = re.compile(rb"\\u00(2b|2f|3d)", re.IGNORECASE)  # how .NET writes plus, slash, equals
_NOISE = bytes(range(33)) + b"\\"  # white space, and the backslash of an escaped slash


class _Base64:
    """Decodes base64 that arrives in pieces, and writes it to a document."""

    def __init__(self, document: Incoming) -> None:
        self._document = document
        self._cut = b""  # an escape whose end may be in the next piece
        self._rest = b""
        self._begun = False

    async def write(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            data = _URI.sub(b"", data, count=1) if data[:5].lower() == b"data:" else data
        data = self._cut + data
        begins = data.rfind(b"\\", -5)
        self._cut = data[begins:] if begins >= 0 else b""
        await self._take(data[:begins] if begins >= 0 else data)

    async def _take(self, data: bytes) -> None:
        plain = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), data)
        clean = self._rest + plain.translate(None, _NOISE)
        whole = len(clean) // 4 * 4
        self._rest = clean[whole:]
        await self._document.write(_decode(clean[:whole]))

    async def end(self) -> None:
        await self._take(self._cut)
        await self._document.write(_decode(self._rest + b"=" * (-len(self._rest) % 4)))


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text.replace(b"-", b"+").replace(b"_", b"/"), validate=True)
    except binascii.Error as error:
        raise RefusedError(
            400,
            f"a document is no base64: {error}",
            hint="Encode the file's bytes as base64, or send them raw or in a form.",
        ) from error


def too_large(limit: int) -> RefusedError:
    """The error for a body over a limit (in bytes)."""
    return RefusedError(
        413,
        f"the document is larger than {limit // 2**20} MiB",
        hint="Split it, or raise max_upload_mib under [web].",
    )


def _file_name(disposition: str) -> str | None:
    """The file name in a `Content-Disposition`; `filename*` (RFC 6266) takes precedence."""
    if exact := re.search(r"filename\*=utf-8''([^;\s]+)", disposition, re.IGNORECASE):
        return unquote(exact[1])
    plain = parse_options_header(disposition)[1].get(b"filename")
    return None if plain is None else plain.decode("utf-8", "replace")


def safe_name(told: str) -> str:
    """A client's name for a file as one path component, never hidden."""
    name = told.replace("\\", "/").rpartition("/")[2]
    name = "".join(char if char.isprintable() else "_" for char in name).strip().lstrip(".")
    return fit(name, suffix_room=16) or "document"
