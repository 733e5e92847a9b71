"""The daemon over servers, one of which is killed while pages are in it."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ocrd.ledger.ledger import Ledger
from tests.integration.tree import Tree
from tests.support.ports import reserved_port
from tests.support.samples import scan_of
from tests.support.waiting import wait_for

FILES = 40
ENGINE = """
[engine]
kind = "server"
servers = [{servers}]
max_pages_in_flight = 8
"""


@contextmanager
def stub(delay_s: float) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server in a process of its own, up."""
    with ExitStack() as stack:
        port = stack.enter_context(reserved_port())
        command = [sys.executable, "-m", "tests.support.stub_server", str(port), str(delay_s)]
        process = stack.enter_context(subprocess.Popen(command))
        stack.callback(process.kill)
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(url), despite=(OSError,), process=process)
        yield url, process


def _answers(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/health", timeout=5):
        return True


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
            wait_for(lambda: tree.visible("archive"), process=daemon)
            servers[0][1].kill()
            _, said = daemon.communicate(timeout=300)
    assert daemon.returncode == 0, said
    tree.check_done()
    assert "engine.server-" in said, "the daemon noticed"
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        assert {job.attempts for job in ledger.jobs(limit=1000)} == {1}
