"""The daemon over servers, one of which is killed while pages are in it; over a router, too."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from ocrd.ledger.ledger import Ledger
from tests.integration.tree import Tree
from tests.support.needs import need
from tests.support.samples import scan_of

FILES = 40
START_S = 60.0
ENGINE = """
[engine]
kind = "server"
servers = [{servers}]
max_pages_in_flight = 8
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def until_up(url: str) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError(f"{url} is not up")


@contextmanager
def stub(delay_s: float) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server in a process of its own, up."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.stub_server", str(port), str(delay_s)]
    with subprocess.Popen(command) as process:
        url = f"http://127.0.0.1:{port}"
        until_up(url)
        try:
            yield url, process
        finally:
            process.kill()


@contextmanager
def router(servers: Sequence[str], log: Path, *words: str) -> Iterator[str]:
    """The real vllm-router before some servers, up."""
    need("vllm-router")
    port = free_port()
    command = [sys.executable, "-m", "vllm_router.launch_router", "--worker-urls", *servers]
    command += ["--host", "127.0.0.1", "--port", str(port), "--policy", "power_of_two", *words]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        url = f"http://127.0.0.1:{port}"
        until_up(url)
        try:
            yield url
        finally:
            process.kill()


def read_all(tree: Tree, urls: Sequence[str], victim: subprocess.Popen[bytes]) -> str:
    """Files through the daemon; the victim is killed when the first is done.  What was said."""
    for number in range(FILES):
        scan = scan_of(f"Scan {number}", width=200, height=80, dpi=72, seed=number)
        tree.drop(f"scan-{number}.jpg", scan.data)
    engine = ENGINE.format(servers=", ".join(f'"{url}"' for url in urls))
    tree.config.write_text(tree.config.read_text().replace("[[folder]]", engine + "[[folder]]"))
    command = [sys.executable, "-m", "ocrd", "run", "--once", "--config", str(tree.config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as daemon:
        end = time.monotonic() + START_S
        while not tree.visible("archive") and time.monotonic() < end:
            time.sleep(0.02)
        victim.kill()
        _, said = daemon.communicate(timeout=300)
    assert daemon.returncode == 0, said
    tree.check_done()
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        assert {job.attempts for job in ledger.jobs(limit=1000)} == {1}, said
    return said


def test_a_server_killed_with_pages_in_it_costs_no_attempt(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(stub(0.1)) for _ in range(3)]
        said = read_all(Tree(tmp_path / "srv"), [url for url, _ in servers], servers[0][1])
    assert "engine.server-" in said, "the daemon noticed"


# As it comes, and as docs/gpu.md says that it should be started.
@pytest.mark.parametrize("words", [(), ("--disable-retries", "--health-check-interval-secs", "1")])
def test_a_server_killed_behind_a_router_costs_no_attempt(
    words: Sequence[str], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(stub(0.1)) for _ in range(3)]
        urls = [url for url, _ in servers]
        before = stack.enter_context(router(urls, tmp_path / "router.log", *words))
        read_all(Tree(tmp_path / "srv"), [before], servers[0][1])
