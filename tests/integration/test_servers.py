"""The daemon over servers, one of which is killed while pages are in it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ocrd.ledger.ledger import Ledger
from tests.integration.tree import Tree
from tests.support.samples import scan_of

FILES = 40
START_S = 60.0
ENGINE = """
[engine]
kind = "server"
servers = [{servers}]
max_pages_in_flight = 8
"""


@contextmanager
def stub(delay_s: float) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server in a process of its own, up."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.support.stub_server", str(port), str(delay_s)]
    with subprocess.Popen(command) as process:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + START_S
        while time.monotonic() < end:
            with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
                break
            time.sleep(0.05)
        try:
            yield url, process
        finally:
            process.kill()


def test_a_server_killed_with_pages_in_it_costs_no_attempt(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    for number in range(FILES):
        scan = scan_of(f"Scan {number}", width=200, height=80, dpi=72, seed=number)
        tree.drop(f"scan-{number}.jpg", scan.data)
    with ExitStack() as stack:
        servers = [stack.enter_context(stub(0.1)) for _ in range(3)]
        urls = ", ".join(f'"{url}"' for url, _ in servers)
        config = tree.config.read_text().replace(
            "[[folder]]", ENGINE.format(servers=urls) + "[[folder]]"
        )
        tree.config.write_text(config)
        command = [sys.executable, "-m", "ocrd", "run", "--once", "--config", str(tree.config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as daemon:
            end = time.monotonic() + START_S
            while not tree.visible("archive") and time.monotonic() < end:
                time.sleep(0.02)
            servers[0][1].kill()
            _, said = daemon.communicate(timeout=300)
    assert daemon.returncode == 0, said
    tree.check_done()
    assert "engine.server-" in said, "the daemon noticed"
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        assert {job.attempts for job in ledger.jobs(limit=1000)} == {1}
