"""A move never overwrites, keeps every byte, and knows its own work again."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.errors import SourceChangedError
from ocrd.files import Disk
from ocrd.spool.jobdir import JobDir
from ocrd.spool.move import Mover
from tests.support.needs import need
from tests.unit.spool.mounts import bound, needs_root
from tests.unit.spool.steps import DISKS, Call, Hooked, WithoutExclusiveRename

CONTENT = bytes(range(256)) * 5000


class Ground:
    """Two folders and a place for records."""

    def __init__(self, top: Path) -> None:
        self.here, self.there = top / "here", top / "there"
        self.spool = top / "spool"
        for folder in (self.here, self.there, self.spool):
            folder.mkdir()

    def mover(self, disk: Disk) -> Mover:
        return Mover(self.jobdir(disk), "step")

    def jobdir(self, disk: Disk) -> JobDir:
        return JobDir(self.spool, "ab12", self.spool / "source", disk)

    def move(self, disk: Disk, name: str = "scan.pdf", to: str | None = None) -> Path:
        target = self.there / (to or name)
        return self.mover(disk).move(self.here / name, target)

    def tree(self) -> dict[str, bytes]:
        """Every file; the record only while it tells of a move."""
        top = self.here.parent
        over = not self.jobdir(Disk()).moves()
        return {
            str(path.relative_to(top)): path.read_bytes()
            for path in sorted(top.rglob("*"))
            if path.is_file() and not (over and path.name == "job.json")
        }


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture(params=["near", pytest.param("far", marks=needs_root)])
def near_or_far(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Ground]:
    """One file system, and a target on a mount of its own."""
    if request.param == "near":
        yield ground
        return
    with bound(ground.there):
        yield ground


@pytest.fixture
def far(ground: Ground) -> Iterator[Ground]:
    """A target on a mount of its own, and a file to move there."""
    need("root", "mounts")
    (ground.here / "scan.pdf").write_bytes(CONTENT)
    with bound(ground.there):
        yield ground


every_disk = pytest.mark.parametrize("disk", DISKS.values(), ids=DISKS.keys())


@every_disk
def test_a_moved_file_keeps_bytes_mode_and_time(near_or_far: Ground, disk: Disk) -> None:
    source = near_or_far.here / "scan.pdf"
    source.write_bytes(CONTENT)
    source.chmod(0o640)
    os.utime(source, ns=(1_600_000_000_123_456_789, 1_600_000_001_987_654_321))
    target = near_or_far.move(disk)
    facts = target.stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_mtime_ns) == (0o640, 1_600_000_001_987_654_321)
    assert near_or_far.tree() == {"there/scan.pdf": CONTENT}


@every_disk
def test_a_moved_folder_keeps_all_that_is_in_it(near_or_far: Ground, disk: Disk) -> None:
    deep = near_or_far.here / "scan" / "images" / "small"
    deep.mkdir(parents=True)
    deep.parent.chmod(0o751)
    (deep / "3-1.jpg").write_bytes(CONTENT)
    (near_or_far.here / "scan" / "empty").touch()
    target = near_or_far.move(disk, "scan")
    assert near_or_far.tree() == {
        "there/scan/empty": b"",
        "there/scan/images/small/3-1.jpg": CONTENT,
    }
    assert stat.S_IMODE((target / "images").stat().st_mode) == 0o751


@every_disk
@pytest.mark.parametrize("taken_by", ["file", "folder", "full folder", "dead link"])
@pytest.mark.parametrize("moved", ["file", "folder"])
def test_a_taken_name_is_refused_and_nothing_is_touched(
    near_or_far: Ground, disk: Disk, moved: str, taken_by: str
) -> None:
    _make(near_or_far.here / "scan", moved, b"ours")
    _make(near_or_far.there / "scan", taken_by, b"theirs")
    before = near_or_far.tree()
    with pytest.raises(FileExistsError):
        near_or_far.move(disk, "scan")
    assert near_or_far.tree() == before
    assert os.listdir(near_or_far.there) == ["scan"]
    assert os.path.islink(near_or_far.there / "scan") == (taken_by == "dead link")
    near_or_far.move(disk, "scan", to="scan (2)")
    assert sorted(os.listdir(near_or_far.there)) == ["scan", "scan (2)"]
    assert os.listdir(near_or_far.here) == []


@every_disk
@pytest.mark.parametrize("theirs", [b"theirs", b""], ids=["file", "empty file"])
@pytest.mark.parametrize("moment", ["rename_exclusive", "link", "create"])
def test_a_name_taken_at_the_last_moment_is_refused_as_well(
    near_or_far: Ground, disk: Disk, moment: str, theirs: bytes
) -> None:
    """Between a look and a call, if it is made there; an empty file is no reservation of ours."""
    (near_or_far.here / "scan.pdf").write_bytes(b"ours")
    target = near_or_far.there / "scan.pdf"
    came: list[Call] = []

    def intrude(call: Call) -> None:
        if call.name == moment and call.arguments[-1] == target:
            came.append(call)
            target.write_bytes(theirs)

    try:
        near_or_far.move(Hooked(intrude, disk))
    except FileExistsError:
        assert came
        assert near_or_far.tree() == {"here/scan.pdf": b"ours", "there/scan.pdf": theirs}
    else:
        assert not came
        assert near_or_far.tree() == {"there/scan.pdf": b"ours"}


@every_disk
def test_one_file_under_both_names_is_moved(ground: Ground, disk: Disk) -> None:
    """btrfs may show a rename so after a power cut: the file system says that both are one."""
    (ground.here / "scan.pdf").write_bytes(CONTENT)
    os.link(ground.here / "scan.pdf", ground.there / "scan.pdf")
    ground.move(disk)
    assert ground.tree() == {"there/scan.pdf": CONTENT}


@every_disk
def test_a_file_of_the_same_bytes_that_a_person_made_is_not_taken_for_our_own(
    ground: Ground, disk: Disk
) -> None:
    for folder in (ground.here, ground.there):
        (folder / "scan.pdf").write_bytes(CONTENT)
    with pytest.raises(FileExistsError):
        ground.move(disk)
    assert ground.tree() == {"here/scan.pdf": CONTENT, "there/scan.pdf": CONTENT}


def test_a_link_whose_answer_was_lost_counts_as_made(ground: Ground) -> None:
    """NFS repeats a request whose reply was lost, and then hears EEXIST of its own work."""
    (ground.here / "scan.pdf").write_bytes(CONTENT)

    class LossyNfs(WithoutExclusiveRename):
        def link(self, source: Path, target: Path) -> None:
            super().link(source, target)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))

    ground.move(LossyNfs())
    assert ground.tree() == {"there/scan.pdf": CONTENT}


def test_a_link_is_known_again_where_inode_numbers_mean_nothing(ground: Ground) -> None:
    """Killed between link and unlink on a mount that numbers names, not files."""
    source = ground.here / "scan.pdf"
    source.write_bytes(CONTENT)

    class Numbering(WithoutExclusiveRename):
        def lstat(self, path: Path) -> os.stat_result | None:
            facts = super().lstat(path)
            if facts is None:
                return None
            return os.stat_result((facts.st_mode, hash(path), *tuple(facts)[2:]))

    def power_off(call: Call) -> None:
        if call.name == "unlink" and call.arguments[0] == source:
            raise OSError(errno.EIO, "gone", str(source))

    with pytest.raises(OSError, match="gone"):
        ground.move(Hooked(power_off, Numbering()))
    assert sorted(ground.tree())[:2] == ["here/scan.pdf", "spool/job.json"]
    ground.move(Numbering())
    assert ground.tree() == {"there/scan.pdf": CONTENT}


def test_a_copy_that_somebody_cleared_away_is_made_again(far: Ground) -> None:
    part = far.there / ".ocrd-ab12.part"
    _stop_before(far, "rename_exclusive", part)
    part.unlink()
    far.move(Disk())
    assert far.tree() == {"there/scan.pdf": CONTENT}


@pytest.mark.parametrize("kind", ["file", "full folder"])
def test_a_part_left_by_a_spool_that_is_lost_is_in_nobodys_way(far: Ground, kind: str) -> None:
    _make(far.there / ".ocrd-ab12.part", kind, b"half of something")
    far.move(Disk())
    assert far.tree() == {"there/scan.pdf": CONTENT}


def test_a_move_that_had_got_through_is_not_done_again_under_another_name(far: Ground) -> None:
    _stop_before(far, "unlink", far.here / "scan.pdf")
    assert far.move(Disk(), to="scan (2).pdf") == far.there / "scan.pdf"
    assert far.tree() == {"there/scan.pdf": CONTENT}


def test_a_complete_copy_is_not_copied_again(far: Ground) -> None:
    _stop_before(far, "rename_exclusive", far.there / ".ocrd-ab12.part")

    def refuse(call: Call) -> None:
        assert call.name != "copy"

    far.move(Hooked(refuse))
    assert far.tree() == {"there/scan.pdf": CONTENT}


def test_what_a_reader_took_away_at_once_is_not_delivered_twice(far: Ground) -> None:
    _stop_before(far, "unlink", far.here / "scan.pdf")
    (far.there / "scan.pdf").unlink()
    assert far.mover(Disk()).resume() == far.there / "scan.pdf"
    assert far.tree() == {}


def test_a_file_that_grows_while_it_is_copied_is_not_moved(far: Ground) -> None:
    source = far.here / "scan.pdf"

    class Growing(Disk):
        def open(self, path: Path):  # type: ignore[no-untyped-def]  # the parent's type is private
            file = super().open(path)
            if path == source:
                with source.open("ab") as writer:
                    file.read(1)
                    writer.write(b"one page more")
                    file.seek(1)
            return file

    with pytest.raises(SourceChangedError):
        far.move(Growing())
    assert far.tree() == {"here/scan.pdf": CONTENT + b"one page more"}


def _stop_before(ground: Ground, name: str, first: Path) -> None:
    """Start a move and let it fail at one of its calls."""

    def stop(call: Call) -> None:
        if call.name == name and call.arguments[0] == first:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ground.move(Hooked(stop))


def _make(path: Path, kind: str, content: bytes) -> None:
    if kind == "file":
        path.write_bytes(content)
    elif kind == "dead link":
        path.symlink_to("nowhere")
    else:
        path.mkdir()
        if kind == "full folder" or content == b"ours":
            (path / "inside").write_bytes(content)
