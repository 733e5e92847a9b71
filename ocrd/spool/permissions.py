"""Everything that leaves the spool has the group and permissions that its folder asks for.

They are set before anybody can see the file: in the spool, or, for a copy to another file system,
under the hidden name that the copy has until it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ocrd.config.ownership import AS_AROUND, Ownership, joining
from ocrd.errors import PlaceError
from ocrd.files import Disk, display
from ocrd.spool.jobdir import PRIVATE, JobDir
from ocrd.spool.move import Mover, settle
from ocrd.spool.tree import bottom_up, fsync_tree, make_folders, remove_tree

FOLDER = "folder"


def move_out(step: str, source: Path, target: Path, jobdir: JobDir, owner: Ownership) -> Path:
    """Move a path whose permissions are already set in the spool; a copy is given them, too."""
    if not owner.given:
        return Mover(jobdir, step).move(source, target)

    def check(copy: Path) -> None:
        set_permissions(copy, target.parent, jobdir.disk, owner)
        fsync_tree(copy, jobdir.disk)

    return Mover(jobdir, step).move(source, target, check)


def make_folders_for(folder: Path, jobdir: JobDir, owner: Ownership) -> None:
    """Make a folder and its missing parents, each with its group and mode from the start."""
    if not owner.given:
        make_folders(folder, jobdir.disk)
        return

    def make(folder: Path, disk: Disk) -> None:
        fresh = jobdir.path / FOLDER
        if not jobdir.has(fresh):
            disk.mkdir(fresh, PRIVATE)
        set_permissions(fresh, folder.parent, disk, owner)
        move_out(FOLDER, fresh, folder, jobdir, owner)

    settle(jobdir, [FOLDER])
    make_folders(folder, jobdir.disk, make)


def set_permissions(
    tree: Path,
    parent: Path,
    disk: Disk,
    owner: Ownership = AS_AROUND,
    *,
    below: bool = True,
    known: Sequence[Path] | None = None,
) -> None:
    """Give a file or folder of ours the group and permissions that it needs in its new place.

    Whatever `owner` leaves open is set as if everything had been made in `parent`: folders get the
    parent's mode, files the same without execute permission; if the parent is setgid, both get its
    group, too.

    Args:
        tree: A file or folder.
        parent: The folder that it goes to.
        disk: The system calls.
        owner: The group and umask to apply.
        below: Whether to change what the folder holds, too.
        known: Every path in `tree`, bottom up, if the caller has walked it already.

    Raises:
        PlaceError: The daemon's user is not in the owner's group.
    """
    like = disk.stat(parent)
    if like is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(parent))
    setgid = like.st_mode & stat.S_ISGID if owner.gid is None else stat.S_ISGID
    rights = like.st_mode & 0o777 if owner.umask is None else 0o777 & ~owner.umask
    for path, facts in _looked_at(tree, disk, known):
        if not below and path != tree:
            continue
        if owner.gid is not None:
            _give(path, facts, owner, disk)
        elif setgid and facts.st_gid != like.st_gid:
            with contextlib.suppress(PermissionError):  # not a member of that group
                disk.chgrp(path, like.st_gid)
        folder = stat.S_ISDIR(facts.st_mode)
        _permit(path, facts, rights | setgid if folder else rights & 0o666, disk)


def make_ours(top: Path, draft: Path, disk: Disk) -> None:
    """Replace files of other users by our own copies: only a file's owner may change its mode.

    Each copy is called `draft`, a path on the same file system, until it is complete.
    """
    for path, facts in _looked_at(top, disk):
        if stat.S_ISREG(facts.st_mode) and os.geteuid() not in (0, facts.st_uid):
            remove_tree(draft, disk)
            disk.copy(path, draft)
            disk.fsync_file(draft)
            disk.rename(draft, path)
            disk.fsync_dir(path.parent)


def _give(path: Path, facts: os.stat_result, owner: Ownership, disk: Disk) -> None:
    if owner.gid is None or facts.st_gid == owner.gid:
        return
    try:
        disk.chgrp(path, owner.gid)
    except PermissionError as error:
        raise PlaceError(
            f"{display(path)}: the daemon may not give it to group {owner.group!r}",
            hint=joining(owner.group),
            kind="not-in-group",
        ) from error


def _permit(path: Path, facts: os.stat_result, mode: int, disk: Disk) -> None:
    if stat.S_IMODE(facts.st_mode) == mode:
        return
    try:
        disk.chmod(path, mode)
    except PermissionError as error:
        if error.errno != errno.EPERM or not mode & stat.S_ISGID:
            raise
        disk.chmod(path, mode & 0o777)  # a sandbox with RestrictSUIDSGID= refuses the bit


def _looked_at(
    top: Path, disk: Disk, known: Sequence[Path] | None = None
) -> Iterator[tuple[Path, os.stat_result]]:
    """Every path from `top` down, a folder after its contents, with its `lstat`."""
    for path in known or (path for path, _ in bottom_up(top, disk)):
        facts = disk.lstat(path)
        if facts is not None:
            yield path, facts
