"""Folders that people drop are opened to the group of the inbox, and nothing else is touched."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from ocrd.daemon.rights import open_up
from ocrd.errors import PlaceError
from tests.support.needs import needs
from tests.support.nobody import as_nobody

GROUP, OTHERS = 60_001, 60_002


def modes(top: Path) -> dict[str, int]:
    return {
        str(path.relative_to(top)): stat.S_IMODE(path.lstat().st_mode)
        for path in sorted(top.rglob("*"))
    }


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An inbox of a group, as `ocrd install` makes it."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    if os.geteuid() == 0:
        os.chown(inbox, -1, GROUP)
    inbox.chmod(0o2770)
    return inbox


def dropped(inbox: Path, name: str, mode: int) -> Path:
    folder = inbox / name
    folder.mkdir()
    folder.chmod(mode)
    return folder


def test_folders_at_any_depth_are_opened_and_files_stay_as_they_are(inbox: Path) -> None:
    (dropped(inbox, "letters", 0o2755) / "a.pdf").touch(0o600)
    dropped(inbox, "letters/2026", 0o2700)
    dropped(inbox, "open", 0o2775)
    assert [path.name for path in open_up(inbox)] == ["letters", "2026"]
    assert modes(inbox) == {
        "letters": 0o2775,
        "letters/2026": 0o2770,
        "letters/a.pdf": 0o600,
        "open": 0o2775,
    }
    assert list(open_up(inbox)) == []


def test_no_link_is_followed_and_hidden_folders_are_left_alone(inbox: Path) -> None:
    away = inbox.parent / "away"
    away.mkdir()
    away.chmod(0o700)
    (inbox / "link").symlink_to(away)
    dropped(inbox, ".hidden", 0o2700)
    assert list(open_up(inbox)) == []
    assert stat.S_IMODE(away.stat().st_mode) == 0o700


@needs("root")
def test_a_folder_of_another_group_is_left_alone(inbox: Path) -> None:
    os.chown(dropped(inbox, "theirs", 0o755), -1, OTHERS)
    assert list(open_up(inbox)) == []


def test_a_tree_deeper_than_pythons_stack_is_opened_to_its_end(inbox: Path) -> None:
    levels, here = 1_100, os.open(inbox, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", 0o700, dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    opened = sum(1 for _ in open_up(inbox))
    subprocess.run(["rm", "-r", str(inbox)], check=True)  # too deep for Python's own
    assert opened == levels


def test_an_inbox_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert list(open_up(tmp_path / "nowhere")) == []


@needs("root")
def test_what_may_not_be_opened_is_told_and_not_passed_over(inbox: Path) -> None:
    dropped(inbox, "closed", 0o700)
    dropped(inbox, "narrow", 0o755)
    for path in inbox.iterdir():
        os.chown(path, 0, GROUP)
    inbox.chmod(0o2775)
    for path in inbox.parents:
        path.chmod(path.stat().st_mode | 0o055)

    def left() -> list[str]:
        found: list[Path] = []
        assert list(open_up(inbox, found)) == []
        return sorted(path.name for path in found)

    assert as_nobody(left, GROUP) == ["closed", "narrow"]


@needs("root")
def test_who_may_not_look_into_the_inbox_is_told_so(inbox: Path) -> None:
    told = as_nobody(lambda: list(open_up(inbox)))
    assert isinstance(told, PlaceError)
    assert told.message.startswith(str(inbox))
