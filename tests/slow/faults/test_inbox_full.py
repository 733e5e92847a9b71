"""An inbox without a byte left: for the scanner that writes to it, and for the daemon."""

import signal
from pathlib import Path

import pytest

from tests.integration.tree import Tree, ask, daemon, folder_of, log, scan
from tests.slow.faults.strikes import FullDisk
from tests.slow.faults.test_ledger_lost import files_of_ledger
from tests.support.waiting import wait_for
from tests.unit.spool.mounts import tmpfs


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "srv")


def test_what_a_scanner_could_not_write_is_taken_once_it_could(tree: Tree) -> None:
    with tmpfs(tree.inbox, "256k"), daemon(tree):
        full = FullDisk(tree.inbox)
        full.begin()
        with pytest.raises(OSError, match="No space left"):
            tree.drop("a.jpg", scan(1))
        wait_for(lambda: ask(tree, "status")["daemon"]["state"] == "running")
        assert tree.visible("archive") == []
        full.end()
        tree.drop("a.jpg", scan(1))
        wait_for(lambda: folder_of(tree)["done"] == 1 and tree.spooled() == [])
        tree.check_done()


def test_an_original_that_finds_no_room_in_its_inbox_goes_back_when_there_is(tree: Tree) -> None:
    """The ledger is lost, and the original in the spool must be recorded again."""
    with tmpfs(tree.inbox, "256k"):
        with tree.start("--forever", "--engine-delay", "600") as process:
            tree.drop("a.jpg", scan(1))
            wait_for(lambda: tree.visible("inbox") == [] and folder_of(tree)["running"] == 1)
            process.send_signal(signal.SIGKILL)
            process.wait(120)
        for path in files_of_ledger(tree):
            path.unlink()
        full = FullDisk(tree.inbox)
        full.begin()
        with daemon(tree):
            wait_for(lambda: "event=spool.orphan" in log(tree))
            (original,) = (tree.root / ".ocrd" / "jobs").glob("*/source.jpg")
            assert original.read_bytes() == scan(1)
            full.end()
            wait_for(lambda: folder_of(tree)["done"] == 1 and tree.spooled() == [])
            assert log(tree).count("event=spool.orphan") == 1
            tree.check_done()
