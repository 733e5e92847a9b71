"""What a child gives up before it opens a file of unknown origin."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrd.children import landlock, seccomp
from ocrd.children.wire import SLATE_MIB
from ocrd.oserrors import last_refusal

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_OOM_SCORE = 500  # of 1000: when memory runs out, the kernel takes a child before the daemon
_MIB = 1 << 20
LARGEST_FILE_MIB = 16384  # that a child may write, if it may write any

_SYSTEM = (  # needed by the dynamic linker, Python, fonts, and libraries that detect the CPU
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system",
)

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one child may use."""

    memory_mib: int  # address space (RLIMIT_AS), the interpreter and its libraries included
    cpu_s: int  # CPU seconds of one call, all threads together
    wall_s: float  # seconds one call may take, unless the call says otherwise
    open_files: int = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The files that one job's calls may use, besides the system's and Python's own.

    The paths must exist.  `seen` identifies the files at the readable ones: another file of the
    same name makes another scope, because rights hold for a file and not for its name.
    """

    readable: tuple[Path, ...] = ()  # files and folders
    writable: tuple[Path, ...] = ()  # folders to write below
    seen: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def of(cls, readable: Iterable[Path], writable: Iterable[Path]) -> Scope:
        """The scope of these paths as they are now."""
        given = tuple(readable)
        return cls(
            readable=given,
            writable=tuple(writable),
            seen=tuple(map(_identity, given)),
        )

    def place(self) -> Path | None:
        """The path to blame for an error of the disk that names none; None in an empty scope."""
        return next(iter((*self.writable, *self.readable)), None)

    def concerns(self, error: OSError) -> bool:
        """Whether the error is about a path of this scope, or names no path."""
        name = error.filename2 or error.filename
        if not isinstance(name, (str, bytes)):
            return error.errno is not None
        path = Path(os.fsdecode(name))
        return any(path.is_relative_to(each) for each in (*self.writable, *self.readable))

    def files(self) -> Iterator[Path]:
        """Every file that may be read."""
        for path in self.readable:
            if path.is_dir():
                yield from (each for each in sorted(path.rglob("*")) if each.is_file())
            else:
                yield path


def missing() -> Iterator[str]:
    """The protections that this kernel lacks, one sentence each, as `ocrd doctor` shows them."""
    abi = landlock.version()
    if abi == 0:
        yield "the kernel has no Landlock (5.13 or newer, and in its lsm= list)"
    elif abi < 3:
        yield "the kernel's Landlock cannot close truncation (6.2 or newer can)"
    if not seccomp.available():
        yield "system calls cannot be filtered (CONFIG_SECCOMP_FILTER on x86_64, aarch64)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confinement:
    """How a child of the process `parent` is confined.  Sent to it at its start.

    A `resident` child makes all calls itself, with no files but the system's and Python's.
    """

    limits: Limits
    parent: int
    resident: bool

    def apply(self) -> None:
        """Apply the restrictions that hold from the start of a child."""
        die_with(self.parent)
        for each in (signal.SIGINT, signal.SIGTERM):  # whether to stop is the daemon's decision
            signal.signal(each, signal.SIG_IGN)
        with contextlib.suppress(OSError):  # a container may hide it; the limits hold all the same
            Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
        _lower(resource.RLIMIT_AS, self.limits.memory_mib * _MIB)
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_NOFILE, self.limits.open_files)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        if self.resident:
            self.enter(Scope())

    def enter(self, scope: Scope) -> None:
        """Give up everything outside `scope`, for good."""
        _lower(resource.RLIMIT_FSIZE, (LARGEST_FILE_MIB if scope.writable else SLATE_MIB) * _MIB)
        python = {sys.prefix, sys.base_prefix, *sys.path}  # it, and everything it imports
        paths = (Path(place).resolve() for place in python if place)
        landlock.confine(
            readable=(*map(Path, _SYSTEM), *paths, *scope.readable),
            writable=(Path("/dev/null"), *scope.writable),
        )
        seccomp.confine()


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_dev, status.st_ino, status.st_ctime_ns


def start_cpu_budget(seconds: int) -> None:
    """Allow this many CPU seconds from now on; RLIMIT_CPU counts from the start of the process."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time()) + seconds
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def die_with(parent: int) -> None:
    """End this process as soon as its parent ends, whatever it is doing."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise last_refusal(f"prctl {option}")
