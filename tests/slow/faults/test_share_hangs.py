"""A share whose server does not answer: nothing waits for it but what needs it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.integration.tree import Tree, daemon, scan
from tests.support.needs import need
from tests.support.waiting import wait_for
from tests.unit.inbox.support import is_mounted, unmount
from tests.unit.inbox.test_inbox import House

UNCACHED = "attr_timeout=0,entry_timeout=0,negative_timeout=0"


@contextmanager
def share(server: Path, point: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A mount, and the process that serves it."""
    need("fuse")
    server.mkdir()
    point.mkdir(parents=True)
    with subprocess.Popen(["bindfs", "-f", "-o", UNCACHED, str(server), str(point)]) as process:
        try:
            wait_for(lambda: is_mounted(point))
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            unmount(point)


def test_an_inbox_that_does_not_answer_is_told_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrd.inbox.inboxes.STALE_S", 2.0)
    house = House(tmp_path / "srv")
    far = house.root / "inbox" / "far"
    with (
        closing(house.ledger),
        share(tmp_path / "server", far) as server,
        house.intake(folders=("hall", "far")),
    ):
        wait_for(lambda: not house.inboxes.closed())
        server.send_signal(signal.SIGSTOP)
        try:
            wait_for(lambda: house.inboxes.closed() == {"far"})
            told = house.inboxes.report("far")["condition"]
            assert (told["kind"], str(far) in told["message"]) == ("share-hangs", True)
            house.drop("letter.pdf")
            wait_for(lambda: "letter.pdf" in house.jobs())
            assert house.inboxes.healthy()
        finally:
            server.send_signal(signal.SIGCONT)
        (far / "late.pdf").write_bytes(b"scan")
        wait_for(lambda: "late.pdf" in house.jobs())


def test_an_archive_that_does_not_answer_holds_up_no_other_folder(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    far = tmp_path / "far"
    text = tree.config.read_text(encoding="utf-8")
    tree.config.write_text(
        f'{text}[[folder]]\nname = "away"\narchive = "{far}"\n', encoding="utf-8"
    )
    with share(tmp_path / "server", far) as server, daemon(tree):
        tree.drop("before.jpg", scan(1))
        wait_for(lambda: (tree.root / "archive" / "scans" / "before.jpg").exists())
        server.send_signal(signal.SIGSTOP)
        try:
            time.sleep(2)  # meanwhile the folders are looked for again
            tree.drop("after.jpg", scan(2))
            wait_for(lambda: (tree.root / "archive" / "scans" / "after.jpg").exists())
        finally:
            server.send_signal(signal.SIGCONT)
    tree.check_done()
