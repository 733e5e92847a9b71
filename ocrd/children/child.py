"""What runs in a child: calls, one after another, until the daemon goes."""

from __future__ import annotations

import errno
import importlib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocrd.children.confine import Confinement, start_cpu_budget
from ocrd.children.wire import Slate, await_turn, pass_turn
from ocrd.errors import OcrdError, PageFaultError
from ocrd.files import os_error

_OF_THE_SYSTEM = (  # never a file's own fault
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.ETIMEDOUT,
)


@dataclass(frozen=True, slots=True)
class Call:
    """A call to make; `function` travels as module and name."""

    function: Callable[..., object]
    args: tuple[object, ...]
    cpu_s: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a call."""

    value: object = None
    error: OcrdError | None = None
    told: str = ""  # the traceback, for the log


def main() -> None:
    """Serve on the socket and the slate whose descriptors are the arguments."""
    peer = socket.socket(fileno=int(sys.argv[1]))
    slate = Slate(int(sys.argv[2]))
    while await_turn(peer):
        _answer(slate)
        pass_turn(peer)


def begin(confinement: Confinement, preload: Sequence[str]) -> None:
    """The first call to a child: confine yourself, import what you need."""
    confinement.apply()
    for module in preload:
        importlib.import_module(module)


def _answer(slate: Slate) -> None:
    """Make the call on the slate; whatever it raises becomes an error that the daemon knows."""
    try:
        call: Call = slate.read_trusting()
        start_cpu_budget(call.cpu_s)
        slate.write(Answer(call.function(*call.args)))
    except Exception as error:
        slate.write(_failure(error))


def _failure(error: BaseException) -> Answer:
    told = "".join(traceback.format_exception(error))
    if isinstance(error, OcrdError):
        return Answer(error=error, told=told)
    if isinstance(error, MemoryError):
        return Answer(error=out_of_memory(), told=told)
    fault = disk_fault(error)
    return Answer(
        error=os_error(fault, Path("the spool")) if fault else unexpected(error), told=told
    )


def disk_fault(error: BaseException | None) -> OSError | None:
    """What the disk (or the share, or the system) answered, whatever has become of its words.

    Libraries in C wrap it, and tell of a full disk in words only.
    """
    told = str(error)
    while error is not None:
        if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
            return error
        error = error.__cause__ or error.__context__
    for number in _OF_THE_SYSTEM:
        if os.strerror(number) in told:
            return OSError(number, os.strerror(number))
    return None


def out_of_memory() -> PageFaultError:
    """The call needed more than the child's limit."""
    return PageFaultError(
        "More memory was needed than a child process may use.",
        hint="Allow page workers more memory in the configuration, or scan at fewer dpi.",
        kind="out-of-memory",
    )


def unexpected(error: BaseException) -> PageFaultError:
    """The call raised what nobody foresaw."""
    return PageFaultError(
        f"{type(error).__name__}: {error}",
        hint="This is likely a bug in ocrd or in a library it uses: please report it.",
        kind="unexpected",
    )
