"""100,000 small files in the inbox: from the daemon's start to all of them queued."""

from __future__ import annotations

import time
from pathlib import Path

from bench.common import daemon, family, machine, memory, root_with
from ocrd.ledger.readonly import glance

FILES = 100_000
PER_FOLDER = 1_000
SETTLE_S = 1.0


def drop(inbox: Path, files: int) -> None:
    """Create different files of a few bytes each, a thousand per sub-folder."""
    for number in range(files):
        folder = inbox / f"{number // PER_FOLDER:03d}"
        if number % PER_FOLDER == 0:
            folder.mkdir()
        (folder / f"scan-{number}.txt").write_bytes(b"%d" % number)


def queued(ledger: Path) -> int:
    return sum(folder.waiting for folder in glance(ledger).folders) if ledger.exists() else 0


def main() -> None:
    with root_with(watch=f"settle_s = {SETTLE_S}") as root:
        drop(root / "inbox" / "scans", FILES)
        with daemon(root, "never") as running:
            began, peak = time.perf_counter(), 0
            while queued(root / ".ocrd" / "ledger.db") < FILES:
                peak = max(peak, sum(map(memory, family(running.pid))))
                time.sleep(0.2)
            took = time.perf_counter() - began
    rate = FILES / (took - SETTLE_S)
    print(machine())
    print(f"{FILES:,} files queued in {took:.1f} s, {SETTLE_S:.0f} s of it settling: {rate:,.0f}/s")
    print(f"peak memory of the daemon with its children: {peak / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
