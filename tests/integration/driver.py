"""A daemon in a process of its own, for tests that kill it.

    python -m tests.integration.driver CONFIG DIARY [--kill-before N] [--engine-delay S]
        [--engine-start S] [--engine-gate FILE] [--engine-first N] [--forever]

The diary has a line for each page that the engine was asked for and each that was finished, so that
a test can see whether a finished page was computed again.  `--kill-before N` kills the process with
SIGKILL before its Nth disk call that writes.  With `--engine-gate FILE` only the first pages, as
many as `--engine-first` says, are answered until FILE exists: what a test does before it creates
FILE is then certain to come first.  What a daemon looks at every now and then, this one looks at
more often.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ocrd.config import load
from ocrd.daemon import daemon, retries, scheduler, status
from ocrd.daemon.daemon import Daemon
from ocrd.engine.base import EngineState, PageRequest
from ocrd.errors import ExitCode, OcrdError
from ocrd.events import Event, Events
from ocrd.files import Disk
from ocrd.inbox import watcher
from ocrd.observe.log import log_sink
from ocrd.page import Block, PageResult
from tests.support.forked_children import fork_children
from tests.support.printed import blocks_of, lines_on
from tests.unit.engine.fake import FakeEngine

WRITES = frozenset(
    {
        "rename_exclusive",
        "rename",
        "link",
        "unlink",
        "rmdir",
        "mkdir",
        "create",
        "write",
        "append",
        "copy",
        "fsync_file",
        "fsync_dir",
    }
)


OFTENER = 5
PERIODS = (
    (daemon, "HOLD_S"),
    (daemon, "STUCK_S"),
    (retries, "FIRST_DELAY_S"),
    (scheduler, "POLL_S"),
    (status, "EVERY_S"),
    (watcher, "ROOT_LOOK_S"),
)
HOLD_S = daemon.HOLD_S / OFTENER


class Diary:
    """Lines that survive a SIGKILL: each is a single write to a file opened for appending."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def close(self) -> None:
        os.close(self._file)

    def note(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def __call__(self, event: Event) -> None:
        if event.name in ("page.done", "page.partial") and not event.fields["reused"]:
            self.note("finished", event.fields["job"], event.fields["page"])


class DiaryEngine(FakeEngine):
    """Takes a moment for a page; its text is what is `printed` on it, or a name for its pixels."""

    def __init__(
        self,
        diary: Diary,
        delay_s: float,
        start_s: float,
        gate: Path | None = None,
        first: int = 0,
    ) -> None:
        super().__init__(workers=3, delay_s=delay_s)
        self._diary = diary
        self._start_s = start_s
        self._gate = gate
        self._first = first

    async def start(self, progress: Callable[[str], None]) -> None:
        self._state = EngineState.LOADING
        await asyncio.sleep(self._start_s)
        self._state = EngineState.READY

    async def recognise(self, request: PageRequest) -> PageResult:
        job, page, _ = request.id.split("-", 2)
        self._diary.note("asked", job, page)
        await asyncio.sleep(self._delay_s)
        self._first -= 1
        while self._gate and self._first < 0 and not self._gate.exists():  # noqa: ASYNC110 - another process creates it
            await asyncio.sleep(0.02)
        lines = lines_on(request.image)
        named = f"page {hashlib.sha256(request.image.rgb).hexdigest()[:16]}"
        return PageResult(
            text="\n".join(line.text for line in lines) or named,
            blocks=blocks_of(lines) or (Block("text", named),),
            output_tokens=4,
            seconds=self._delay_s,
            lines=tuple(lines),
        )


class DeadlyDisk(Disk):
    """Kills the process before the Nth call that writes."""

    def __init__(self, fatal: int) -> None:
        super().__init__()
        self.calls = 0
        self._fatal = fatal

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in WRITES:
            self.calls += 1
            if self.calls == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return found


async def live(
    config: Path, diary: Diary, engine: DiaryEngine, disk: DeadlyDisk, *, once: bool
) -> ExitCode:
    events = Events(log_sink("plain", "info", sys.stderr), diary)
    code = await Daemon(load(config), events, once=once, engine=engine, disk=disk).run()
    diary.note("calls", disk.calls)
    return code


def main(words: Sequence[str] | None = None) -> int:
    """Run with these command-line arguments; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("diary", type=Path)
    parser.add_argument("--kill-before", type=int, default=0)
    parser.add_argument("--engine-delay", type=float, default=0.02)
    parser.add_argument("--engine-start", type=float, default=0.0)
    parser.add_argument("--engine-gate", type=Path)
    parser.add_argument("--engine-first", type=int, default=0)
    parser.add_argument("--forever", action="store_true")
    given = parser.parse_args(words)
    fork_children()
    for module, period in PERIODS:
        setattr(module, period, getattr(module, period) / OFTENER)
    diary = Diary(given.diary)
    disk = DeadlyDisk(given.kill_before)
    engine = DiaryEngine(
        diary, given.engine_delay, given.engine_start, given.engine_gate, given.engine_first
    )
    work = live(given.config, diary, engine, disk, once=not given.forever)
    try:
        return asyncio.run(work)
    except OcrdError as error:
        print(f"{error.kind}: {error.message}\n{error.hint}", file=sys.stderr)
        return error.exit_code
    finally:
        diary.close()


if __name__ == "__main__":
    sys.exit(main())
