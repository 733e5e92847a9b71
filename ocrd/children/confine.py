"""What a child gives up before it looks at a file of unknown origin."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ocrd.children import landlock

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_OOM_SCORE = 500  # of 1000: when memory runs out, the kernel takes a child before the daemon
_MIB = 1 << 20
_ANSWER_MIB = 512  # the largest answer: it is a file, too

_SYSTEM = (  # what the dynamic linker, Python, fonts and the libraries' look at the CPU need
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
    """What one child may use.

    Attributes:
        memory_mib: Address space (RLIMIT_AS), MiB, the interpreter and its libraries included.
        cpu_s: CPU seconds of one call, all threads together.
        wall_s: Seconds one call may take, unless the call says otherwise.
        open_files: Open descriptors.
        file_mib: Largest file it may write, if it may write any, MiB.
    """

    memory_mib: int
    cpu_s: int
    wall_s: float
    open_files: int = 128
    file_mib: int = 16384


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """What confines the children on this machine, as `ocrd doctor` shows it.

    Attributes:
        landlock: Version of the kernel's Landlock; 0 when it has none.
        files: Whether children see only the system and the paths they were given.
        network: Whether TCP is closed to them.
        missing: What could not be had, one sentence each.
    """

    landlock: int
    files: bool
    network: bool
    missing: tuple[str, ...] = ()


def rights() -> Rights:
    """What this kernel lets a child give up."""
    abi = landlock.version()
    missing = []
    if abi == 0:
        missing.append("the kernel has no Landlock (5.13 or newer, and in its lsm= list)")
    elif abi < 4:
        missing.append("the kernel's Landlock cannot close TCP (6.7 or newer can)")
    return Rights(landlock=abi, files=abi > 0, network=abi >= 4, missing=tuple(missing))


@dataclass(frozen=True, kw_only=True, slots=True)
class Confinement:
    """How a child is confined: its limits and its paths.  Sent to it at its start."""

    limits: Limits
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    parent: int  # pid of the daemon

    def apply(self) -> None:
        """Confine this process, for good."""
        _die_with_parent(self.parent)
        _ignore_signals()
        _oom_first()
        _set_limits(self.limits, may_write=bool(self.writable))
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        self._close_doors()

    def _close_doors(self) -> None:
        readable = (*map(Path, _SYSTEM), *_python_paths(), *self.readable)
        landlock.confine(readable=readable, writable=(Path("/dev/null"), *self.writable))


def start_cpu_budget(seconds: int) -> None:
    """Allow so many CPU seconds from now on; RLIMIT_CPU counts from the start of the process."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time()) + seconds
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _die_with_parent(parent: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _ignore_signals() -> None:
    """Whether to stop or to finish a page first is the daemon's decision."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _oom_first() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    except OSError:
        return  # a container may hide it; the limits hold all the same


def _set_limits(limits: Limits, *, may_write: bool) -> None:
    _lower(resource.RLIMIT_AS, limits.memory_mib * _MIB)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, limits.open_files)
    _lower(resource.RLIMIT_FSIZE, max(_ANSWER_MIB, limits.file_mib * may_write) * _MIB)


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _python_paths() -> tuple[Path, ...]:
    """Where this interpreter and everything it imports live."""
    places = {sys.prefix, sys.base_prefix, *sys.path}
    return tuple(Path(place).resolve() for place in places if place)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"prctl {option}: {os.strerror(errno)}")
