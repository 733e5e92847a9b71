"""Which file system a path is on, whether it reports remote changes, and whether it is mounted.

The kernel's table is /proc/self/mountinfo (proc_pid_mountinfo(5)).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MOUNTINFO = Path("/proc/self/mountinfo")

MARKER = ".ocrd-share"
"""A file that an operator may put into the root of a share: once it has been seen there, its
absence means that the share is not mounted."""

_OCTAL = re.compile(rb"\\([0-7]{3})")

WatchKind = Literal["native", "polling"]

# inotify reports what this kernel changes; these can be changed elsewhere, or report nothing.
# fmt: off
_REMOTE = frozenset({
    "9p", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "smb2", "smb3", "smbfs",
    "vboxsf", "virtiofs", "vmhgfs",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of mountinfo.

    Attributes:
        id: Unique while mounted; reused later.
        parent: The `id` of the mount it was mounted on.
        point: Where it is mounted, `os.fsdecode`d.
        fstype: `ext4`, `nfs4`, `fuse.sshfs` …
        source: What is mounted: `/dev/sda1`, `//nas/scans` …
        root: The folder of the source that is mounted at `point`; not `/` for a bind mount.
    """

    id: int
    parent: int
    point: str
    fstype: str
    source: str
    root: str = "/"


def parse(mountinfo: bytes) -> list[Mount]:
    """The mounts in a mountinfo file; malformed lines are skipped."""
    table = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(b" - ")
        fields, kind = before.split(b" "), after.split(b" ")
        if separator and len(fields) >= 6 and len(kind) >= 2:
            told = (fields[4], kind[0], kind[1], fields[3])
            point, fstype, source, root = (
                os.fsdecode(_OCTAL.sub(lambda each: bytes([int(each[1], 8) & 0xFF]), field))
                for field in told
            )
            table.append(Mount(int(fields[0]), int(fields[1]), point, fstype, source, root))
    return table


def mounts() -> list[Mount]:
    """The mounts that this process sees; empty if /proc cannot be read."""
    try:
        return parse(MOUNTINFO.read_bytes())
    except OSError:
        return []


def mount_of(path: str, table: Iterable[Mount]) -> Mount | None:
    """The mount that an absolute, symlink-free `path` lies on.

    Walks down as the kernel does: from the root, at each step into the nearest mount point on the
    way.  That is nearly always the longest matching mount point, but not if something was mounted
    over a folder that already had mounts below it.
    """
    children: dict[int, list[Mount]] = {}
    ids = set()
    for mount in table:
        if _below(path, mount.point):
            children.setdefault(mount.parent, []).append(mount)
            ids.add(mount.id)
    tops = [m for p, found in children.items() for m in found if p not in ids or m.id == p]
    here = None
    while tops:
        here = min(tops, key=lambda mount: len(mount.point))
        tops = [mount for mount in children.pop(here.id, []) if mount.id != here.id]
    return here


def mount_at(path: Path) -> Mount | None:
    """The mount that `path` (which need not exist) lies on now, links followed."""
    return mount_of(os.path.realpath(path), mounts())


def is_remote(fstype: str) -> bool:
    """Whether files there can be changed without this kernel's inotify reporting it.

    `fuseblk` is not remote: it is a local disk behind a FUSE driver (NTFS).
    """
    return fstype in _REMOTE or fstype.startswith("fuse.")


def filesystem_of(path: Path) -> str:
    """The type of the file system that holds `path` (which need not exist); "" if unknown."""
    mount = mount_at(path)
    return "" if mount is None else mount.fstype


def watch_kind(path: Path) -> WatchKind:
    """How a folder can be watched: by the kernel's events, or only by polling."""
    return "polling" if is_remote(filesystem_of(path)) else "native"


def root_identity(path: Path) -> tuple[int, int] | None:
    """(st_dev, st_ino) of the folder `path`, symlinks followed; None if there is none.

    The folder is opened, and not only passed to `stat`, so that autofs mounts an idle share.

    Raises:
        OSError: It exists but cannot be opened: no permission, a share that does not answer.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    return found.st_dev, found.st_ino


def share_lost(path: Path, remembered: Mount | None) -> bool:
    """Whether the mount that held `path` is gone, so that an empty folder there means nothing.

    Another share on the same mount point, or one mounted further down, is not a loss; nor is the
    same folder of the same file system reached through fewer mounts, as outside a sandbox.
    """
    if remembered is None:
        return False
    now = mount_at(path)
    if now is None:
        return True
    if now.fstype == "autofs" and remembered.fstype != "autofs":  # idle, and not mounted again
        return True
    if len(now.point) >= len(remembered.point) or not _below(remembered.point, now.point):
        return False
    return place_on(remembered, remembered.point) != place_on(now, remembered.point)


def place_on(mount: Mount, path: str) -> tuple[str, str]:
    """The type of the file system that `path`, below `mount.point`, is on, and its path in it.

    The source is left out, because that of the root file system has more than one name.
    """
    inside = os.path.normpath(Path(mount.root, os.path.relpath(path, mount.point)))
    return mount.fstype, inside


def _below(path: str, folder: str) -> bool:
    return path == folder or folder == "/" or path.startswith(folder + "/")
