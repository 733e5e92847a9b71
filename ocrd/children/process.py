"""One child process, as the daemon sees it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

from ocrd.children.child import FAILURE, RENEW, TURN, Call, Failure
from ocrd.children.confine import Scope
from ocrd.children.wire import BadAnswerError, Slate, answer, fitted, name_of

T = TypeVar("T")

_MAIN = "from ocrd.children.child import main; main()"
_LAST_WORDS_S = 2.0  # seconds for a child to end once it has closed its connection

_KEPT = frozenset({"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ"})
_THREADS = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Child:
    """A process that makes calls for us, one at a time.

    It is a new interpreter, not a fork of the daemon, which has threads, secrets in its
    environment and an address space whose layout a crash would give away.

    Raises:
        OSError: It could not be started.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self.served = 0
        self.scope: Scope | None = None  # of the calls it makes now
        self._slate = Slate()
        self._peer, theirs = socket.socketpair()
        self._peer.setblocking(False)
        try:
            with theirs:
                self._process = _spawn((theirs.fileno(), self._slate.fileno()), threads)
        except BaseException:
            self.close()
            raise

    async def renew(self) -> None:
        """Have the next call made by a new servant, confined to that call's scope.

        Raises:
            EOFError: The child died, as when no more processes can be started.
        """
        self.scope = None
        await self._take_turns(RENEW)

    async def call(
        self, function: Callable[..., T], args: Sequence[object], *, cpu_s: int, scope: Scope
    ) -> T | Failure:
        """Have the child call `function(*args)`, within `cpu_s` seconds of CPU time.

        Raises:
            EOFError: The child died.
            BadAnswerError: Its answer is not valid; a hostile file may have taken it over.
            OSError, TypeError, ValueError: The arguments cannot be sent.
        """
        self.served += 1
        self.scope = scope
        self._slate.write(Call(name_of(function), list(args), cpu_s, scope))
        await self._take_turns(TURN)
        told = await self._slate.read_patiently()
        if not isinstance(told, list) or len(told) not in (1, 2):
            raise BadAnswerError("it is neither a value nor a failure")
        if len(told) == 2:
            return cast(Failure, fitted(FAILURE, told[1]))
        return cast(T, answer(function, told[0]))

    async def _take_turns(self, turn: bytes) -> None:
        """Give the child its turn with the slate, and wait for our next turn."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._peer, turn)
            told = await loop.sock_recv(self._peer, 1)
        except ConnectionError as error:
            raise EOFError from error
        if told != TURN:
            raise EOFError

    def alive(self) -> bool:
        """Whether the process is still running."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process immediately, whatever it is doing."""
        self._process.kill()

    def reap(self) -> int:
        """Wait for the process to end, and return its exit code, -N for signal N.

        A child that closed its connection but does not end soon is killed.
        """
        try:
            return self._process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()

    def close(self) -> None:
        """Close the socket and the slate.  Not while a call is in flight."""
        self._peer.close()
        self._slate.close()


def _spawn(passed: tuple[int, int], threads: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-c", _MAIN, *map(str, passed)],
        pass_fds=passed,
        env=_environment(os.environ, threads),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the daemon's is for data
        stderr=subprocess.DEVNULL,  # libraries print what a file makes them print
        start_new_session=True,  # Ctrl-C is the daemon's to handle
    )


def _environment(ours: Mapping[str, str], threads: int | None) -> dict[str, str]:
    """A child's environment: no secrets, no NOTIFY_SOCKET, the same modules as the daemon."""
    kept = {name: ours[name] for name in ours if name in _KEPT or name.startswith("LC_")}
    kept["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    kept["MALLOC_ARENA_MAX"] = "2"  # each arena takes 64 MiB of the address space
    if threads is not None:
        kept.update(dict.fromkeys(_THREADS, str(threads)))
    return kept
