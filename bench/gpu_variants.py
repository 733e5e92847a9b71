"""What the GPU benchmark compares: daemons side by side, each with its own settings."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.gpu_material import plugin_path
from bench.gpu_watch import Cards
from ocrd.config import load
from ocrd.daemon.engines import vllm_settings
from ocrd.engine.remote.settings import TRUST, serve_command
from tests.slow.vllm.served import Served
from tests.support.ports import reserved_ports

PLAIN_GRAPHS = {"max_cudagraph_capture_size": 512}
TIMED, GROUPS = "bench.gpu_steps.Timed", "bench.gpu_steps.TimedGroups"
# The engines of a card take turns on it, because CUDA looks for MPS where there is none.
NO_MPS = {"CUDA_MPS_PIPE_DIRECTORY": "/nonexistent"}
# Settings and options of the engine that differ from the defaults.  "servers" is the number of
# servers on the card, started by the command that ocrd prints; pages go to them over HTTP.
VARIANTS: dict[str, dict[str, Any]] = {
    "before": {"per_device": 1, "compilation_config": PLAIN_GRAPHS, "scheduler_cls": TIMED},
    "after": {"per_device": 2, "scheduler_cls": GROUPS},
    "one engine": {"per_device": 1, "scheduler_cls": GROUPS},
    "ungrouped": {"per_device": 2, "scheduler_cls": TIMED},
    "slices": {"per_device": 2, "scheduler_cls": GROUPS, "environment": NO_MPS},
    "wide": {"per_device": 2, "scheduler_cls": GROUPS, "places": 384},
    "server": {"per_device": 1, "scheduler_cls": GROUPS, "servers": 1},
}
FOLDERS = {  # workload: mode, resolution
    "uniform": ("uniform", "gundam"),
    "documents": ("uniform", "gundam"),
    "lognormal": ("lognormal", "gundam"),
    "equal": ("equal", "gundam"),
    "unguarded": ("uniform-unguarded", "gundam"),
    "base": ("uniform", "base"),
    "tiny": ("uniform", "tiny"),
}
FAULTS = ("engine.died", "engine.not-up", "engine.no-mps", "engine.hung")
PLACES = 256
PAGE_KIB = 60 * 1400  # of cache that a page takes, averaged over its reading
BESIDE_CACHE_MIB = 13_500
SERVER_S = 300.0
GUESS_PAGES_PER_S = 12.0
PLACES_OF = ("devices", "per_device")  # settings that say where engines run
OPTIONS = ("compilation_config", "scheduler_cls", "kv_cache_memory_bytes")


@dataclass
class Daemon:
    """A running variant."""

    name: str
    root: Path
    engines: int
    places: int
    process: subprocess.Popen[bytes]
    servers: list[Served]
    speed: float
    faults: list[str] = field(default_factory=list)
    _read: int = 0
    _found: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def log(self) -> Path:
        return self.root / "log"

    def moments(self) -> dict[str, list[float]]:
        """Times of the events in its log, by name, seconds since the epoch; skips vLLM's lines."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            *lines, rest = log.read().split(b"\n")
            self._read = log.tell() - len(rest)
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                told = json.loads(line)
                moment = datetime.fromisoformat(told["timestamp"]).timestamp()
                self._found[told["event"] + (":all" if "engine" in told else "")].append(moment)
                if told["event"] in FAULTS:
                    why = told.get("reason") or told.get("error")
                    self.faults.append(f"{told['event']} {told['device']}: {why}")
        return self._found

    @property
    def up(self) -> bool:
        return bool(self.moments()["engine.ready:all"])

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill it and its servers with all their children, so that nothing holds the card."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for one in self.servers:
            one.kill()


@dataclass
class Bench:
    """Where the benchmark works, how much it measures, and its results so far."""

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
        """Print a figure and write all figures to `out`."""
        self.known.setdefault(kind, []).append(figure)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(self.known, indent=1))
        said = (f"{key} {short(value)}" for key, value in figure.items() if value is not None)
        print(f"{kind}: {', '.join(said)}", flush=True)


def short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + " ".join(f"{key} {short(one)}" for key, one in value.items()) + "}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
    """The variants to compare: those named, or one card with several."""
    numbers = [int(number) for number in given.devices.split(",")]
    known = VARIANTS | {f"{len(numbers)} cards": VARIANTS["after"]}
    names = given.variants.split(",") if len(numbers) == 1 else ["1 card", f"{len(numbers)} cards"]
    known["1 card"] = VARIANTS["after"]
    return {
        name: known[name] | {"devices": numbers if "cards" in name else numbers[:1]}
        for name in names
    }


def start(bench: Bench, chosen: dict[str, dict[str, Any]]) -> list[Daemon]:
    """Start all daemons; the memory of each engine is such that all fit on the first card."""
    beside = sum(variant["per_device"] for variant in chosen.values())
    cache_mib = int(bench.cards.memory_mib * 0.92) // beside - BESIDE_CACHE_MIB
    places = min(PLACES, cache_mib * 1024 // PAGE_KIB // 8 * 8) if bench.cards.names else 4
    cache_mib = min(cache_mib, places * PAGE_KIB * 9 // 8 // 1024)
    fixed: dict[str, Any] = {}
    if bench.cards.names:
        # The share is only what must be free at the start, because the cache's size is set.
        fixed = {"kv_cache_memory_bytes": cache_mib << 20, "gpu_memory_utilization": 0.1}
    bench.keep("room", {"cache_mib": cache_mib, "places": places, "engines": beside})
    daemons = []
    for name, variant in chosen.items():
        own = variant.pop("places", places)
        settings = variant | fixed | {"max_num_seqs": own, "max_pages_in_flight": 2 * own}
        daemons.append(started(bench, name, settings, own))
    return daemons


def started(bench: Bench, name: str, variant: dict[str, Any], places: int) -> Daemon:
    """Start one daemon, and its servers if the variant has any."""
    root = bench.work / f"root-{name.replace(' ', '-')}"
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("steps", "staging"):
        (root / folder).mkdir(parents=True)
    count, own = variant.pop("servers", 0), variant.pop("environment", {})
    known = environment(bench.work, small=bench.small) | own
    known |= {"OCRD_BENCH_STEPS": str(root / "steps")}
    with reserved_ports(count) as ports:
        if ports:
            addresses = [f"http://127.0.0.1:{port}" for port in ports]
            variant |= {"kind": "server", "servers": addresses}
        (root / "config.toml").write_text(configuration(bench, root, variant), encoding="utf-8")
        words = serve_words(root) if ports else []
        servers = [Served(words, one, root / f"server-{one}.log", known) for one in ports]
        for one in servers:
            # A daemon that finds no server tries again only after a minute.  If a server has ended,
            # its daemon does not come up, which is reported.
            with contextlib.suppress(AssertionError):
                one.wait_up(SERVER_S)
    command = [sys.executable, "-m", "bench.gpu_daemon", str(root), str(bench.work / "pages")]
    process = subprocess.Popen(
        [*command, "100" if bench.small else "1"],
        env=known,
        stdout=subprocess.DEVNULL,
        stderr=(root / "log").open("w"),
        start_new_session=True,
    )
    engines = count or variant["per_device"] * len(variant["devices"])
    guess = GUESS_PAGES_PER_S * (1 if count else len(variant["devices"]))
    return Daemon(name, root, engines, places * engines, process, servers, guess)


def serve_words(root: Path) -> list[str]:
    """What follows `vllm serve` in ocrd's command for such a server."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    words = serve_command(vllm_settings(load(root / "config.toml")))[2:]
    if not hasattr(AsyncEngineArgs, "trust_request_mm_kwargs"):  # before vLLM 0.31
        words.remove(TRUST)
    return words


def configuration(bench: Bench, root: Path, engine: dict[str, Any]) -> str:
    """An operator's configuration, with modes named after the lengths of their answers."""
    engine = {"kind": "vllm", "model": str(bench.work / "model"), "load_format": "dummy"} | engine
    engine = {"page_timeout_s": 900.0, **engine} | {"reuse_results": False}
    options = {name: engine.pop(name) for name in list(engine) if name in OPTIONS}
    if bench.small:
        engine |= {"dtype": "float32", "max_model_len": 2048, "max_num_batched_tokens": 2048}
        engine |= {"renderer_workers": 1, "devices": [0]}
        options |= {"enforce_eager": True}
    if engine["kind"] == "server":  # which has no settings for cards
        engine = {name: value for name, value in engine.items() if name not in PLACES_OF}
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


def table(values: dict[str, Any]) -> list[str]:
    """TOML lines; JSON writes strings, numbers, lists and truth values alike."""
    return [
        f"{key} = {{ {', '.join(table(value))} }}"
        if isinstance(value, dict)
        else f"{key} = {json.dumps(value)}"
        for key, value in values.items()
    ]


def wait_up(bench: Bench, daemons: list[Daemon], limit_s: float) -> list[Daemon]:
    """The daemons that came up; the end of the others' logs is printed."""
    end = min(time.time() + limit_s, bench.end)
    while time.time() < end and not all(one.up or not one.alive for one in daemons):
        time.sleep(1)
    for one in daemons:
        moments = one.moments()
        if one.up:
            seconds = moments["engine.ready:all"][0] - moments["daemon.started"][0]
            faults = one.faults or None
            bench.keep("start", {"variant": one.name, "seconds": seconds, "faults": faults})
        else:
            print(f"{one.name} did not come up:\n{one.log.read_text(errors='replace')[-6000:]}")
    return [one for one in daemons if one.up]
