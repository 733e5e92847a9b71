"""A daemon's confined children, forked from the daemon, which has already imported what they need.

A page worker or document builder spends most of a second of CPU on its imports, more than all the
rest of a test with a page or two.  What it then does, how it is confined and how it ends with its
daemon are the same as ever.  In production it is a new interpreter: that is covered by
tests/unit/children and by the tests that start `ocrd run`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from ocrd.children import child, process
from ocrd.children.wire import adapters
from ocrd.document import pile
from ocrd.pages import work

for call in (work.inspect, work.page, work.own_text, pile.build):
    adapters(call)


class Fork:
    """A forked child, with the methods of `subprocess.Popen` that ocrd uses."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._reaping = threading.Lock()
        self._code: int | None = None

    def poll(self) -> int | None:
        with self._reaping:
            if self._code is None:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float = float("inf")) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("a child", timeout)
            time.sleep(0.002)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)


def fork_children(put: Callable[[object, str, object], None] = setattr) -> None:
    """Make this process fork its children; pytest's `setattr` as `put` undoes that after a test."""
    put(process, "_spawn", _spawn)


def _spawn(passed: tuple[int, int], _threads: int | None) -> Fork:
    pid = os.fork()
    if pid == 0:
        try:
            _become(passed)
        finally:
            os._exit(1)
    return Fork(pid)


def _become(passed: tuple[int, int]) -> None:
    """Run as a child; the daemon's files are closed, so that the child holds none of its locks."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    first, last = sorted(passed)
    for start, end in ((3, first), (first + 1, last), (last + 1, os.sysconf("SC_OPEN_MAX"))):
        os.closerange(start, end)
    sys.argv = ["child", *map(str, passed)]
    child.main()
    os._exit(0)
