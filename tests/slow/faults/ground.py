"""The setting of a long run: four folders, each with its own fault, and the programs to test."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from tests.slow.faults.auditor import audit, audit_diary
from tests.slow.faults.evidence import Dropped, Site, digest, files_below
from tests.slow.faults.watched import audit_watched
from tests.support.needs import has
from tests.support.ports import reserved_ports

FOLDERS = ("scans", "share", "tight", "narrow")
SERVERS = 3
SETTLE_S = 1.5
QUIET_S = 3600.0  # limit for the last run over what is left, on a busy machine
SMALL = "48m"  # size of the outbox and the archive that faults fill to the last byte
_CONFIG = f"""\
root = "{{root}}"
[watch]
settle_s = {SETTLE_S}
rescan_s = 5
[jobs]
retry_delay_s = 0.2
retry_max_s = 2
drain_s = 0.5
[pages]
workers = 2
"""
_FOLDER = '[[folder]]\nname = "{name}"\nmode = "ocr"\noutputs = ["markdown", "pdf", "json"]\n'


@dataclass(frozen=True, kw_only=True)
class Place:
    """The tree, and the folders beside it that writers use.

    Attributes:
        root: The daemon's root.
        export: The folder mounted as the inbox of `share`; its writers write here.
        mounted: Whether the mounts exist (they need root), so that their faults can strike.
    """

    root: Path
    export: Path
    mounted: bool

    def inbox(self, folder: str) -> Path:
        """Where the writers of a folder write."""
        return self.export if folder == "share" else self.root / "inbox" / folder

    @property
    def site(self) -> Site:
        """The place as auditors see it."""
        return Site(root=self.root, outputs=frozenset({"markdown", "pdf", "json"}))


@contextlib.contextmanager
def place(top: Path) -> Iterator[Place]:
    """Create the place; its mounts are removed at the end."""
    root, export, mounted = top / "srv", top / "export", has("mounts")
    export.mkdir(parents=True)
    for folder in FOLDERS:
        for tree in ("inbox", "outbox", "archive"):
            (root / tree / folder).mkdir(parents=True)
    text = _CONFIG.format(root=root) + "".join(_FOLDER.format(name=name) for name in FOLDERS)
    (top / "config.toml").write_text(text, encoding="utf-8")
    with contextlib.ExitStack() as undo:
        if mounted:
            small = ["-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs"]
            _mount(undo, small, root / "outbox" / "tight")
            _mount(undo, small, root / "archive" / "narrow")
            _mount(undo, ["--bind", str(export)], root / "inbox" / "share")
        else:
            (root / "inbox" / "share").rmdir()
            (root / "inbox" / "share").symlink_to(export)
        yield Place(root=root, export=export, mounted=mounted)


def _mount(undo: contextlib.ExitStack, what: list[str], where: Path) -> None:
    subprocess.run(["mount", *what, where], check=True)
    undo.callback(lambda: subprocess.run(["umount", "--lazy", where], check=False))


class Subject(Protocol):
    """A program under test."""

    def start(self) -> None:
        """Start it."""

    def kill(self) -> None:
        """SIGKILL."""

    def ended(self) -> int | None:
        """The exit code if it ended without being killed; otherwise None."""

    @property
    def pid(self) -> int:
        """Its process ID."""

    def finish(self) -> int:
        """Let it process what is left, undisturbed; its exit code."""

    def audit(self, dropped: list[Dropped], *, over: bool) -> list[str]:
        """Violations in its results; `over` is whether the run has ended."""

    def close(self) -> None:
        """Leave nothing running."""


class Process:
    """A command that is started and killed.

    Args:
        command: Its command line.
        log: File for its output.
    """

    def __init__(self, command: list[str], log: IO[str]) -> None:
        self.command = command
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [*self.command, *options], stdout=self._log, stderr=self._log, text=True
        )

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ended(self) -> int | None:
        """The exit code if it ended without being killed; otherwise None."""
        return None if self._process is None else self._process.poll()

    def close(self) -> None:
        """Leave nothing running."""
        self.kill()

    def wait(self, timeout: float) -> int:
        """Wait for its end; the exit code, or 0 if it was not running."""
        return 0 if self._process is None else self._process.wait(timeout)

    @property
    def pid(self) -> int:
        """Its process ID; 0 if it was killed or not started."""
        return 0 if self._process is None else self._process.pid


class Ocrd(Process):
    """The daemon with an engine that keeps a diary.

    Args:
        where: The tree.
        log: File for its output.
    """

    def __init__(self, where: Place, log: IO[str]) -> None:
        self._where = where
        self._diary = where.root.parent / "diary"
        config = where.root.parent / "config.toml"
        driver = [sys.executable, "-m", "tests.integration.driver", str(config), str(self._diary)]
        super().__init__([*driver, "--engine-delay", "0.05"], log)

    def start(self, *options: str) -> None:
        """Start it, by default to run until killed."""
        super().start(*(options or ("--forever",)))

    def finish(self) -> int:
        """One run over what is left; its exit code."""
        self.kill()
        super().start()
        return self.wait(QUIET_S)

    def audit(self, dropped: list[Dropped], *, over: bool) -> list[str]:
        """The auditor's findings and, once the run is over, pages that were computed again."""
        wrong = audit(self._where.site, dropped, over=over)
        diary = self._diary.read_text(encoding="utf-8") if self._diary.exists() else ""
        lines = [line for line in diary.splitlines() if not line.startswith("calls")]
        return wrong + (audit_diary(lines) if over else [])


class OverServers(Process):
    """The daemon as operators start it, with servers as its engine.

    Args:
        where: The tree.
        log: File for its output.

    Attributes:
        servers: Stub servers; each can be killed and restarted at the same address.
    """

    def __init__(self, where: Place, log: IO[str]) -> None:
        self._where = where
        self._held = contextlib.ExitStack()
        ports = self._held.enter_context(reserved_ports(SERVERS))
        stub = [sys.executable, "-m", "tests.support.stub_server"]
        self.servers = [Process([*stub, str(port), "0.05"], log) for port in ports]
        config = where.root.parent / "config.toml"
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        engine = f'[engine]\nkind = "server"\nservers = {urls}\nmax_pages_in_flight = 4\n'
        config.write_text(config.read_text(encoding="utf-8") + engine, encoding="utf-8")
        super().__init__([sys.executable, "-m", "ocrd", "run", "--config", str(config)], log)
        for server in self.servers:
            server.start()

    def finish(self) -> int:
        """One run over what is left; its exit code."""
        self.kill()
        self.start("--once")
        return self.wait(QUIET_S)

    def audit(self, dropped: list[Dropped], *, over: bool) -> list[str]:
        """The auditor's findings; there is no record of pages that were read twice."""
        return audit(self._where.site, dropped, over=over)

    def close(self) -> None:
        """Stop the servers, too."""
        super().close()
        for server in self.servers:
            server.close()
        self._held.close()


class Watcher(Process):
    """The plain watcher.

    Args:
        where: The tree.
        log: File for its output.
    """

    def __init__(self, where: Place, log: IO[str]) -> None:
        self._where = where
        script = [sys.executable, "-m", "tests.slow.faults.watcher", str(where.root)]
        super().__init__([*script, *FOLDERS], log)

    def finish(self) -> int:
        """Restart it and kill it once nothing has changed for 10 s, as it never ends by itself."""
        self.kill()
        self.start()
        last, since, began = "", time.monotonic(), time.monotonic()
        while time.monotonic() - since < 10 and time.monotonic() - began < QUIET_S:
            now = self._state()
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(1)
        self.kill()
        return 0

    def audit(self, dropped: list[Dropped], *, over: bool) -> list[str]:
        """Violations in its results; during a run they cannot be determined."""
        return audit_watched(self._where.site, dropped) if over else []

    def _state(self) -> str:
        trees = (self._where.root / tree for tree in ("inbox", "outbox", "archive"))
        return " ".join(f"{path}:{digest(path)}" for tree in trees for path in files_below(tree))
