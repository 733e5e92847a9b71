"""Events go missing, inboxes vanish, doors are locked: the watch makes up for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrd.inbox.inotify import Event
from ocrd.inbox.settle import Sign
from tests.unit.inbox.support import (
    RESCAN,
    SETTLE,
    Clock,
    FolderWatch,
    as_nobody,
    chmod_as_root,
    drain,
    paths,
    public_folder,
    rescanned,
    settled,
    steps_until,
    until_waiting,
    watching,
)

# -- events go missing -----------------------------------------------------------------------------


def test_a_file_that_no_event_tells_of_is_found_by_the_rescan(inbox: Path, clock: Clock) -> None:
    with watching(inbox, clock, settle_s=SETTLE, rescan_s=RESCAN, watch="polling") as watch:
        assert watch.kind == "polling"
        (inbox / "scan.pdf").write_bytes(b"scan")
        assert drain(watch) == []
        assert len(watch.settler) == 0
        assert paths(rescanned(watch, clock)) == ["scan.pdf"]


@pytest.mark.parametrize("count", [1, 150])  # one by one, and more than are scanned so
def test_folders_hinted_at_are_scanned(inbox: Path, clock: Clock, count: int) -> None:
    with watching(inbox, clock, settle_s=SETTLE, watch="polling") as watch:
        for number in range(count):
            (inbox / f"{number:03}").mkdir()
            (inbox / f"{number:03}/scan.pdf").write_bytes(b"scan")
            watch.hint(f"{number:03}")
        until_waiting(watch, count)


def test_events_lost_during_a_rescan_bring_another(inbox: Path, clock: Clock) -> None:
    (inbox / "old.pdf").write_bytes(b"scan")
    with watching(inbox, clock, settle_s=SETTLE, watch="polling", batch=1) as watch:
        clock.turn(RESCAN)
        watch.step()  # has met the one file, and not yet said that this was all
        (inbox / "new.pdf").write_bytes(b"scan")
        watch.heard(Event(None, "", "", Sign.LOOK, is_folder=False))
        steps_until(watch, lambda: watch.scans == 3, "another rescan")
        assert list(watch.settler) == ["old.pdf", "new.pdf"]


def test_what_is_done_between_two_looks_does_not_make_them_rarer(inbox: Path, clock: Clock) -> None:
    for number in range(3):
        (inbox / f"{number}.pdf").write_bytes(b"scan")
    with watching(inbox, clock, rescan_s=RESCAN, watch="polling", batch=1) as watch:
        clock.turn(RESCAN)
        while watch.scans == 1:
            watch.step()
            clock.turn(30)  # what was found is hashed
        (inbox / "new.pdf").write_bytes(b"scan")
        drain(watch)
        assert "new.pdf" in watch.settler


def test_a_hint_cannot_lead_out_of_the_inbox(inbox: Path, watch: FolderWatch) -> None:
    (inbox.parent / "outside").mkdir()
    (inbox.parent / "outside/secret.pdf").write_bytes(b"scan")
    (inbox / "link").symlink_to(inbox.parent / "outside")
    until_waiting(watch, 1)
    watch.hint("link/secret.pdf")
    watch.hint("../outside/secret.pdf")
    drain(watch)
    assert list(watch.settler) == ["link"]


@pytest.mark.parametrize("take_away", [Path.rmdir, lambda inbox: inbox.rename(f"{inbox}-away")])
def test_an_inbox_deleted_or_renamed_and_made_anew_at_once_is_watched_again(
    inbox: Path, watch: FolderWatch, clock: Clock, take_away: Callable[[Path], object]
) -> None:
    take_away(inbox)
    inbox.mkdir()  # often with the same inode number
    clock.turn(1)
    steps_until(watch, lambda: watch.scans == 2, "the scan of the new inbox")
    clock.turn(10)
    steps_until(watch, lambda: watch.kind == "native", "a new watch")
    (inbox / "scan.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]
    assert not watch.conditions


@pytest.mark.parametrize("from_the_start", [True, False])
def test_an_inbox_that_is_missing_is_a_condition_until_it_is_there(
    inbox: Path, clock: Clock, from_the_start: bool
) -> None:
    if from_the_start:
        inbox.rmdir()
    with watching(inbox, clock, settle_s=SETTLE) as watch:
        if not from_the_start:
            inbox.rmdir()
            clock.turn(1)
            drain(watch)
        paused = watch.paused
        assert paused is not None
        assert (paused.kind, f"mkdir -p {inbox}" in paused.hint) == ("missing", True)
        inbox.mkdir()
        clock.turn(1)
        drain(watch)
        assert not watch.conditions
        (inbox / "scan.pdf").write_bytes(b"scan")
        until_waiting(watch, 1)
        assert settled(watch, clock) == ["scan.pdf"]


def test_a_watch_has_one_descriptor_and_no_thread(inbox: Path, clock: Clock) -> None:
    with watching(inbox, clock):
        pass
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    with watching(inbox, clock):
        assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == (before + 1, threads)
    assert len(os.listdir("/proc/self/fd")) == before


# -- folders without permission --------------------------------------------------------------------


def test_a_sub_folder_without_permission_is_a_condition_and_stops_nothing_else(
    clock: Clock,
) -> None:
    with public_folder() as inbox:
        (inbox / "locked").mkdir(mode=0o700)
        (inbox / "locked/a.pdf").write_bytes(b"scan")
        (inbox / "b.pdf").write_bytes(b"scan")
        with as_nobody(), watching(inbox, clock, settle_s=SETTLE, rescan_s=RESCAN) as watch:
            clock.turn(SETTLE)
            assert paths(drain(watch)) == ["b.pdf"]
            [condition] = watch.conditions
            assert condition.message == f"{inbox}/locked cannot be read: Permission denied"
            assert "setfacl" in condition.hint
            assert watch.paused is None
            rescanned(watch, clock)
            assert watch.conditions == (condition,)
            chmod_as_root(inbox / "locked", "777")
            assert paths(rescanned(watch, clock)) == ["b.pdf", "locked/a.pdf"]
            assert not watch.conditions


def test_an_inbox_without_permission_is_a_condition_that_pauses_it(clock: Clock) -> None:
    with public_folder() as folder:
        inbox = folder / "inbox"
        inbox.mkdir(mode=0o700)
        with as_nobody(), watching(inbox, clock) as watch:
            assert watch.paused is not None
            assert watch.paused.kind == "unreadable"


def test_a_file_that_cannot_be_looked_at_for_a_while_is_offered_afterwards(clock: Clock) -> None:
    with public_folder() as inbox:
        (inbox / "sub").mkdir(mode=0o755)
        (inbox / "sub/a.pdf").write_bytes(b"scan")
        with as_nobody(), watching(inbox, clock, settle_s=SETTLE, rescan_s=RESCAN) as watch:
            chmod_as_root(inbox / "sub", "700")
            clock.turn(SETTLE)
            assert drain(watch) == []
            chmod_as_root(inbox / "sub", "755")
            clock.turn(SETTLE)  # no rescan yet
            assert paths(drain(watch)) == ["sub/a.pdf"]


def test_admitted_files_behind_a_door_locked_for_a_while_are_not_offered_again(
    clock: Clock,
) -> None:
    with public_folder() as inbox:
        (inbox / "sub").mkdir(mode=0o755)
        (inbox / "sub/a.pdf").write_bytes(b"scan")
        with as_nobody(), watching(inbox, clock, settle_s=SETTLE, rescan_s=RESCAN) as watch:
            clock.turn(SETTLE)
            watch.settler.taken(drain(watch)[0])
            chmod_as_root(inbox / "sub", "700")
            assert rescanned(watch, clock) == []
            assert len(watch.conditions) == 1
            chmod_as_root(inbox / "sub", "777")
            assert rescanned(watch, clock) == []
            assert not watch.conditions


def test_a_sub_folder_out_of_which_nothing_can_be_taken_is_told_and_holds_up_nothing_else(
    clock: Clock,
) -> None:
    with public_folder() as inbox:
        inbox.chmod(0o777)
        for name in ("theirs/a.pdf", "shared/b.pdf"):
            (inbox / name).parent.mkdir()
            (inbox / name).write_bytes(b"scan")
        (inbox / "empty").mkdir()
        (inbox / "theirs").chmod(0o755)
        (inbox / "shared").chmod(0o777)
        with as_nobody(), watching(inbox, clock, settle_s=SETTLE, rescan_s=RESCAN) as watch:
            clock.turn(SETTLE)
            assert paths(drain(watch)) == ["shared/b.pdf", "theirs/a.pdf"]
            [condition] = watch.conditions
            assert watch.paused is None
            assert f"{inbox}/theirs: it belongs to root, mode 755" in condition.message
            assert f"setfacl -m u:root:rwx,d:u:root:rwx {inbox}/theirs" in condition.hint
            chmod_as_root(inbox / "theirs", "777")
            rescanned(watch, clock)
            assert not watch.conditions


def test_a_copy_that_a_killed_submit_left_behind_goes_after_a_day(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    for name in (".ocrd-0123456789abcdef.part", ".ocrd-fedcba9876543210.part", ".other.part"):
        (inbox / name).write_bytes(b"half")
    for name in (".ocrd-0123456789abcdef.part", ".other.part"):
        os.utime(inbox / name, (1e9, 1e9))
    rescanned(watch, clock)
    assert sorted(os.listdir(inbox)) == [".ocrd-fedcba9876543210.part", ".other.part"]
