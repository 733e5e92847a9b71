from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from ocrd.errors import BadFileError, Disposition, OcrdError, PlaceError, SourceChangedError
from ocrd.files import Disk, FileFacts
from ocrd.inbox.admit import admit
from ocrd.inbox.settle import Candidate
from ocrd.job import Found
from tests.support import nobody
from tests.support.needs import need
from tests.unit.inbox.support import as_nobody, folder_of, mounted, public_folder

SCAN = b"%PDF-1.7 a scan"


NOTHING = FileFacts(size=0, mtime_ns=0, inode=0)


def admitted(
    inbox: Path,
    source: str,
    disk: Disk | None = None,
    seen: FileFacts | None = None,
    max_bytes: int | None = None,
    **how: bool,
) -> Found:
    disk = disk or Disk()
    disk.know(inbox)
    if seen is None:
        path = inbox / source
        seen = FileFacts.of(path.lstat()) if os.path.lexists(path) else NOTHING
    candidate = Candidate(source, seen, **how)
    return admit(folder_of(inbox, priority=3), candidate, disk, max_bytes=max_bytes)


def refused(inbox: Path, source: str, disk: Disk | None = None, **how: Any) -> OcrdError:
    """The error that says why not; each has a remedy."""
    with pytest.raises(OcrdError) as caught:
        admitted(inbox, source, disk, **how)
    assert caught.value.hint
    return caught.value


def test_a_found_file_is_recorded_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/scan.pdf").write_bytes(SCAN)
    os.utime(tmp_path / "sub/scan.pdf", ns=(1, 1_234_567_890_123_456_789))
    assert admitted(tmp_path, "sub/scan.pdf") == Found(
        folder="hall",
        source="sub/scan.pdf",
        size=len(SCAN),
        mtime_ns=1_234_567_890_123_456_789,
        inode=(tmp_path / "sub/scan.pdf").stat().st_ino,
        sha256=hashlib.sha256(SCAN).hexdigest(),
        priority=3,
    )


@pytest.mark.parametrize("size", [0, (1 << 20) * 2 + 17])
def test_a_file_of_any_size_is_hashed_whole(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "scan.tif").write_bytes(data)
    assert admitted(tmp_path, "scan.tif").sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", [b"new\nline.pdf", b"broken-\xff\xfe.pdf", b"x" * 251 + b".pdf"])
def test_names_of_all_kinds_are_admitted(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(SCAN)
    assert os.fsencode(admitted(tmp_path, os.fsdecode(name)).source) == name


def test_a_hard_link_is_a_file_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.pdf").write_bytes(SCAN)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "scan.pdf").hardlink_to(tmp_path / "elsewhere.pdf")
    assert admitted(inbox, "scan.pdf").size == len(SCAN)


def test_the_inbox_itself_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/scan.pdf").write_bytes(SCAN)
    (tmp_path / "inbox").symlink_to("real")
    assert admitted(tmp_path / "inbox", "scan.pdf").size == len(SCAN)


def test_no_descriptor_stays_open_whatever_happens(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/scan.pdf").write_bytes(SCAN)
    (tmp_path / "sub/link.pdf").symlink_to("scan.pdf")
    before = set(os.listdir("/proc/self/fd"))
    admitted(tmp_path, "sub/scan.pdf")
    for source in ("sub/link.pdf", "sub/nothing.pdf", "no/thing.pdf", "sub"):
        refused(tmp_path, source)
    assert set(os.listdir("/proc/self/fd")) <= before


# -- bad files -----------------------------------------------------------------------------------


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.fspath(path))


def make_device(path: Path) -> None:
    need("root")
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero: reading it never ends


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (os.mkfifo, "pipe"),
        (make_socket, "socket"),
        (make_device, "device"),
        (lambda path: path.symlink_to("/etc/passwd"), "symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "symbolic link"),
        (Path.mkdir, "folder"),
    ],
)
def test_what_is_no_regular_file_is_refused_and_said_to_be_what_it_is(
    tmp_path: Path, make: Callable[[Path], None], word: str
) -> None:
    make(tmp_path / "scan.pdf")
    error = refused(tmp_path, "scan.pdf")
    assert isinstance(error, BadFileError)
    assert (error.kind, error.message) == ("not-regular", f"scan.pdf is a {word}, not a file")


def test_a_file_without_permission_is_refused_for_good() -> None:
    with public_folder() as inbox:
        (inbox / "my scan.pdf").write_bytes(SCAN)
        (inbox / "my scan.pdf").chmod(0o600)
        with as_nobody():
            error = refused(inbox, "my scan.pdf")
        assert isinstance(error, BadFileError)
        assert error.kind == "no-permission"
        assert "ocrd retry" in error.hint
        remedy = error.hint.partition("(")[2].partition(", or ")[0]
        subprocess.run(["sh", "-c", remedy], check=True)
        assert (inbox / "my scan.pdf").stat().st_mode & 0o777 == 0o644


def test_a_name_with_control_characters_is_escaped_in_the_message(tmp_path: Path) -> None:
    (tmp_path / "evil\x1b[2J\n.pdf").mkdir()
    said = refused(tmp_path, "evil\x1b[2J\n.pdf").message
    assert said == r"evil\x1b[2J\n.pdf is a folder, not a file"


@pytest.mark.parametrize("source", ["../outside.pdf", "/etc/passwd", "sub/../../outside.pdf", ""])
def test_a_path_out_of_the_inbox_is_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "inbox/sub").mkdir(parents=True)
    (tmp_path / "outside.pdf").write_bytes(SCAN)
    assert refused(tmp_path / "inbox", source).kind == "unsafe-name"


def test_what_vanished_is_gone_and_a_symlinked_folder_on_the_way_is_not_followed(
    tmp_path: Path,
) -> None:
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "outside/deep/secret.pdf").write_bytes(SCAN)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "sub").symlink_to(tmp_path / "outside")
    for source in ("sub/deep/secret.pdf", "sub/deep", "vanished.pdf", "vanished/scan.pdf"):
        error = refused(inbox, source)
        assert isinstance(error, SourceChangedError)
        assert error.kind == "source-gone"


# -- not now -------------------------------------------------------------------------------------


def test_a_file_that_a_program_still_writes_is_left_until_it_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "scan.pdf").open("wb") as writer:
        writer.write(SCAN)
        writer.flush()
        error = refused(tmp_path, "scan.pdf")
        assert isinstance(error, SourceChangedError)
        assert error.kind == "source-busy"
    assert admitted(tmp_path, "scan.pdf").size == len(SCAN)


def test_a_file_that_a_program_reads_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(SCAN)
    with (tmp_path / "scan.pdf").open("rb"):
        assert admitted(tmp_path, "scan.pdf").size == len(SCAN)


def test_a_writer_that_cannot_be_asked_about_is_no_matter() -> None:
    with public_folder() as inbox:
        (inbox / "scan.pdf").write_bytes(SCAN)  # not nobody's: leases are for owners
        with as_nobody():
            assert admitted(inbox, "scan.pdf").size == len(SCAN)


def test_a_file_that_is_not_what_was_seen_at_rest_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(SCAN)
    seen = FileFacts.of(path.stat())
    assert admitted(tmp_path, "scan.pdf", seen=seen).size == len(SCAN)
    path.write_bytes(SCAN + b", page two")
    assert refused(tmp_path, "scan.pdf", seen=seen).kind == "source-changed"


class Tapped(io.BufferedReader):
    """A file, and what happens when it is read or closed."""

    on_read: Callable[[int], object] = staticmethod(lambda got: None)
    on_close: Callable[[], object] = staticmethod(lambda: None)

    def readinto(self, into: Any) -> int:
        got = super().readinto(into)
        self.on_read(got)
        return got

    def close(self) -> None:
        super().close()
        self.on_close()


class TappedDisk(Disk):
    """The real calls, and whatever a test does between them."""

    def __init__(self, **taps: Callable[..., object]) -> None:
        super().__init__()
        self._taps = taps

    def open(self, path: Path) -> io.BufferedReader:
        file = Tapped(super().open(path).detach())
        vars(file).update(self._taps)
        return file


def during_the_read(action: Callable[[], object]) -> Disk:
    """The real calls, and `action` right after the first piece was read."""
    done: list[int] = []

    def read(got: int) -> None:
        done.append(got)
        if len(done) == 1:
            action()

    return TappedDisk(on_read=read)


def overwrite_in_place_and_hide_it(path: Path) -> None:
    """Other bytes, the same size, the modification time put back: only ctime tells."""
    times = path.stat()
    while path.stat().st_ctime_ns == times.st_ctime_ns:  # older kernels' ticks last 10 ms
        with path.open("r+b") as file:
            file.write(b"X")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace_by_another(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


OPENED: list[IO[bytes]] = []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b"more"), "source-changed"),
        (overwrite_in_place_and_hide_it, "source-changed"),
        (replace_by_another, "source-changed"),
        (lambda path: os.truncate(path, 1), "source-changed"),
        (Path.unlink, "source-gone"),
        (lambda path: OPENED.append(path.open("ab")), "source-busy"),
    ],
    ids=["appended to", "overwritten", "replaced", "truncated", "removed", "opened for writing"],
)
def test_a_file_changed_while_it_is_hashed_is_noticed(
    tmp_path: Path, change: Callable[[Path], object], kind: str
) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(os.urandom((1 << 20) + 1))
    error = refused(tmp_path, "scan.tif", during_the_read(lambda: change(path)))
    while OPENED:
        OPENED.pop().close()
    assert isinstance(error, SourceChangedError)
    assert error.kind == kind


def test_a_file_that_never_stops_growing_is_not_read_for_ever(tmp_path: Path) -> None:
    path, piece = tmp_path / "endless.pdf", os.urandom((1 << 20) + 1)
    path.write_bytes(piece)
    reads: list[int] = []

    def grow(got: int) -> None:  # faster than it is read
        reads.append(got)
        assert sum(reads) <= len(piece)
        with path.open("ab") as file:
            file.write(piece)

    disk = TappedDisk(on_read=grow)
    assert refused(tmp_path, "endless.pdf", disk).kind == "source-changed"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.EBUSY, "source-busy"),  # a Windows server, while the scanner holds the file
        (errno.ETXTBSY, "source-busy"),
        (errno.EIO, "source-unreadable"),
        (errno.ESTALE, "source-unreadable"),
        (errno.EMFILE, "source-unreadable"),
    ],
)
@pytest.mark.parametrize("where", ["open", "on_read", "on_close"])
def test_a_fault_of_the_system_is_tried_again(
    tmp_path: Path, code: int, kind: str, where: str
) -> None:
    def fail(*_: object) -> io.BufferedReader:
        raise OSError(code, os.strerror(code))

    (tmp_path / "scan.pdf").write_bytes(SCAN)
    disk = TappedDisk(**({} if where == "open" else {where: fail}))
    if where == "open":
        vars(disk)["open"] = fail
    error = refused(tmp_path, "scan.pdf", disk)
    assert (error.kind, error.disposition) == (kind, Disposition.TRANSIENT)


def test_an_unreadable_spot_on_a_real_disk_is_tried_again(tmp_path: Path) -> None:
    need("disks")
    image, point = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with mounted(point, "mount", "-o", "loop", str(image)):
        (point / "scan.tif").write_bytes(os.urandom(8 << 20))
        with (point / "scan.tif").open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.truncate(image, 6 << 20)  # the rest of the disk is gone
        error = refused(point, "scan.tif")
        assert isinstance(error, SourceChangedError)
        assert error.kind == "source-unreadable"
        assert "Input/output error" in error.message


def test_an_inbox_that_is_missing_or_locked_is_a_condition_of_the_place() -> None:
    with public_folder() as folder:
        (folder / "locked/inbox").mkdir(parents=True)
        (folder / "locked").chmod(0o700)
        with as_nobody():
            errors = [refused(folder / name, "scan.pdf") for name in ("nothing", "locked/inbox")]
    assert [type(error) for error in errors] == [PlaceError, PlaceError]
    assert [error.kind for error in errors] == ["missing", "unreadable"]


def test_a_file_larger_than_any_scan_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.pdf").open("wb") as file:
        file.truncate(2 << 40)
    error = refused(tmp_path, "sparse.pdf", max_bytes=1 << 30)
    assert isinstance(error, BadFileError)
    assert (error.kind, "max_file_mib" in error.hint) == ("too-large", True)


def test_proof_that_nobody_has_it_open_is_had_by_its_owner_alone() -> None:
    with public_folder() as inbox:
        (inbox / "scan.pdf").write_bytes(SCAN)
        assert admitted(inbox, "scan.pdf", unproven=True).size == len(SCAN)
        error = nobody.as_nobody(lambda: admitted(inbox, "scan.pdf", unproven=True))
        assert isinstance(error, SourceChangedError)
        assert error.kind == "source-unproven"


def test_a_writer_that_comes_while_we_look_for_writers_does_not_kill_the_daemon(
    tmp_path: Path,
) -> None:
    """Who holds a lease gets SIGIO when a writer comes, and SIGIO ends a process."""
    (tmp_path / "scan.pdf").write_bytes(SCAN)
    refusals: list[BlockingIOError] = []

    def open_for_writing(event: str, args: tuple[object, ...]) -> None:
        # Python tells its audit hooks of each fcntl before it is done: now the lease is still held.
        if event == "fcntl.fcntl" and args[1:] == (fcntl.F_SETLEASE, fcntl.F_UNLCK):
            try:
                os.close(os.open(tmp_path / "scan.pdf", os.O_WRONLY | os.O_NONBLOCK))
            except BlockingIOError as error:
                refusals.append(error)

    def met() -> int:
        sys.addaudithook(open_for_writing)  # which no process gets rid of again
        admitted(tmp_path, "scan.pdf")
        return len(refusals)

    assert nobody.in_a_child(met) == 2
