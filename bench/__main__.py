"""`make bench`: the benchmarks that take minutes and need no GPU, one after the other."""

from __future__ import annotations

import subprocess
import sys

for name in ("status", "web_page", "first_scan"):
    print(f"--- {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"bench.{name}"], check=True)
