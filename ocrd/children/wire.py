"""What goes between the daemon and a child.

Messages are pickles on a *slate*, a file in memory that both have open and write on in turn; a
socket says whose turn it is, and by its end that the other has gone.  (A page of 6 MB through a
socket or pipe costs the daemon some 8 ms of CPU, over the slate about 2.)

The daemon believes nothing that a child says, for a hostile file may have taken it over: an answer
may hold plain values, and dataclasses, enumerations and errors of this package; nothing else is
even looked up, so an answer cannot run code.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import io
import os
import pickle
import socket
import sys
import threading
from typing import Any

from ocrd import errors

_YOUR_TURN = b"!"
_PACKAGE = "ocrd"
_SMALL = 1 << 16  # bytes: read sooner than handed to a thread


class BadAnswerError(Exception):
    """A child sent what no child of ours sends."""


class Slate:
    """A file in memory.  The descriptor is the caller's to pass on and to `close`."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("ocrd-slate")
        self._file = io.FileIO(descriptor, "r+")
        self._reading = threading.Lock()

    def fileno(self) -> int:
        """Its descriptor."""
        return self._file.fileno()

    def write(self, message: object) -> None:
        """Put a message on it.

        Raises:
            OSError: There is no room.
            pickle.PicklingError, TypeError, AttributeError: It cannot be pickled.
        """
        self._file.seek(0)
        _ByValue(self._file, protocol=pickle.HIGHEST_PROTOCOL).dump(message)

    def read_trusting(self) -> Any:
        """What the daemon wrote: it may tell a child what to do."""
        self._file.seek(0)
        return pickle.load(self._file)  # noqa: S301 - only children call this

    async def read_answer(self) -> Any:
        """As `read_wary`; a page's pixels are copied off the event loop, and without the GIL."""
        if os.fstat(self.fileno()).st_size < _SMALL:
            return self.read_wary()
        return await asyncio.to_thread(self.read_wary)

    def read_wary(self) -> Any:
        """What a child wrote; the memory is given back.

        Raises:
            BadAnswerError: It holds anything but data, or is no pickle at all.
        """
        with self._reading:
            try:
                self._file.seek(0)
                return _DataOnly(self._file).load()
            except Exception as error:  # whatever a forged pickle makes the unpickler stumble over
                raise BadAnswerError(f"{type(error).__name__}: {error}") from error
            finally:
                if not self._file.closed:
                    self._file.truncate(0)

    def close(self) -> None:
        """Give the descriptor back, once nobody reads from it any more."""
        with self._reading:
            self._file.close()


def pass_turn(peer: socket.socket) -> None:
    """Tell the daemon that the slate holds an answer (the child's side)."""
    peer.sendall(_YOUR_TURN)


def await_turn(peer: socket.socket) -> bool:
    """Wait for a call (the child's side); false when the daemon has gone."""
    return peer.recv(1) == _YOUR_TURN


async def take_turns(peer: socket.socket) -> None:
    """Tell the child that the slate holds a call, and wait for its answer (the daemon's side).

    Raises:
        EOFError: The child has gone.
    """
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(peer, _YOUR_TURN)
        answer = await loop.sock_recv(peer, 1)
    except ConnectionError as error:
        raise EOFError from error
    if answer != _YOUR_TURN:
        raise EOFError


class _ByValue(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """An enumeration's member as class and value: Python 3.11.2 would say `getattr`."""
        if isinstance(value, enum.Enum):
            return type(value), (value.value,)
        return NotImplemented


class _DataOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The class of that name if it is this package's own kind of data."""
        ours = module == _PACKAGE or module.startswith(f"{_PACKAGE}.")
        found = vars(sys.modules[module]).get(name) if ours and module in sys.modules else None
        if _is_data(found) or found is errors._rebuild:
            return found
        raise BadAnswerError(f"{module}.{name} is not data")


def _is_data(found: object) -> bool:
    if not isinstance(found, type):
        return False
    return dataclasses.is_dataclass(found) or issubclass(found, (enum.Enum, errors.OcrdError))
