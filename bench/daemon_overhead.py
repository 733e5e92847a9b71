"""What the daemon's own way of a file costs, without the reading: one-page files, a fast engine.

    python -m bench.daemon_overhead [--files N] [--stages]

The engine holds all pages until every file is opened, then answers all at once: a wave in (claim,
spool, inspect, render) and a wave out (bundle, publish, archive, done), as on a GPU that has room
for so many pages.  The ratio is the daemon's CPU time, children included, against the bare cost of
the same files in a plain loop: hash, render, build the same bundle, move, fsync each file made.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench import stages
from bench.common import machine, root_with
from bench.gpu_material import write_pages
from bench.wave_daemon import answer
from ocrd.document.base import BundleSpec
from ocrd.document.bundle import build_bundle
from ocrd.job import Page, PageState
from ocrd.modes import BUILT_IN_MODES
from ocrd.pages import work
from ocrd.pages.base import Rendering
from ocrd.worker.worker import page_line

DPI = 144
OUTPUTS = frozenset({"markdown", "raw", "pdf", "boxes", "images", "json"})

Wave = dict[str, float]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=256)
    parser.add_argument("--profile", type=Path, help="where to write the main process's cProfile")
    parser.add_argument("--stages", action="store_true", help="also tell of each stage of the way")
    return parser.parse_args()


def through_the_daemon(
    source: Path, files: int, profile: Path | None, trace: Path | None
) -> dict[str, Wave]:
    """All files through `run --once`; what the waves used."""
    with root_with(watch="settle_s = 0.1") as root:
        for path in sorted(source.iterdir()):
            shutil.copyfile(path, root / "inbox" / "scans" / path.name)
        figures = root / "figures.json"
        profiled = ["-m", "cProfile", "-o", str(profile)] if profile else []
        command = [sys.executable, *profiled, "-m", "bench.wave_daemon"]
        command += [str(root / "config.toml"), str(files), str(figures)]
        command += [str(trace)] if trace else []
        subprocess.run(command, check=True)
        bundles = len(list((root / "outbox").glob("scans/*/*.json")))
        if bundles != files:
            raise SystemExit(f"{bundles} bundles of {files} files")
        found: dict[str, Wave] = json.loads(figures.read_text())
        return found


def bare(source: Path, place: Path) -> tuple[float, float]:
    """Seconds and seconds of CPU for the same files, one after another, no promise but fsync."""
    began = time.perf_counter(), time.process_time()
    (place / "archive").mkdir(parents=True)
    (place / "outbox").mkdir()
    for number, path in enumerate(sorted(source.iterdir())):
        hashlib.sha256(path.read_bytes()).digest()
        work.page(path, 1, Rendering(dpi=DPI, max_pixels=10**8, max_pages=10, max_side=5000))
        bundle = _bundle(path, place, number)
        for file in bundle.rglob("*.*"):
            _sync(file)
        bundle.rename(place / "outbox" / path.stem)
        shutil.copyfile(path, place / "archive" / path.name)
        _sync(place / "archive" / path.name)
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _bundle(path: Path, place: Path, number: int) -> Path:
    into = place / f"bundle-{number}"
    into.mkdir()
    result = answer(number)
    pages = place / "pages.jsonl"
    page = Page(number=1, state=PageState.DONE, tries=1, tokens=800, seconds=1.0)
    pages.write_text(page_line(page, result.to_json()), encoding="utf-8")
    kind = "pdf" if path.suffix == ".pdf" else "image"
    build_bundle(
        BundleSpec(
            source=path,
            name=path.stem,
            kind=kind,
            pages=pages,
            into=into,
            outputs=OUTPUTS,
            reader=BUILT_IN_MODES["document"].reader,
            dpi=DPI,
            facts={},
        )
    )
    return into


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def report(waves: dict[str, Wave], files: int, plain: tuple[float, float]) -> None:
    """A row for each wave, and the ratio."""
    print("| wave | files/s | CPU main (kernel), ms/file | children | fsyncs/file | commits/file |")
    print("|---|---|---|---|---|---|")
    for name, wave in waves.items():
        each = {key: value / files for key, value in wave.items()}
        print(
            f"| {name} | {1 / each['wall_s']:.0f} "
            f"| {each['main_cpu_s'] * 1000:.1f} ({each['main_kernel_s'] * 1000:.1f}) "
            f"| {each['children_cpu_s'] * 1000:.1f} | {each['syncs']:.2f} | {each['commits']:.2f} |"
        )
    cpu = sum(wave["main_cpu_s"] + wave["children_cpu_s"] for wave in waves.values())
    wall = sum(wave["wall_s"] for wave in waves.values())
    print(
        f"bare loop: {plain[1] / files * 1000:.1f} ms of CPU a file, {files / plain[0]:.0f} files/s"
    )
    print(f"CPU of daemon and children against the bare loop: {cpu / plain[1]:.2f}; ", end="")
    print(f"wall time {wall / plain[0]:.2f}")


def main() -> None:
    given = arguments()
    with root_with() as place:
        source = place / "source"
        write_pages(source, given.files, small=False)
        trace = place / "trace.json" if given.stages else None
        waves = through_the_daemon(source, given.files, given.profile, trace)
        plain = bare(source, place / "bare")
        told = stages.report(trace) if trace else ""
    print(machine())
    report(waves, given.files, plain)
    print(told)


if __name__ == "__main__":
    main()
