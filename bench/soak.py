"""Half an hour at full load with people who cancel and retry: does anything grow?

    python -m bench.soak [--minutes M] [--root DIR] [--samples FILE]

The daemon is that of `bench.day`: all of it is real but its engine, which answers at once.  A
writer keeps `BACKLOG` small pictures waiting and takes away what comes out; some are damaged.
Once a second some of the jobs on their way are cancelled, and all that failed or were cancelled
are retried.  Prints, for what must not grow, the last tenth of the run against the second.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from bench.common import machine
from bench.day import BACKLOG, POLL_S, Sample, Scanner, daemon, look, report
from ocrd.requests import ask

DAMAGED = 20
CANCELLED = 4  # jobs, once every `ASK_S`
ASK_S = 1.0
SAMPLE_S = 5.0
ON_THEIR_WAY = "state IN ('queued', 'running') ORDER BY id DESC"
GIVEN_UP = "state IN ('failed', 'cancelled') ORDER BY id"


class People(threading.Thread):
    """Cancel jobs and retry them.

    Args:
        spool: The daemon's own tree.
    """

    def __init__(self, spool: Path) -> None:
        super().__init__(daemon=True)
        self._spool = spool
        self.over = threading.Event()
        self.done: Counter[str] = Counter()

    def run(self) -> None:
        """Until it is over."""
        while not self.over.wait(ASK_S):
            self._ask("cancel", ON_THEIR_WAY, CANCELLED)
            self._ask("retry", GIVEN_UP, BACKLOG)

    def _ask(self, what: str, which: str, most: int) -> None:
        url = f"file:{self._spool}/ledger.db?mode=ro"
        with closing(sqlite3.connect(url, uri=True, timeout=60)) as ledger:
            rows = ledger.execute(f"SELECT id FROM jobs WHERE {which} LIMIT {most}")
            jobs = [number for (number,) in rows]
        told = ask(self._spool, {"do": what, "jobs": jobs}, wait_s=60)
        self.done[what] += len(told["jobs"])


def soak(root: Path, minutes: float, keep: Path) -> list[Sample]:
    """For so long; the samples are kept as they come."""
    scanner, people, samples = Scanner(root), People(root / ".ocrd"), list[Sample]()
    with daemon(root) as running:
        while not (root / ".ocrd" / "answers").exists():
            time.sleep(POLL_S)
        for number in range(DAMAGED):
            (root / "inbox" / "scans" / f"damaged-{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        people.start()
        began = time.perf_counter()
        while (at_s := time.perf_counter() - began) < minutes * 60:
            scanner.drop(BACKLOG - (scanner.dropped - scanner.done))
            scanner.collect()
            if at_s >= (len(samples) + 1) * SAMPLE_S:
                samples.append(look(running.pid, root, began, scanner.done))
                keep.write_text(json.dumps([asdict(each) for each in samples]), encoding="utf-8")
            if running.poll() is not None or not people.is_alive():
                raise SystemExit("the daemon has ended, or does not answer")
            time.sleep(POLL_S)
        people.over.set()
        people.join()
    print(
        f"{scanner.done:,} files, {people.done['cancel']:,} jobs cancelled, "
        f"{people.done['retry']:,} retried"
    )
    return samples


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--root", type=Path, help="an empty folder, kept; else a temporary one")
    parser.add_argument("--samples", type=Path, default=Path("soak.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocrd-soak-", ignore_cleanup_errors=True) as folder:
        samples = soak(given.root or Path(folder), given.minutes, given.samples)
    print(machine())
    report(samples)


if __name__ == "__main__":
    main()
