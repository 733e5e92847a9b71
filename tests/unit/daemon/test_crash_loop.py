"""A job that seems to take the daemon down with it, again and again."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from ocrd.errors import ExitCode
from ocrd.job import JobState
from ocrd.ledger.ledger import Ledger
from tests.integration.tree import Tree, scan
from tests.support.needs import slow

CRASHES = 150


def die_while_it_runs(tree: Tree, ledger: Path) -> None:
    """The daemon is killed while it works on a job, and not for the first time."""
    with tree.start("--forever", "--engine-delay", "600") as daemon:
        deadline = time.monotonic() + 120
        while not _running(ledger) and time.monotonic() < deadline:
            time.sleep(0.05)
        daemon.kill()
    with closing(sqlite3.connect(ledger)) as raw, raw:
        assert raw.execute("SELECT state FROM jobs").fetchall() == [("running",)]
        raw.execute("UPDATE jobs SET attempts = ?", (CRASHES,))


def _running(ledger: Path) -> bool:
    if not ledger.exists():
        return False
    with closing(sqlite3.connect(ledger)) as raw:
        try:
            return raw.execute("SELECT 1 FROM jobs WHERE state = 'running'").fetchone() is not None
        except sqlite3.OperationalError:  # being made
            return False


@slow
def test_it_fails_and_says_so_and_may_be_tried_again(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    path = tree.root / ".ocrd" / "ledger.db"
    tree.drop("a.jpg", scan(1))
    die_while_it_runs(tree, path)
    assert tree.run()[0] == ExitCode.SOME_FAILED
    with Ledger.open(path) as ledger:
        (job,) = ledger.jobs()
        assert job.state is JobState.FAILED
        assert job.error is not None and job.error.kind == "ends-daemon"
        assert "retry" in job.error.hint
        assert tree.visible("failed") == ["a.jpg", "a.jpg.error.json"]
        ledger.retry([job.id])
    assert tree.run()[0] == ExitCode.OK
    assert tree.visible("archive") == ["a.jpg"]
