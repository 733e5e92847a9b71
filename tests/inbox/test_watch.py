"""The watch over real folders and real inotify; the clock alone is turned by hand.

Nothing is rescanned while the clock stands still: what is found then, events have told.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.inbox.report import Candidate
from ocrd.inbox.watch import FolderWatch
from tests.inbox.support import (
    Clock,
    as_nobody,
    caught_up,
    chmod_as_root,
    drain,
    known,
    paths,
    public_folder,
    steps_until,
    until_waiting,
    watching,
)

SETTLE, MAX_WAIT, RESCAN = 5, 600, 60


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(inbox: Path, clock: Clock) -> Iterator[FolderWatch]:
    times = {"settle_s": SETTLE, "max_wait_s": MAX_WAIT, "rescan_s": RESCAN}
    with watching(inbox, clock, **times) as watch:
        yield watch


def settled(watch: FolderWatch, clock: Clock) -> list[str]:
    """What comes to rest when the settle time passes after all that has happened."""
    early = caught_up(watch) if watch.report.kind == "native" else []
    assert early == []
    clock.turn(SETTLE)
    return paths(drain(watch))


def rescanned(watch: FolderWatch, clock: Clock) -> list[Candidate]:
    """What the next rescan, and the settle time after it, bring."""
    scans = watch.report.scans
    clock.turn(RESCAN)
    found = steps_until(watch, lambda: watch.report.scans > scans, "a rescan")
    clock.turn(SETTLE)
    return found + drain(watch)


# -- files come ---------------------------------------------------------------------------------


def test_a_file_that_lay_there_before_is_found(inbox: Path, clock: Clock) -> None:
    (inbox / "old.pdf").write_bytes(b"scan")
    with watching(inbox, clock, settle_s=SETTLE) as watch:
        assert settled(watch, clock) == ["old.pdf"]


def test_a_new_file_is_offered_after_the_settle_time_and_not_before(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "scan.pdf").write_bytes(b"scan")
    assert caught_up(watch) == []
    clock.turn(SETTLE - 0.1)
    assert drain(watch) == []
    clock.turn(0.2)
    [candidate] = drain(watch)
    assert (candidate.path, candidate.seen.size) == ("scan.pdf", 4)


def test_a_file_renamed_into_the_inbox_is_found(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox.parent / "ready.pdf").write_bytes(b"scan")
    (inbox.parent / "ready.pdf").rename(inbox / "ready.pdf")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["ready.pdf"]


def test_a_file_linked_into_the_inbox_is_found(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox.parent / "ready.pdf").write_bytes(b"scan")
    (inbox / "linked.pdf").hardlink_to(inbox.parent / "ready.pdf")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["linked.pdf"]


def test_a_file_that_gets_its_final_name_inside_the_inbox_is_found_under_it(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "upload.part").write_bytes(b"scan")
    (inbox / "upload.part").rename(inbox / "scan.pdf")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]


def test_a_file_in_folders_made_with_it_is_found(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "a/b/c").mkdir(parents=True)
    (inbox / "a/b/c/scan.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["a/b/c/scan.pdf"]


def test_a_folder_moved_in_as_a_whole_is_found(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    pile = inbox.parent / "pile"
    (pile / "deep/er").mkdir(parents=True)
    for name in ("1.pdf", "deep/2.pdf", "deep/er/3.pdf"):
        (pile / name).write_bytes(b"scan")
    pile.rename(inbox / "pile")
    until_waiting(watch, 3)
    assert settled(watch, clock) == ["pile/1.pdf", "pile/deep/2.pdf", "pile/deep/er/3.pdf"]


def test_a_folder_renamed_inside_the_inbox_takes_its_waiting_files_along(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "before").mkdir()
    (inbox / "before/scan.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    (inbox / "before").rename(inbox / "after")
    assert settled(watch, clock) == ["after/scan.pdf"]
    assert watch.report.waiting == 1


def test_many_folders_moved_in_at_once_are_all_found(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    for number in range(150):  # more than are scanned one by one
        pile = inbox.parent / "next"
        pile.mkdir()
        (pile / "scan.pdf").write_bytes(b"scan")
        pile.rename(inbox / f"{number:03}")
    until_waiting(watch, 150)
    assert settled(watch, clock) == [f"{number:03}/scan.pdf" for number in range(150)]


def test_names_of_all_kinds_are_found(inbox: Path, watch: FolderWatch, clock: Clock) -> None:
    names = [b"new\nline.pdf", b"broken-\xff\xfe.pdf", b"x" * 251 + b".pdf"]
    for name in names:
        (inbox / os.fsdecode(name)).write_bytes(b"scan")
    until_waiting(watch, 3)
    assert sorted(map(os.fsencode, settled(watch, clock))) == sorted(names)


def test_pipes_and_links_are_offered_too_so_that_somebody_says_why_not(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    os.mkfifo(inbox / "pipe")
    (inbox / "link.pdf").symlink_to("/etc/passwd")
    (inbox / "folder-link").symlink_to("/etc")
    until_waiting(watch, 3)
    assert settled(watch, clock) == ["folder-link", "link.pdf", "pipe"]


def test_an_inbox_may_be_a_symbolic_link(inbox: Path, clock: Clock) -> None:
    link = inbox.parent / "link"
    link.symlink_to(inbox)
    with watching(link, clock, settle_s=SETTLE) as watch:
        (inbox / "scan.pdf").write_bytes(b"scan")
        until_waiting(watch, 1)
        assert settled(watch, clock) == ["scan.pdf"]


def test_ignored_files_and_folders_are_left_alone(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    for name in (".hidden", "@eaDir"):
        (inbox / name).mkdir()
        (inbox / name / "scan.pdf").write_bytes(b"scan")
    (inbox / "~$letter.docx").write_bytes(b"x")
    (inbox / "last.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["last.pdf"]
    assert [candidate.path for candidate in rescanned(watch, clock)] == ["last.pdf"]


def test_a_folders_patterns_hold_for_events_and_for_rescans(inbox: Path, clock: Clock) -> None:
    (inbox / "old.jpg").write_bytes(b"scan")
    patterns = {"include": ["*.pdf"], "ignore": ["drafts"]}
    with watching(inbox, clock, settle_s=SETTLE, **patterns) as watch:
        (inbox / "new.jpg").write_bytes(b"scan")
        (inbox / "drafts").mkdir()
        (inbox / "drafts/a.pdf").write_bytes(b"scan")
        (inbox / "yes.pdf").write_bytes(b"scan")
        assert settled(watch, clock) == ["yes.pdf"]
        assert paths(rescanned(watch, clock)) == ["yes.pdf"]


# -- files rest, and do not ----------------------------------------------------------------------


def test_a_scanner_that_reopens_its_file_makes_one_document(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    for page in range(1, 5):
        with (inbox / "scan.tif").open("ab") as file:
            file.write(b"page" * page)
        caught_up(watch)
        clock.turn(SETTLE - 1)
        assert drain(watch) == []
    clock.turn(1)
    [candidate] = drain(watch)
    assert candidate.seen.size == 4 * (1 + 2 + 3 + 4)


def test_a_placeholder_waits_for_its_content(inbox: Path, watch: FolderWatch, clock: Clock) -> None:
    (inbox / "scan.pdf").touch()
    until_waiting(watch, 1)
    assert settled(watch, clock) == []
    (inbox / "scan.pdf").write_bytes(b"scan")
    assert settled(watch, clock) == ["scan.pdf"]


def test_a_file_that_stays_empty_is_overdue_and_handed_over(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "scan.pdf").touch()
    caught_up(watch)
    clock.turn(MAX_WAIT)
    assert paths(drain(watch)) == ["scan.pdf"]
    assert [late.path for late in watch.report.overdue] == ["scan.pdf"]


def test_a_file_that_never_rests_is_overdue_and_waits_on(inbox: Path, clock: Clock) -> None:
    with (
        watching(inbox, clock, settle_s=SETTLE, max_wait_s=20) as watch,
        (inbox / "endless.pdf").open("wb", buffering=0) as file,
    ):
        for second in range(0, 24, SETTLE - 1):
            file.write(b"more")
            caught_up(watch)
            assert bool(watch.report.overdue) == (second >= 20)
            clock.turn(SETTLE - 1)
            assert drain(watch) == []
        assert [late.path for late in watch.report.overdue] == ["endless.pdf"]


def test_a_removed_file_is_waited_for_no_longer(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "scan.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    (inbox / "scan.pdf").unlink()
    until_waiting(watch, 0)
    assert settled(watch, clock) == []


def test_the_report_says_how_many_wait_and_for_how_long(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    assert (watch.report.waiting, watch.report.oldest_s) == (0, None)
    (inbox / "1.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    caught_up(watch)
    clock.turn(3)
    (inbox / "2.pdf").write_bytes(b"scan")
    until_waiting(watch, 2)
    assert watch.report.oldest_s == 3


# -- what becomes of a candidate -----------------------------------------------------------------


def test_an_admitted_file_is_not_offered_again_by_any_rescan(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "scan.pdf").write_bytes(b"scan")
    caught_up(watch)
    clock.turn(SETTLE)
    [candidate] = drain(watch)
    watch.forget(candidate)
    for _ in range(3):
        assert rescanned(watch, clock) == []
    assert watch.report.waiting == 0


def test_an_admitted_file_that_changes_is_offered_again(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "scan.pdf").write_bytes(b"scan")
    caught_up(watch)
    clock.turn(SETTLE)
    [candidate] = drain(watch)
    watch.forget(candidate)
    until_waiting(watch, 0)
    with (inbox / "scan.pdf").open("ab") as file:
        file.write(b", second page")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]


def test_an_admitted_file_taken_away_and_put_back_is_a_new_one(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "scan.pdf").write_bytes(b"scan")
    caught_up(watch)
    clock.turn(SETTLE)
    watch.forget(drain(watch)[0])
    until_waiting(watch, 0)
    (inbox / "scan.pdf").rename(inbox.parent / "claimed.pdf")
    (inbox.parent / "claimed.pdf").rename(inbox / "scan.pdf")  # same inode, size and time
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]


def test_a_file_written_to_while_it_was_admitted_is_offered_again(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "scan.pdf").write_bytes(b"scan")
    caught_up(watch)
    clock.turn(SETTLE)
    [candidate] = drain(watch)
    with (inbox / "scan.pdf").open("ab") as file:
        file.write(b", second page")
    caught_up(watch)
    watch.forget(candidate)
    assert settled(watch, clock) == ["scan.pdf"]


def test_a_candidate_refused_for_now_comes_to_rest_anew_and_keeps_its_age(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "busy.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    for _ in range(3):
        assert settled(watch, clock) == ["busy.pdf"]
        watch.hint("busy.pdf")
    assert watch.report.oldest_s == 3 * SETTLE


def test_a_candidate_of_which_nothing_is_told_is_offered_again(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "scan.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]
    assert settled(watch, clock) == []
    clock.turn(60)
    assert paths(drain(watch)) == ["scan.pdf"]


def test_a_step_is_bounded_and_nothing_is_left_out(inbox: Path, clock: Clock) -> None:
    names = [f"{number:04}.pdf" for number in range(1000)]
    for name in names:
        (inbox / name).write_bytes(b"scan")
    with watching(inbox, clock, settle_s=SETTLE, batch=64) as watch:
        clock.turn(SETTLE)
        steps: list[list[Candidate]] = []
        while batch := watch.step():
            steps.append(batch)
        assert max(map(len, steps)) <= 2 * 64
        assert paths([candidate for batch in steps for candidate in batch]) == names


# -- events go missing ---------------------------------------------------------------------------


def test_a_file_that_no_event_tells_of_is_found_by_the_rescan(inbox: Path, clock: Clock) -> None:
    with watching(inbox, clock, settle_s=SETTLE, rescan_s=RESCAN, kind="polling") as watch:
        assert watch.report.kind == "polling"
        (inbox / "scan.pdf").write_bytes(b"scan")
        assert drain(watch) == []
        assert watch.report.waiting == 0
        assert paths(rescanned(watch, clock)) == ["scan.pdf"]


def test_a_folder_hinted_at_is_scanned(inbox: Path, clock: Clock) -> None:
    with watching(inbox, clock, settle_s=SETTLE, kind="polling") as watch:
        (inbox / "sub").mkdir()
        (inbox / "sub/scan.pdf").write_bytes(b"scan")
        watch.hint("sub")
        until_waiting(watch, 1)


def test_a_hint_cannot_lead_out_of_the_inbox(inbox: Path, watch: FolderWatch) -> None:
    (inbox.parent / "outside").mkdir()
    (inbox.parent / "outside/secret.pdf").write_bytes(b"scan")
    (inbox / "link").symlink_to(inbox.parent / "outside")
    until_waiting(watch, 1)
    watch.hint("link/secret.pdf")
    watch.hint("../outside/secret.pdf")
    drain(watch)
    assert list(known(watch)) == ["link"]


def test_an_inbox_renamed_away_and_made_anew_is_watched_again(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    inbox.rename(inbox.parent / "away")
    inbox.mkdir()
    clock.turn(1)
    steps_until(watch, lambda: watch.report.scans == 2, "the scan of the new inbox")
    (inbox / "scan.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]


def test_a_deleted_inbox_is_a_condition_until_it_is_back(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    inbox.rmdir()
    clock.turn(1)
    drain(watch)
    paused = watch.report.paused
    assert paused is not None
    assert (paused.kind, f"mkdir -p {inbox}" in paused.hint) == ("missing", True)
    assert watch.healthy()
    inbox.mkdir()
    clock.turn(1)
    drain(watch)
    assert not watch.report.conditions
    (inbox / "scan.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]


def test_an_inbox_that_is_missing_at_the_start_is_taken_up_when_it_comes(
    tmp_path: Path, clock: Clock
) -> None:
    with watching(tmp_path / "later", clock, settle_s=SETTLE) as watch:
        assert watch.report.paused is not None
        (tmp_path / "later").mkdir()
        (tmp_path / "later/scan.pdf").write_bytes(b"scan")
        clock.turn(1)
        until_waiting(watch, 1)
        assert not watch.report.conditions


def test_an_inbox_deleted_and_made_again_within_a_moment_is_watched_again(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    inbox.rmdir()
    inbox.mkdir()  # often with the same inode number
    steps_until(watch, lambda: watch.report.scans == 2, "noticing")
    clock.turn(10)
    steps_until(watch, lambda: watch.report.kind == "native" and watch.healthy(), "a new watch")
    (inbox / "scan.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]
    assert not watch.report.conditions


def test_dead_watchdog_threads_are_noticed_and_replaced(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    assert watch.healthy()
    native = watch._events._watch
    assert native is not None
    assert native._reader is not None
    native._reader.stop()  # as if it had died of an exception
    native._reader.join()
    assert not watch.healthy()
    (inbox / "unheard.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)  # the rescan that follows at once
    [condition] = watch.report.conditions
    assert (condition.kind, condition.pauses) == ("watch-broken", False)
    clock.turn(10)
    steps_until(watch, lambda: watch.report.kind == "native", "a new watch")
    assert watch.healthy()
    assert not watch.report.conditions
    (inbox / "heard.pdf").write_bytes(b"scan")
    steps_until(watch, lambda: watch.report.waiting == 2, "an event")


def test_a_stopped_watch_leaves_no_thread_and_no_descriptor_behind(
    inbox: Path, clock: Clock
) -> None:
    def resources() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    with watching(inbox, clock):
        pass
    before = resources()
    with watching(inbox, clock):
        assert resources() > before
    assert resources() == before


def test_a_watch_can_be_stopped_and_started_again(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    watch.stop()
    assert not watch.healthy()
    (inbox / "meanwhile.pdf").write_bytes(b"scan")
    watch.start()
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["meanwhile.pdf"]


def test_an_operators_logging_setup_cannot_deafen_the_watch(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    logging.disable(logging.CRITICAL)
    try:
        (inbox / "scan.pdf").write_bytes(b"scan")
        until_waiting(watch, 1)
    finally:
        logging.disable(logging.NOTSET)


# -- folders without permission ------------------------------------------------------------------


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
            [condition] = watch.report.conditions
            assert condition.message == f"{inbox}/locked cannot be read: Permission denied"
            assert "setfacl" in condition.hint
            assert watch.report.paused is None
            rescanned(watch, clock)
            assert watch.report.conditions == (condition,)
            chmod_as_root(inbox / "locked", "755")
            assert paths(rescanned(watch, clock)) == ["b.pdf", "locked/a.pdf"]
            assert not watch.report.conditions


def test_an_inbox_without_permission_is_a_condition_that_pauses_it(clock: Clock) -> None:
    with public_folder() as folder:
        inbox = folder / "inbox"
        inbox.mkdir(mode=0o700)
        with as_nobody(), watching(inbox, clock) as watch:
            assert watch.report.paused is not None
            assert watch.report.paused.kind == "unreadable"


def test_admitted_files_behind_a_door_locked_for_a_while_are_not_offered_again(
    clock: Clock,
) -> None:
    with public_folder() as inbox:
        (inbox / "sub").mkdir(mode=0o755)
        (inbox / "sub/a.pdf").write_bytes(b"scan")
        with as_nobody(), watching(inbox, clock, settle_s=SETTLE, rescan_s=RESCAN) as watch:
            clock.turn(SETTLE)
            watch.forget(drain(watch)[0])
            chmod_as_root(inbox / "sub", "700")
            assert rescanned(watch, clock) == []
            assert len(watch.report.conditions) == 1
            chmod_as_root(inbox / "sub", "755")
            assert rescanned(watch, clock) == []
            assert not watch.report.conditions
