"""A daemon and a web process on a small tree, for tests that speak HTTP to them."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

OCRD = str(Path(sys.executable).with_name("ocrd"))
UP_S = 60.0
FOLDERS = '[[folder]]\nname = "web"\n[[folder]]\nname = "private"\n'


@dataclass
class Site:
    """Both processes, and what a client needs to know of them."""

    root: Path
    url: str
    tokens: dict[str, str]
    fast: bool = False
    daemon: subprocess.Popen[bytes] | None = None
    web: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    def client(self, role: str = "operate", **options: object) -> httpx.Client:
        """A program with a token of that role."""
        headers = {"authorization": f"Bearer {self.tokens[role]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **options)  # type: ignore[arg-type]  # httpx's own options, passed on

    def start_daemon(self) -> None:
        command = [OCRD, "run", "--config", str(self.config)]
        if self.fast:
            diary = str(self.root.with_name("diary"))
            command = [sys.executable, "-m", "tests.integration.driver", str(self.config), diary]
            command += ["--forever", "--engine-delay", "0.01"]
        self.daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    def start_web(self) -> None:
        command = [OCRD, "web", "--config", str(self.config)]
        self.web = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        until(self._answers)

    def _answers(self) -> bool:
        given = tomllib.loads(self.config.read_text())["web"]
        transport = httpx.HTTPTransport(uds=given.get("socket"))
        with httpx.Client(transport=transport, base_url=self.url) as client:
            return client.get("/healthz").status_code == 200

    def kill_daemon(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def kill_web(self) -> None:
        assert self.web is not None
        self.web.kill()
        self.web.wait()

    def stop(self) -> None:
        for process in (self.web, self.daemon):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (self.web, self.daemon):
            if process is not None:
                process.wait(30)


def until(true: object, timeout_s: float = UP_S) -> None:
    """Wait until a callable says so; it may fail until then."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError, OSError):
            if callable(true) and true():
                return
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s")


@contextlib.contextmanager
def site(
    root: Path, *, daemon: bool = True, fast: bool = False, more: str = "", folders: str = FOLDERS
) -> Iterator[Site]:
    """Run both on a tree with the folders `web` and `private`.

    Args:
        root: Where; it is made.
        daemon: Whether the daemon is to run from the beginning.
        fast: Read with an engine that takes 10 ms a page and sees no words.
        more: Further keys of `[web]`.
        folders: The folders' part of the configuration.
    """
    port = _free_port()
    limit = "" if "max_upload_mib" in more else "max_upload_mib = 64"
    for name in ("web", "private"):
        (root / "inbox" / name).mkdir(parents=True, exist_ok=True)
    (root / "config.toml").write_text(
        f'root = "{root}"\n[engine]\nkind = "rapidocr"\n[watch]\nsettle_s = 0.2\n'
        f"[web]\nport = {port}\n{limit}\n{more}\n{folders}"
    )
    running = Site(root=root, url=f"http://127.0.0.1:{port}", tokens={}, fast=fast)
    (root / ".ocrd").mkdir(mode=0o750, exist_ok=True)
    for role in ("submit", "read", "operate"):
        running.tokens[role] = _token(running, role, "--role", role)
    running.tokens["other"] = _token(running, "other", "--role", "submit")
    running.tokens["web-only"] = _token(running, "web-only", "--role", "read", "--folder", "web")
    try:
        if daemon:
            running.start_daemon()
        running.start_web()
        yield running
    finally:
        running.stop()


def _token(running: Site, name: str, *options: str) -> str:
    command = [OCRD, "web", "--config", str(running.config), "token", "add", name, *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_kib(process: subprocess.Popen[bytes], what: str = "VmHWM") -> int:
    """The most that a process has held in memory."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1])
    raise AssertionError(what)


def resident_kib(process: subprocess.Popen[bytes]) -> int:
    """What a process holds in memory now."""
    return memory_kib(process, "VmRSS")
