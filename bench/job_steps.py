"""What the steps of one-page files cost the daemon's threads, with nothing else going on.

    python -m bench.job_steps [--files N] [--threads T] [--root FOLDER]

The ledger and the spool, many threads at once, no event loop, no engine and no children: each
bundle is six small files that the bench itself puts there.  On a root in memory (`/dev/shm`, the
default) hardly anything waits for a disk, so that the time for a file is what Python's lock allows.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from bench.common import machine
from bench.wave_daemon import answer
from ocrd.config import Folder, load
from ocrd.events import Events
from ocrd.inbox.names import numbered
from ocrd.job import Found, Job, JobState, Page, PageState
from ocrd.ledger.ledger import Ledger
from ocrd.pages.base import DocumentInfo
from ocrd.spool import Spool
from ocrd.worker.deliver import Delivery
from ocrd.worker.original import Collation, Original, Part
from ocrd.worker.worker import Parts, Worker

BYTES = 200_000  # of an original
ARTEFACTS = (".md", ".raw.mmd", ".pdf", ".boxes.jpg", ".json")

A = TypeVar("A")
B = TypeVar("B")


class _Engine:
    kind, model = "fake", "wave-1"


@dataclass
class Ground:
    """A root with a ledger, a spool and a worker that has neither engine nor children."""

    folder: Folder
    ledger: Ledger
    worker: Worker

    @classmethod
    def at(cls, root: Path) -> Ground:
        (root / "inbox" / "scans").mkdir(parents=True)
        (root / "config.toml").write_text(f'root = "{root}"\n[[folder]]\nname = "scans"\n')
        config = load(root / "config.toml")
        spool = Spool(config.root, numbered=numbered)
        spool.prepare()
        ledger = Ledger.open(config.ledger)
        parts: dict[str, Any] = dict.fromkeys(("pages", "build", "runner", "call"))
        parts |= {"ledger": ledger, "spool": spool, "engine": _Engine(), "events": Events()}
        parts |= {"delivery": Delivery(ledger=ledger, spool=spool, clock=time.time)}
        parts |= {"clock": time.time, "dpi": 144, "reuse_results": True, "versions": {}}
        (folder,) = config.folders
        return cls(folder, ledger, Worker(Parts(**parts)))

    def claimed(self, files: int) -> list[Job]:
        """So many files, dropped, recorded and claimed."""
        content = os.urandom(BYTES)
        found = [self._dropped(number, content) for number in range(files)]
        self.ledger.record(found)
        jobs: list[Job] = []
        while taken := self.ledger.claim_some(64, now=time.time()):
            jobs += taken
        return jobs

    def way_in(self, job: Job) -> tuple[Job, Original, str]:
        """Into the spool, its page counted and looked up."""
        job, path = self.worker._take(job, self.folder)
        info = DocumentInfo(kind="image", pages=1, media_type="image/jpeg")
        part = Part(what=job, path=path, info=info)
        original = Original(
            path=path, parts=(part,), collation=Collation.of([1], self.folder.duplex)
        )
        key = self.worker._recipe(job, self.folder, original)
        job = self.ledger.set_pages(job, 1, recipe=key)
        self.ledger.reusable(job.sha256, key, 1)
        return job, original, key

    def answered(self, opened: tuple[Job, Original, str]) -> tuple[Job, Any]:
        """Its page recorded, its bundle planned."""
        job, original, key = opened
        result = answer(job.id)
        page = Page(number=1, state=PageState.DONE, tries=1, tokens=800, seconds=1.0)
        self.ledger.page_done(job, page, result.to_json(), recipe=key)
        return job, self.worker._planned(job, self.folder, original, key)

    def delivered(self, built: tuple[Job, Any]) -> Job:
        """Sealed, published, archived, done."""
        job, plan = built
        return self.worker._deliver_sealed(job, self.folder, plan)

    def _dropped(self, number: int, content: bytes) -> Found:
        path = self.folder.inbox / f"scan-{number:04}.jpg"
        content = number.to_bytes(4) + content
        path.write_bytes(content)
        facts = path.stat()
        return Found(
            folder="scans",
            source=path.name,
            size=facts.st_size,
            mtime_ns=facts.st_mtime_ns,
            inode=facts.st_ino,
            sha256=hashlib.sha256(content).hexdigest(),
        )


def build(planned: tuple[Job, Any]) -> None:
    """In the place of the document builder."""
    into = cast(Path, planned[1].spec.into)
    (into / "images").mkdir()
    for name in (*(f"scan{suffix}" for suffix in ARTEFACTS), "images/1-1.jpg"):
        (into / name).write_bytes(b"x" * 1000)


class Meter:
    """Runs a step for all, on many threads, and tells what it cost."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self, name: str, step: Callable[[A], B], given: Iterable[A]) -> list[B]:
        wall, cpu, system = time.perf_counter(), time.process_time(), os.times().system
        made = list(self._pool.map(step, given))
        costs = time.perf_counter() - wall, time.process_time() - cpu, os.times().system - system
        print(f"| {name} | {' | '.join(f'{1000 * each / len(made):.2f}' for each in costs)} |")
        return made


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--root", type=Path, default=Path("/dev/shm"))
    return parser.parse_args()


def main() -> None:
    given = arguments()
    root = Path(tempfile.mkdtemp(prefix="ocrd-bench-", dir=given.root))
    try:
        ground, meter = Ground.at(root), Meter(given.threads)
        jobs = ground.claimed(given.files)
        print(machine())
        print("| ms a file | wall | CPU | of it in the kernel |\n|---|---|---|---|")
        opened = meter("in: spooled, counted, looked up", ground.way_in, jobs)
        planned = meter("out: recorded, planned", ground.answered, opened)
        for each in planned:
            build(each)
        ended = meter("out: sealed, published, archived, done", ground.delivered, planned)
        if {job.state for job in ended} != {JobState.DONE}:
            raise SystemExit("not all are done")
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
