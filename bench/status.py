"""`ocrd status` over 100,000 jobs, against `python -c pass`.  Expected: at most 5 times."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.common import fill, machine, root_with

JOBS = 100_000
RUNS = 21


def seconds(command: Sequence[str]) -> float:
    """Seconds that one run of a command takes."""
    began = time.perf_counter()
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    python = sys.executable
    ocrd = str(Path(python).with_name("ocrd"))
    with root_with() as root:
        fill(root / ".ocrd" / "ledger.db", JOBS)
        os.environ["OCRD_CONFIG"] = str(root / "config.toml")
        ours, bare = [ocrd, "status"], [python, "-c", "pass"]
        seconds(ours), seconds(bare)  # warms both up
        pairs = [(seconds(ours), seconds(bare)) for _ in range(RUNS)]
    status = statistics.median(pair[0] for pair in pairs)
    nothing = statistics.median(pair[1] for pair in pairs)
    print(machine())
    print(f"ocrd status, {JOBS:,} jobs: {status * 1000:.0f} ms; pass: {nothing * 1000:.1f} ms")
    print(f"ratio {status / nothing:.1f}")


if __name__ == "__main__":
    main()
