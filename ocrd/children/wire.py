"""Messages between the daemon and a child: plain data, nothing executable.

Messages are written to a *slate*, a file in memory that both sides have open and use in turn; a
socket passes the turn, and its end shows that the other side is gone.  (A page of 6 MB costs the
daemon some 8 ms of CPU through a socket or pipe, about 2 through the slate.)

The daemon trusts nothing that a child sends, because a hostile file may have taken it over.  A
message is msgpack; it is checked field by field against the types that the called function
declares, and rejected if it does not fit.  No answer names a file for the daemon to act on.
"""

from __future__ import annotations

import asyncio
import ctypes
import enum
import fcntl
import functools
import inspect
import os
import pkgutil
import threading
import typing
from collections.abc import Callable, Mapping, Set
from pathlib import PurePath
from typing import Any

import msgpack
from pydantic import TypeAdapter, ValidationError

from ocrd.files import write_all

SLATE_MIB = 256  # more than any page image
_SIZE = SLATE_MIB << 20
_HEAD = 4  # bytes for the length of the msgpack
_MOST = 16 << 20  # bytes of msgpack: if hostile, it takes some 70 times as much once unpacked
_LARGE = 1 << 12  # bytes: such a field stays outside the msgpack, and is copied only once
_OUTSIDE = 1  # msgpack's extension code for the placeholder of such a field
_SMALL = 1 << 16  # bytes: less is read faster than it is handed to a thread
_PUNCH_HOLE_KEEP_SIZE = 3

_libc = ctypes.CDLL(None, use_errno=True)


class BadAnswerError(Exception):
    """A child sent an answer that is not valid."""


class Slate:
    """A file in memory, of fixed size.  The caller passes its descriptor on to the child."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("ocrd-slate", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(descriptor, _SIZE)
            seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        self._file = open(descriptor, "r+b", buffering=0)  # noqa: PTH123, SIM115 - a descriptor
        self._reading = threading.Lock()

    def fileno(self) -> int:
        """The file's descriptor."""
        return self._file.fileno()

    def write(self, message: object) -> None:
        """Write a message: plain values, paths, enumerations, and dataclasses of these.

        Raises:
            OSError: There is no memory for it.
            TypeError, ValueError, OverflowError: It holds anything else, or is too large.
        """
        outside: list[bytes] = []
        packed = msgpack.packb(
            message,
            default=functools.partial(_plain, outside=outside),
            unicode_errors="surrogatepass",
        )
        if len(packed) > _MOST or len(packed) + sum(map(len, outside)) > _SIZE - _HEAD:
            raise ValueError("the value is too large to be sent")
        self._file.seek(0)
        for part in (len(packed).to_bytes(_HEAD, "big"), packed, *outside):
            write_all(self.fileno(), part)

    def read(self) -> Any:
        """The message from the other side, as plain values; its memory is freed.

        Raises:
            BadAnswerError: It is not a valid message.
        """
        with self._reading:
            try:
                self._file.seek(0)
                length = int.from_bytes(self._file.read(_HEAD), "big")
                if length > _MOST:
                    raise BadAnswerError("it is too large")
                return msgpack.unpackb(
                    self._file.read(length),
                    ext_hook=self._from_outside,
                    unicode_errors="surrogatepass",
                )
            except (ValueError, msgpack.UnpackException) as error:
                raise BadAnswerError(f"{type(error).__name__}: {error}") from error
            finally:
                whole = ctypes.c_int64(0), ctypes.c_int64(_SIZE)
                _libc.fallocate(self.fileno(), _PUNCH_HOLE_KEEP_SIZE, *whole)

    def _from_outside(self, code: int, told: bytes) -> bytes:
        """The bytes of the next field that was left out; they follow the msgpack in its order."""
        length = int.from_bytes(told, "big")
        if code != _OUTSIDE or length > _SIZE - self._file.tell():
            raise BadAnswerError("it announces more than there is")
        return self._file.read(length)

    async def read_patiently(self) -> Any:
        """As `read`; pixels of a page are copied outside the event loop, and without the GIL."""
        if os.fstat(self.fileno()).st_blocks * 512 < _SMALL:
            return self.read()
        return await asyncio.to_thread(self.read)

    def close(self) -> None:
        """Close the descriptor, once no thread reads from it any more."""
        with self._reading:
            self._file.close()


def name_of(function: Callable[..., object]) -> str:
    """The name by which a function is sent to a child."""
    return f"{function.__module__}:{function.__qualname__}"


@functools.cache
def named(name: str) -> Callable[..., object]:
    """The inverse of `name_of`."""
    return typing.cast("Callable[..., object]", pkgutil.resolve_name(name))


def arguments(function: Callable[..., object], given: list[Any]) -> list[Any]:
    """Plain values converted to the types that a function declares for its parameters.

    Raises:
        ValueError: They do not fit.
    """
    return [
        adapter.validate_python(value)
        for adapter, value in zip(adapters(function)[:-1], given, strict=True)
    ]


def answer(function: Callable[..., object], given: Any) -> Any:
    """A plain value converted to the type that a function declares to return.

    Raises:
        BadAnswerError: It does not fit.
    """
    return fitted(adapters(function)[-1], given)


def fitted(adapter: TypeAdapter[Any], given: Any) -> Any:
    """As `answer`, for any type."""
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "value"
        raise BadAnswerError(f"{place}: {first['msg']}") from None


@functools.cache
def adapters(function: Callable[..., object]) -> list[TypeAdapter[Any]]:
    """The validators of a function's parameters, followed by that of its return value.

    Cached, because analysing a function takes longer than many a call.
    """
    hints = typing.get_type_hints(function)
    names = [*inspect.signature(function).parameters, "return"]
    return [TypeAdapter(hints[name]) for name in names]


def _plain(value: object, outside: list[bytes]) -> object:
    """A value in types that msgpack knows."""
    if fields := getattr(value, "__dataclass_fields__", None):  # `fields()` takes ten times as long
        return {name: _apart(getattr(value, name), outside) for name in fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, PurePath):
        return os.fspath(value)
    if isinstance(value, Set):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain data")


def _apart(value: object, outside: list[bytes]) -> object:
    """A field; if it is `_LARGE` bytes, a placeholder, with the bytes added to `outside`."""
    if not isinstance(value, bytes) or len(value) < _LARGE:
        return value
    outside.append(value)
    return msgpack.ExtType(_OUTSIDE, len(value).to_bytes(8, "big"))
