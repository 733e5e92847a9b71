"""`ocrd run` as a process with the real vLLM, and what it shows while it runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.common import engines
from ocrd import snapshot
from ocrd.job import Job
from ocrd.ledger.ledger import Ledger
from ocrd.spool.trees import MARKER
from tests.support.samples import scan_of

HANG_S = 800.0
TOKENS = 12
CONFIG = """\
root = "{root}"
[watch]
settle_s = 0.2
[engine]
kind = "vllm"
model = "{model}"
load_format = "{load_format}"
dtype = "float32"
max_model_len = 1024
max_num_batched_tokens = 1024
renderer_workers = 2
page_timeout_s = 800
{engine}
[engine.options]
enforce_eager = true
distributed_executor_backend = "uni"
{options}
"""
ENDLESS = f"""\
[engine.sampling]
ignore_eos = true
max_tokens = {TOKENS}
min_tokens = {TOKENS}
"""


class Place:
    """A root whose daemon reads with a small checkpoint; every answer has `TOKENS` tokens."""

    def __init__(
        self,
        root: Path,
        model: Path,
        folders: str,
        *,
        engine: str = "",
        options: str = "",
        load_format: str = "dummy",
        sampling: str = ENDLESS,
    ) -> None:
        self.root = root
        self.config = root / "config.toml"
        root.mkdir(parents=True)
        text = CONFIG.format(
            root=root, model=model, engine=engine, options=options, load_format=load_format
        )
        self.config.write_text(text + sampling + folders, encoding="utf-8")

    def drop(self, folder: str, name: str, number: int) -> bytes:
        """A small scan of its own for each number."""
        scan = scan_of(f"Scan number {number}", width=200, height=80, dpi=72, seed=number)
        return self.put(folder, name, scan.data)

    def put(self, folder: str, name: str, data: bytes) -> bytes:
        """A file into an inbox."""
        inbox = self.root / "inbox" / folder
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_bytes(data)
        return data

    def bundles(self, folder: str) -> list[Path]:
        """What was published for a folder."""
        return sorted(p for p in (self.root / "outbox" / folder).iterdir() if p.name != MARKER)

    def jobs(self) -> list[Job]:
        with Ledger.open(self.root / ".ocrd" / "ledger.db") as ledger:
            return ledger.jobs(limit=100)

    def ocrd(self, *words: str) -> str:
        """What a command prints."""
        command = [sys.executable, "-m", "ocrd", *words, "--config", str(self.config)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Run:
    """One `ocrd run`, with these words after it."""

    def __init__(self, place: Place, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self.log = place.root / "log"
        self._place = place
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ocrd", "run", *words, "--config", str(place.config)],
                stdout=stream,
                stderr=stream,
                env=environment,
            )

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def events(self, name: str) -> list[str]:
        """Lines of the log that tell of such an event."""
        return [line for line in self.said().splitlines() if f" event={name} " in f"{line} "]

    def facts(self) -> dict[str, Any]:
        """What the daemon says of itself now."""
        return snapshot.read(self._place.root / ".ocrd") or {}

    def until(self, true: Callable[[dict[str, Any]], Any]) -> None:
        """Wait for something to show in what the daemon says of itself."""
        end = time.monotonic() + HANG_S
        while not true(self.facts()):
            assert self.process.poll() is None, self.said()[-4000:]
            assert time.monotonic() < end, self.said()[-4000:]
            time.sleep(0.02)

    def until_all_in_flight(self) -> None:
        """Wait until all that is left is being read; each file is a page.

        A snapshot's counts are of after the one before it: of those told from now on, the second
        is the first that counts what is there now.
        """
        asked = time.time()
        told = set[float]()

        def all_in_flight(facts: dict[str, Any]) -> bool:
            if facts["updated_at"] > asked:
                told.add(facts["updated_at"])
            left = sum(folder["waiting"] + folder["running"] for folder in facts["folders"])
            return len(told) > 1 and 0 < facts["pages_in_flight"] == left

        self.until(all_in_flight)

    def engine_at_work(self) -> int:
        """The process that holds the model, as soon as it reads."""
        self.until(lambda _: self.events("engine.ready"))
        engine = self.engine_pid()
        begun = cpu_ticks(engine) + 5
        self.until(lambda _: cpu_ticks(engine) >= begun)
        return engine

    def engine_pid(self) -> int:
        """The process that holds the model."""
        (engine,) = engines(self.process.pid)
        return engine


def cpu_ticks(pid: int) -> int:
    """Clock ticks that a process has spent so far (proc(5), utime)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


@contextmanager
def running(place: Place, *words: str, **environment: str) -> Iterator[Run]:
    """A daemon; what is still there of it in the end is killed."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OCRD_")}
    # As on a GPU the model runs in the engine's own process; a CPU build allows that only so.
    given = {**inherited, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", **environment}
    run = Run(place, words, {key: value for key, value in given.items() if value})
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


@contextmanager
def systemd(address: Path) -> Iterator[list[str]]:
    """Listens as systemd does, and keeps what it is told."""
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(address))
        listening.settimeout(0.2)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                try:
                    told.append(listening.recv(1 << 16).decode())
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield told
        finally:
            over.set()
            thread.join()
