"""100,000 small files in the inbox: from the daemon's start to all of them queued.

The ratio is files per second against reading and hashing the same files in a bare loop.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

from bench.common import Peak, machine, root_with, wait_until
from ocrd.ledger.readonly import glance

FILES = 100_000
PER_FOLDER = 1_000
SETTLE_S = 1.0


def drop(inbox: Path, files: int) -> None:
    """So many different files of a few bytes, a thousand in each sub-folder."""
    for number in range(files):
        folder = inbox / f"{number // PER_FOLDER:03d}"
        if number % PER_FOLDER == 0:
            folder.mkdir()
        (folder / f"scan-{number}.txt").write_bytes(b"%d" % number)


def bare(inbox: Path) -> float:
    """Seconds to walk, read and hash them all."""
    began = time.perf_counter()
    for path in inbox.rglob("*.txt"):
        hashlib.sha256(path.read_bytes()).hexdigest()
    return time.perf_counter() - began


def queued(ledger: Path) -> int:
    return sum(folder.waiting for folder in glance(ledger).folders)


def main() -> None:
    with root_with(watch=f"settle_s = {SETTLE_S}") as root:
        inbox, ledger = root / "inbox" / "scans", root / ".ocrd" / "ledger.db"
        drop(inbox, FILES)
        hashing = bare(inbox)
        command = [sys.executable, "-m", "bench.idle_daemon", str(root / "config.toml"), "never"]
        with subprocess.Popen(command) as daemon:
            with Peak(daemon.pid) as peak:
                took = wait_until(lambda: ledger.exists() and queued(ledger) == FILES, poll_s=0.2)
            daemon.terminate()
    rate = FILES / (took - SETTLE_S)
    print(machine())
    print(
        f"{FILES:,} files queued in {took:.1f} s ({SETTLE_S:.0f} s of it settling): {rate:,.0f}/s"
    )
    print(f"peak memory of the daemon: {peak.bytes / 2**20:.0f} MiB")
    print(
        f"walk, read and hash alone: {FILES / hashing:,.0f}/s; ratio {rate * hashing / FILES:.2f}"
    )


if __name__ == "__main__":
    main()
