"""A daemon and a web process on a small tree, for tests over HTTP."""

from __future__ import annotations

import contextlib
import signal
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.integration import driver
from tests.support.commands import ocrd
from tests.support.forked import Forked, run_ocrd
from tests.support.ports import reserved_port
from tests.support.waiting import HANG_S, wait_for

FOLDERS = '[[folder]]\nname = "web"\n[[folder]]\nname = "private"\n'


@dataclass
class Site:
    """The two processes, and what a client needs: their URL and tokens by name."""

    root: Path
    url: str
    tokens: dict[str, str]
    real: bool = False
    daemon: Forked | None = None
    web: Forked | None = None

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    def client(self, role: str = "operate", **options: object) -> httpx.Client:
        """An HTTP client that sends the token named `role`."""
        headers = {"authorization": f"Bearer {self.tokens[role]}"}
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=2 * HANG_S,
            verify=False,  # without TLS there is no need to load the system's certificates
            **options,  # type: ignore[arg-type]  # httpx's own options, passed on
        )

    def start_daemon(self) -> None:
        config = str(self.config)
        if self.real:
            self.daemon = Forked(run_ocrd, "run", "--config", config)
        else:
            diary = str(self.root.with_name("diary"))
            words = (config, diary, "--forever", "--engine-delay", "0.01")
            self.daemon = Forked(driver.main, *words)

    def start_web(self) -> None:
        self.web = Forked(run_ocrd, "web", "--config", str(self.config))
        until(self._answers)

    def _answers(self) -> bool:
        given = tomllib.loads(self.config.read_text())["web"]
        transport = httpx.HTTPTransport(uds=given.get("socket"), verify=False)
        with httpx.Client(transport=transport, base_url=self.url) as client:
            return client.get("/healthz").status_code == 200

    def _ready(self) -> bool:
        with self.client() as client:
            state = client.get("/api/v1/status").json()["engine"]["state"]
        return bool(state == "ready")

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
                process.wait(HANG_S)


def until(true: Callable[[], object], seconds: float = HANG_S) -> None:
    """Wait until `true()` holds; errors of HTTP and of the connection are ignored until then."""
    wait_for(true, despite=(httpx.HTTPError, OSError), seconds=seconds)


@contextlib.contextmanager
def site(
    root: Path, *, daemon: bool = True, real: bool = False, more: str = "", folders: str = FOLDERS
) -> Iterator[Site]:
    """Run both on a tree with the folders `web` and `private`, ready to use in the block.

    Args:
        root: The tree's root, which is created.
        daemon: Whether to start the daemon and wait for its engine.
        real: Whether to read pages with RapidOCR; otherwise an engine that takes 10 ms reads the
            pages of `tests.support.printed`.
        more: Further keys of `[web]`.
        folders: The folders' part of the configuration.
    """
    with reserved_port() as port:
        limit = "" if "max_upload_mib" in more else "max_upload_mib = 64"
        for name in ("web", "private"):
            (root / "inbox" / name).mkdir(parents=True, exist_ok=True)
        (root / "config.toml").write_text(
            f'root = "{root}"\n[watch]\nsettle_s = 0.2\n'
            '[engine]\nkind = "rapidocr"\nworkers = 1\nthreads = 1\n'
            f"[web]\nport = {port}\n{limit}\n{more}\n{folders}"
        )
        running = Site(root=root, url=f"http://127.0.0.1:{port}", tokens={}, real=real)
        (root / ".ocrd").mkdir(mode=0o750, exist_ok=True)
        for role in ("submit", "read", "operate"):
            running.tokens[role] = _token(running, role, "--role", role)
        running.tokens["other"] = _token(running, "other", "--role", "submit")
        running.tokens["web-only"] = _token(
            running, "web-only", "--role", "read", "--folder", "web"
        )
        try:
            if daemon:
                running.start_daemon()
            running.start_web()
            if daemon:
                until(running._ready)
            yield running
        finally:
            running.stop()


def _token(running: Site, name: str, *options: str) -> str:
    made = ocrd("web", "--config", str(running.config), "token", "add", name, *options)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def memory_kib(process: Forked, what: str = "VmHWM") -> int:
    """Peak resident memory of a process, or another figure of its /proc status, in KiB."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1])
    raise AssertionError(what)


def resident_kib(process: Forked) -> int:
    """Current resident memory of a process, in KiB."""
    return memory_kib(process, "VmRSS")
