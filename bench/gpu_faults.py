"""Engines that die, run out of memory and hang while pages are being read: what becomes of them.

Part `faults` of `bench.gpu_throughput`.  A daemon with two engines per card reads files.  One
engine is killed; then another process takes the free memory of the last card, so that engines there
run out of memory, and releases it; then an engine is stopped for good (SIGSTOP).  Each file must
come out once, at its first attempt.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.common import engines
from bench.gpu_variants import VARIANTS, Bench, Daemon, environment, started, wait_up
from bench.gpu_waves import POLL_S

PLACES, PAGES, APART = 64, 900, 150
UP_S = 250
HANG_S = 45.0  # a page takes some seconds when so few are read concurrently
HOG_S = 25.0
HOG = """
import sys, time, torch
free, _ = torch.cuda.mem_get_info(int(sys.argv[1]))
taken = torch.empty(free - (64 << 20), dtype=torch.uint8, device=f"cuda:{sys.argv[1]}")
print("taken", flush=True)
time.sleep(float(sys.argv[2]))
"""


def said(bench: Bench, daemon: Daemon) -> dict[str, Any]:
    """What `ocrd status` reports about the engine."""
    ask = [sys.executable, "-m", "ocrd", "status", "--json", "--config"]
    text = subprocess.run(
        [*ask, str(daemon.root / "config.toml")],
        env=environment(bench.work, small=bench.small),
        capture_output=True,
        check=False,
        text=True,
    ).stdout
    told: dict[str, Any] = json.loads(text)["engine"]
    return {name: told.get(name) for name in ("state", "detail", "devices", "steps")}


def course(bench: Bench, daemon: Daemon, card: int) -> None:
    def hog() -> None:
        words = [sys.executable, "-c", HOG, str(card), str(HOG_S)]
        subprocess.Popen(words, stdout=subprocess.PIPE).stdout.readline()  # type: ignore[union-attr] # a pipe

    faults: list[tuple[str, Callable[[], None]]] = [
        ("killed", lambda: os.kill(engines(daemon.process.pid)[0], signal.SIGKILL)),
        ("out of memory", hog),
        ("hangs", lambda: os.kill(engines(daemon.process.pid)[-1], signal.SIGSTOP)),
    ]
    for path in sorted((bench.work / "pages").iterdir())[:PAGES]:
        (daemon.root / "inbox" / "uniform" / path.name).hardlink_to(path)
    began, after = time.time(), APART
    while (done := len(daemon.moments()["job.done"])) < PAGES and bench.left_s > 0:
        if faults and done >= after:
            name, fault = faults.pop(0)
            fault()
            after = done + APART
            time.sleep(2)
            bench.keep(name, {"at": time.time() - began, "done": done} | said(bench, daemon))
        time.sleep(POLL_S * 10)
    ledger = sqlite3.connect(f"file:{daemon.root / '.ocrd' / 'ledger.db'}?mode=ro", uri=True)
    states = ledger.execute("SELECT state, attempts, count(*) FROM jobs GROUP BY 1, 2").fetchall()
    found = len(list((daemon.root / "outbox" / "uniform").iterdir()))
    figures = {"seconds": time.time() - began, "states": str(states), "bundles": found}
    bench.keep("end", figures | said(bench, daemon))


def measure_faults(bench: Bench, numbers: list[int]) -> None:
    """Read pages on these cards while engines fail."""
    own: dict[str, Any] = {"max_num_seqs": PLACES, "max_pages_in_flight": 2 * PLACES}
    variant = VARIANTS["after"] | own | {"devices": numbers, "page_timeout_s": HANG_S}
    daemon = started(bench, "faults", variant, PLACES)
    try:
        if wait_up(bench, [daemon], UP_S):
            course(bench, daemon, numbers[-1])
    finally:
        daemon.kill()
        bench.out.with_suffix(".log").write_bytes(daemon.log.read_bytes()[-4_000_000:])
