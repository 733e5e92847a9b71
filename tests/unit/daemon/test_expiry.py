"""Archived originals go when they were kept long enough; what a person put there stays."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from ocrd.ages import AgeClock
from ocrd.config import Folder, load
from ocrd.daemon.retention import DAY_S, Retention
from ocrd.daemon.troubles import Troubles
from ocrd.events import Event, Events
from ocrd.files import Disk
from ocrd.job import Found, Job, Member, Place
from ocrd.ledger.ledger import Ledger
from ocrd.spool import Spool
from ocrd.worker.calls import Calls
from ocrd.worker.pages import Parts
from tests.integration.tree import Tree, ask, daemon, log, scan
from tests.support.impostors import link, pipe
from tests.support.needs import few
from tests.support.waiting import wait_for
from tests.unit.ledger.making import Clock, opened

NOW = 1_800_000_000.0  # in January 2027
CONFIG = """\
root = "{root}"
[[folder]]
name = "scans"
archive = "archive/scans/%Y/%m"
keep_archive_days = 30
[[folder]]
name = "kept"
"""


class CrashError(Exception):
    """The process ends here."""


class Deadly(Disk):
    """Ends the process before its Nth call that changes the disk."""

    def __init__(self, fatal: int) -> None:
        super().__init__()
        self._left = fatal

    def unlink(self, path: Path) -> None:
        self._strike()
        super().unlink(path)

    def rmdir(self, path: Path) -> None:
        self._strike()
        super().rmdir(path)

    def fsync_dir(self, path: Path) -> None:
        self._strike()
        super().fsync_dir(path)

    def _strike(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise CrashError


@dataclass
class World:
    """An archive with a ledger that knows what was filed there, and when."""

    root: Path
    ledger: Ledger
    clock: Clock
    told: list[Event]
    uptime: float = 0.0
    troubles: Troubles = field(default_factory=Troubles)
    ages: AgeClock = field(init=False)

    def __post_init__(self) -> None:
        (self.root / ".ocrd").mkdir(parents=True)
        (self.root / ".ocrd/clock.json").write_text(f"[{NOW}, 0, 0]")
        self.start()

    def start(self) -> None:
        """What the daemon's next process knows of the clock."""
        self.ages = AgeClock(
            self.root / ".ocrd" / "clock.json", wall=self.clock, elapsed=lambda: self.uptime
        )

    def passes(self, hours: float, how: str) -> None:
        """The daemon runs for so long, the clock is put forward or back, or the machine is off."""
        self.clock.now += hours * 3600
        if how == "runs":
            self.uptime += hours * 3600
        elif how == "off":
            self.uptime = 0.0
            self.start()
        self.expire()

    @property
    def archive(self) -> Path:
        return self.root / "archive" / "scans"

    def folders(self) -> dict[str, Folder]:
        config = self.root / "config.toml"
        config.write_text(CONFIG.format(root=self.root), encoding="utf-8")
        return {folder.name: folder for folder in load(config).folders}

    def filed(
        self, path: str, data: bytes = b"a scan", *, days_ago: float = 31, folder: str = "scans",
        members: tuple[bytes, ...] = (),
    ) -> Job:  # fmt: skip
        """A done job whose original was filed so many days ago."""
        now, self.clock.now = self.clock.now, self.clock.now - days_ago * DAY_S
        target = self.root / "archive" / folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if members:
            target.mkdir()
            for number, content in enumerate(members):
                (target / f"{number}.jpg").write_bytes(content)
        else:
            target.write_bytes(data)
        found = Found(
            folder=folder,
            source=f"{path} {len(self.ledger.jobs())}",
            size=sum(map(len, members)) if members else len(data),
            mtime_ns=0,
            inode=0,
            sha256=digest(b"".join(members) if members else data),
            members=tuple(
                Member(source=f"{n}.jpg", size=len(each), mtime_ns=0, inode=0, sha256=digest(each))
                for n, each in enumerate(members)
            ),
        )
        (job,) = self.ledger.record([found])
        assert job is not None
        (claimed,) = self.ledger.claim_some(1, now=self.clock.now)
        job = self.ledger.moved(claimed)
        job = self.ledger.deliver(job, outputs="/outbox/x", archived_to=str(target))
        done = self.ledger.done(job)
        self.clock.now = now
        return done

    def expire(self, *, keep_done_days: float = 0, disk: Disk | None = None) -> None:
        """One round of what the daemon does every hour."""
        Spool(self.root).prepare()

        async def round_() -> None:
            spool = Spool(self.root, disk=disk)
            parts = SimpleNamespace(
                ledger=self.ledger,
                spool=spool,
                call=Calls(),
                events=Events(self.told.append),
                clock=self.clock,
            )
            retention = Retention(
                cast(Parts, parts),
                self.folders,
                keep_done_days=keep_done_days,
                troubles=self.troubles,
                ages=self.ages,
                disk=disk,
            )
            await retention.round()

        asyncio.run(round_())

    def left(self) -> list[str]:
        """What lies in the archive, folders with a slash."""
        return sorted(
            str(path.relative_to(self.archive)) + "/" * path.is_dir()
            for path in self.archive.rglob("*")
        )

    def events(self, job: Job) -> list[str]:
        return [f"{each.name} {each.detail}" for each in self.ledger.events(job.id)]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = Clock(NOW)
    with opened(tmp_path / "ledger.db", clock=clock) as ledger:
        world = World(tmp_path / "srv", ledger, clock, [])
        (world.root / "archive" / "scans").mkdir(parents=True)
        yield world


def test_what_was_kept_long_enough_goes_with_its_empty_folders(world: World) -> None:
    old = world.filed("2026/11/sub/a.pdf")
    young = world.filed("2026/12/b.pdf", days_ago=29)
    world.expire()
    assert world.left() == ["2026/", "2026/12/", "2026/12/b.pdf"]
    assert world.events(old)[-1] == "expired deleted"
    now = world.ledger.job(old.id)
    assert now is not None and now.place is Place.GONE
    assert world.ledger.job(young.id) == young


YEAR = 365 * 24


@pytest.mark.parametrize(
    ("course", "left"),
    [
        ([(10.1 * 24, "runs")], False),
        ([(YEAR, "leaps")], True),
        ([(YEAR, "leaps"), (23, "runs")], True),
        ([(YEAR, "leaps"), (25, "runs")], False),
        ([(YEAR, "leaps"), (12, "runs"), (-YEAR, "leaps"), (30, "runs")], True),
        ([(YEAR, "leaps"), (12, "runs"), (YEAR, "leaps"), (13, "runs")], True),
        ([(YEAR, "off")], True),
        ([(YEAR, "off"), (2, "runs"), (1, "off"), (2, "runs")], True),
        ([(YEAR, "off"), (YEAR + 24, "off")], True),
        ([(YEAR, "leaps"), (5, "runs"), (3 * 24, "off")], False),
        ([(30 * 24, "off")], True),
        ([(30 * 24, "off"), (25, "runs")], False),
        ([*[(9, "runs"), (15, "off")] * 5, (63, "off"), *[(9, "runs"), (15, "off")] * 3], False),
        ([(7 * 24, "off"), (7 * 24 + 0.01, "off")], False),
        ([(9, "runs"), (15, "leaps"), (9, "runs"), (15.01, "leaps")] * 6, False),
        ([(9, "runs"), (15, "leaps"), (9, "runs"), (YEAR, "leaps"), (20, "runs")], True),
        ([(1, "leaps"), (10 * 24, "runs")], False),
        ([(-3000 * 24, "leaps"), (1, "runs"), (3000 * 24, "leaps"), (10 * 24, "runs")], False),
        ([(-3000 * 24, "off"), (1, "runs"), (3020 * 24, "off"), (2, "runs")], True),
    ],
    ids=[
        "runs until it is due",
        "a year ahead",
        "nearly a day ago",
        "a day ago, so it is no error",
        "put right",
        "and one more year",
        "started a year ahead",
        "and started once more",
        "and started still further ahead",
        "and off over a weekend",
        "off for a month",
        "and on for a day",
        "off each night and over the weekend",
        "run once a week",
        "paused each night",
        "paused for a night and then a year ahead",
        "summer time, set by hand",
        "put right while it runs",
        "put right while it is off, too far",
    ],
)
def test_nothing_goes_by_a_clock_that_has_just_leapt(
    world: World, course: list[tuple[float, str]], left: bool
) -> None:
    world.filed("2027/01/a.pdf", days_ago=20)
    world.expire()
    for hours, how in course:
        world.passes(hours, how)
    assert (world.archive / "2027/01/a.pdf").exists() == left


DEEP = b"[" * 4000
STRANGE = (  # the disk is damaged, or a person wrote it
    b"[NaN, 0, 0]",
    b"[Infinity, 0, 0]",
    b"[1e300, 0, 0]",
    b"[1" + b"0" * 400 + b", 0, 0]",
    b"[0, 0, -1e300]",
)


@pytest.mark.parametrize("kept", [None, b"", b"[1, 2", b'{"at": "noon"}', b"[[]]", DEEP, *STRANGE])
def test_without_word_of_the_last_process_the_ledger_knows_the_time(
    world: World, kept: bytes | None
) -> None:
    world.filed("2027/01/a.pdf", days_ago=2)
    world.expire()
    (world.root / ".ocrd/clock.json").unlink()
    if kept is not None:
        (world.root / ".ocrd/clock.json").write_bytes(kept)
    world.passes(YEAR, "off")
    assert world.left() == ["2027/", "2027/01/", "2027/01/a.pdf"]
    world.passes(25, "runs")
    assert world.left() == []


@pytest.mark.parametrize("leapt_at", [NOW + 1e9, NOW + 1e15])
def test_a_leap_that_is_told_to_come_stands_after_a_day(world: World, leapt_at: float) -> None:
    world.filed("2026/11/a.pdf", days_ago=40)
    (world.root / ".ocrd/clock.json").write_text(f"[{NOW}, {leapt_at}, 5]")
    world.passes(1, "off")
    world.passes(25, "runs")
    assert world.left() == []


def test_a_leap_is_said_once_and_in_the_status_until_it_has_stood_for_a_day(world: World) -> None:
    job = world.filed("2027/01/a.pdf", days_ago=20)
    for hours, how in ((1, "runs"), (YEAR, "leaps"), (1, "runs"), (1, "runs")):
        world.passes(hours, how)
    (said,) = world.told
    assert (said.name, said.fields["kind"]) == ("clock.leapt", "clock-leapt")
    (trouble,) = world.troubles.told()
    assert trouble["message"] == (
        "the clock leapt ahead by 365 days, 0:00:00, or the machine was off: nothing is deleted "
        "for its age until it has stood for a day"
    )
    assert "timedatectl" in trouble["hint"]
    world.expire(keep_done_days=1)
    assert world.ledger.job(job.id) == job  # not forgotten either
    world.passes(24, "runs")
    assert [each.name for each in world.told] == ["clock.leapt", "archive.expired"]
    assert world.troubles.told() == []


def test_what_was_filed_while_the_clock_was_put_back_is_as_young_as_what_came_before_it(
    world: World,
) -> None:
    world.filed("2026/12/before.pdf", days_ago=20)
    stale = world.filed("1970/01/a.pdf", days_ago=NOW / DAY_S - 1)
    world.expire(keep_done_days=25)
    assert "1970/01/a.pdf" in world.left()
    assert world.ledger.job(stale.id) == stale
    world.passes(11 * 24, "runs")
    world.expire(keep_done_days=25)
    assert world.left() == []
    assert world.ledger.jobs() == []


class Full(Disk):
    """Has no room for a single byte."""

    def write(self, path: Path, content: bytes, mode: int = 0) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_a_full_disk_is_emptied_though_the_time_cannot_be_kept(world: World) -> None:
    world.filed("2026/11/a.pdf")
    world.ages = AgeClock(
        world.root / ".ocrd/clock.json", disk=Full(), wall=world.clock, elapsed=lambda: 0.0
    )
    world.expire()
    assert world.left() == []


def test_folders_in_which_originals_are_filed_today_stay_though_empty(world: World) -> None:
    world.filed("2027/01/sub/a.pdf")  # where the clock stands
    world.expire()
    assert world.left() == ["2027/", "2027/01/", "2027/01/sub/"]


def test_the_log_says_once_how_many(world: World) -> None:
    for number in range(3):
        world.filed(f"2026/11/{number}.pdf", b"scan %d" % number)
    world.filed("2026/11/x.pdf")
    (world.archive / "2026/11/x.pdf").write_bytes(b"edited by a person")
    world.expire()
    world.expire()
    assert [(event.name, dict(event.fields)) for event in world.told] == [
        ("archive.expired", {"deleted": 3, "left": 1})
    ]


def test_a_folder_without_the_setting_keeps_everything(world: World) -> None:
    job = world.filed("a.pdf", folder="kept", days_ago=10_000)
    world.expire()
    assert world.ledger.job(job.id) == job
    assert (world.root / "archive/kept/a.pdf").exists()


def edited(path: Path) -> None:
    path.write_bytes(b"b scan")


def longer(path: Path) -> None:
    path.write_bytes(b"a scan and more")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("touch", [edited, longer, folder, link, pipe])
def test_what_a_person_changed_or_put_there_stays(
    world: World, touch: Callable[[Path], None]
) -> None:
    job = world.filed("2026/11/a.pdf")
    stranger = world.archive / "2026/11/mine.pdf"
    stranger.write_bytes(b"a scan")  # the same bytes, but ocrd has not filed it
    touch(world.archive / "2026/11/a.pdf")
    before = world.left()
    world.expire()
    assert world.left() == before
    assert world.events(job)[-1] == "expired something else lies there now"


def test_one_that_a_person_took_away_is_noted_and_no_later_one_of_its_name_is_taken_for_it(
    world: World,
) -> None:
    first = world.filed("2026/11/a.pdf")
    (world.archive / "2026/11/a.pdf").unlink()
    second = world.filed("2026/11/a.pdf", days_ago=3)  # the same bytes, under the same name
    world.expire()
    assert world.events(first)[-1] == "expired no longer there"
    assert world.ledger.job(second.id) == second
    assert (world.archive / "2026/11/a.pdf").exists()


def test_a_joined_document_goes_with_its_folder_unless_something_else_lies_in_it(
    world: World,
) -> None:
    world.filed("2026/11/whole", members=(b"one", b"two"))
    world.filed("2026/11/mixed", members=(b"three", b"four"))
    (world.archive / "2026/11/mixed/note.txt").write_text("mine")
    world.expire()
    assert world.left() == ["2026/", "2026/11/", "2026/11/mixed/", "2026/11/mixed/note.txt"]


def test_a_persons_copy_of_a_page_beside_it_stays(world: World) -> None:
    world.filed("2026/11/pile", members=(b"one", b"two"))
    (world.archive / "2026/11/pile/the signed page.jpg").write_bytes(b"two")
    world.expire()
    assert [path for path in world.left() if path.endswith(".jpg")] == [
        "2026/11/pile/the signed page.jpg"
    ]


def test_nothing_outside_the_folders_archive_is_touched(world: World, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (world.archive / "2026").symlink_to(elsewhere)
    job = world.filed("2026/a.pdf")
    world.expire()
    assert (elsewhere / "a.pdf").exists()
    assert world.ledger.job(job.id) == job


def test_an_archive_that_is_not_mounted_is_waited_for(world: World) -> None:
    job = world.filed("2026/11/a.pdf")
    world.archive.rename(world.root / "mounted elsewhere")
    world.archive.mkdir()
    world.expire(keep_done_days=1)
    assert world.ledger.job(job.id) == job
    world.archive.rmdir()
    (world.root / "mounted elsewhere").rename(world.archive)
    world.expire(keep_done_days=1)
    assert world.left() == []
    assert world.ledger.job(job.id) is None


def test_a_job_is_not_forgotten_before_its_original_is_deleted(world: World) -> None:
    old = world.filed("2026/11/old.pdf", days_ago=40)
    kept = world.filed("kept.pdf", folder="kept", days_ago=20)
    young = world.filed("2026/12/young.pdf", days_ago=20)
    world.expire(keep_done_days=10)
    assert (world.root / "archive/kept/kept.pdf").exists()
    assert world.ledger.job(young.id) == young  # 10 days passed, but its original has 30
    assert world.ledger.job(old.id) is None
    assert world.ledger.job(kept.id) is None
    world.passes(11 * 24, "runs")
    world.expire(keep_done_days=10)
    assert world.ledger.job(young.id) is None
    assert world.left() == []


@pytest.mark.parametrize("fatal", few(range(1, 12)))
def test_a_crash_at_any_call_loses_nothing_else_and_the_next_round_ends_it(
    world: World, fatal: int
) -> None:
    jobs = [
        world.filed("2026/11/a.pdf"),
        world.filed("2026/11/b", members=(b"one", b"two")),
        world.filed("2026/10/c.pdf", b"c"),
    ]
    world.filed("2026/12/young.pdf", days_ago=2)
    with contextlib.suppress(CrashError):
        world.expire(disk=Deadly(fatal))
    world.expire()
    assert world.left() == ["2026/", "2026/12/", "2026/12/young.pdf"]
    for job in jobs:
        assert world.ledger.job(job.id) == replace(job, place=Place.GONE)
    assert world.ledger.verify() == []


def test_the_daemon_does_it_and_then_forgets_the_job(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    tree.drop("a.jpg", scan(1))
    assert tree.run()[0] == 0
    text = tree.config.read_text(encoding="utf-8")
    text = text.replace("[watch]", "[ledger]\nkeep_done_days = 0.00001\n[watch]")
    tree.config.write_text(f"{text}keep_archive_days = 0.00001\n", encoding="utf-8")
    time.sleep(1.0)  # longer than a hundred-thousandth of a day
    seen = tree.root / ".ocrd/clock.json"
    seen.write_text(json.dumps([time.time() - 365 * DAY_S, 0, 0]))
    with daemon(tree):
        wait_for(lambda: "clock.leapt" in log(tree))
        wait_for(lambda: ask(tree, "status")["troubles"])
        assert [each["kind"] for each in ask(tree, "status")["troubles"]] == ["clock-leapt"]
    assert log(tree).count("clock.leapt") == 1
    assert tree.visible("archive") == ["a.jpg"]
    seen.unlink()
    with daemon(tree):
        wait_for(lambda: ask(tree, "jobs")["jobs"] == [])
    assert log(tree).count("archive.expired") == 1
    assert tree.visible("archive") == []
    assert tree.visible("outbox") == ["a/a.json", "a/a.md", "a/a.pdf"]
