"""Request bodies that stream into files of ours: never a document in memory, never twice on disk.

A document comes raw, as a part of a form, or as base64 in a JSON string.  In every case its bytes
go, as they arrive, into a hidden file beside their place in the inbox; the rest of the body is
small and stays in memory.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request
from python_multipart.multipart import MultipartParser, parse_options_header

from ocrd.errors import OcrdError
from ocrd.files import blaming, display, open_regular, os_error
from ocrd.names import fit

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

LONG = 4096  # characters of a JSON string from which on it is taken for a document
SMALL = 1 << 20  # bytes that a body may have besides its documents
_FLUSH = 1 << 20
_COPIED_AT_ONCE = 1 << 30
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class BodyError(OcrdError):
    """A body that cannot be taken.

    Args:
        status: 400 malformed, 413 too large, 415 of a wrong type, 422 lacks something.
    """

    kind = "body"

    def __init__(self, status: int, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Incoming:
    """A document on its way in, hidden in the folder where it will appear.

    Args:
        folder: A folder that exists, on the file system of the inbox.
        limit: Bytes it may have at most.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.name = ""
        self.size = 0
        self.path = folder / f".ocrd-{secrets.token_hex(8)}.part"
        self._limit = limit
        self._waiting: list[bytes] = []
        self._held = 0
        self._digest = hashlib.sha256()
        self._fd = -1

    @property
    def sha256(self) -> str:
        """Hex digest of what has come."""
        return self._digest.hexdigest()

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            BodyError: It is larger than it may be.
            PlaceError: The disk does not take it.
        """
        self.size += len(chunk)
        if self.size > self._limit:
            raise too_large(self._limit)
        self._waiting.append(chunk)
        self._held += len(chunk)
        if self._held >= _FLUSH:
            await self._flush()

    async def close(self) -> None:
        """All has come: it is on the disk."""
        if self._fd >= 0 or self._waiting:
            await self._flush(last=True)

    async def _flush(self, *, last: bool = False) -> None:
        chunks, self._waiting, self._held = self._waiting, [], 0
        await asyncio.to_thread(self._store, chunks, last)

    def _store(self, chunks: list[bytes], last: bool) -> None:
        try:
            if self._fd < 0:
                self._fd = os.open(self.path, _CREATE, 0o640)
            for chunk in chunks:
                self._digest.update(chunk)
                left = memoryview(chunk)
                while left:
                    left = left[os.write(self._fd, left) :]
            if last:
                os.fsync(self._fd)
                os.close(self._fd)
                self._fd = -1
        except OSError as error:
            raise os_error(error, self.path) from error

    def copy_from(self, held: Path) -> None:
        """Be a copy of a file that came before; file systems that can share its blocks.

        Raises:
            PlaceError: That file is gone, or the disk does not take another.
        """
        with blaming(held), open_regular(held) as source:
            self._fd = os.open(self.path, _CREATE, 0o640)
            while copied := os.copy_file_range(source.fileno(), self._fd, _COPIED_AT_ONCE):
                self.size += copied
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Leave nothing behind, unless it has been placed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


@dataclass
class Body:
    """What a request has brought.

    Attributes:
        fields: A form's fields (the last of a name), or what the JSON says.
        lists: A form's fields, all of a name.
        documents: The documents, in order.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    documents: list[Incoming] = field(default_factory=list)

    def discard(self) -> None:
        """Leave nothing of it behind."""
        for document in self.documents:
            document.discard()


Open = Callable[[Mapping[str, Any]], Incoming]
"""Makes room for a document, told what the body has said so far."""


@contextlib.asynccontextmanager
async def received(request: Request, open_file: Open) -> AsyncIterator[Body]:
    """The body of a request; what was not placed by the end is removed.

    Raises:
        BodyError: It cannot be taken.
        PlaceError: The disk does not take it.
    """
    body = Body()
    try:
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        if kind == b"multipart/form-data":
            await _read_form(request, options, body, open_file)
        elif kind == b"application/json":
            await _read_json(request, body, open_file)
        else:
            await _read_raw(request, body, open_file)
        for document in body.documents:
            await document.close()
        yield body
    finally:
        body.discard()


async def _read_raw(request: Request, body: Body, open_file: Open) -> None:
    document = open_file({})
    document.name = safe_name(_raw_name(request))
    body.documents.append(document)
    async for chunk in request.stream():
        await document.write(chunk)
    if not document.size:
        raise BodyError(400, "the body is empty", hint="Send the document as the body.")


def _raw_name(request: Request) -> str:
    _, options = parse_options_header(request.headers.get("content-disposition", ""))
    told = options.get(b"filename", b"").decode("utf-8", "replace")
    return request.query_params.get("name") or told or "document"


class _Form:
    """Collects what the push parser tells; data waits here until it is written."""

    def __init__(self, body: Body, open_file: Open) -> None:
        self._body = body
        self._open = open_file
        self._header = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._text: bytearray | None = None
        self._document: Incoming | None = None
        self._small = 0
        self.pending: list[tuple[Incoming, bytes]] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        if filename is None:
            self._text, self._document = bytearray(), None
            return
        self._text = None
        self._document = self._open(self._body.fields)
        self._document.name = safe_name(filename.decode("utf-8", "replace"))
        self._body.documents.append(self._document)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._document is not None:
            self.pending.append((self._document, data[start:end]))
        elif self._text is not None:
            self._small += end - start
            if self._small > SMALL:
                raise too_large(SMALL)
            self._text += data[start:end]

    def _end(self) -> None:
        if self._text is not None:
            told = self._text.decode("utf-8", "replace")
            self._body.fields[self._name] = told
            self._body.lists.setdefault(self._name, []).append(told)


async def _read_form(
    request: Request, options: Mapping[bytes, bytes], body: Body, open_file: Open
) -> None:
    form = _Form(body, open_file)
    try:
        parser = MultipartParser(options.get(b"boundary", b""), form.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            for document, data in form.pending:
                await document.write(data)
            form.pending.clear()
        parser.finalize()
    except ValueError as error:  # the parser's own errors are such
        raise BodyError(
            400, f"the form cannot be read: {error}", hint="Send multipart/form-data."
        ) from error


async def _read_json(request: Request, body: Body, open_file: Open) -> None:
    reader = JsonReader(open_file)
    try:
        async for chunk in request.stream():
            await reader.feed(chunk)
        told = reader.end()
    finally:
        body.documents += reader.documents
    if not isinstance(told, dict):
        raise BodyError(400, "the JSON is no object", hint="Send a JSON object.")
    body.fields = told


class JsonReader:
    """JSON whose long strings are documents in base64: those go to files, the rest is parsed.

    In what `end` returns an `Incoming` stands in the place of each; short strings in base64 can be
    made one by `decoded`.  A data URI's head is taken off.

    Args:
        open_file: Makes room for a document.
    """

    def __init__(self, open_file: Open) -> None:
        self.documents: list[Incoming] = []
        self._open = open_file
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
        """What the body says.

        Raises:
            BodyError: It is no JSON.
        """
        try:
            told = json.loads(self._skeleton)
        except (ValueError, RecursionError) as error:
            raise BodyError(
                400, f"the body is no JSON: {error}", hint="Send a JSON object."
            ) from error
        return self._filled(told)

    async def _outside(self, chunk: bytes, at: int) -> int:
        quote = chunk.find(b'"', at)
        end = len(chunk) if quote < 0 else quote + 1
        self._keep(chunk[at:end])
        if quote >= 0:
            self._string = bytearray()
        return end

    async def _in(self, chunk: bytes, at: int) -> int:
        """Up to the end of the string, or of the chunk."""
        end = at
        while end < len(chunk):
            if self._escaped:
                self._escaped = False
                end += 1
                continue
            found = _STRING_STOP.search(chunk, end)
            if found is None:
                end = len(chunk)
            elif found[0] == b"\\":
                self._escaped = True
                end = found.end()
            else:
                await self._string_data(chunk[at : found.start()])
                await self._string_end()
                return found.end()
        await self._string_data(chunk[at:end])
        return end

    async def _string_data(self, data: bytes) -> None:
        if self._sink is not None:
            await self._sink.write(data)
            return
        assert self._string is not None  # noqa: S101 - `_in` is called within one alone
        self._string += data
        if len(self._string) > LONG:
            document = self._open({})
            self.documents.append(document)
            self._sink = _Base64(document)
            await self._sink.write(bytes(self._string))

    async def _string_end(self) -> None:
        if self._sink is not None:
            await self._sink.end()
            self._keep(f'{self._mark}{len(self.documents) - 1}"'.encode())
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
            return self.documents[int(told.removeprefix(self._mark))]
        return told


_STRING_STOP = re.compile(rb'["\\]')
_URI = re.compile(rb"data:([^,]*),", re.IGNORECASE)
_NOISE = bytes(range(33)) + b"\\"  # white space, and the backslash of an escaped slash


class _Base64:
    """Decodes what comes, in pieces, into a document."""

    def __init__(self, document: Incoming) -> None:
        self._document = document
        self._rest = b""
        self._begun = False

    async def write(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            data = _URI.sub(b"", data, count=1) if data[:5].lower() == b"data:" else data
        clean = self._rest + data.translate(None, _NOISE)
        whole = len(clean) // 4 * 4
        self._rest = clean[whole:]
        await self._document.write(_decode(clean[:whole]))

    async def end(self) -> None:
        await self._document.write(_decode(self._rest + b"=" * (-len(self._rest) % 4)))


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text.replace(b"-", b"+").replace(b"_", b"/"), validate=True)
    except binascii.Error as error:
        raise BodyError(
            400,
            f"a document is no base64: {error}",
            hint="Encode the file's bytes as base64, or send them raw or in a form.",
        ) from error


async def decoded(told: object, body: Body, open_file: Open) -> Incoming | None:
    """The document that a JSON value is: a long string already is one, a short one is made one."""
    if isinstance(told, Incoming):
        return told
    if not isinstance(told, str) or not told:
        return None
    document = open_file({})
    body.documents.append(document)
    sink = _Base64(document)
    await sink.write(told.encode())
    await sink.end()
    await document.close()
    return document


def too_large(limit: int) -> BodyError:
    """A body is over a limit."""
    return BodyError(
        413,
        f"the document is larger than {limit // 2**20} MiB",
        hint="Split it, or raise max_upload_mib under [web].",
    )


def safe_name(told: str) -> str:
    """A client's name for a file as one path component, never hidden."""
    name = told.replace("\\", "/").rpartition("/")[2]
    name = "".join(char if char.isprintable() else "_" for char in name).strip().lstrip(".")
    return fit(name, suffix_room=16) or "document"


def shown(document: Incoming) -> str:
    """A document's name for a message."""
    return display(document.name)
