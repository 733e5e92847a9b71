"""What the spool is told of a folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ocrd.files import Disk
from ocrd.spool.tree import fsync_tree, remove_tree

LONE = os.fsdecode(b"caf\xe9.md")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A file, a folder, a link to a folder outside, and a name that is not text."""
    top, outside = tmp_path / "top", tmp_path / "outside"
    (top / "images").mkdir(parents=True)
    (top / "images" / "1.jpg").write_bytes(b"1")
    (top / LONE).write_bytes(b"2")
    outside.mkdir()
    (outside / "kept").write_bytes(b"3")
    (top / "away").symlink_to(outside)
    return top


def test_only_folders_are_told_as_folders_and_no_links_to_them(tree: Path) -> None:
    assert Disk().entries(tree) == [("away", False), (LONE, False), ("images", True)]


def test_a_folder_comes_after_what_it_holds(tree: Path) -> None:
    (tree / "away").unlink()
    names = [str(path.relative_to(tree.parent)) for path in fsync_tree(tree, Disk())]
    assert names == [f"top/{LONE}", "top/images/1.jpg", "top/images", "top"]


def test_a_link_goes_and_what_it_leads_to_stays(tree: Path) -> None:
    remove_tree(tree, Disk())
    assert not tree.exists()
    assert (tree.parent / "outside" / "kept").read_bytes() == b"3"


def test_what_is_to_go_last_goes_last(tree: Path) -> None:
    gone: list[str] = []

    class Told(Disk):
        def unlink(self, path: Path) -> None:
            gone.append(path.name)
            super().unlink(path)

        def rmdir(self, path: Path) -> None:
            gone.append(path.name)
            super().rmdir(path)

    remove_tree(tree, Told(), last=tree / LONE)
    assert gone == ["away", "1.jpg", "images", LONE, "top"]


def test_a_file_is_replaced_by_what_is_written_even_if_that_is_less(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    for content in (b"long " * 100_000, b"short", b""):
        Disk().write(path, content)
        assert path.read_bytes() == content


def test_what_a_small_file_holds_is_read_and_nothing_else_is_one(tmp_path: Path) -> None:
    for content in (b"", b"short", b"long " * 100_000):
        (tmp_path / "file").write_bytes(content)
        assert Disk().read(tmp_path / "file") == content
        assert Disk().read(tmp_path / "file", 3) == content[:3]
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("link", "folder", "pipe", "socket", "nothing", "file/below"):
            assert Disk().read(tmp_path / name) is None, name
