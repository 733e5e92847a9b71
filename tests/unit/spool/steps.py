"""Disks that count their calls, and fail, die or tear a write at a chosen one."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrd.files import Disk

TREES = ("know", "tree_of", "hold")
CALLS = tuple(name for name in vars(Disk) if not name.startswith("_") and name not in TREES)
TEARABLE = ("write", "copy", "append")


@dataclass(frozen=True)
class Call:
    """One call about to be made: its number from 0, its name, its arguments."""

    number: int
    name: str
    arguments: tuple[Any, ...]


Hook = Callable[[Call], None]


class Hooked(Disk):
    """A real disk that shows each call to a hook first; what the hook raises is its answer.

    `after` is shown the calls that succeeded.
    """

    def __init__(self, hook: Hook, base: Disk | None = None, *, after: Hook | None = None) -> None:
        self._hook = hook
        self._after = after
        self._base = base or Disk()
        self._count = 0

    def __getattribute__(self, name: str) -> Any:
        if name in TREES:
            return getattr(self._base, name)
        if name not in CALLS:
            return super().__getattribute__(name)

        def call(*arguments: Any, **more: Any) -> Any:
            number, self._count = self._count, self._count + 1
            this = Call(number, name, arguments)
            self._hook(this)
            answer = getattr(self._base, name)(*arguments, **more)
            if self._after is not None:
                self._after(this)
            return answer

        return call


@dataclass
class Trace:
    """A hook that remembers the calls."""

    calls: list[Call] = field(default_factory=list)

    def __call__(self, call: Call) -> None:
        self.calls.append(call)


def dying(at: int, *, torn: bool = False) -> Hook:
    """SIGKILL before call `at`; `torn` does half of what it would have written first."""

    def hook(call: Call) -> None:
        if call.number == at:
            if torn:
                tear(call)
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def stopping(at: int) -> Hook:
    """As `dying`, for many steps in a row: the process lives on, and nothing is cleared away."""

    def hook(call: Call) -> None:
        if call.number == at:
            raise KeyboardInterrupt

    return hook


def failing(at: int, code: int, *, torn: bool = False) -> Hook:
    """The system answers `code` to call `at`; `torn` leaves half of what was to be written."""

    def hook(call: Call) -> None:
        if call.number == at:
            if torn:
                tear(call)
            raise OSError(code, os.strerror(code), str(call.arguments[0]))

    return hook


def tear(call: Call) -> None:
    """What is on the disk when a write or a copy stops in the middle."""
    if call.name == "write":
        path, content, *_mode = call.arguments
        path.write_bytes(content[: len(content) // 2])
    elif call.name == "append":
        path, content, end = call.arguments
        Disk().append(path, content[: len(content) // 2], end)
    elif call.name == "copy":
        source, target = call.arguments
        content = Path(source).read_bytes()
        Path(target).write_bytes(content[: len(content) // 2])


class WithoutExclusiveRename(Disk):
    """As NFS and most FUSE file systems answer."""

    def rename_exclusive(self, source: Path, target: Path) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(source), None, str(target))


class WithoutLinks(WithoutExclusiveRename):
    """As they answer for a file of another user where `fs.protected_hardlinks` is set."""

    def link(self, source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(source))


DISKS = {
    "plain": Disk(),
    "no-exclusive-rename": WithoutExclusiveRename(),
    "no-links-either": WithoutLinks(),
}
