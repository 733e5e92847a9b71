"""`ocrd submit`: a file appears in the inbox whole, under a free name, or not at all."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path, PosixPath

import pytest

from ocrd.errors import PlaceError, UsageError
from ocrd.inbox.names import ignored
from ocrd.inbox.submit import submit_file
from tests.unit.cli.conftest import Tree


def test_the_copy_has_the_same_bytes_and_the_original_stays(tree: Tree, tmp_path: Path) -> None:
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(b"%PDF-1.7 " + os.urandom(100_000))
    ended = tree.ocrd("submit", str(scan), "--folder", "invoices")
    assert (ended.returncode, ended.stdout) == (0, f"{tree.inbox / 'scan.pdf'}\n")
    assert (tree.inbox / "scan.pdf").read_bytes() == scan.read_bytes()
    assert os.listdir(tree.inbox) == ["scan.pdf"]


def test_a_name_that_is_taken_is_numbered_and_nothing_is_overwritten(
    tree: Tree, tmp_path: Path
) -> None:
    scan = tmp_path / "scan.pdf"
    for text in ("first", "second", "third"):
        scan.write_text(text)
        submit_file(scan, tree.inbox)
    found = {path.name: path.read_text() for path in tree.inbox.iterdir()}
    assert found == {"scan.pdf": "first", "scan (2).pdf": "second", "scan (3).pdf": "third"}


def test_where_files_wait_for_a_marker_it_gets_one(tree: Tree, tmp_path: Path) -> None:
    with tree.config.open("a") as config:
        config.write('done_marker = "{stem}.done"\n')
    scan = tmp_path / "scan.pdf"
    scan.write_text("a scan")
    for _ in range(2):
        assert tree.ocrd("submit", str(scan), "--folder", "invoices").returncode == 0
    assert sorted(os.listdir(tree.inbox)) == [
        "scan (2).done",
        "scan (2).pdf",
        "scan.done",
        "scan.pdf",
    ]


def test_ten_submitting_at_once_get_ten_names(tree: Tree, tmp_path: Path) -> None:
    scans = []
    for number in range(10):
        scans.append(tmp_path / str(number) / "scan.pdf")
        scans[-1].parent.mkdir()
        scans[-1].write_text(str(number))
    threads = [threading.Thread(target=submit_file, args=(scan, tree.inbox)) for scan in scans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.read_text() for path in tree.inbox.iterdir()) == list("0123456789")


def test_a_file_is_hidden_until_it_is_whole(tree: Tree, tmp_path: Path) -> None:
    """The inbox is looked at before each piece is copied: what is visible has its full size."""
    seen: list[tuple[str, int]] = []

    class Reader(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            seen.extend((entry.name, entry.stat().st_size) for entry in os.scandir(tree.inbox))
            return super().read(size)

    class Scan(PosixPath):
        def open(self, *_: object, **__: object) -> Reader:  # type: ignore[override]  # it is read
            return Reader(self)

    content = os.urandom(1_000_000)
    (tmp_path / "scan.pdf").write_bytes(content)
    submit_file(Scan(tmp_path / "scan.pdf"), tree.inbox)
    growing = [name for name, size in seen if size < len(content)]
    assert len(growing) > 2, "the copy was never seen growing"
    assert all(ignored(name) for name in growing)
    assert os.listdir(tree.inbox) == ["scan.pdf"]
    assert (tree.inbox / "scan.pdf").read_bytes() == content


def test_a_folder_is_refused_and_leaves_nothing_behind(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        submit_file(tmp_path, tree.inbox)
    assert os.listdir(tree.inbox) == []


def test_an_inbox_that_is_gone_is_told_with_a_remedy(tmp_path: Path) -> None:
    scan = tmp_path / "scan.pdf"
    scan.write_text("x")
    with pytest.raises(PlaceError) as told:
        submit_file(scan, tmp_path / "gone")
    assert told.value.hint


@pytest.mark.parametrize("name", [".scan.pdf", "scan.part", "notes.txt", "old.pdf", "a.pdf.done"])
def test_what_the_folder_would_leave_alone_is_refused(
    tree: Tree, tmp_path: Path, name: str
) -> None:
    with tree.config.open("a") as config:
        config.write('include = ["*.pdf", "*.done"]\nignore = ["old.*"]\n')
        config.write('done_marker = "{name}.done"\n')
    for each in (name, "scan.pdf"):
        (tmp_path / each).write_text("x")
    told = tree.ocrd(
        "submit", str(tmp_path / "scan.pdf"), str(tmp_path / name), "--folder", "invoices"
    )
    assert (told.returncode, os.listdir(tree.inbox)) == (2, [])
    assert name in told.stderr and "done_marker" in told.stderr


def test_an_unknown_folder_is_refused_with_those_there_are(tree: Tree, tmp_path: Path) -> None:
    scan = tmp_path / "scan.pdf"
    scan.write_text("x")
    ended = tree.ocrd("submit", str(scan), "--folder", "nobody")
    assert ended.returncode == 2
    assert "invoices" in ended.stderr
