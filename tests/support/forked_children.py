"""A daemon's confined children, forked from the daemon itself, which has imported what they need.

A page worker or document builder spends most of a second of CPU on its imports: more than all
else that a test with a page or two makes of the machine.  What it does then, how it is confined
and how it ends with its daemon are as ever.  That in life it is a new interpreter is for
tests/unit/children to show, and for the tests that start `ocrd run`.
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
    """A process of ours; as much of `subprocess.Popen` as is used of it."""

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
    """From now on this process forks its children; `put` may be pytest's, which undoes it."""
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
    """Nothing of the daemon's stays open: its locks are no child's to hold."""
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
