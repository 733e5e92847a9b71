"""What the daemon's own way of a file costs, without the reading: one-page files, no engine.

    python -m bench.daemon_overhead [--files N]

The ratio is the daemon's CPU time a file, children included and its start left out, against the
bare cost of the same files in a plain loop: hash, render, build the same bundle, move, fsync.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.common import machine, root_with
from bench.gpu_material import write_pages
from bench.idle_daemon import answer
from ocrd.document.base import BundleSpec
from ocrd.document.bundle import build_bundle
from ocrd.job import Page, PageState
from ocrd.modes import BUILT_IN_MODES
from ocrd.pagelog import Entry
from ocrd.pages import work
from ocrd.pages.base import Rendering

DPI = 144
OUTPUTS = frozenset({"markdown", "raw", "pdf", "boxes", "images", "json"})


def through_the_daemon(source: Path, files: int) -> tuple[float, float]:
    """The first so many files through `run --once`: seconds, and seconds of CPU with children."""
    with root_with(watch="settle_s = 0.1") as root:
        for path in sorted(source.iterdir())[:files]:
            shutil.copyfile(path, root / "inbox" / "scans" / path.name)
        began, used = time.perf_counter(), _children_cpu_s()
        command = [sys.executable, "-m", "bench.idle_daemon", str(root / "config.toml"), "ready"]
        subprocess.run(command, check=True)
        bundles = len(list((root / "outbox").glob("scans/*/*.json")))
        if bundles != files:
            raise SystemExit(f"{bundles} bundles of {files} files")
        return time.perf_counter() - began, _children_cpu_s() - used


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
    into, pages = place / f"bundle-{number}", place / "pages.jsonl"
    into.mkdir()
    page = Page(number=1, state=PageState.DONE, tries=1, tokens=800, seconds=1.0)
    pages.write_bytes(Entry(page=page, result=answer().to_json()).line())
    build_bundle(
        BundleSpec(
            source=path,
            name=path.stem,
            kind="pdf" if path.suffix == ".pdf" else "image",
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=256)
    files = parser.parse_args().files
    with root_with() as place:
        source = place / "source"
        write_pages(source, files, small=False)
        start = through_the_daemon(source, 1)
        all_ = through_the_daemon(source, files)
        plain = bare(source, place / "bare")
    wall, cpu = (1000 * (whole - one) / (files - 1) for whole, one in zip(all_, start, strict=True))
    bare_wall, bare_cpu = (1000 * each / files for each in plain)
    print(machine())
    print(f"daemon and children: {cpu:.1f} ms of CPU a file, {wall:.1f} ms of time")
    print(f"bare loop: {bare_cpu:.1f} ms of CPU a file, {bare_wall:.1f} ms of time")
    print(f"ratio {cpu / bare_cpu:.2f}")


if __name__ == "__main__":
    main()
