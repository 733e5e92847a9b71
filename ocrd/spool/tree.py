"""Files and whole folders: made durable, copied, removed, created."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ocrd.files import Disk


def fsync_tree(top: Path, disk: Disk) -> list[Path]:
    """Make a file, or a folder with everything below it, durable: contents before names.

    Returns:
        Every path, a folder after its contents.
    """
    found = []
    for path, is_folder in bottom_up(top, disk):
        (disk.fsync_dir if is_folder else disk.fsync_file)(path)
        found.append(path)
    return found


def copy_tree(source: Path, target: Path, disk: Disk) -> None:
    """Copy a file or a whole folder durably to a free name; keeps modes, and the times of files."""
    facts = disk.lstat(source)
    if facts is not None and stat.S_ISDIR(facts.st_mode):
        disk.mkdir(target, 0o700)
        for name in disk.names(source):
            copy_tree(source / name, target / name, disk)
        disk.chmod(target, stat.S_IMODE(facts.st_mode))
        disk.fsync_dir(target)
    elif facts is None or stat.S_ISREG(facts.st_mode):
        disk.copy(source, target)
        disk.fsync_file(target)
    else:
        raise OSError(errno.EINVAL, "neither a file nor a folder", str(source))


def remove_tree(top: Path, disk: Disk, *, last: Path | None = None) -> None:
    """Remove a file, or a folder with everything below it; `last` goes after the rest of it.

    What is gone already is no error.
    """
    found = list(bottom_up(top, disk))
    if last is not None:
        found.sort(key=lambda each: (each[0] == top, each[0] == last))
    for path, is_folder in found:
        with contextlib.suppress(FileNotFoundError):
            if is_folder:
                disk.rmdir(path)
            else:
                disk.unlink(path)


def make_folders(
    folder: Path, disk: Disk, make: Callable[[Path, Disk], object] | None = None
) -> None:
    """Make a folder and its missing parents, durably.

    Args:
        folder: The folder.
        disk: The system calls.
        make: Makes one folder; by default with its parent's permissions.

    Raises:
        NotADirectoryError: A file, or a link, is where one of the folders should be.
    """
    if _has_folder(folder, disk):
        return
    make_folders(folder.parent, disk, make)
    try:
        (make or _make)(folder, disk)
    except FileExistsError:  # another job was quicker, or something else appeared there
        if not _has_folder(folder, disk):
            raise


def _make(folder: Path, disk: Disk) -> None:
    disk.mkdir(folder)
    _inherit(folder, folder.parent, disk)
    disk.fsync_dir(folder.parent)


def _has_folder(folder: Path, disk: Disk) -> bool:
    facts = disk.stat(folder)
    if facts is not None and not stat.S_ISDIR(facts.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder))
    return facts is not None


def _inherit(folder: Path, parent: Path, disk: Disk) -> None:
    """Give a new folder the mode of its parent; the kernel has passed on group and setgid."""
    own, like = disk.stat(folder), disk.stat(parent)
    if own is None or like is None:
        return
    wanted = like.st_mode & 0o777 | own.st_mode & 0o7000
    foreign = own.st_gid not in {os.getegid(), *os.getgroups()} and os.geteuid() != 0
    if foreign and own.st_mode & stat.S_ISGID:
        return  # chmod by a user outside the group would clear the setgid bit
    if stat.S_IMODE(own.st_mode) != wanted:
        disk.chmod(folder, wanted)


def bottom_up(top: Path, disk: Disk) -> Iterator[tuple[Path, bool]]:
    """Every path from `top` down, and whether it is a folder; a folder comes after its contents.

    Empty if `top` is gone.
    """
    facts = disk.lstat(top)
    if facts is None:
        return
    if stat.S_ISDIR(facts.st_mode):
        yield from _below(top, disk)
    yield top, stat.S_ISDIR(facts.st_mode)


def _below(folder: Path, disk: Disk) -> Iterator[tuple[Path, bool]]:
    with disk.hold(folder):
        for name, is_folder in disk.entries(folder):
            path = folder / name
            if is_folder:
                yield from _below(path, disk)
            yield path, is_folder
