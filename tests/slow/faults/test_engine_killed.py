"""The embedded engine's workers die under a real daemon, among all its other children."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.integration.tree import Tree, ask, folder_of, scan
from tests.slow.faults.strikes import children_of
from tests.support.commands import OCRD
from tests.support.waiting import wait_for

ROUNDS = 2
SCANS = 4  # in each round


@contextmanager
def daemon(tree: Tree) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon with the embedded engine; it must end when it is asked to."""
    text = tree.config.read_text(encoding="utf-8")
    tree.config.write_text(text + '[engine]\nkind = "rapidocr"\n', encoding="utf-8")
    command = [OCRD, "run", "--config", str(tree.config)]
    with subprocess.Popen(command, stdout=sys.stderr) as process:
        try:
            yield process
            process.terminate()
            assert process.wait(120) == 0
        finally:
            process.kill()


def signal_all(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def ready(tree: Tree) -> bool:
    """Whether the engine is ready; `ask` needs the daemon's status file."""
    return (tree.root / ".ocrd" / "status.json").exists() and ask(tree, "status")["engine"][
        "state"
    ] == "ready"


def kill_while_reading(tree: Tree, daemon: int, first: int) -> None:
    """Drop scans, kill the daemon's children once all are being read, and see them done."""
    # Stopped first, so that none of them can have read its page before it is killed.
    signal_all(children := children_of(daemon), signal.SIGSTOP)
    for number in range(first, first + SCANS):
        tree.drop(f"{number}.jpg", scan(number))
    wait_for(lambda: folder_of(tree)["running"] == SCANS)
    signal_all(children, signal.SIGKILL)
    wait_for(lambda: folder_of(tree)["done"] == first + SCANS, seconds=300.0)


def test_every_file_arrives_though_all_workers_are_killed_again_and_again(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    with daemon(tree) as process:
        for killing in range(ROUNDS):
            wait_for(lambda: ready(tree), seconds=300.0)
            kill_while_reading(tree, process.pid, killing * SCANS)
    tree.check_done()
