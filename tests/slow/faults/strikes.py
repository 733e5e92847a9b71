"""Real faults that begin and end, and a plan of when each strikes; the seed decides."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

from tests.slow.faults.evidence import files_below

KILL = "daemon killed"
LONGEST_S = 4.0  # how long a fault lasts at most
_HOLD = """\
import sqlite3, sys, time
ledger = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
ledger.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(600)
"""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Strike:
    """One step of a plan.

    Attributes:
        at: Seconds since the beginning.
        fault: `KILL`, or the name of a fault.
        begins: Whether the fault begins; otherwise it ends.
    """

    at: float
    fault: str
    begins: bool = True


def plan(rng: random.Random, seconds: float, kills: int, faults: Sequence[str]) -> list[Strike]:
    """When each fault strikes: kills at any moment, and independently one fault after the other.

    Every fault strikes once before any strikes again.
    """
    strikes = [Strike(at=rng.uniform(1.0, seconds), fault=KILL) for _ in range(kills)]
    at, turns = 2.0, list[str]()
    while faults and at + LONGEST_S < seconds:
        turns = turns or rng.sample(list(faults), len(faults))
        fault, lasts = turns.pop(), rng.uniform(1.0, LONGEST_S)
        strikes += [
            Strike(at=at, fault=fault),
            Strike(at=at + lasts, fault=fault, begins=False),
        ]
        at += lasts + rng.uniform(0.5, 3.0)
    return sorted(strikes)


class Fault(Protocol):
    """A fault that begins and ends."""

    def begin(self) -> None:
        """Begin the fault."""

    def end(self) -> None:
        """End it, and restore what it broke."""


class Restartable(Protocol):
    """A process that can be killed and started again."""

    def start(self) -> None:
        """Start it."""

    def kill(self) -> None:
        """SIGKILL."""


@dataclass(frozen=True)
class FullDisk:
    """A small file system without a byte left.

    Attributes:
        folder: Its mount point.
    """

    folder: Path

    def begin(self) -> None:
        """Fill it."""
        with (self.folder / ".filler").open("wb", buffering=0) as filler:
            for size in (1 << 16, 1):
                self._fill(filler.write, b"x" * size)

    def end(self) -> None:
        """Free it."""
        (self.folder / ".filler").unlink(missing_ok=True)

    def _fill(self, write: Callable[[bytes], int], piece: bytes) -> None:
        try:
            while write(piece) == len(piece):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@dataclass
class LockedLedger:
    """Another process locks the ledger.

    Attributes:
        ledger: The ledger's file.
    """

    ledger: Path
    holder: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Lock it: no other process can write from now on, unless the lock is unavailable."""
        if self.ledger.exists():
            command = [sys.executable, "-c", _HOLD, str(self.ledger)]
            self.holder = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert self.holder.stdout is not None
            self.holder.stdout.readline()

    def end(self) -> None:
        """Release the lock."""
        if self.holder is not None:
            self.holder.kill()
            self.holder.communicate()
            self.holder = None


@dataclass(frozen=True)
class InboxMadeAnew:
    """An inbox is renamed away and a new one created in its place; its files come back later.

    Attributes:
        inbox: The inbox.
        away: Its path meanwhile.
        writers: Locks of its writers, held meanwhile: ocrd cannot answer for files written to a
            folder that is away.
    """

    inbox: Path
    away: Path
    writers: Sequence[Lock]

    def begin(self) -> None:
        """Rename it away and create a new one."""
        for writer in self.writers:
            writer.acquire()
        self.inbox.rename(self.away)
        self.inbox.mkdir()

    def end(self) -> None:
        """Bring its files back."""
        try:
            for path in list(files_below(self.away)):
                target = self.inbox / path.relative_to(self.away)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, target)
                path.unlink()
            shutil.rmtree(self.away)
        finally:
            for writer in self.writers:
                writer.release()


@dataclass(frozen=True)
class Unmounted:
    """A share is unmounted.

    Attributes:
        export: The folder behind it, which its other clients continue to write to.
        inbox: Its mount point.
    """

    export: Path
    inbox: Path

    def begin(self) -> None:
        """Unmount it, even if it is in use."""
        subprocess.run(["umount", "--lazy", self.inbox], check=True)

    def end(self) -> None:
        """Mount it."""
        subprocess.run(["mount", "--bind", self.export, self.inbox], check=True)


@dataclass(frozen=True)
class WorkersKilled:
    """All children of the daemon, page workers and document builders, are killed.

    Attributes:
        daemon: Returns the daemon's current process ID.
    """

    daemon: Callable[[], int]

    def begin(self) -> None:
        """Kill them."""
        for child in children_of(self.daemon()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def end(self) -> None:
        """Nothing to repair: the daemon starts new ones."""


@dataclass
class ServerKilled:
    """One of the engine's servers is killed, the next one each time, and comes back.

    Attributes:
        servers: The servers to choose from.
    """

    servers: Sequence[Restartable]
    times: int = 0

    def begin(self) -> None:
        """Kill it."""
        self.servers[self.times % len(self.servers)].kill()

    def end(self) -> None:
        """Start it again."""
        self.servers[self.times % len(self.servers)].start()
        self.times += 1


def children_of(parent: int) -> list[int]:
    """The process IDs of the children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and _parent(entry) == parent:
                found.append(int(entry.name))
    return found


def _parent(entry: Path) -> int:
    return int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])


class Clock:
    """Carries out a plan on time, or late rather than never.

    Args:
        faults: The faults by name.
        kill: Kills and restarts the daemon; its argument is whether a fault is under way.
        tell: Called with a description of each step.
    """

    def __init__(
        self,
        faults: Mapping[str, Fault],
        kill: Callable[[bool], None],
        tell: Callable[[str], None],
    ) -> None:
        self._faults = faults
        self._kill = kill
        self._tell = tell
        self._under_way: set[str] = set()

    def run(self, strikes: Sequence[Strike], tick: Callable[[], None]) -> None:
        """Carry out all strikes and call `tick` while waiting; every fault that begins ends."""
        began = time.monotonic()
        try:
            for strike in strikes:
                while time.monotonic() - began < strike.at:
                    tick()
                    time.sleep(0.05)
                self._do(strike)
        finally:
            for fault in list(self._under_way):
                self._end(fault)

    def _do(self, strike: Strike) -> None:
        if strike.fault == KILL:
            self._tell(KILL)
            self._kill(bool(self._under_way))
        elif strike.begins:
            self._tell(f"begins: {strike.fault}")
            self._under_way.add(strike.fault)
            self._faults[strike.fault].begin()
        else:
            self._end(strike.fault)

    def _end(self, fault: str) -> None:
        self._tell(f"ends: {fault}")
        self._under_way.discard(fault)
        self._faults[fault].end()
