"""What the tests know about processes: from /proc, not from the code under test."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ocrd.children import ChildPool, Limits


def make_pool(
    *,
    processes: int = 1,
    memory_mib: int = 512,
    cpu_s: int = 20,
    wall_s: float = 60.0,
    open_files: int = 128,
    max_tasks: int = 200,
    preload: Sequence[str] = (),
    threads: int | None = None,
    resident: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> ChildPool:
    """A small pool."""
    return ChildPool(
        name="test worker",
        processes=processes,
        limits=Limits(memory_mib=memory_mib, cpu_s=cpu_s, wall_s=wall_s, open_files=open_files),
        max_tasks=max_tasks,
        preload=preload,
        threads=threads,
        resident=resident,
        clock=clock,
    )


def is_running(pid: int) -> bool:
    """Whether there is a process that is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def from_proc(pid: int, name: str) -> str:
    """What the kernel tells about a process."""
    return Path(f"/proc/{pid}/{name}").read_text()


def servants() -> set[int]:
    """The processes that open files for this process's children."""
    found: set[int] = set()
    for child in children():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.update(map(int, from_proc(child, f"task/{child}/children").split()))
    return found


_strangers: set[int] = set()


def forget_strangers() -> None:
    """What other tests' fixtures keep running in this process does not count from now on."""
    _strangers.clear()
    _strangers.update(children())


def children() -> set[int]:
    """This process's children, zombies included, but for what multiprocessing keeps for itself.

    Its resource tracker and its fork server, once another test has started them, stay as long as
    the process.
    """
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended
            found.update(map(int, (task / "children").read_text().split()))
    kept = (b"resource_tracker", b"forkserver")
    return {pid for pid in found - _strangers if not any(name in _command(pid) for name in kept)}


def _command(pid: int) -> bytes:
    """A process's command line; empty for a zombie, and for one that has gone meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
