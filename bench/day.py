"""A simulated day, 240,000 files at 10,000 an hour, in as little time as the daemon needs for it.

    python -m bench.day [--files N] [--limit-s S] [--people] [--root DIR] [--samples FILE]

The daemon is a process of its own and complete: inotify, ledger, spool, page workers and document
builders; only its engine takes no time.  A writer keeps `BACKLOG` small images waiting, in a new
sub-folder for each hour, and counts and removes originals and bundles as they appear.  Finished
jobs are forgotten throughout, so that the ledger can stay small.
With `--people` some files are damaged, and once a second some jobs on their way are cancelled and
failed or cancelled jobs are retried.
Compares the last tenth of the run with the second, for figures that must not grow or slow down.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from bench.common import cpu_s, daemon, family, machine, memory, root_with
from ocrd.requests import ask

FILES_AN_HOUR = 10_000
DAY = 24 * FILES_AN_HOUR
BACKLOG = 400
KEEP_S = 240.0  # after which finished jobs are forgotten
SAMPLE_S = 5.0
POLL_S = 0.1
DAMAGED = 20
CANCELLED = 4  # jobs, once every `ASK_S`
ASK_S = 1.0
ON_THEIR_WAY = "state IN ('queued', 'running') ORDER BY id DESC"
GIVEN_UP = "state IN ('failed', 'cancelled') ORDER BY id"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Figures of the daemon at one moment: memory (PSS) and ledger in bytes, counts, seconds.

    All figures but `own_memory` include its children.  `cpu_s` is the CPU time used so far; unlike
    the files done per second, it does not depend on the load of other programs.
    """

    at_s: float
    done: int
    memory: int
    own_memory: int
    processes: int
    descriptors: int
    threads: int
    ledger: int
    status_s: float
    cpu_s: float


class Scanner:
    """Drops images and removes the results; each file must come back exactly once."""

    def __init__(self, root: Path) -> None:
        self._inbox = root / "inbox" / "scans"
        self._archive = root / "archive" / "scans"
        self._outbox = root / "outbox" / "scans"
        self.dropped = 0
        self._archived = set[str]()
        self._published = set[str]()

    @property
    def done(self) -> int:
        """Number of files whose original and bundle have both been removed."""
        return min(len(self._archived), len(self._published))

    def drop(self, files: int) -> None:
        """Drop `files` more files, each by one rename."""
        for number in range(self.dropped, self.dropped + files):
            hour = self._inbox / f"hour-{number // FILES_AN_HOUR:02d}"
            hour.mkdir(exist_ok=True)
            draft = hour / f".{number}.part"
            draft.write_bytes(picture(number))
            draft.rename(hour / f"scan-{number}.png")
        self.dropped += files

    def collect(self) -> None:
        """Remove finished originals and bundles, and empty folders of past hours."""
        for original in self._archive.glob("hour-*/*.png"):
            _count(self._archived, original.stem)
            original.unlink()
        for bundle in self._outbox.glob("hour-*/*"):
            made = sorted(path.suffix for path in bundle.iterdir())
            if made != [".json"]:
                raise SystemExit(f"{bundle} holds {made}")
            _count(self._published, bundle.name)
            shutil.rmtree(bundle)
        for hour in self._inbox.glob("hour-*"):
            if int(hour.name[-2:]) < self.dropped // FILES_AN_HOUR:
                with contextlib.suppress(OSError):  # not empty yet
                    hour.rmdir()


class People(threading.Thread):
    """Cancels and retries jobs until `over` is set."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self._root = root
        self.over = threading.Event()
        self.done: Counter[str] = Counter()

    def run(self) -> None:
        for number in range(DAMAGED):
            damaged = self._root / "inbox" / "scans" / f"damaged-{number}.png"
            damaged.write_bytes(b"\x89PNG\r\n\x1a\n")
        while not self.over.wait(ASK_S):
            self._ask("cancel", ON_THEIR_WAY, CANCELLED)
            self._ask("retry", GIVEN_UP, BACKLOG)

    def _ask(self, what: str, which: str, most: int) -> None:
        spool = self._root / ".ocrd"
        if not (spool / "answers").exists():  # the daemon has yet to begin
            return
        url = f"file:{spool}/ledger.db?mode=ro"
        with closing(sqlite3.connect(url, uri=True, timeout=60)) as ledger:
            rows = ledger.execute(f"SELECT id FROM jobs WHERE {which} LIMIT {most}")
            jobs = [number for (number,) in rows]
        self.done[what] += len(ask(spool, {"do": what, "jobs": jobs}, wait_s=60)["jobs"])


def _count(seen: set[str], name: str) -> None:
    if name in seen or " (" in name:
        raise SystemExit(f"{name} came out twice")
    seen.add(name)


def picture(number: int) -> bytes:
    """A grey PNG of 64 by 64 pixels whose first row encodes the number."""
    rows, file = number.to_bytes(64, "big") + b"\xff" * (63 * 64), io.BytesIO()
    Image.frombytes("L", (64, 64), rows).save(file, "PNG", compress_level=1)
    return file.getvalue()


def look(pid: int, root: Path, began: float, done: int) -> Sample:
    """Measure the daemon now."""
    processes = family(pid)
    ledger = (root / ".ocrd").glob("ledger.db*")
    return Sample(
        at_s=round(time.perf_counter() - began, 2),
        done=done,
        memory=sum(map(memory, processes)),
        own_memory=memory(pid),
        processes=len(processes),
        descriptors=sum(_entries(f"/proc/{each}/fd") for each in processes),
        threads=sum(_entries(f"/proc/{each}/task") for each in processes),
        ledger=sum(path.stat().st_size for path in ledger),
        status_s=status_s(root),
        cpu_s=sum(map(cpu_s, processes)),
    )


def status_s(root: Path) -> float:
    """Seconds that `ocrd status --json` takes; it must report a running daemon."""
    command = [sys.executable, "-m", "ocrd", "status", "--json"]
    command += ["--config", str(root / "config.toml")]
    began = time.perf_counter()
    said = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    took = time.perf_counter() - began
    if json.loads(said.stdout)["daemon"]["state"] != "running":
        raise SystemExit("the daemon does not run")
    return took


def _entries(folder: str) -> int:
    with contextlib.suppress(FileNotFoundError):  # a child that has just ended
        return sum(1 for _ in Path(folder).iterdir())
    return 0


def day(root: Path, files: int, limit_s: float, keep: Path, *, people: bool) -> list[Sample]:
    """Run the day, or as much of it as `limit_s` allows; `keep` gets the samples as they come."""
    scanner, asking, samples = Scanner(root), People(root), list[Sample]()
    with daemon(root, "forever") as running:
        if people:
            asking.start()
        began, due_s = time.perf_counter(), 0.0
        while scanner.done < files:
            at_s = time.perf_counter() - began
            if at_s > limit_s and (people or scanner.done == scanner.dropped):
                break
            room = BACKLOG - (scanner.dropped - scanner.done)
            scanner.drop(0 if at_s > limit_s else min(room, files - scanner.dropped))
            scanner.collect()
            if scanner.done and at_s >= due_s:  # the daemon is up
                due_s = at_s + SAMPLE_S
                samples.append(look(running.pid, root, began, scanner.done))
                keep.write_text(json.dumps([asdict(each) for each in samples]), encoding="utf-8")
            if running.poll() is not None or (people and not asking.is_alive()):
                raise SystemExit("the daemon has ended, or does not answer")
            time.sleep(POLL_S)
        asking.over.set()
        if people:
            asking.join()
            print(f"{asking.done['cancel']:,} cancelled, {asking.done['retry']:,} retried")
    print(f"{scanner.done:,} of {files:,} files, each original and each bundle exactly once")
    return samples


def report(samples: list[Sample]) -> None:
    """Print the second tenth of the run, the last tenth, and their ratio."""
    if len(samples) < 4:
        raise SystemExit("too short to compare")
    tenth = max(2, len(samples) // 10)
    early, late = samples[tenth : 2 * tenth], samples[-tenth:]
    print(f"{samples[-1].at_s:.0f} s, {len(samples)} samples; second tenth, last tenth, ratio:")
    for name in ("memory", "own_memory", "descriptors", "threads", "ledger", "status_s"):
        before, after = (
            statistics.median(getattr(each, name) for each in part) for part in (early, late)
        )
        print(f"  {name:12} {before:14,.3f} {after:14,.3f} {after / before:6.2f}")
    for name, per in (("files/s", "at_s"), ("files/cpu_s", "cpu_s")):
        before, after = rate(early, per), rate(late, per)
        print(f"  {name:12} {before:14.1f} {after:14.1f} {after / before:6.2f}")


def rate(part: list[Sample], per: str) -> float:
    """Files done per second of the clock (`at_s`) or of CPU time (`cpu_s`)."""
    first, last = part[0], part[-1]
    took: float = getattr(last, per) - getattr(first, per)
    return (last.done - first.done) / took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=DAY)
    parser.add_argument("--limit-s", type=float, default=float("inf"))
    parser.add_argument("--people", action="store_true")
    parser.add_argument("--root", type=Path, help="an empty folder, kept; else a temporary one")
    parser.add_argument("--samples", type=Path, default=Path("day.json"))
    given = parser.parse_args()
    with root_with(
        kept=given.root,
        watch="settle_s = 0.3",
        ledger=f"keep_done_days = {KEEP_S / 86_400}",
        folder='mode = "ocr"\noutputs = ["json"]',
    ) as root:
        samples = day(root, given.files, given.limit_s, given.samples, people=given.people)
    print(machine())
    report(samples)


if __name__ == "__main__":
    main()
