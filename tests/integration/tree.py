"""A small tree, a daemon to run on it, and checks of what must be true afterwards."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ocrd.errors import ExitCode
from ocrd.ledger.ledger import Ledger
from ocrd.spool.trees import MARKER
from tests.integration import driver
from tests.support.commands import ocrd
from tests.support.forked import Forked
from tests.support.needs import few
from tests.support.samples import scan_of
from tests.support.waiting import HANG_S

CONFIG = """\
root = "{root}"
[watch]
settle_s = 0.2
rescan_s = 1
[jobs]
retry_delay_s = 0.2
drain_s = 0.5
[pages]
workers = 2
[[folder]]
name = "scans"
mode = "ocr"
outputs = ["markdown", "pdf", "json"]
pdf_text = "ocr"
"""


@dataclass
class Tree:
    """A root with one folder, `scans`."""

    root: Path
    dropped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inbox.mkdir(parents=True)
        self.config.write_text(CONFIG.format(root=self.root), encoding="utf-8")

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox" / "scans"

    @property
    def diary(self) -> Path:
        return self.root / "diary"

    def drop(self, name: str, data: bytes) -> None:
        (self.inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (self.inbox / name).write_bytes(data)
        self.dropped[name] = hashlib.sha256(data).hexdigest()

    @property
    def log(self) -> Path:
        """The file that its daemons write their output to."""
        return self.root / "log"

    def start(self, *options: str) -> Forked:
        """A daemon in a process of its own."""
        words = (str(self.config), str(self.diary), *options)
        return Forked(driver.main, *words, output=self.log)

    def run(self, *options: str) -> tuple[int, str]:
        """Run a daemon until all files are processed; its exit code and output."""
        before = len(log(self))
        with self.start(*options) as daemon:
            code = daemon.wait(2 * HANG_S)
        return code, log(self)[before:]

    def work_off(self) -> str:
        """As `run`, but the daemon must exit with 0; its output."""
        code, said = self.run()
        assert code == ExitCode.OK, said
        return said

    def visible(self, tree: str) -> list[str]:
        """Paths of the files below a tree, hidden ones included, so that half-written ones show.

        The marker by which ocrd recognises the tree and the marker's draft are left out.
        """
        top = self.root / tree / "scans"
        files = (path for path in top.rglob("*") if path.is_file())
        return sorted(
            str(path.relative_to(top)) for path in files if not path.name.startswith(MARKER)
        )

    def spooled(self) -> list[str]:
        """The jobs' folders in the spool; a folder is removed a moment after its job is done."""
        return sorted(path.name for path in (self.root / ".ocrd" / "jobs").iterdir())

    def check_whole(self) -> None:
        """Everything visible in the outbox and archive is complete, as it must be at any moment."""
        archived = self.root / "archive" / "scans"
        for name in self.visible("archive"):
            assert _digest(archived / name) in self.dropped.values()
        for bundle in (self.root / "outbox" / "scans").glob("[!.]*"):
            made = {path.name for path in bundle.iterdir()}
            assert made == {f"{bundle.name}{suffix}" for suffix in (".md", ".pdf", ".json")}
            sidecar = json.loads((bundle / f"{bundle.name}.json").read_text(encoding="utf-8"))
            assert sidecar["sha256"] in self.dropped.values()
            assert (bundle / f"{bundle.name}.pdf").read_bytes().rstrip().endswith(b"%%EOF")

    def check_done(self) -> None:
        """Each dropped file has one archived original and one bundle, and nothing is left over."""
        self.check_whole()
        archived = self.root / "archive" / "scans"
        digests = sorted(_digest(archived / name) for name in self.visible("archive"))
        assert digests == sorted(self.dropped.values())
        sidecars = (self.root / "outbox" / "scans").glob("*/*.json")
        said = sorted(json.loads(path.read_text(encoding="utf-8"))["sha256"] for path in sidecars)
        assert said == sorted(self.dropped.values())
        assert self.visible("inbox") == []
        assert self.spooled() == []
        with Ledger.open(self.root / ".ocrd" / "ledger.db") as ledger:
            states = sorted((job.source, job.state.value) for job in ledger.jobs(limit=1000))
        assert states == sorted((name, "done") for name in self.dropped)

    def check_nothing_twice(self) -> None:
        """No page was finished twice, or asked for again after it was finished."""
        finished = set()
        for line in self.diary.read_text(encoding="utf-8").splitlines():
            what, *page = line.split()
            if what == "finished":
                assert tuple(page) not in finished
                finished.add(tuple(page))
            elif what == "asked":
                assert tuple(page) not in finished


def killed_on_the_way(
    top: Path, dropped: Callable[[Path], Tree], most: int, code: ExitCode = ExitCode.OK
) -> Iterator[Tree]:
    """Trees whose daemon was killed before one of its disk calls that write.

    The calls are spread evenly over all such calls, from the first to the last.

    Args:
        top: An empty folder.
        dropped: Makes a tree with its files at the given path.
        most: The greatest number of trees, in CI; elsewhere there are fewer.
        code: Exit code of a daemon that is not killed.
    """
    whole = dropped(top / "whole")
    assert whole.run()[0] == code
    calls = int(whole.diary.read_text(encoding="utf-8").split()[-1])
    for fatal in few(range(1, calls + 1), most):
        tree = dropped(top / f"killed-{fatal}")
        ended, said = tree.run("--kill-before", str(fatal))
        assert ended == -signal.SIGKILL, said
        yield tree


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def scan(number: int) -> bytes:
    """A small scan, different for each number."""
    return scan_of(f"Scan number {number}", width=200, height=80, dpi=72, seed=number).data


@contextmanager
def daemon(tree: Tree, *options: str) -> Iterator[Forked]:
    """A daemon that runs until the block ends; it must then stop on SIGTERM."""
    with tree.start("--forever", *options) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(120)
            finally:
                process.kill()


def log(tree: Tree) -> str:
    """The output of its daemons so far."""
    return tree.log.read_text(encoding="utf-8") if tree.log.exists() else ""


def ask(tree: Tree, *words: str) -> dict[str, Any]:
    """The JSON that a command prints about a tree, whether or not a daemon runs."""
    told = ocrd(*words, "--json", "--config", str(tree.config))
    assert told.returncode in (ExitCode.OK, ExitCode.NOT_RUNNING), told.stderr
    facts: dict[str, Any] = json.loads(told.stdout)
    return facts


def order(tree: Tree, *words: str) -> None:
    """Run a command on a tree; it must succeed."""
    done = ocrd(*words, "--config", str(tree.config))
    assert done.returncode == 0, done.stderr


def folder_of(tree: Tree) -> dict[str, Any]:
    """Its only folder, as `ocrd status` reports it."""
    (folder,) = ask(tree, "status")["folders"]
    return dict(folder)
