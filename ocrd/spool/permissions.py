"""Whatever leaves the spool has the group and permissions that its folder asks for.

A thing is dressed before it is seen: in the spool, or, when it is copied to another file system,
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
from ocrd.spool.tree import bottom_up, fsync_tree, is_folder, make_folders, remove_tree

FOLDER = "folder"


def dressed_move(step: str, source: Path, target: Path, home: JobDir, owner: Ownership) -> Path:
    """A move of a thing that was dressed in the spool: a copy of it is dressed, too."""
    if not owner.given:
        return home.mover(step).move(source, target)

    def check(copy: Path) -> None:
        dress(copy, target.parent, home.disk, owner)
        fsync_tree(copy, home.disk)

    return home.mover(step).move(source, target, check)


def dressed_folders(folder: Path, home: JobDir, owner: Ownership) -> None:
    """Make a folder and those missing above it, each with its group and mode from the start."""
    if not owner.given:
        make_folders(folder, home.disk)
        return
    home.settle([FOLDER])
    _make(folder, home, owner)


def _make(folder: Path, home: JobDir, owner: Ownership) -> None:
    if is_folder(folder, home.disk):
        return
    _make(folder.parent, home, owner)
    fresh = home.path / FOLDER
    if not home.has(fresh):
        home.disk.mkdir(fresh, PRIVATE)
    dress(fresh, folder.parent, home.disk, owner)
    try:
        dressed_move(FOLDER, fresh, folder, home, owner)
    except FileExistsError:  # somebody was quicker, with a folder or with something else
        if not is_folder(folder, home.disk):
            raise


def dress(
    tree: Path,
    parent: Path,
    disk: Disk,
    owner: Ownership = AS_AROUND,
    *,
    below: bool = True,
    known: Sequence[Path] | None = None,
) -> None:
    """Give a tree of ours the group and permissions that it is to have where it goes.

    What the owner leaves open is as if everything had been made in the parent: folders get its
    mode, files the same without the right to execute; where it is setgid, its group, too.

    Args:
        tree: A file or folder.
        parent: Where it goes.
        disk: The system calls.
        owner: What it is to have.
        below: Whether what the folder holds is dressed, too.
        known: All of the tree from the bottom up, where it was walked before.

    Raises:
        PlaceError: The daemon is not of the owner's group.
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
    """Replace files of other users by copies that are ours: only an owner may change a mode.

    Args:
        top: A file, or a folder with all below it.
        draft: A name on the same file system for a copy in the making.
        disk: The system calls.
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
    """As `_bottom_up`, with what the disk says of each."""
    for path in known or (path for path, _ in bottom_up(top, disk)):
        facts = disk.lstat(path)
        if facts is not None:
            yield path, facts
