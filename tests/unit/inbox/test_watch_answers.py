"""What becomes of the files that a watch has offered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ocrd.inbox.settle import Candidate
from tests.unit.inbox.support import (
    MAX_WAIT,
    SETTLE,
    Clock,
    FolderWatch,
    caught_up,
    drain,
    paths,
    rescanned,
    settled,
    until_waiting,
    watch_of,
    watching,
)


def offered(inbox: Path, watch: FolderWatch, clock: Clock) -> Candidate:
    """A file that has come to rest."""
    (inbox / "scan.pdf").write_bytes(b"scan")
    caught_up(watch)
    clock.turn(SETTLE)
    [candidate] = drain(watch)
    return candidate


def test_an_admitted_file_is_not_offered_again_by_any_rescan(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    watch.settler.taken(offered(inbox, watch, clock))
    for _ in range(3):
        assert rescanned(watch, clock) == []
    assert len(watch.settler) == 0


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b", second page")


def taken_away_and_put_back(path: Path) -> None:
    path.rename(path.parents[1] / "claimed.pdf")
    (path.parents[1] / "claimed.pdf").rename(path)  # same inode, size and time


@pytest.mark.parametrize("change", [appended, taken_away_and_put_back])
def test_an_admitted_file_that_changes_is_offered_again(
    inbox: Path, watch: FolderWatch, clock: Clock, change: Callable[[Path], None]
) -> None:
    watch.settler.taken(offered(inbox, watch, clock))
    until_waiting(watch, 0)
    change(inbox / "scan.pdf")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]


def test_a_file_written_to_while_it_was_admitted_is_offered_again(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    candidate = offered(inbox, watch, clock)
    appended(inbox / "scan.pdf")
    caught_up(watch)
    watch.settler.taken(candidate)
    assert settled(watch, clock) == ["scan.pdf"]


def test_a_candidate_refused_for_now_comes_to_rest_anew_and_keeps_its_age(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "busy.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    for _ in range(3):
        assert settled(watch, clock) == ["busy.pdf"]
        watch.hint("busy.pdf")
    clock.turn(MAX_WAIT - 3 * SETTLE)
    assert list(watch.settler.overdue(clock())) == ["busy.pdf"]


def test_files_recorded_in_an_earlier_life_are_offered_only_if_they_changed(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    for name in ("same.pdf", "changes.pdf", "goes.pdf"):
        (inbox / name).write_bytes(b"scan")
    caught_up(watch)
    clock.turn(SETTLE)
    recorded = drain(watch)
    watch.stop()
    (inbox / "changes.pdf").write_bytes(b"scan, second page")
    (inbox / "goes.pdf").unlink()
    (inbox / "new.pdf").write_bytes(b"scan")
    later = watch_of(inbox, clock, settle_s=SETTLE)
    later.settler.recall([(each.path, each.seen) for each in recorded])
    later.start()
    try:
        drain(later)
        assert settled(later, clock) == ["changes.pdf", "new.pdf"]
    finally:
        later.stop()


def test_a_step_is_bounded_and_nothing_is_left_out(inbox: Path, clock: Clock) -> None:
    names = [f"{number:04}.pdf" for number in range(1000)]
    for name in names:
        (inbox / name).write_bytes(b"scan")
    with watching(inbox, clock, settle_s=SETTLE, batch=64) as watch:
        clock.turn(SETTLE)
        steps = [watch.step()]
        while watch.busy:
            steps.append(watch.step())
        assert max(map(len, steps)) <= 2 * 64
        assert paths([candidate for batch in steps for candidate in batch]) == names
