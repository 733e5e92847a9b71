"""The program of a child process: it makes calls, one after another, until the daemon is gone.

A *resident* child makes the calls itself and keeps what it loads (models).  Any other child only
starts and imports what is needed; for each scope, that is for each job, it forks a *servant*, which
gives up all rights but the scope's and then opens the hostile files.  The child itself never
touches them: it passes turns on to the servant, and ends in the same way as the servant ended.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import TypeAdapter

from ocrd.children.confine import Confinement, Scope, die_with, start_cpu_budget
from ocrd.children.wire import Slate, adapters, arguments, named
from ocrd.errors import (
    BadFileError,
    Disposition,
    EngineSetupError,
    OcrdError,
    PageError,
    PageFaultError,
    PlaceError,
    SourceChangedError,
)
from ocrd.oserrors import os_error

TURN, RENEW = b"!", b"n"
_ERRORS = {  # the errors that a child may report; all others are for the daemon alone to raise
    known.__name__: known
    for known in (
        OcrdError,
        BadFileError,
        PageError,
        PageFaultError,
        SourceChangedError,
        PlaceError,
        EngineSetupError,
    )
}
_LONGEST = 2000  # characters of a message that are kept
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """A call for a child to make."""

    function: str  # module and name
    args: list[Any]  # plain values, for the types the function declares
    cpu_s: int  # CPU seconds it may take
    scope: Scope  # which files it may use; the same at every call to one servant


@dataclass(frozen=True, slots=True)
class Failure:
    """The error that ended a call: an `OcrdError`, its class by name, and the traceback."""

    error: str
    message: str
    hint: str
    kind: str
    told: str

    def rebuilt(self, scope: Scope) -> OcrdError:
        """The error with harmless text; the path of a `PlaceError` is the scope's."""
        known = _ERRORS.get(self.error, PageFaultError)
        message, hint, kind = map(_harmless, (self.message, self.hint, self.kind))
        error = known(message, hint=hint, kind=kind[:40])
        if isinstance(error, PlaceError):
            error.path = scope.place()
        error.add_note(self.told[-10 * _LONGEST :])
        return error


CALL, FAILURE = TypeAdapter(Call), TypeAdapter(Failure)


def main() -> None:
    """Serve on the socket and the slate whose descriptors are the arguments.

    The first call confines this process and imports what is needed; see `begin`.
    """
    peer, slate = socket.socket(fileno=int(sys.argv[1])), Slate(int(sys.argv[2]))
    confinement = _first(peer, slate)
    if confinement.resident:
        _serve(peer, slate, None)
    else:
        _keep_servants(peer, slate, confinement)


def begin(confinement: Confinement, preload: tuple[str, ...], calls: tuple[str, ...]) -> None:
    """The first call to a child: confine it, import `preload`, and prepare `calls` for later."""
    confinement.apply()
    for module in preload:
        importlib.import_module(module)
    for call in calls:
        adapters(named(call))


def _first(peer: socket.socket, slate: Slate) -> Confinement:
    """Make the first call, and return how this child is confined."""
    if peer.recv(1) != TURN:
        os._exit(0)
    call = CALL.validate_python(slate.read())
    confinement: Confinement = arguments(begin, call.args)[0]
    _answer(call, slate)
    peer.sendall(TURN)
    return confinement


def _keep_servants(peer: socket.socket, slate: Slate, confinement: Confinement) -> None:
    """Pass turns on to a servant, or replace it, as the daemon says."""
    gc.freeze()  # what is loaded so far stays shared with every servant
    servant, inner = 0, peer
    while turn := _next_turn(peer, servant, inner):
        if turn == RENEW:
            if servant:
                inner.close()
                _end(servant)
            servant, inner = _fork_servant(peer, slate, confinement)
        else:
            with contextlib.suppress(ConnectionError):  # it died just now
                inner.sendall(turn)
            if not inner.recv(1):
                _end_as(_end(servant))
        peer.sendall(TURN)
    if servant:
        _end(servant)


def _next_turn(peer: socket.socket, servant: int, inner: socket.socket) -> bytes:
    """The daemon's next byte; if the servant dies (or writes) unasked, both processes end."""
    ready, _, _ = select.select([peer, inner], [], [])
    if servant and inner in ready:
        _end_as(_end(servant))
    return peer.recv(1)


def _fork_servant(
    peer: socket.socket, slate: Slate, confinement: Confinement
) -> tuple[int, socket.socket]:
    """Fork a servant that waits for its first call: its pid, and the socket that passes turns."""
    ours, theirs = socket.socketpair()
    parent, servant = os.getpid(), os.fork()
    if servant == 0:
        die_with(parent)
        peer.close()
        ours.close()
        _serve(theirs, slate, confinement)
        os._exit(0)
    theirs.close()
    return servant, ours


def _serve(peer: socket.socket, slate: Slate, confinement: Confinement | None) -> None:
    """Make calls until the other side is gone; a servant first enters the first call's scope."""
    with contextlib.suppress(ConnectionError):
        while peer.recv(1) == TURN:
            call = CALL.validate_python(slate.read())
            if confinement is not None:
                confinement.enter(call.scope)
                confinement = None
            _answer(call, slate)
            peer.sendall(TURN)


def _end(servant: int) -> int:
    """Kill a servant, and return its status from `waitpid`."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(servant, signal.SIGKILL)
    return os.waitpid(servant, 0)[1]


def _end_as(status: int) -> NoReturn:
    """End by the same signal or exit code as the servant, for the daemon to see."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(max(code, 1))


def _answer(call: Call, slate: Slate) -> None:
    """Make a call; put `[value]` on the slate, or `[None, failure]` for whatever it raises."""
    try:
        function = named(call.function)
        given = arguments(function, call.args)
        start_cpu_budget(call.cpu_s)
        slate.write([function(*given)])
    except Exception as error:
        known = _known(error, call.scope)
        name = next(each.__name__ for each in type(known).__mro__ if each.__name__ in _ERRORS)
        told = "".join(traceback.format_exception(error))
        slate.write([None, Failure(name, known.message, known.hint, known.kind, told)])


def _known(error: Exception, scope: Scope) -> OcrdError:
    """The `OcrdError` for whatever a call raised.

    Most libraries report a file that could not be read as damaged, some by an error of their own.
    So the files are then read once more, plainly, which brings out a fault of the disk or share.
    """
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return PageFaultError(
            "More memory was needed than a child process may use.",
            hint="Allow page workers more memory in the configuration, or scan at fewer dpi.",
            kind="out-of-memory",
        )
    named = isinstance(error, OSError) and error.errno != errno.EINVAL  # EINVAL is not about a name
    if isinstance(error, OSError) and named and scope.concerns(error):
        told = os_error(error, scope.place() or Path())
        if told.kind != "os-error":
            return told
    if isinstance(error, OcrdError) and error.disposition is not Disposition.PERMANENT:
        return error
    unexpected = PageFaultError(
        f"{type(error).__name__}: {error}",
        hint="This is likely a bug in ocrd or in a library it uses: please report it.",
        kind="unexpected",
    )
    return _unreadable(scope) or (error if isinstance(error, OcrdError) else unexpected)


def _unreadable(scope: Scope) -> OcrdError | None:
    """The error if one of the scope's files cannot be read to its end; None if all can be."""
    for path in scope.files():
        try:
            with path.open("rb", buffering=0) as file:
                while file.read(_CHUNK):
                    pass
        except OSError as error:
            return os_error(error, path)
    return None


def _harmless(words: str) -> str:
    """The text as one line of bounded length, without control characters."""
    return "".join(char if char.isprintable() else " " for char in words[:_LONGEST])
