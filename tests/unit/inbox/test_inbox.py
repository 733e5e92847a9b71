"""Inboxes and the ledger: what is recorded, when, and what waits."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import Folder, load
from ocrd.config.schema import WatchSettings
from ocrd.events import Event, Events
from ocrd.files import Disk
from ocrd.inbox.admit import LARGE_BYTES
from ocrd.inbox.inbox import EMPTY_S, Inbox
from ocrd.inbox.inboxes import Inboxes
from ocrd.inbox.inotify import Inotify
from ocrd.inbox.submit import submit
from ocrd.job import Found, Job, JobState
from tests.support.waiting import HANG_S, wait_for
from tests.unit.inbox.support import Clock
from tests.unit.ledger.making import opened

BY_PAUSE = "join = 'pause'\njoin_pause_s = 1"
BY_NAME = r"""join = 'pattern'
join_pause_s = 1
join_pattern = '(?P<document>.+)_(?P<page>\d+)\.jpg'"""
MARKED = "done_marker = '{name}.done'"


class House:
    """An inbox and a ledger.

    Attributes:
        rests: What the configuration says for all folders of how long a file must rest.
    """

    rests = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / "inbox" / "hall"
        self.inbox.mkdir(parents=True)
        self.ledger = opened(root / "ledger.db")
        self.told: list[Event] = []

    def folder(self, name: str, keys: str, settle_s: float | None) -> Folder:
        file = self.root / "config.toml"
        settle = "" if settle_s is None else f"settle_s = {settle_s}\n"
        text = f"root = '{self.root}'\n{self.rests}[[folder]]\nname = '{name}'\n{settle}{keys}"
        file.write_text(text, encoding="utf-8")
        found = load(file).folder(name)
        assert found is not None
        return found

    @contextmanager
    def intake(
        self,
        keys: str = "",
        rescan_s: float = 60.0,
        settle_s: float | None = 0.3,
        folders: Sequence[str] = ("hall",),
        **watch: object,
    ) -> Iterator[Inbox]:
        inboxes = Inboxes(
            self.ledger,
            Events(self.told.append),
            WatchSettings(rescan_s=rescan_s, **watch),  # type: ignore[arg-type]  # as they are
            root=self.root,
            memory=self.root / "memory",
            wake=lambda: None,
        )
        inboxes.follow({name: self.folder(name, keys, settle_s) for name in folders})
        self.inboxes = inboxes
        try:
            yield inboxes._inboxes["hall"]
        finally:
            inboxes.stop()

    @contextmanager
    def stepped(
        self, keys: str = "", rescan_s: float = 60.0, settle_s: float | None = 0.3
    ) -> Iterator[Inbox]:
        """An inbox without a thread: `until` steps it, and turns its clock."""
        folder, events = self.folder("hall", keys, settle_s), Events(self.told.append)
        memory = self.root / "memory" / "hall.json"
        self.clock = Clock()
        self.stepping = Inbox(
            folder,
            self.ledger,
            events,
            wake=lambda: None,
            max_bytes=1 << 40,
            rescan_s=rescan_s,
            memory=memory,
            clock=self.clock,
        )
        self.stepping.step()
        watcher = self.stepping.watcher
        with contextlib.closing(Inotify()) as self.inotify:
            watcher.listen(self.inotify if watcher.wants_events else None)
            yield self.stepping
            watcher.stop()

    def until(self, true: Callable[[], object], most: float = 600.0) -> None:
        """Step the inbox, a tenth of a second apart by its clock, until this is true."""
        end = self.clock() + most
        while not true():
            assert self.clock() < end, "it never came"
            for event in self.inotify.read():
                self.stepping.watcher.heard(event)
            self.stepping.step()
            self.clock.turn(0.1)

    def turn(self, seconds: float) -> None:
        """The same for so long."""
        end = self.clock() + seconds
        self.until(lambda: self.clock() >= end)

    def drop(self, *names: str, written: float | None = None) -> None:
        for name in names:
            path = self.inbox / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"page " + os.fsencode(name))
            if written is not None:
                os.utime(path, (written, written))

    def jobs(self) -> dict[str, list[str]]:
        """What waits to be claimed: the files of each job, by its source."""
        queued = self.ledger.jobs(state=JobState.QUEUED)
        return {job.source: [each.source for each in job.members] for job in queued}

    def claim(self) -> Job:
        """As a worker does: the files are taken away, and that is recorded."""
        (job,) = self.ledger.claim_some(1, now=time.time())
        for each in job.members or (job,):
            (self.inbox / each.source).unlink()
        return self.ledger.moved(job)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [dict(event.fields) for event in self.told if event.name == name]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    with contextlib.closing(house.ledger):
        yield house


@pytest.mark.parametrize(
    ("keys", "dropped", "jobs"),
    [
        (
            BY_NAME,
            ["b_2.jpg", "a_10.jpg", "a_9.jpg", "sub/a_1.jpg", "b_1.jpg", "other.pdf"],
            {
                "a": ["a_9.jpg", "a_10.jpg"],
                "b": ["b_1.jpg", "b_2.jpg"],
                "sub/a": ["sub/a_1.jpg"],
                "other.pdf": [],
            },
        ),
        (BY_NAME, ["a_1.jpg", "a_3.jpg", "a_2.jpg -> a_1.jpg"], {"a": ["a_1.jpg", "a_3.jpg"]}),
        (
            BY_PAUSE,
            ["1.jpg @100", "2.jpg @100.5", "3.jpg @200", "4.jpg @200.5", "alone.pdf @400"],
            {"1": ["1.jpg", "2.jpg"], "3": ["3.jpg", "4.jpg"], "alone.pdf": []},
        ),
        (
            BY_PAUSE,
            ["in/scan 9.jpg", "in/Scan 10.jpg", "out/1.jpg", "in/scan 11.jpg"],
            {"in/scan 9": ["in/scan 9.jpg", "in/Scan 10.jpg", "in/scan 11.jpg"], "out/1.jpg": []},
        ),
    ],
    ids=["by their names", "but not a page that cannot be read", "where pauses were", "at once"],
)
def test_what_lies_in_the_inbox_is_joined_and_recorded_once(
    house: House, keys: str, dropped: list[str], jobs: dict[str, list[str]]
) -> None:
    for each in dropped:
        name, _, target = each.partition(" -> ")
        name, _, written = name.partition(" @")
        if target:
            (house.inbox / name).symlink_to(target)
        else:
            house.drop(name, written=float(written) if written else None)
    for _restart in range(2):
        with house.stepped(keys) as intake:
            house.until(intake.settled)
        assert house.jobs() == jobs
    refused = [job.source for job in house.ledger.jobs(state=JobState.FAILED)]
    assert refused == [each.partition(" -> ")[0] for each in dropped if " -> " in each]
    assert len(house.ledger.jobs()) == len(jobs) + len(refused)


class TestByPause:
    def test_what_comes_one_soon_after_the_other_is_one_job(self, house: House) -> None:
        with house.stepped(BY_PAUSE.replace("1", "5")) as intake:
            for number in (9, 10, 11):
                house.drop(f"scan {number}.jpg", written=4.0 * number)
                house.turn(4)
                assert intake.report()["settling"] == number - 8
            assert house.jobs() == {}
            assert not intake.settled()
            house.until(intake.settled)
        assert house.jobs() == {"scan 9": ["scan 9.jpg", "scan 10.jpg", "scan 11.jpg"]}
        (told,) = house.events("job.queued")
        assert (told["source"], told["files"]) == ("scan 9", 3)

    def test_a_single_file_that_changes_while_it_is_queued_renews_its_job(
        self, house: House
    ) -> None:
        house.drop("letter.pdf")
        with house.stepped(BY_PAUSE) as intake:
            house.until(intake.settled)
            (before,) = house.ledger.jobs()
            (house.inbox / "letter.pdf").write_bytes(b"more")
            house.until(lambda: house.ledger.jobs()[0].size == 4)
        assert [job.id for job in house.ledger.jobs()] == [before.id]


class TestByName:
    @pytest.fixture
    def waiting(self, house: House) -> Iterator[Inbox]:
        """An inbox two of whose pages are a queued document."""
        house.drop("a_1.jpg", "a_3.jpg")
        with house.stepped(BY_NAME) as intake:
            house.until(lambda: house.jobs() == {"a": ["a_1.jpg", "a_3.jpg"]})
            house.until(intake.settled)
            yield intake

    def test_joining_switched_off_leaves_what_is_queued_together(
        self, house: House, waiting: Inbox
    ) -> None:
        house.drop("b_1.jpg", "b_2.jpg")
        with house.stepped("") as intake:
            house.until(intake.settled)
        assert house.jobs() == {"a": ["a_1.jpg", "a_3.jpg"], "b_1.jpg": [], "b_2.jpg": []}

    def test_files_that_were_only_touched_are_nothing_new(
        self, house: House, waiting: Inbox
    ) -> None:
        waiting.watcher.hint("a_3.jpg")
        house.drop("b_1.jpg")  # whatever becomes of the hint has become of it before this
        house.until(lambda: "b" in house.jobs())
        house.until(waiting.settled)
        assert house.jobs() == {"a": ["a_1.jpg", "a_3.jpg"], "b": ["b_1.jpg"]}
        assert len(house.ledger.jobs()) == 2

    def test_a_late_page_joins_its_document_while_that_waits(
        self, house: House, waiting: Inbox
    ) -> None:
        house.drop("a_2.jpg")
        house.until(lambda: house.jobs() == {"a": ["a_1.jpg", "a_2.jpg", "a_3.jpg"]})
        house.until(waiting.settled)
        (first,) = house.ledger.jobs(state=JobState.CANCELLED)
        assert first.error is not None and first.error.kind == "source-changed"

    def test_a_page_scanned_again_replaces_the_one_that_waits(
        self, house: House, waiting: Inbox
    ) -> None:
        (house.inbox / "a_3.jpg").write_bytes(b"better")
        house.until(lambda: house.events("job.withdrawn"))
        house.until(lambda: house.jobs() == {"a": ["a_1.jpg", "a_3.jpg"]})
        (job,) = house.ledger.jobs(state=JobState.QUEUED)
        assert [member.size for member in job.members] == [len(b"page a_1.jpg"), len(b"better")]

    def test_the_next_document_of_a_name_is_another_one(self, house: House, waiting: Inbox) -> None:
        first = house.claim()
        house.drop("a_1.jpg", "a_2.jpg")
        house.until(lambda: len(house.jobs()) == 1)
        house.until(waiting.settled)
        (second,) = house.ledger.jobs(state=JobState.QUEUED)
        assert second.id != first.id
        assert [each.source for each in second.members] == ["a_1.jpg", "a_2.jpg"]

    def test_a_job_that_gave_its_files_up_is_joined_anew(
        self, house: House, waiting: Inbox
    ) -> None:
        (job,) = house.ledger.claim_some(1, now=time.time())
        (house.inbox / "a_3.jpg").unlink()
        house.ledger.gone(job)
        for member in job.members:
            waiting.watcher.hint(member.source)
        house.until(lambda: house.jobs() == {"a": ["a_1.jpg"]})

    def test_a_page_that_is_missing_or_doubled_is_told(self, house: House) -> None:
        house.drop("a_1.jpg", "a_01.jpg", "a_4.jpg")
        with house.stepped(BY_NAME) as intake:
            house.until(intake.settled)
        assert house.jobs() == {"a": ["a_01.jpg", "a_1.jpg", "a_4.jpg"]}
        (missing,) = house.events("document.pages_missing")
        assert (missing["source"], missing["pages"]) == ("a", "2, 3")
        (twice,) = house.events("document.page_twice")
        assert twice["files"] == "a_1.jpg"

    def test_a_documents_marker_ends_the_wait_and_nobody_waits_for_pages_taken_away(
        self, house: House
    ) -> None:
        with house.stepped(BY_NAME.replace("= 1", "= 3600") + "\n" + MARKED) as intake:
            house.drop("a_1.jpg", "a_2.jpg", "a_3.jpg", "b_1.jpg")
            house.until(lambda: intake.report()["settling"] == 4)
            house.turn(60)
            assert (house.jobs(), intake.settled()) == ({}, False)
            (house.inbox / "a_2.jpg").unlink()
            (house.inbox / "a.done").touch()
            house.until(house.jobs)
            assert house.jobs() == {"a": ["a_1.jpg", "a_3.jpg"]}
            (house.inbox / "b_1.jpg").unlink()
            house.until(intake.settled)
        assert house.jobs() == {"a": ["a_1.jpg", "a_3.jpg"]}

    def test_a_file_being_written_keeps_its_document_waiting(self, house: House) -> None:
        with house.stepped(BY_NAME.replace("= 1", "= 3")) as intake:
            house.drop("a_1.jpg", "b_1.jpg")

            def written_until_b_is_taken() -> bool:
                with (house.inbox / "a_2.jpg").open("ab") as growing:
                    growing.write(b"line")
                return bool(house.jobs())

            house.until(written_until_b_is_taken)
            assert house.jobs() == {"b": ["b_1.jpg"]}
            house.until(intake.settled)
        assert house.jobs() == {"b": ["b_1.jpg"], "a": ["a_1.jpg", "a_2.jpg"]}

    def test_on_a_share_that_is_polled_documents_are_whole_too(self, house: House) -> None:
        with house.stepped(f"{BY_NAME}\nwatch = 'polling'", rescan_s=3.0) as intake:
            house.drop("a_1.jpg")
            house.until(lambda: intake.report()["settling"] == 1)
            house.drop("a_2.jpg")  # seen at the next look through everything, after the pause
            house.until(intake.settled)
        assert house.jobs() == {"a": ["a_1.jpg", "a_2.jpg"]}


class TestMarked:
    def test_a_file_is_taken_once_its_marker_lies_beside_it(self, house: House) -> None:
        with house.stepped(MARKED) as intake:
            house.drop("a.pdf", "b.pdf")
            house.until(lambda: intake.report()["unmarked"] == 2)
            house.until(intake.settled)
            assert house.jobs() == {}
            (house.inbox / "b.pdf.done").touch()
            house.until(house.jobs)
            house.until(lambda: intake.report()["unmarked"] == 1)
            house.until(lambda: intake.report()["settling"] == 0)
        assert house.jobs() == {"b.pdf": []}
        assert sorted(os.listdir(house.inbox)) == ["a.pdf", "b.pdf", "b.pdf.done"]

    def test_a_file_that_is_still_written_beside_its_marker_is_waited_for(
        self, house: House
    ) -> None:
        (house.inbox / "a.pdf.done").touch()
        with house.stepped(MARKED, settle_s=3.0) as intake:
            for _ in range(5):
                with (house.inbox / "a.pdf").open("ab") as growing:
                    growing.write(b"line")
                house.turn(2)  # together longer than settling, each less
            assert house.jobs() == {}
            house.until(intake.settled)
        (job,) = house.ledger.jobs()
        assert job.size == 5 * len(b"line")


class TestHaste:
    """What is known to be whole does not wait; nothing waits for what is large."""

    @pytest.mark.parametrize(
        ("drop", "settle_s", "closed_s", "own_s", "least"),
        [
            (submit, 3000, 3000, None, 0),
            (shutil.move, 3000, 3000, None, 0),
            (shutil.copy, 3000, 1, None, 0.9),
            (shutil.copy, 0.1, 0.1, 1.0, 0.9),
        ],
        ids=["submitted", "renamed in", "written and closed", "in a folder of its own settle time"],
    )
    def test_a_file_rests_only_as_long_as_it_may_be_incomplete(
        self,
        house: House,
        drop: Callable[[Path, Path], object],
        settle_s: float,
        closed_s: float,
        own_s: float | None,
        least: float,
    ) -> None:
        house.rests = f"[watch]\nsettle_s = {settle_s}\nclosed_s = {closed_s}\n"
        (house.root / "scan.pdf").write_bytes(b"scan")
        with house.stepped(settle_s=own_s) as intake:
            house.until(intake.settled)
            began = house.clock()
            drop(house.root / "scan.pdf", house.inbox)
            house.until(house.jobs, most=5)
            assert house.clock() - began >= least

    def test_small_files_do_not_wait_for_large_ones(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened, go_on = Disk.open, threading.Event()

        def read_at_last(disk: Disk, path: Path) -> io.BufferedReader:
            if path.name.startswith("book"):
                go_on.wait(2 * HANG_S)
            return opened(disk, path)

        monkeypatch.setattr(Disk, "open", read_at_last)
        for number in range(4):
            with (house.inbox / f"book {number}.pdf").open("wb") as file:
                file.truncate(LARGE_BYTES + 1)
        try:
            with house.intake(settle_s=0.3):
                wait_for(lambda: house.inboxes.report("hall")["settling"] == 4)
                house.drop("letter.pdf")
                wait_for(house.jobs)
                assert list(house.jobs()) == ["letter.pdf"]
                go_on.set()
                wait_for(lambda: len(house.jobs()) == 5)
        finally:
            go_on.set()

    @pytest.mark.parametrize(("size", "takes_s", "at_once"), [(8 << 20, 0.0, 9), (1, 0.1, 5)])
    def test_what_is_hashed_is_recorded_before_all_is_hashed(
        self,
        house: House,
        monkeypatch: pytest.MonkeyPatch,
        size: int,
        takes_s: float,
        at_once: int,
    ) -> None:
        recorded: list[int] = []
        record, opened = house.ledger.record, Disk.open

        def counted(found: Sequence[Found]) -> list[Job | None]:
            recorded.append(len(found))
            return record(found)

        def slowly(disk: Disk, path: Path) -> io.BufferedReader:
            house.clock.turn(takes_s)
            return opened(disk, path)

        monkeypatch.setattr(house.ledger, "record", counted)
        monkeypatch.setattr(Disk, "open", slowly)
        for number in range(20):
            with (house.inbox / f"{number}.pdf").open("wb") as file:
                file.truncate(size)
        with house.stepped() as intake:
            house.until(intake.settled)
        assert sum(recorded) == 20
        assert max(recorded) <= at_once

    def test_an_absurd_size_is_refused_and_holds_up_nothing(self, house: House) -> None:
        with (house.inbox / "sparse.pdf").open("wb") as file:
            file.truncate(2 << 40)
        house.drop("letter.pdf")
        with house.stepped() as intake:
            house.until(intake.settled)
        assert house.jobs() == {"letter.pdf": []}
        (refused,) = house.ledger.jobs(state=JobState.FAILED)
        assert refused.error is not None
        assert (refused.error.kind, "max_file_mib" in refused.error.hint) == ("too-large", True)


class TestMending:
    def test_a_refused_file_that_is_put_back_goes_through_the_intake_again(
        self, house: House
    ) -> None:
        (house.inbox / "scan.pdf").symlink_to("nowhere")
        with house.stepped() as intake:
            house.until(lambda: house.ledger.jobs(state=JobState.FAILED))
            (refused,) = house.ledger.jobs()
            (house.inbox / "scan.pdf").unlink()
            house.drop("scan.pdf")
            house.until(house.jobs)
            assert house.ledger.jobs()[0].id == refused.id
            house.until(intake.settled)
        assert house.ledger.jobs()[0].sha256

    def test_a_put_back_job_without_a_digest_gets_one(self, house: House) -> None:
        os.mkfifo(house.inbox / "scan.pdf")
        with house.stepped() as intake:
            house.until(lambda: house.ledger.jobs(state=JobState.FAILED))
            (refused,) = house.ledger.jobs()
            house.ledger.retry([refused.id])
            intake.watcher.hint("scan.pdf")  # as its claim does, which finds no file of that digest
            house.until(lambda: house.ledger.jobs(state=JobState.FAILED))

    def test_a_fault_that_nobody_foresaw_is_shown_and_watching_begins_anew(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with house.intake() as intake:
            wait_for(intake.settled)
            with monkeypatch.context() as patched:
                patched.setattr(Disk, "lstat", _recursion)  # a defect in one part
                house.drop("scan.pdf")
                wait_for(lambda: house.events("inbox.failed"))
            condition = house.inboxes.report("hall")["condition"]
            assert condition is None or condition["kind"] == "defect"
            wait_for(house.jobs)
            (shown,) = house.inboxes.report("hall")["conditions"]
            assert (shown["kind"], "RecursionError" in shown["message"]) == ("defect", True)
            assert house.inboxes.healthy()

    def test_sub_folders_that_the_daemon_emptied_go_and_others_stay(self, house: House) -> None:
        (house.inbox / "made for later").mkdir()
        house.drop("a/b/1.pdf", "kept/2.pdf", "kept/notes.tmp")
        with house.stepped():
            house.until(lambda: len(house.jobs()) == 2)
            house.claim()
            house.claim()
            house.turn(1)
            assert (house.inbox / "a").is_dir()
            for _ in range(2):  # "b", and then what it lay in
                house.clock.turn(EMPTY_S)
                house.turn(1)
            assert not (house.inbox / "a").exists()
        assert sorted(os.listdir(house.inbox)) == ["kept", "made for later"]

    def test_files_in_no_folder_are_told(self, house: House) -> None:
        house.drop("../unknown/1.pdf", "../2.pdf", "ours.pdf")
        with house.intake():
            wait_for(lambda: house.inboxes.strays())
            unknown = house.root / "inbox" / "unknown"
            assert house.inboxes.strays() == [
                {"path": str(unknown.parent), "files": 1},
                {"path": str(unknown), "files": 1},
            ]
        (told,) = house.events("inbox.strays")
        assert told["error"] == (
            f"2 files lie in no folder: {unknown.parent}, {unknown} (add [[folder]], or move them)"
        )


def _recursion(*_: object, **__: object) -> None:
    raise RecursionError("maximum recursion depth exceeded")


def test_threads_and_inotify_instances_do_not_grow_with_folders(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    entries = "".join(f"[[folder]]\nname = 'f{number}'\n" for number in range(20))
    file.write_text(f"root = '{tmp_path}'\n{entries}")
    folders = {folder.name: folder for folder in load(file).folders}
    told: list[Event] = []
    before = threading.active_count(), _instances()
    with contextlib.closing(opened(tmp_path / "ledger.db")) as ledger:
        inboxes = Inboxes(
            ledger,
            Events(told.append),
            WatchSettings(),
            root=tmp_path,
            memory=tmp_path / "memory",
            wake=lambda: None,
        )
        inboxes.follow(folders)
        wait_for(lambda: sum(event.name == "folder.watching" for event in told) == 20)
        wait_for(lambda: threading.active_count() <= before[0] + 2)
        assert _instances() == before[1] + 1
        for number in (0, 19):
            (tmp_path / "x.pdf").write_bytes(b"scan")
            (tmp_path / "x.pdf").rename(tmp_path / f"inbox/f{number}/x.pdf")
        wait_for(lambda: len(ledger.jobs()) == 2)
        inboxes.stop()
    assert _instances() == before[1]


def _instances() -> int:
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link) == "anon_inode:inotify" for link in links if os.path.lexists(link))
