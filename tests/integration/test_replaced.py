"""The ledger, or the spool with the lock, is deleted or replaced under a running daemon."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrd.errors import ExitCode
from tests.integration import driver
from tests.integration.tree import Tree, ask, daemon, folder_of, log, order, scan
from tests.support.forked import Forked
from tests.support.waiting import HANG_S, wait_for
from tests.unit.spool.mounts import mounted, served


def spool_goes(tree: Tree) -> None:
    shutil.rmtree(tree.root / ".ocrd")


def spool_is_moved_away(tree: Tree) -> None:
    (tree.root / ".ocrd").rename(tree.root / "aside")
    (tree.root / ".ocrd").mkdir()


def lock_goes(tree: Tree) -> None:
    (tree.root / ".ocrd" / "daemon.lock").unlink()


def ledger_goes(tree: Tree) -> None:
    (tree.root / ".ocrd" / "ledger.db").unlink()


def backup_is_put_in_place(tree: Tree) -> None:
    order(tree, "backup", str(tree.root / "copy.db"))
    (tree.root / "copy.db").rename(tree.root / ".ocrd" / "ledger.db")


def ledger_elsewhere(tree: Tree) -> None:
    place = tree.root.with_name("ledger.db")
    config = tree.config.read_text(encoding="utf-8")
    ledger = f'[ledger]\npath = "{place}"\n[watch]'
    tree.config.write_text(config.replace("[watch]", ledger), encoding="utf-8")


STRIKES = (spool_goes, spool_is_moved_away, lock_goes, ledger_goes, backup_is_put_in_place)


@pytest.mark.parametrize(
    ("prepare", "strike"),
    [*((lambda _tree: None, strike) for strike in STRIKES), (ledger_elsewhere, spool_goes)],
    ids=[*(strike.__name__ for strike in STRIKES), "spool_goes_ledger_elsewhere"],
)
def test_a_daemon_ends_that_another_could_stand_beside(
    tmp_path: Path, prepare: Callable[[Tree], None], strike: Callable[[Tree], None]
) -> None:
    tree = Tree(tmp_path / "srv")
    prepare(tree)
    tree.drop("a.jpg", scan(1))
    with tree.start("--forever") as process:
        wait_for(lambda: tree.visible("archive") == ["a.jpg"] and tree.spooled() == [])
        strike(tree)
        assert process.wait(HANG_S) == ExitCode.FAILED
    assert "was deleted or replaced while the daemon had it open" in log(tree)
    tree.drop("b.jpg", scan(2))
    with daemon(tree):
        wait_for(lambda: tree.visible("archive") == ["a.jpg", "b.jpg"])
        assert ask(tree, "status")["daemon"]["state"] == "running"
    tree.check_whole()


def test_a_root_that_is_away_for_a_while_ends_no_daemon(tmp_path: Path) -> None:
    root, server = tmp_path / "srv", tmp_path / "server"
    server.mkdir()
    with mounted("--bind", str(server), at=root):
        tree = Tree(root)
        process = tree.start("--forever")
        tree.drop("a.jpg", scan(1))
        wait_for(lambda: tree.visible("archive") == ["a.jpg"] and tree.spooled() == [])
    try:
        time.sleep(4 * driver.HOLD_S)
        with mounted("--bind", str(server), at=root):
            tree.drop("b.jpg", scan(2))
            wait_for(lambda: folder_of(tree)["done"] == 2)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANG_S) == ExitCode.OK
            tree.check_done()
    finally:
        process.kill()


def test_a_root_whose_share_dies_ends_no_daemon(tmp_path: Path) -> None:
    """It answers ENOTCONN to everything, which says nothing of who has ledger and lock."""
    root, config = tmp_path / "srv", tmp_path / "config.toml"
    with served(tmp_path / "server", root) as server:
        tree = Tree(root)
        ledger_elsewhere(tree)
        shutil.copy(tree.config, config)
        given = [str(config), str(tmp_path / "diary"), "--forever"]
        with Forked(driver.main, *given, output=tmp_path / "log") as process:
            tree.drop("a.jpg", scan(1))
            wait_for(lambda: tree.visible("archive") == ["a.jpg"] and tree.spooled() == [])
            server.kill()
            time.sleep(4 * driver.HOLD_S)
            ended = process.poll()
            process.kill()
        assert ended is None


def test_a_daemon_ends_though_a_share_hangs(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    with served(tmp_path / "server", tree.root / "archive" / "other") as server:
        (tree.root / "inbox" / "other").mkdir()
        with tree.config.open("a", encoding="utf-8") as config:
            config.write('[[folder]]\nname = "other"\nmode = "ocr"\n')
        with tree.start("--forever") as process:
            tree.drop("a.jpg", scan(1))
            wait_for(lambda: tree.visible("archive") == ["a.jpg"] and tree.spooled() == [])
            server.send_signal(signal.SIGSTOP)
            try:
                time.sleep(4 * driver.HOLD_S)  # until something waits for it
                ledger_goes(tree)
                assert process.wait(HANG_S) == ExitCode.FAILED
            finally:
                server.send_signal(signal.SIGCONT)
    assert "was deleted or replaced while the daemon had it open" in log(tree)
