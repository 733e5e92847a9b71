"""Files come into a watched inbox, rest or do not, over real folders and real inotify.

The clock alone is turned by hand.  Nothing is rescanned while it stands still: what is found then,
events have told.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

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
    watching,
)

# -- files come ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("before", "give_its_name"),
    [("../ready.pdf", os.rename), ("../ready.pdf", os.link), ("upload.part", os.rename)],
    ids=["renamed into it", "linked into it", "renamed inside"],
)
def test_a_file_is_found_under_the_name_that_it_gets_in_the_end(
    inbox: Path, watch: FolderWatch, clock: Clock, before: str, give_its_name: Callable[..., None]
) -> None:
    (inbox / before).write_bytes(b"scan")
    give_its_name(inbox / before, inbox / "scan.pdf")
    until_waiting(watch, 1)
    assert settled(watch, clock) == ["scan.pdf"]


NAMES = [b"new\nline.pdf", b"broken-\xff\xfe.pdf", b"x" * 251 + b".pdf"]
TREE = ["made/a/b/scan.pdf", "pile/1.pdf", "pile/deep/2.pdf", "pile/deep/er/3.pdf"]


def make_tree(inbox: Path) -> None:
    for name in TREE:
        path = (inbox if name.startswith("made") else inbox.parent) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"scan")
    (inbox.parent / "pile").rename(inbox / "pile")


def make_names(inbox: Path) -> None:
    for name in NAMES:
        (inbox / os.fsdecode(name)).write_bytes(b"scan")


def make_pipes_and_links(inbox: Path) -> None:
    os.mkfifo(inbox / "pipe")
    (inbox / "link.pdf").symlink_to("/etc/passwd")
    (inbox / "folder-link").symlink_to("/etc")


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (make_tree, TREE),
        (make_names, sorted(map(os.fsdecode, NAMES))),
        (make_pipes_and_links, ["folder-link", "link.pdf", "pipe"]),  # somebody says why not
    ],
    ids=["in folders made with them or moved in", "of any name", "pipes and links"],
)
def test_whatever_comes_is_offered(
    inbox: Path,
    watch: FolderWatch,
    clock: Clock,
    make: Callable[[Path], None],
    names: list[str],
) -> None:
    make(inbox)
    until_waiting(watch, len(names))
    assert settled(watch, clock) == names


def test_a_folder_renamed_inside_the_inbox_takes_its_waiting_files_along(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "before").mkdir()
    (inbox / "before/scan.pdf").write_bytes(b"scan")
    until_waiting(watch, 1)
    (inbox / "before").rename(inbox / "after")
    assert settled(watch, clock) == ["after/scan.pdf"]
    assert len(watch.settler) == 1


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


def test_an_inbox_may_be_a_symbolic_link(inbox: Path, clock: Clock) -> None:
    link = inbox.parent / "link"
    link.symlink_to(inbox)
    with watching(link, clock, settle_s=SETTLE) as watch:
        (inbox / "scan.pdf").write_bytes(b"scan")
        until_waiting(watch, 1)
        assert settled(watch, clock) == ["scan.pdf"]


def test_a_folders_patterns_hold_for_events_and_for_rescans(inbox: Path, clock: Clock) -> None:
    for name in ("old.jpg", "old.pdf"):
        (inbox / name).write_bytes(b"scan")
    patterns = {"include": ["*.pdf"], "ignore": ["drafts"]}
    with watching(inbox, clock, settle_s=SETTLE, **patterns) as watch:
        for folder in ("drafts", ".hidden", "@eaDir"):
            (inbox / folder).mkdir()
            (inbox / folder / "a.pdf").write_bytes(b"scan")
        for name in ("new.jpg", "~$letter.pdf", "yes.pdf"):
            (inbox / name).write_bytes(b"scan")
        assert settled(watch, clock) == ["old.pdf", "yes.pdf"]
        assert paths(rescanned(watch, clock)) == ["old.pdf", "yes.pdf"]


# -- files rest, and do not ------------------------------------------------------------------------


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


def test_a_file_that_stays_empty_is_overdue_and_handed_over(
    inbox: Path, watch: FolderWatch, clock: Clock
) -> None:
    (inbox / "scan.pdf").touch()
    caught_up(watch)
    clock.turn(MAX_WAIT)
    assert paths(drain(watch)) == ["scan.pdf"]
    assert watch.overdue() == ["scan.pdf"]
