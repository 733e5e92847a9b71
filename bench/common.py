"""What the benchmarks share: trees to run in, and what a process and its children use."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

SAMPLE_S = 0.05


@contextmanager
def root_with(folder: str = "scans", **sections: str) -> Iterator[Path]:
    """A root with an inbox and a configuration; removed afterwards.

    Args:
        folder: The one folder's name.
        **sections: Further TOML, such as `watch="settle_s = 0.2"`.
    """
    root = Path(tempfile.mkdtemp(prefix="ocrd-bench-"))
    try:
        (root / "inbox" / folder).mkdir(parents=True)
        text = f'root = "{root}"\n'
        text += "".join(f"[{name}]\n{body}\n" for name, body in sections.items())
        text += f'[[folder]]\nname = "{folder}"\n'
        (root / "config.toml").write_text(text, encoding="utf-8")
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def machine() -> str:
    """What this runs on, for the record."""
    model = "unknown processor"
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, Linux {platform.release()}, {platform.python_version()}"


class Peak:
    """The most memory that a process and its descendants had at once, sampled; bytes of PSS.

    PSS counts a page that several processes share once, split among them.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.bytes = max(self.bytes, sum(map(memory, family(self._pid))))


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += family(int(child))
    return found


def memory(pid: int) -> int:
    """Bytes of PSS of one process."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_s(pid: int) -> float:
    """What a process has used, those of its children included that have ended."""
    with contextlib.suppress(FileNotFoundError):
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return sum(map(int, facts[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def wait_until(true: Callable[[], bool], poll_s: float = 0.05, limit_s: float = 3600.0) -> float:
    """Seconds until the callable `true` is; gives up after `limit_s`."""
    began = time.perf_counter()
    while not true():
        if time.perf_counter() - began > limit_s:
            raise TimeoutError
        time.sleep(poll_s)
    return time.perf_counter() - began
