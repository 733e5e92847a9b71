"""The embedded engine's workers die under a real daemon, among all its other children."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.test_conditions import OCRD, folder_of, wait_for
from tests.e2e.test_killed import scan
from tests.e2e.tree import Tree
from tests.faults.strikes import children_of

SCANS = 8
KILLS = 2  # a page that is hit three times would have failed by rights


def kill_all(processes: list[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.timeout(600)
def test_every_file_arrives_though_all_workers_are_killed_again_and_again(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    text = tree.config.read_text(encoding="utf-8")
    tree.config.write_text(text + '[engine]\nkind = "rapidocr"\n', encoding="utf-8")
    for number in range(SCANS):
        tree.drop(f"{number}.jpg", scan(number))
    command = [OCRD, "run", "--once", "--config", str(tree.config)]
    with subprocess.Popen(command, stdout=sys.stderr) as daemon:
        wait_for(lambda: (tree.root / ".ocrd" / "status.json").exists(), seconds=300.0)
        killed = 0
        while killed < KILLS and daemon.poll() is None:
            if folder_of(tree)["running"]:
                kill_all(children_of(daemon.pid))
                killed += 1
            time.sleep(0.2)
        assert daemon.wait(300) == 0
    assert killed
    tree.check_done()
