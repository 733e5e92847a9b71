"""A paused folder's try may take its time, as on a slow share: it counts when it has ended."""

from __future__ import annotations

import asyncio
import errno
import time
from pathlib import Path

import pytest

from ocrd.config import load
from ocrd.daemon.daemon import Daemon
from ocrd.errors import ExitCode
from ocrd.events import Event, Events
from ocrd.files import Disk
from tests.integration.driver import Diary, DiaryEngine
from tests.integration.tree import Tree, scan
from tests.support.forked_children import fork_children
from tests.support.waiting import until

TRY_S = 1.5  # longer than from one look at the paused folders to the next


class SlowAndFull(Disk):
    """An outbox that takes a while to say that nothing fits."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    def rename_exclusive(self, source: Path, target: Path) -> None:
        if "outbox" in target.parts:
            time.sleep(TRY_S)
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        super().rename_exclusive(source, target)


async def test_a_folder_does_not_go_on_while_its_place_is_still_being_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork_children(monkeypatch.setattr)
    tree, disk, told = Tree(tmp_path / "srv"), SlowAndFull(), list[Event]()
    tree.drop("a.jpg", scan(1))
    engine = DiaryEngine(Diary(tree.diary), 0.0, 0.0)
    daemon = Daemon(load(tree.config), Events(told.append), engine=engine, disk=disk)
    running = asyncio.create_task(daemon.run())
    await until(lambda: disk.refused == 2)
    daemon.stop()
    assert await running is ExitCode.OK
    names = [event.name for event in told if event.name.startswith("folder.")]
    assert names == ["folder.watching", "folder.paused"]
