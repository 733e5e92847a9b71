"""Sends waves of pages to a daemon, and reports the figures of each wave."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from typing import Any

from bench.common import family, memory
from bench.gpu_daemon import ANSWER, ASK, LATE
from bench.gpu_material import DOCUMENT
from bench.gpu_variants import Bench, Daemon
from bench.gpu_watch import Steps, lateness, spent

POLL_S = 0.1
STEADY_AT_LEAST = 32  # pages


def wave(bench: Bench, daemon: Daemon, folder: str, number: int, count: int) -> None:
    """Move files into an inbox, all together, wait for the last bundle, and report.

    Args:
        bench: The benchmark.
        daemon: The daemon to send to.
        folder: Name of the inbox and of the workload; `documents` has files of several pages.
        number: Number of the wave.
        count: Number of pages.
    """
    source, each = ("documents", DOCUMENT) if folder == "documents" else ("pages", 1)
    files = sorted((bench.work / source).iterdir())[: count // each]
    staged = daemon.root / "staging" / f"{folder}-{number}"
    staged.mkdir()
    for path in files:
        shutil.copy(path, staged / f"{number}-{path.name}")
    moments = daemon.moments()
    began, past, lost = time.time(), len(moments["job.done"]), len(moments["job.failed"])
    faults = len(daemon.faults)
    before = spent(daemon.process.pid)
    for path in staged.iterdir():
        path.rename(daemon.root / "inbox" / folder / path.name)

    def ended() -> bool:
        now = daemon.moments()
        return len(now["job.done"]) - past + len(now["job.failed"]) - lost >= len(files)

    whole = until(bench, daemon, ended, count)
    after, took = spent(daemon.process.pid), time.time() - began
    more = {
        "failed": len(moments["job.failed"]) - lost,
        "cores": {name: (after[name] - before.get(name, 0.0)) / took for name in after},
        "late_ms": lateness(daemon.root / LATE, began, time.time()),
        "memory_gib": sum(map(memory, family(daemon.process.pid))) / 2**30,
        "faults": daemon.faults[faults:] or None,  # they change what is measured
    }
    done = [moment for moment in moments["job.done"][past:] for _ in range(each)]
    report_wave(bench, daemon, folder, began, done, count, whole, more)


def ceiling(bench: Bench, daemon: Daemon, count: int, *, guard: bool) -> None:
    """Measure (b) on a daemon's own engines; a daemon that uses servers has none."""
    if daemon.servers:
        return
    answer = daemon.root / ANSWER
    answer.unlink(missing_ok=True)
    (daemon.root / f"{ASK}.new").write_text(json.dumps({"count": count, "guard": guard}))
    (daemon.root / f"{ASK}.new").rename(daemon.root / ASK)
    until(bench, daemon, answer.exists, count)
    told: dict[str, Any] = (
        json.loads(answer.read_text()) if answer.exists() else {"error": "no time"}
    )
    name = f"(b) guard {'on' if guard else 'off'}"
    if "error" in told:
        bench.keep("fault", {"variant": daemon.name, "what": name, "error": told["error"]})
        return
    report_wave(bench, daemon, name, told["began"], told["done"], count, True, {})


def until(bench: Bench, daemon: Daemon, true: Any, count: int) -> bool:
    """Wait for a condition; False if the daemon ends or the time runs out first."""
    end = min(bench.end, time.time() + 3 * count / daemon.speed + 60)
    while not true():
        if time.time() > end or not daemon.alive:
            return False
        time.sleep(POLL_S if count < 100 else 4 * POLL_S)
    return True


def report_wave(
    bench: Bench,
    daemon: Daemon,
    workload: str,
    began: float,
    done: list[float],
    count: int,
    whole: bool,
    more: dict[str, Any],
) -> None:
    """Report the figures of one wave, from the times when its pages were done."""
    done = sorted(done)
    figure: dict[str, Any] = {"variant": daemon.name, "workload": workload, "pages": len(done)}
    if whole and done:
        figure["whole"] = len(done) / (done[-1] - began)
        daemon.speed = figure["whole"]
    else:
        figure["cut"] = True
    # Every place was taken after the first `places` pages were done, until as many were left.
    window = done[daemon.places : count - daemon.places]
    if len(window) >= STEADY_AT_LEAST:
        first, last = window[0], window[-1]
        figure["steady"] = (len(window) - 1) / (last - first)
    else:
        first, last = began, done[-1] if done else time.time()
    figure["busy"] = bench.cards.busy(first, last)
    steps = Steps.read(daemon.root / "steps", first, last)
    bench.keep("wave", figure | (asdict(steps) if steps else {}) | more)


def letter(bench: Bench, daemon: Daemon, number: int) -> None:
    """Time one file alone, from the inbox to its bundle."""
    wave_pages = sorted((bench.work / "pages").iterdir())[:1]
    target = daemon.root / "inbox" / "uniform" / f"letter-{number}{wave_pages[0].suffix}"
    staged = daemon.root / "staging" / target.name
    shutil.copy(wave_pages[0], staged)
    past, began = len(daemon.moments()["job.done"]), time.time()
    staged.rename(target)
    if until(bench, daemon, lambda: len(daemon.moments()["job.done"]) > past, 1):
        seconds = daemon.moments()["job.done"][-1] - began
        bench.keep("letter", {"variant": daemon.name, "seconds": seconds})
