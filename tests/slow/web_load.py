"""Uploads by many at once while both processes are killed again and again: is anything lost?

    python -m tests.slow.web_load [--uploads 1000] [--at-once 64] [--kills 20] [--seed 1]

A document that was acknowledged must be there once; one whose connection broke may be there once.
At the end everything is worked off undisturbed, the auditor of the fault bench looks at the disk,
and a line says what was done.  Exit code 1 on any violation.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from PIL import Image

from tests.slow.faults import evidence
from tests.slow.faults.auditor import audit
from tests.slow.faults.evidence import Dropped
from tests.support.site import Site, resident_kib, site, until

FOLDERS = '[[folder]]\nname = "web"\nmode = "ocr"\noutputs = ["markdown", "json"]\n'
QUIET_S = 600.0
FLAT_KIB = 40 * 1024  # more than this a web process may not have grown by


@dataclass
class Load:
    """One run.

    Attributes:
        dropped: What was sent, as the auditor goes by.
        names: By what the acknowledged documents can be asked for.
        broken: How many connections broke or were refused.
        kills: How often a process was killed.
        grown_kib: The most that a web process grew by.
    """

    running: Site
    dropped: list[Dropped] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    broken: int = 0
    kills: int = 0
    grown_kib: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def send(self, number: int) -> None:
        """One document, again as another one whenever the connection breaks."""
        with self.running.client("submit") as client:
            for attempt in range(2000):
                name = f"{number}-{attempt}.png"
                content = picture(name)
                answer = self._answer(client, name, content)
                if answer is not None:
                    told = answer.raise_for_status().json()
                    self._note(name, content, certain=True)
                    self.names.append(str(told["id"]))
                    return
                self.broken += 1
                self._note(name, content, certain=False)
                time.sleep(0.3)
        raise AssertionError(f"{number} never went through")

    def _answer(self, client: httpx.Client, name: str, content: bytes) -> httpx.Response | None:
        try:
            return client.post("/api/v1/ocr", params={"name": name}, content=content)
        except httpx.HTTPError:
            return None

    def _note(self, name: str, content: bytes, *, certain: bool) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        sent = Dropped(folder="web", source=name, sha256=sha256, pages=1, replaceable=not certain)
        self.dropped.append(sent)

    def strike(self, kills: int, rng: random.Random, every_s: float) -> None:
        """Kill one process or the other, and start it again at once."""
        while self.kills < kills and not self.over.wait(rng.uniform(0.5, 1.5) * every_s):
            self.kills += 1
            if self.kills % 2:
                self.running.kill_daemon()
                self.running.start_daemon()
            else:
                self._weigh()
                self.running.kill_web()
                self.running.start_web()
                self._fresh_kib = self._kib()

    def _kib(self) -> int:
        assert self.running.web is not None
        return resident_kib(self.running.web)

    def _weigh(self) -> None:
        self.grown_kib = max(self.grown_kib, self._kib() - self._fresh_kib)

    def run(self, uploads: int, at_once: int, kills: int, seed: int) -> list[str]:
        """Everything; what is wrong."""
        self.send(uploads)  # what is loaded with the first upload is no growth
        self._fresh_kib = self._kib()
        rng = random.Random(seed)
        striking = threading.Thread(
            target=self.strike, args=(kills, rng, uploads / 40 / max(kills, 1))
        )
        striking.start()
        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(self.send, range(uploads)))
        self.over.set()
        striking.join()
        self._weigh()
        until(self._idle, QUIET_S)
        with self.running.client("submit") as client:
            states = [client.get(f"/api/v1/jobs/{name}").json()["state"] for name in self.names]
        self.running.stop()
        wrong = [
            f"a document that was acknowledged is {state}" for state in states if state != "done"
        ]
        if self.grown_kib > FLAT_KIB:
            wrong.append(f"a web process grew by {self.grown_kib} KiB")
        outputs = frozenset({"markdown", "json"})
        return wrong + audit(evidence.Site(root=self.running.root, outputs=outputs), self.dropped)

    def _idle(self) -> bool:
        with self.running.client("read") as client:
            (folder,) = client.get("/api/v1/status").json()["folders"]
        waits = folder["waiting"] + folder["running"] + folder["settling"]
        return not waits and folder["done"] >= len(self.names)


def picture(words: str) -> bytes:
    """A small picture that no other words give."""
    digest = hashlib.sha256(words.encode()).digest()
    held = io.BytesIO()
    Image.frombytes("L", (16, 16), digest * 8).resize((160, 160)).save(held, "PNG")
    return held.getvalue()


def load(top: Path, uploads: int, at_once: int, kills: int, seed: int) -> tuple[Load, list[str]]:
    """One run in the folder `top`."""
    more = "requests_per_minute = 0"
    with site(top / "srv", more=more, folders=FOLDERS) as running:
        done = Load(running)
        return done, done.run(uploads, at_once, kills, seed)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as top:
        done, wrong = load(Path(top), given.uploads, given.at_once, given.kills, given.seed)
    for violation in wrong:
        print(violation)
    print(
        f"{len(done.names)} acknowledged, {done.broken} connections broken or refused, "
        f"{done.kills} kills, grown by at most {done.grown_kib} KiB, {len(wrong)} violations, "
        f"{time.monotonic() - began:.0f} s"
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
