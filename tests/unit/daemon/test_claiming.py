"""Files on their way into the spool do not stand in the way of those that are there."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from ocrd.config import load
from ocrd.daemon.daemon import Daemon
from ocrd.engine.base import PageRequest
from ocrd.errors import ExitCode
from ocrd.events import Event, Events
from ocrd.files import Disk
from ocrd.page import PageResult
from tests.integration.driver import Diary, DiaryEngine
from tests.integration.tree import Tree, scan
from tests.support.needs import slow
from tests.support.waiting import until

FILES = 50  # more than there are threads
HUNG_S = 1.0  # within it as many files hang as can


class LostInbox(Disk):
    """An inbox that is lost, as a share can be, when one file has come out of it.

    Attributes:
        hanging: How many moves hang in it.
        back: Set when it is there again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hanging = 0
        self.back = threading.Event()
        self._first = threading.Lock()

    def rename(self, source: Path, target: Path) -> None:
        if (
            source.suffix == ".jpg"
            and "inbox" in source.parts
            and not self._first.acquire(blocking=False)
        ):
            self.hanging += 1
            self.back.wait()
        super().rename(source, target)


class PatientEngine(DiaryEngine):
    """Reads nothing before moves hang."""

    def __init__(self, diary: Diary, disk: LostInbox) -> None:
        super().__init__(diary, 0.0, 0.0)
        self._disk = disk

    async def recognise(self, request: PageRequest) -> PageResult:
        await until(lambda: self._disk.hanging > 0)
        await asyncio.sleep(HUNG_S)
        return await super().recognise(request)


@slow
async def test_a_job_goes_on_while_all_others_hang_on_their_way_in(tmp_path: Path) -> None:
    tree, disk, done = Tree(tmp_path / "srv"), LostInbox(), list[Event]()
    config = tree.config.read_text().replace("[jobs]", f"[jobs]\nmax_running = {FILES}")
    tree.config.write_text(config)
    for number in range(FILES):
        tree.drop(f"{number}.jpg", scan(number % 3))

    def note(event: Event) -> None:
        if event.name == "job.done":
            done.append(event)

    engine = PatientEngine(Diary(tree.diary), disk)
    once = Daemon(load(tree.config), Events(note), once=True, engine=engine, disk=disk)
    running = asyncio.create_task(once.run())
    try:
        await until(lambda: bool(done))
        assert len(done) == 1
        assert not disk.back.is_set()
    finally:
        disk.back.set()
    assert await running is ExitCode.OK
    assert len(done) == FILES
