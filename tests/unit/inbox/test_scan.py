from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ocrd.files import FileFacts
from ocrd.inbox.scan import Blocked, Sight, strays, walk
from ocrd.names import ignored
from tests.unit.inbox.support import as_nobody, public_folder


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"scan")


def seen(root: Path, start: str = "", skip: Callable[[str], bool] = ignored) -> list[str]:
    """Paths met; a folder that could not be looked at with a question mark."""
    found = walk(str(root), start, skip)
    return sorted(sight.path + "?" * isinstance(sight, Blocked) for sight in found)


def test_every_file_is_met_whose_name_and_folders_are_not_ignored(tmp_path: Path) -> None:
    fill(tmp_path, "a.pdf", "sub/b.pdf", "sub/deeper/c.pdf")
    fill(tmp_path, ".git/b.pdf", "@eaDir/c.pdf", "sub/x.tmp")
    assert seen(tmp_path) == ["a.pdf", "sub/b.pdf", "sub/deeper/c.pdf"]
    assert seen(tmp_path, "sub") == ["sub/b.pdf", "sub/deeper/c.pdf"]


def test_links_are_met_and_not_followed(tmp_path: Path) -> None:
    outside, inbox = tmp_path / "outside", tmp_path / "inbox"
    fill(outside, "secret.pdf")
    fill(inbox, "a.pdf")
    (inbox / "folder-link").symlink_to(outside)
    (inbox / "file-link").symlink_to(outside / "secret.pdf")
    (inbox / "dangling").symlink_to("nowhere")
    (inbox / "circle").symlink_to(inbox)
    assert seen(inbox) == ["a.pdf", "circle", "dangling", "file-link", "folder-link"]


def test_the_facts_are_what_stat_says_and_only_a_regular_file_is_regular(tmp_path: Path) -> None:
    fill(tmp_path, "a.pdf")
    os.utime(tmp_path / "a.pdf", ns=(1, 1_234_567_890))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("a.pdf")
    sights = {each.path: each for each in walk(str(tmp_path)) if isinstance(each, Sight)}
    assert {path: each.regular for path, each in sights.items()} == {
        "a.pdf": True,
        "pipe": False,
        "link": False,
    }
    inode = (tmp_path / "a.pdf").stat().st_ino
    assert sights["a.pdf"].seen == FileFacts(size=4, mtime_ns=1_234_567_890, inode=inode)


def test_a_folder_without_permission_is_told_and_the_others_are_scanned() -> None:
    with public_folder() as inbox:
        fill(inbox, "a.pdf", "locked/b.pdf", "open/c.pdf")
        (inbox / "open").chmod(0o755)
        (inbox / "locked").chmod(0o700)
        with as_nobody():
            assert seen(inbox) == ["a.pdf", "locked?", "open/c.pdf"]


def test_files_that_can_be_listed_and_not_looked_at_are_told() -> None:
    with public_folder() as inbox:
        fill(inbox, "sub/a.pdf")
        (inbox / "sub").chmod(0o744)  # readable, not searchable
        with as_nobody():
            assert seen(inbox) == ["sub/a.pdf?"]


def test_a_sub_folder_that_vanishes_is_no_fault_and_a_root_that_does_is(tmp_path: Path) -> None:
    fill(tmp_path, "inbox/a.pdf", "inbox/sub/b.pdf")
    inbox = tmp_path / "inbox"
    sights = walk(str(inbox), "", ignored)
    next(sights), next(sights)
    (inbox / "sub").rename(tmp_path / "gone")
    assert [sight for sight in sights if isinstance(sight, Blocked)] == []
    inbox.rename(tmp_path / "also-gone")
    assert seen(inbox) == ["?"]


def test_a_tree_deeper_than_a_path_can_be_long_is_told(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    name = "d" * 200
    for _ in range(25):  # 5,000 bytes; PATH_MAX is 4,096
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    [blocked] = [each for each in walk(str(tmp_path), "", ignored) if isinstance(each, Blocked)]
    assert "too long" in str(blocked.error)


def test_files_in_no_inbox_are_counted_by_where_they_lie(tmp_path: Path) -> None:
    fill(tmp_path / "inbox", "loose.pdf", "typo/1.pdf", "typo/sub/2.pdf", "ours/3.pdf")
    fill(tmp_path / "inbox", ".hidden/4.pdf", "x/y/5.pdf")
    (tmp_path / "inbox/link.pdf").symlink_to("loose.pdf")
    known = [tmp_path / "inbox/ours", tmp_path / "inbox/x/y"]
    inbox = str(tmp_path / "inbox")
    assert strays(tmp_path, known) == {inbox: 1, f"{inbox}/typo": 2}
    assert strays(tmp_path, [tmp_path / "inbox"]) == strays(tmp_path / "none", []) == {}
