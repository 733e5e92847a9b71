"""The kernel's limits, met for real: each is lowered for a moment and put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.needs import need
from tests.unit.inbox.support import (
    LIMITS,
    Clock,
    begun,
    caught_up,
    drain,
    paths,
    steps_until,
    sysctl,
    until_waiting,
    watching,
    with_limits_of_its_own,
)

SETTLE = 5


def fill(folder: Path, count: int) -> list[str]:
    """So many files; their names."""
    names = [f"{number:04}.pdf" for number in range(count)]
    for name in names:
        (folder / name).write_bytes(b"scan")
    return names


def test_after_an_overflow_of_the_event_queue_no_file_is_missing(
    tmp_path: Path, clock: Clock
) -> None:
    need("watch-limits")  # the whole machine's, but for a moment: a queue takes it over when made
    with sysctl(Path("/proc/sys/fs/inotify/max_queued_events"), 16):
        watch = begun(tmp_path, clock, settle_s=SETTLE)
    try:
        steps_until(watch, lambda: watch.scans == 1)
        names = fill(tmp_path, 200)  # nobody takes the events off their queue meanwhile
        # The clock stands still: only the overflow can make it look through everything again.
        steps_until(watch, lambda: watch.scans > 1, "a rescan")
        until_waiting(watch, len(names))
        assert caught_up(watch) == []
        clock.turn(SETTLE)
        assert paths(drain(watch)) == names
    finally:
        watch.stop()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An inbox with more sub-folders than there will be watches."""
    for number in range(60):
        (tmp_path / f"sub{number:02}").mkdir()
    return tmp_path


@with_limits_of_its_own
def test_without_watches_for_sub_folders_the_inbox_is_polled_and_the_remedy_named(
    tree: Path, clock: Clock
) -> None:
    with sysctl(LIMITS / "max_inotify_watches", 20):
        watch = begun(tree, clock, settle_s=SETTLE, rescan_s=60)
        steps_until(watch, lambda: watch.scans == 1)
    try:
        assert watch.kind == "polling"
        [condition] = watch.conditions
        assert (condition.kind, watch.paused) == ("watch-limit", None)
        assert "sysctl fs.inotify.max_user_watches" in condition.hint
        (tree / "sub59/scan.pdf").write_bytes(b"scan")
        clock.turn(10)  # polled more often than it is rescanned
        until_waiting(watch, 1)
        clock.turn(SETTLE)
        assert paths(drain(watch)) == ["sub59/scan.pdf"]
        assert watch.conditions == (condition,)
        clock.turn(600)  # the limit was raised meanwhile
        steps_until(watch, lambda: watch.kind == "native", "another try")
        assert not watch.conditions
    finally:
        watch.stop()


@with_limits_of_its_own
def test_a_limit_met_by_a_new_sub_folder_is_noticed_by_the_rescan(tree: Path, clock: Clock) -> None:
    with watching(tree, clock, settle_s=SETTLE, rescan_s=60) as watch:
        assert watch.kind == "native"
        with sysctl(LIMITS / "max_inotify_watches", 1):
            (tree / "one-too-many").mkdir()
            (tree / "one-too-many/scan.pdf").write_bytes(b"scan")
            clock.turn(60)
            steps_until(watch, lambda: watch.kind == "polling", "noticing")
        assert [condition.kind for condition in watch.conditions] == ["watch-limit"]
        assert len(watch.settler) == 1


@with_limits_of_its_own
def test_without_an_inotify_instance_the_inbox_is_polled_and_the_remedy_named(
    tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "scan.pdf").write_bytes(b"scan")
    with sysctl(LIMITS / "max_inotify_instances", 0):
        watch = begun(tmp_path, clock, settle_s=SETTLE)
    try:
        until_waiting(watch, 1)
        [condition] = watch.conditions
        assert condition.kind == "watch-limit"
        assert "sysctl fs.inotify.max_user_instances" in condition.hint
    finally:
        watch.stop()
