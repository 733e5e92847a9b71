"""`make bench`: every benchmark that needs no GPU, one after the other."""

from __future__ import annotations

import subprocess
import sys

ALL = (
    "bench.status",
    "bench.first_scan",
    "bench.pdf_memory",
    "bench.bundle",
    "bench.daemon_overhead",
    "bench.throughput",
)

for module in ALL:
    print(f"--- {module}", flush=True)
    subprocess.run([sys.executable, "-m", module], check=True)
