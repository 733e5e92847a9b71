"""`ocrd submit`: a file appears in the inbox whole, under a free name, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocrd.errors import PlaceError, UsageError
from ocrd.inbox.submit import Owner, daemon_user, place, submit
from ocrd.names import ignored
from tests.support.needs import needs, slow
from tests.support.nobody import NOBODY
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
        submit(scan, tree.inbox)
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
    threads = [threading.Thread(target=submit, args=(scan, tree.inbox)) for scan in scans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.read_text() for path in tree.inbox.iterdir()) == list("0123456789")


def test_a_file_is_not_seen_until_it_is_whole(tree: Tree, tmp_path: Path) -> None:
    """What is visible has its full size, where the file system has nameless files and where not."""
    content = os.urandom(1_000_000)
    (tmp_path / "scan.pdf").write_bytes(content)
    seen: list[tuple[str, int]] = []
    folder = os.open(tree.inbox, os.O_RDONLY)
    with (tmp_path / "scan.pdf").open("rb") as file:

        class Reader:
            def read(self, size: int) -> bytes:
                seen.extend((entry.name, entry.stat().st_size) for entry in os.scandir(tree.inbox))
                return file.read(min(size, 100_000))

            def fileno(self) -> int:
                return file.fileno()

        assert place(Reader(), "scan.pdf", folder) == "scan.pdf"  # type: ignore[arg-type]  # enough
    os.close(folder)
    assert all(ignored(name) for name, size in seen if size < len(content))
    assert os.listdir(tree.inbox) == ["scan.pdf"]
    assert (tree.inbox / "scan.pdf").read_bytes() == content


def test_a_folder_goes_with_all_that_the_inbox_takes(tree: Tree, tmp_path: Path) -> None:
    for name in ("a.pdf", "deep/er/b.pdf", "deep/.hidden.pdf", "c.part"):
        (tmp_path / "letters" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "letters" / name).write_text(name)
    (tmp_path / "letters/link.pdf").symlink_to("/etc/passwd")
    ended = tree.ocrd("submit", str(tmp_path / "letters"), "--folder", "invoices")
    expected = [f"{tree.inbox}/letters/{name}" for name in ("a.pdf", "deep/er/b.pdf")]
    assert (ended.returncode, ended.stdout.splitlines()) == (0, expected)
    placed = [str(path) for path in tree.inbox.rglob("*") if not path.is_dir()]
    assert sorted(placed) == expected
    assert (tree.inbox / "letters/deep").stat().st_mode & 0o070 == 0o070


def test_a_pipe_is_refused_and_not_waited_for(tree: Tree, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no regular file"):
        submit(tmp_path / "pipe", tree.inbox)
    assert os.listdir(tree.inbox) == []


def test_a_killed_submit_leaves_nothing_behind(tree: Tree, tmp_path: Path) -> None:
    with (tmp_path / "scan.pdf").open("wb") as file:
        file.truncate(1 << 36)  # never copied to its end
    code = "import sys; from pathlib import Path; from ocrd.inbox.submit import submit\n"
    code += "print(flush=True); submit(Path(sys.argv[1]), Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(tmp_path / "scan.pdf"), str(tree.inbox)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGKILL)
    assert os.listdir(tree.inbox) == []


@contextmanager
def members_inbox() -> Iterator[Path]:
    """An inbox in which a member of the group, here nobody, may do as he likes."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        inbox = Path(made) / "inbox"
        inbox.mkdir()
        os.chown(inbox, NOBODY, NOBODY)
        yield inbox


SWAP = """
import os, sys
os.setgid(65534), os.setuid(65534)
os.chdir(sys.argv[1])
print(flush=True)
while True:
    for name in os.listdir("."):
        if not name.startswith("mine"):
            try:
                os.symlink(sys.argv[2], "mine")
                os.rename("mine", name)
            except OSError:
                pass
"""


@slow
@needs("root")
@pytest.mark.parametrize("nameless", [True, False])
def test_a_member_who_swaps_names_for_links_gets_nothing_out_of_root(
    nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:  # as on a file system without such files
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_WRONLY)
    with members_inbox() as inbox:
        secret = inbox.parent / "secret"
        secret.write_bytes(b"root's alone")
        secret.chmod(0o600)
        scan = inbox.parent / "scan.pdf"
        scan.write_bytes(os.urandom(200_000))
        scan.chmod(0o666)
        before = secret.stat()
        command = [sys.executable, "-c", SWAP, str(inbox), str(secret)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as member:
            assert member.stdout is not None
            member.stdout.readline()
            for _ in range(150):
                with contextlib.suppress(PlaceError):
                    submit(scan, inbox)
            member.kill()
        after = secret.stat()
        assert secret.read_bytes() == b"root's alone"
        assert (after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == (
            before.st_mode,
            before.st_mtime_ns,
            before.st_ctime_ns,
        )


@needs("root")
def test_root_hands_over_as_the_daemons_user_and_follows_no_link() -> None:
    with members_inbox() as inbox:
        spool = inbox.parent / ".ocrd"
        spool.mkdir()
        os.chown(spool, NOBODY, NOBODY)
        scan = inbox.parent / "scan.pdf"
        scan.write_bytes(b"scan")
        scan.chmod(0o600)
        owner = daemon_user(spool)
        assert owner == Owner(NOBODY, NOBODY)
        placed = submit(scan, inbox, below=Path("letters"), owner=owner)
        for path in (placed, placed.parent):
            assert (path.stat().st_uid, path.stat().st_gid) == owner
        assert stat.S_IMODE(placed.stat().st_mode) == 0o640
        shutil.rmtree(inbox / "letters")
        outside = inbox.parent / "outside"
        outside.mkdir()
        outside.chmod(0o777)
        (inbox / "letters").symlink_to(outside)
        with pytest.raises(PlaceError):
            submit(scan, inbox, below=Path("letters"), owner=owner)
        assert (os.listdir(outside), os.geteuid(), os.getegid()) == ([], 0, 0)


def test_an_inbox_that_is_gone_is_told_with_a_remedy(tmp_path: Path) -> None:
    scan = tmp_path / "scan.pdf"
    scan.write_text("x")
    with pytest.raises(PlaceError) as told:
        submit(scan, tmp_path / "gone")
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


@pytest.mark.parametrize("odd", ["empty", "missing", "pipe"])
def test_of_several_files_none_is_handed_over_where_one_cannot_be(
    tree: Tree, tmp_path: Path, odd: str
) -> None:
    (tmp_path / "scan.pdf").write_text("a scan")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    ended = tree.ocrd("submit", str(tmp_path / "scan.pdf"), str(tmp_path / odd), "-f", "invoices")
    assert ended.returncode == 2 and odd in ended.stderr
    assert os.listdir(tree.inbox) == []
