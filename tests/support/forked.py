"""Processes that start instantly: forked from a server that has imported what they need.

A daemon spends a second and a half of CPU on its imports, most of what a test with a daemon costs.
Here multiprocessing's fork server imports everything once for a whole test run.  It has no threads
and no state of any test; each process that it forks has its own pid, memory and signals, and can be
killed like any other.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from ocrd.cli.main import main

Program = Callable[[Sequence[str]], int | None]

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "tests.support.no_garbage",
        *("ocrd.cli.run", "ocrd.observe.sinks", "ocrd.web.app", "tests.integration.driver"),
        *("uvicorn", "alembic.command", "ocrd.engine.rapid.engine"),  # imported while running
        *("ocrd.imaging", "ocrd.pages.pdf", "zxingcpp"),  # what a daemon's children need
    ]
)


def run_ocrd(words: Sequence[str]) -> None:
    """The program `ocrd WORDS`, for `Forked`."""
    sys.argv = ["ocrd", *words]
    main()


class Forked:
    """A program in its own process, with the methods of `subprocess.Popen` that tests use.

    Args:
        program: A module-level function, which returns the exit code.
        words: Its command-line arguments.
        output: File that its stdout and stderr are appended to; they are discarded if it is None.
    """

    def __init__(
        self,
        program: Program,
        *words: str,
        output: Path | None = None,
    ) -> None:
        told = str(output or os.devnull)
        self._process = _SERVER.Process(
            target=_begin, args=(program, words, dict(os.environ), told), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """As in `subprocess`: None while it runs, -N after signal N."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()


def _begin(
    program: Program,
    words: Sequence[str],
    environment: dict[str, str],
    output: str,
) -> None:
    gc.freeze()
    gc.enable()
    os.environ.clear()
    os.environ.update(environment)
    told = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(told, sys.stdout.fileno())
    os.dup2(told, sys.stderr.fileno())
    os.close(told)
    sys.exit(program(words))
