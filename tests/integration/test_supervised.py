"""What systemd hears of a daemon that starts, reloads and stops, whatever comes in between."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.tree import CONFIG, Tree, log
from tests.support.commands import OCRD
from tests.support.forked import Forked, run_ocrd
from tests.support.needs import slow

PATIENCE_S = 240


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "srv")
    text = CONFIG.format(root=tree.root) + '[engine]\nkind = "rapidocr"\nworkers = 1\nthreads = 1\n'
    tree.config.write_text(text, encoding="utf-8")
    return tree


@contextmanager
def supervised(tree: Tree) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A daemon with the real engine, and the socket that it tells of itself."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard,
        tree.log.open("wb") as log,
    ):
        heard.bind(str(tree.root / "notify"))
        heard.settimeout(PATIENCE_S)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tree.root / "notify")}
        command = [OCRD, "run", "--config", str(tree.config)]
        with subprocess.Popen(command, env=environment, stderr=log) as process:
            try:
                yield process, heard
            finally:
                process.kill()


def until(heard: socket.socket, wanted: bytes) -> list[bytes]:
    """The words of the protocol up to one of them; what is said to people is left out."""
    said: list[bytes] = []
    while not said or said[-1] != wanted:
        word = heard.recv(4096).split(b"=")[0]
        if word == wanted or word in (b"READY", b"RELOADING", b"STOPPING"):
            said.append(word)
    return said


@slow
def test_a_reload_while_the_engine_loads_does_not_end_the_start(tree: Tree) -> None:
    with supervised(tree) as (process, heard):
        assert until(heard, b"EXTEND_TIMEOUT_USEC") == [b"EXTEND_TIMEOUT_USEC"]  # it loads
        process.send_signal(signal.SIGHUP)
        assert until(heard, b"READY") == [b"READY"]
        told = log(tree)
        assert told.index("event=daemon.reloaded") < told.index("event=engine.ready")
        process.send_signal(signal.SIGHUP)
        assert until(heard, b"READY") == [b"RELOADING", b"READY"]
        process.terminate()
        assert until(heard, b"STOPPING") == [b"STOPPING"]
        assert process.wait(PATIENCE_S) == 0


def test_a_stop_while_the_engine_loads_is_a_stop_like_any_other(tree: Tree) -> None:
    with supervised(tree) as (process, heard):
        until(heard, b"EXTEND_TIMEOUT_USEC")
        process.terminate()
        assert until(heard, b"STOPPING") == [b"STOPPING"]
        assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in log(tree)
    assert "event=engine.ready" not in log(tree)


def test_with_nothing_in_the_inbox_once_is_over_at_once_and_well(tree: Tree) -> None:
    with Forked(run_ocrd, "run", "--once", "--config", str(tree.config), output=tree.log) as ended:
        assert ended.wait(PATIENCE_S) == 0
    assert "Traceback" not in log(tree)
