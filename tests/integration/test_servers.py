"""The daemon over servers, one of which is killed while pages are in it; over a router, too."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ocrd.ledger.ledger import Ledger
from tests.integration.tree import Tree, log
from tests.support import stub_server
from tests.support.forked import Forked, run_ocrd
from tests.support.forked_children import fork_children
from tests.support.needs import need, slow
from tests.support.ports import reserved_port
from tests.support.samples import scan_of
from tests.support.waiting import wait_for

FILES = 12
ENGINE = """
[engine]
kind = "server"
servers = [{servers}]
max_pages_in_flight = 8
"""
HANG_S = 900


@contextmanager
def stub(delay_s: float) -> Iterator[tuple[str, Forked]]:
    """A server in a process of its own, up."""
    with ExitStack() as stack:
        port = stack.enter_context(reserved_port())
        process = stack.enter_context(Forked(stub_server.main, str(port), str(delay_s)))
        stack.callback(process.kill)
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(url), despite=(OSError,), process=process)
        yield url, process


def _answers(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/health", timeout=5):
        return True


def run_and_fork(words: Sequence[str]) -> None:
    """`ocrd WORDS`, to be forked, and its children with it."""
    fork_children()
    run_ocrd(words)


@contextmanager
def router(servers: Sequence[str], log: Path, *words: str) -> Iterator[str]:
    """The real vllm-router before some servers, up."""
    need("vllm-router")
    with reserved_port() as port, reserved_port() as metrics, log.open("wb") as out:
        command = [sys.executable, "-m", "vllm_router.launch_router", "--worker-urls", *servers]
        command += ["--host", "127.0.0.1", "--port", str(port), "--policy", "power_of_two", *words]
        command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics)]
        with subprocess.Popen(command, stdout=out, stderr=out) as process:
            url = f"http://127.0.0.1:{port}"
            try:
                wait_for(lambda: _answers(url), despite=(OSError,), process=process)
                yield url
            finally:
                process.kill()


def read_all(
    tree: Tree, urls: Sequence[str], kill: Callable[[], None], *, files: int = FILES, more: str = ""
) -> str:
    """Files through the daemon, each once and at its first attempt.

    Args:
        tree: For one run.
        urls: Of the servers.
        kill: Ends one of them; called when the first file is done.
        files: How many.
        more: What else `[engine]` has to say.

    Returns:
        What the daemon said.
    """
    for number in range(files):
        scan = scan_of(f"Scan {number}", width=200, height=80, dpi=72, seed=number)
        tree.drop(f"scan-{number}.jpg", scan.data)
    engine = ENGINE.format(servers=", ".join(f'"{url}"' for url in urls)) + more
    tree.config.write_text(tree.config.read_text().replace("[[folder]]", engine + "[[folder]]"))
    words = ("run", "--once", "--config", str(tree.config))
    with Forked(run_and_fork, *words, output=tree.log) as daemon:
        wait_for(lambda: tree.visible("archive"), process=daemon)
        kill()
        code = daemon.wait(HANG_S)
    said = log(tree)
    assert code == 0, said
    tree.check_done()
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        jobs = ledger.jobs(limit=1000)
    assert (len(jobs), {job.attempts for job in jobs}) == (files, {1}), said
    return said


def test_a_server_killed_with_pages_in_it_costs_no_attempt(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(stub(0.1)) for _ in range(3)]
        said = read_all(Tree(tmp_path / "srv"), [url for url, _ in servers], servers[0][1].kill)
    assert "engine.server-" in said, "the daemon noticed"


@slow
# As it comes, and as docs/gpu.md says that it should be started.
@pytest.mark.parametrize("words", [(), ("--disable-retries", "--health-check-interval-secs", "1")])
def test_a_server_killed_behind_a_router_costs_no_attempt(
    words: Sequence[str], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(stub(0.1)) for _ in range(3)]
        urls = [url for url, _ in servers]
        before = stack.enter_context(router(urls, tmp_path / "router.log", *words))
        read_all(Tree(tmp_path / "srv"), [before], servers[0][1].kill)
