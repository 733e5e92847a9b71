"""What the benchmarks share: roots to run in, and the resources that processes use."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ocrd.ledger.ledger import Ledger

_QUEUED = """
    WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :jobs)
    INSERT INTO jobs (token, folder, source, shown, state, place, size, mtime_ns, inode, sha256,
        created_at, entries)
    SELECT hex(randomblob(8)), 'scans', CAST('scan-' || n AS BLOB), 'scan-' || n, 'queued',
        'inbox', 100000, n, n, randomblob(32), 1.79e9 + n, 1 FROM numbers
"""


@contextmanager
def root_with(*, kept: Path | None = None, folder: str = "", **sections: str) -> Iterator[Path]:
    """A root with an inbox and a configuration; removed afterwards, unless it is `kept`.

    `sections` are the TOML bodies of sections, such as `watch="settle_s = 0.2"`; `folder` is more
    TOML for the folder `scans`.
    """
    root = kept or Path(tempfile.mkdtemp(prefix="ocrd-bench-"))
    try:
        (root / "inbox" / "scans").mkdir(parents=True)
        text = f'root = "{root}"\n'
        text += "".join(f"[{name}]\n{body}\n" for name, body in sections.items())
        text += f'[[folder]]\nname = "scans"\n{folder}\n'
        (root / "config.toml").write_text(text, encoding="utf-8")
        yield root
    finally:
        if kept is None:
            shutil.rmtree(root, ignore_errors=True)


@contextmanager
def daemon(root: Path, engine: str) -> Iterator[subprocess.Popen[bytes]]:
    """`bench.idle_daemon` on a root, until the end of the block."""
    command = [sys.executable, "-m", "bench.idle_daemon", str(root / "config.toml"), engine]
    with subprocess.Popen(command) as running:
        try:
            yield running
        finally:
            running.terminate()


def fill(ledger: Path, jobs: int) -> None:
    """Record `jobs` jobs, all of them queued."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    Ledger.open(ledger).close()
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute(_QUEUED, {"jobs": jobs})


def machine() -> str:
    """The cores, kernel and Python that this runs on."""
    model = "unknown processor"
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, Linux {platform.release()}, {platform.python_version()}"


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += family(int(child))
    return found


def engines(pid: int) -> list[int]:
    """The processes of vLLM's engines below a process, in ascending order."""
    found = []
    for one in family(pid):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if b"EngineCore" in Path(f"/proc/{one}/cmdline").read_bytes():
                found.append(one)
    return sorted(found)


def memory(pid: int) -> int:
    """PSS of one process in bytes; 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, including its children that have ended."""
    with contextlib.suppress(FileNotFoundError):
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return sum(map(int, facts[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0
