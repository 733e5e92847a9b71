"""Faults of places, parts and people that one job, or one folder, or nobody else has to bear."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ocrd import snapshot
from ocrd.config import load
from ocrd.daemon.daemon import Daemon
from ocrd.daemon.retention import Retention
from ocrd.errors import ExitCode, OcrdError, UsageError
from ocrd.events import Event, Events
from ocrd.files import Disk
from ocrd.job import Found, JobError, JobState, Place
from ocrd.ledger.ledger import Ledger
from ocrd.requests import ask
from tests.integration.driver import Diary, DiaryEngine
from tests.integration.tree import Tree, daemon, folder_of, scan
from tests.support.forked_children import fork_children
from tests.support.nobody import NOBODY
from tests.support.waiting import HANG_S, until, wait_for

HUNG = 60  # jobs, which is more than there are threads for all


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    fork_children(monkeypatch.setattr)


class House:
    """A tree, and a daemon over it in this process."""

    def __init__(self, root: Path, disk: Disk | None = None, settings: str = "") -> None:
        self.tree = Tree(root)
        self.tree.config.write_text(self.tree.config.read_text() + settings, encoding="utf-8")
        self.told: list[Event] = []
        self.facts: Mapping[str, Any] = {}
        self.daemon = Daemon(
            load(self.tree.config),
            Events(self.told.append),
            engine=DiaryEngine(Diary(self.tree.diary), 0.0, 0.0),
            disk=disk,
            listeners=[self._hear],
        )

    def _hear(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts

    def events(self, name: str) -> list[Mapping[str, Any]]:
        return [event.fields for event in self.told if event.name == name]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.daemon.run())
        try:
            yield
        finally:
            self.daemon.stop()
            assert await task is ExitCode.OK

    @contextlib.contextmanager
    def ledger(self) -> Any:
        with Ledger.open(self.tree.root / ".ocrd" / "ledger.db") as ledger:
            yield ledger


class Refusing(Disk):
    """Answers a move of what is called so with an error."""

    def __init__(self, code: int, *parts: str) -> None:
        super().__init__()
        self._code = code
        self._parts = set(parts)

    def rename(self, source: Path, target: Path) -> None:
        self._refuse(source, target)
        super().rename(source, target)

    def rename_exclusive(self, source: Path, target: Path) -> None:
        self._refuse(source, target)
        super().rename_exclusive(source, target)

    def _refuse(self, source: Path, target: Path) -> None:
        for path in (source, target):
            if self._parts <= set(path.parts):
                raise OSError(self._code, "refused", str(path))


async def test_a_sub_folder_without_rights_holds_up_its_files_alone(tmp_path: Path) -> None:
    house = House(tmp_path / "srv", Refusing(errno.EACCES, "inbox", "closed"))
    house.tree.drop("closed/a.jpg", scan(1))
    house.tree.drop("b.jpg", scan(2))
    async with house.running():
        await until(lambda: house.events("job.held") and house.events("job.done"))
        (held,) = house.events("job.held")
        assert (held["kind"], held["source"]) == ("no-permission", "closed/a.jpg")
        assert f"{house.tree.inbox}/closed" in held["error"]
        assert "setfacl" in held["hint"]
        with house.ledger() as ledger:
            await until(lambda: ledger.job(held["job"]).state is JobState.QUEUED)
            assert ledger.job(held["job"]).attempts == 0
            ledger.request_cancel([held["job"]])
            await until(lambda: ledger.job(held["job"]).state is JobState.CANCELLED)
            assert ledger.job(held["job"]).place is Place.INBOX
    assert house.events("folder.paused") == []
    assert house.tree.visible("inbox") == ["closed/a.jpg"]


async def test_a_name_that_the_outbox_refuses_holds_up_its_job_until_that_is_cancelled(
    tmp_path: Path,
) -> None:
    house = House(tmp_path / "srv", Refusing(errno.EINVAL, "outbox", "a:b"))
    house.tree.drop("a:b.jpg", scan(1))
    house.tree.drop("c.jpg", scan(2))
    async with house.running():
        await until(lambda: house.events("job.held") and house.events("job.done"))
        (held,) = house.events("job.held")
        assert held["kind"] == "invalid-name"
        answer = await asyncio.to_thread(
            ask, house.tree.root / ".ocrd", {"do": "cancel", "jobs": [held["job"], 999]}
        )
        assert [job["source"] for job in answer["jobs"]] == ["a:b.jpg"]
        assert (answer["left"], answer["unknown"]) == ([], [999])
        await until(lambda: house.events("job.cancelled"))
    assert house.events("folder.paused") == []
    assert house.tree.visible("failed") == ["a:b.jpg", "a:b.jpg.error.json"]
    assert house.tree.spooled() == []


async def test_a_failed_file_whose_sub_folder_takes_nothing_lies_beside_the_others(
    tmp_path: Path,
) -> None:
    house = House(tmp_path / "srv", Refusing(errno.EACCES, "failed", "closed"))
    house.tree.drop("closed/a.jpg", b"\xff\xd8\xff no picture")
    async with house.running():
        await until(lambda: house.events("job.failed"))
    assert house.tree.visible("failed") == ["a.jpg", "a.jpg.error.json"]


async def test_a_refused_file_that_was_mended_and_is_tried_again_is_read(tmp_path: Path) -> None:
    """It was recorded unread: what it holds is known only now."""
    house = House(tmp_path / "srv")
    house.tree.drop("a.jpg", scan(1))
    facts = (house.tree.inbox / "a.jpg").stat()
    found = Found(
        folder="scans",
        source="a.jpg",
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        inode=facts.st_ino,
        sha256="",
    )
    (house.tree.root / ".ocrd").mkdir()
    with house.ledger() as ledger:
        refused = ledger.record_refused(found, JobError(kind="unreadable", message="-", hint="-"))
        (retried,) = ledger.retry([refused.id])
    async with house.running():
        await until(lambda: house.events("job.done"))
    with house.ledger() as ledger:
        assert ledger.job(retried.id).sha256 == house.tree.dropped["a.jpg"]
    house.tree.check_done()


class Hanging(Disk):
    """An inbox that does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.back = threading.Event()
        self.hanging = 0

    def rename(self, source: Path, target: Path) -> None:
        if "hung" in source.parts and "inbox" in source.parts and source.suffix == ".jpg":
            self.hanging += 1
            self.back.wait()
        super().rename(source, target)


async def test_a_share_that_hangs_stops_neither_other_folders_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrd.worker.calls.HANGS_S", 1.0)
    disk = Hanging()
    house = House(tmp_path / "srv", disk, '[[folder]]\nname = "hung"\nmode = "ocr"\n')
    hung = house.tree.root / "inbox" / "hung"
    hung.mkdir()
    for number in range(HUNG):
        (hung / f"{number}.jpg").write_bytes(scan(number % 3))
    task = asyncio.create_task(house.daemon.run())
    try:
        await until(lambda: disk.hanging)
        await until(  # on a busy machine the ledger, too, may take its second
            lambda: str(hung) in {each["place"] for each in house.facts.get("hanging", ())}
        )
        paused = {each["name"]: each["paused"] for each in house.facts["folders"]}
        assert f"to {hung} have not answered for " in paused["hung"]["message"]
        house.tree.drop("a.jpg", scan(1))
        await until(lambda: house.events("job.done"))
        house.daemon.stop()
        house.daemon.stop()
        async with asyncio.timeout(HANG_S):  # what hangs does so until `disk.back`
            assert await task is ExitCode.OK
        assert house.daemon.left_behind
    finally:
        disk.back.set()


async def test_a_part_that_fails_is_told_of_and_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, rounds = House(tmp_path / "srv"), list[int]()
    monkeypatch.setattr("ocrd.daemon.troubles.RESTART_S", (0.1, 5.0))

    async def round_(_self: Retention) -> None:
        rounds.append(1)
        if len(rounds) == 1:
            raise RecursionError("too deep")

    monkeypatch.setattr(Retention, "round", round_)
    async with house.running():
        await until(lambda: len(rounds) > 1)
        await until(lambda: house.facts.get("troubles"))
        (trouble,) = house.facts["troubles"]
        assert trouble["message"] == "the retention failed: RecursionError('too deep')"
        assert trouble["hint"]


async def test_a_part_that_fails_again_and_again_ends_the_daemon_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path / "srv")

    async def round_(_self: Retention) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(Retention, "round", round_)
    monkeypatch.setattr("ocrd.daemon.troubles.RESTART_S", (0.01, 0.01))
    with pytest.raises(OcrdError, match="the retention failed") as caught:
        await house.daemon.run()
    assert "report" in caught.value.hint


def test_members_pause_resume_cancel_and_retry_by_asking(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    spool = tree.root / ".ocrd"
    with daemon(tree):
        wait_for((spool / "answers").is_dir)
        assert ask(spool, {"do": "pause", "all": True})["folders"] == ["scans"]
        tree.drop("a.jpg", scan(1))
        wait_for(lambda: folder_of(tree)["waiting"] == 1)
        wait_for(lambda: folder_of(tree)["paused"])
        assert folder_of(tree)["paused"]["kind"] == "by-a-person"
    with daemon(tree):  # it was written down
        wait_for(lambda: folder_of(tree)["paused"])
        (job,) = ask(spool, {"do": "cancel", "jobs": [1]})["jobs"]
        assert job["source"] == "a.jpg"
        wait_for(lambda: tree.visible("failed") == ["a.jpg", "a.jpg.error.json"])
        assert ask(spool, {"do": "retry", "jobs": [1, 7]})["unknown"] == [7]
        ask(spool, {"do": "resume", "folders": ["scans"]})
        wait_for(lambda: folder_of(tree)["done"] == 1)
        for wrong in ({"do": "pause", "folders": ["typo"]}, {"do": "dance"}):
            with pytest.raises(UsageError):
                ask(spool, wrong)


NO_REQUESTS = [b"[" * 200_000, b'{"a":' * 100_000, b"\xff", b"9" * 10_000, b"null", b""]


def test_a_request_that_is_none_or_a_strangers_or_a_link_is_refused_and_stops_nothing(
    tmp_path: Path,
) -> None:
    tree = Tree(tmp_path / "srv")
    spool, made, secret = tree.root / ".ocrd", tmp_path / "made", tmp_path / "secret"
    pause = {"version": 1, "do": "pause", "all": True}
    secret.write_text(json.dumps(pause), encoding="utf-8")
    with daemon(tree):
        wait_for((spool / "answers").is_dir)
        for number, content in enumerate([*NO_REQUESTS, "link", "stranger"]):
            name = f"wrong-{number}.json"
            if content == "link":
                made.symlink_to(secret)
            elif isinstance(content, bytes):
                made.write_bytes(content)
            elif os.geteuid() == 0:  # nobody else can make a file of somebody else's
                made.write_text(json.dumps(pause), encoding="utf-8")
                os.chown(made, NOBODY, NOBODY)
            else:
                continue
            made.rename(spool / "requests" / name)
            wait_for((spool / "answers" / name).exists)
            assert json.loads((spool / "answers" / name).read_text())["error"]["hint"]
            assert not (snapshot.read(spool) or {}).get("troubles")
        assert folder_of(tree)["paused"] is None
        assert ask(spool, pause)["folders"] == ["scans"]
    assert secret.exists()
