from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.mounts import (
    Mount,
    filesystem_of,
    is_remote,
    mount_at,
    mount_of,
    mounts,
    parse,
    root_identity,
    share_lost,
    watch_kind,
)
from tests.unit.inbox.support import mounted, unmount

# The second line is the example of proc_pid_mountinfo(5).
TABLE = b"""\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
36 27 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
40 27 0:50 / /srv/scans rw shared:7 master:1 propagate_from:2 - cifs //nas/scans rw,vers=3.0
41 40 0:51 / /srv/scans/usb rw - ext4 /dev/sdb1 rw
43 41 0:53 / /srv/scans/usb rw shared:51 - tmpfs tmpfs rw
42 27 0:52 / /srv/new\\040folder\\134x\\011\\012 rw - nfs4 nas:/with\\040space rw
nonsense
"""
TMPFS = ("mount", "-t", "tmpfs", "ocrd-test")


def test_a_line_is_read_with_and_without_optional_fields() -> None:
    table = parse(TABLE)
    assert table[1] == Mount(36, 27, "/mnt2", "ext3", "/dev/root", "/mnt1")
    assert table[2] == Mount(40, 27, "/srv/scans", "cifs", "//nas/scans")
    assert table[-1] == Mount(42, 27, "/srv/new folder\\x\t\n", "nfs4", "nas:/with space")
    assert len(table) == 6  # the last line is none


@pytest.mark.parametrize(
    ("path", "fstype"),
    [
        ("/", "ext4"),
        ("/home/a", "ext4"),
        ("/srv/scans", "cifs"),
        ("/srv/scans/inbox/a.pdf", "cifs"),
        ("/srv/scans/usb/a.pdf", "tmpfs"),  # over another one
        ("/srv/scans2/a.pdf", "ext4"),
        ("/srv/new folder\\x\t\n/a.pdf", "nfs4"),
    ],
)
def test_a_path_lies_on_the_innermost_mount_above_it(path: str, fstype: str) -> None:
    found = mount_of(path, parse(TABLE))
    assert found is not None
    assert found.fstype == fstype


def test_the_running_kernel_is_asked_and_where_it_tells_nothing_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert filesystem_of(Path("/proc/self")) == "proc"
    monkeypatch.setattr("ocrd.mounts.MOUNTINFO", tmp_path / "none")
    assert (filesystem_of(Path("/proc/self")), watch_kind(Path("/proc/self"))) == ("", "native")


def test_file_systems_that_others_write_to_are_remote() -> None:
    remote = ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse", "9p", "ceph", "vboxsf"]
    ours = ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk"]
    assert [fstype for fstype in ours + remote if is_remote(fstype)] == remote


def test_a_mount_over_a_folder_hides_the_mounts_below_it(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    with mounted(inner, "mount", "-t", "tmpfs", "inner"), mounted(tmp_path / "a", *TMPFS):
        inner.mkdir()
        found = mount_of(str(inner), mounts())
        assert found is not None
        assert found.source == "ocrd-test"
        assert root_identity(inner) != root_identity(tmp_path)


def test_of_two_mounts_on_one_folder_the_upper_one_counts(tmp_path: Path) -> None:
    point = tmp_path / "point"
    with mounted(point, "mount", "-t", "tmpfs", "lower"), mounted(point, *TMPFS):
        found = mount_of(str(point), mounts())
        assert found is not None
        assert found.source == "ocrd-test"


def test_a_share_is_polled_even_through_a_symbolic_link(tmp_path: Path) -> None:
    assert watch_kind(tmp_path) == "native"
    (tmp_path / "server").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "share")
    with mounted(tmp_path / "share", "bindfs", str(tmp_path / "server")):
        assert watch_kind(link) == "polling"


def test_a_folder_made_anew_has_another_identity(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    before = root_identity(inbox)
    inbox.rename(tmp_path / "old")
    inbox.mkdir()
    assert before is not None
    assert root_identity(inbox) != before
    assert root_identity(tmp_path / "old") == before


def test_what_is_no_folder_has_no_identity(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert root_identity(tmp_path / "file") is None
    assert root_identity(tmp_path / "nothing") is None


def test_the_same_folder_reached_without_a_sandbox_is_not_lost(tmp_path: Path) -> None:
    """A sandbox binds folders over themselves; what an earlier start saw there is still there."""
    sandboxed, elsewhere = tmp_path / "inbox", tmp_path / "point"
    sandboxed.mkdir()
    (tmp_path / "other").mkdir()
    with mounted(sandboxed, "mount", "--bind", str(sandboxed)):
        seen = mount_at(sandboxed)
    with mounted(elsewhere, "mount", "--bind", str(tmp_path / "other")):
        bound = mount_at(elsewhere)
    assert seen is not None
    assert seen.point == str(sandboxed)
    assert not share_lost(sandboxed, seen)
    assert share_lost(elsewhere, bound)


@pytest.mark.parametrize("below", ["", "inbox"])
def test_an_unmounted_share_is_lost_and_an_empty_or_another_one_is_not(
    tmp_path: Path, below: str
) -> None:
    point, inbox = tmp_path / "share", tmp_path / "share" / below
    with mounted(point, *TMPFS):
        remembered = mount_at(inbox)
        assert not share_lost(inbox, remembered)
        unmount(point)
        assert share_lost(inbox, remembered)
    with mounted(point, "mount", "-t", "tmpfs", "another"):
        assert not share_lost(inbox, remembered)


def test_a_folder_that_was_never_on_a_share_is_not_lost_be_one_mounted_there(
    tmp_path: Path,
) -> None:
    remembered = mount_at(tmp_path)
    assert not share_lost(tmp_path, remembered)
    assert not share_lost(tmp_path, None)
    with mounted(tmp_path, *TMPFS):
        assert not share_lost(tmp_path, remembered)
