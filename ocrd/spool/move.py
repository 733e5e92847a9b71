"""Moves that never overwrite, never show anything half-written, and survive a crash at any step.

On one file system a move is one `renameat2(RENAME_NOREPLACE)`.  Where that cannot be had, each
step whose outcome a crash would leave in doubt is recorded first (see `intent`):

- a file system without RENAME_NOREPLACE (NFS, most FUSE): a file gets the target as a second name
  and then loses the first; where links are refused, too (`fs.protected_hardlinks`), an empty file
  reserves the name and is replaced.  A folder is renamed after a look: `rename` never replaces a
  folder that holds anything.
- two file systems, or two mounts of one: copied to a hidden part beside the target, fsynced,
  renamed, and only then is the source removed.  The kernel's EXDEV decides, never `st_dev`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ocrd.files import Disk
from ocrd.spool import names
from ocrd.spool.intent import Intent, Phase, load, save
from ocrd.spool.tree import copy_tree, remove_tree

_NO_EXCLUSIVE_RENAME = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}


def move(
    source: Path,
    target: Path,
    *,
    record: Path,
    token: str,
    disk: Disk,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """Move a file or a folder to a free name; call again with the same arguments after a crash.

    Args:
        source: What to move.  If it is gone and the target is there, it was moved before.
        target: The new name, in a folder that exists.
        record: Where the move keeps its record while it is under way: a name of its own in a
            folder of ours.
        token: Names the hidden part beside the target.
        disk: The system calls.
        check: Is given a complete copy before it counts; what it raises undoes the copy.

    Returns:
        Where the thing lies: `target`, or the target of an earlier call that had got so far.

    Raises:
        FileExistsError: The target's name is taken; the source is untouched.
        FileNotFoundError: Neither the source nor the target is there.
        OSError: As the kernel answered; the same call goes on later.
    """
    earlier = load(record, disk)
    if earlier is not None:
        placed = _resume(earlier, record, disk)
        if placed is not None and earlier.source == source:
            return placed
    intent = Intent(source=source, target=target)
    if disk.lstat(source) is not None:
        intent = _carry_out(intent, record, token, disk, check)
    elif disk.lstat(target) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
    return _finish(intent, record, disk)


def resume(record: Path, disk: Disk) -> Path | None:
    """Bring the move that `record` tells of to an end, if there is one.

    Returns:
        Where the thing lies now, when the move had got so far that it could be completed; None
        when there was none, or when what had begun was cleared away and the source is untouched.
    """
    intent = load(record, disk)
    return None if intent is None else _resume(intent, record, disk)


def abandon(record: Path, disk: Disk) -> None:
    """Give up a move: its part goes; what is in place already stays."""
    intent = load(record, disk)
    if intent is None:
        return
    if not _took_place(intent, disk) and intent.part is not None:
        remove_tree(intent.part, disk)
    _drop(record, disk)


def _carry_out(
    intent: Intent,
    record: Path,
    token: str,
    disk: Disk,
    check: Callable[[Path], None] | None,
) -> Intent:
    try:
        _place(intent, record, disk)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        abandon(record, disk)
        intent = _copy(intent, record, token, disk, check)
        _place(intent, record, disk)
    return intent


def _resume(intent: Intent, record: Path, disk: Disk) -> Path | None:
    if not _took_place(intent, disk):
        if intent.phase is Phase.COPYING or intent.part is None or not _is(intent.part, disk):
            abandon(record, disk)
            return None
        _place(intent, record, disk)
    return _finish(intent, record, disk)


def _took_place(intent: Intent, disk: Disk) -> bool:
    """Whether the target is the thing; a name that was being given is completed or taken back."""
    if intent.phase in (Phase.COPYING, Phase.PLACED):
        return intent.phase is Phase.PLACED
    if not _is(intent.thing, disk):
        return _is(intent.target, disk)
    if intent.phase is Phase.LINKING and _twins(intent.thing, intent.target, disk):
        disk.fsync_dir(intent.target.parent)
        disk.unlink(intent.thing)
        return True
    if intent.phase is Phase.RESERVED and _is_empty_file(intent.target, disk):
        disk.unlink(intent.target)
    return False


def _place(intent: Intent, record: Path, disk: Disk) -> None:
    """The thing takes the target's name, unless that is taken."""
    try:
        disk.rename_exclusive(intent.thing, intent.target)
    except FileExistsError:
        abandon(record, disk)
        if not _drop_second_name(intent.thing, intent.target, disk):
            raise
    except OSError as error:
        if error.errno not in _NO_EXCLUSIVE_RENAME:
            raise
        _place_otherwise(intent, record, disk)


def _place_otherwise(intent: Intent, record: Path, disk: Disk) -> None:
    """Without RENAME_NOREPLACE: a look first, then what cannot overwrite even so."""
    if _is(intent.target, disk):
        abandon(record, disk)
        if _drop_second_name(intent.thing, intent.target, disk):
            return
        raise _taken(intent.target)
    if _is_folder(intent.thing, disk):
        _place_folder(intent, record, disk)
    else:
        _place_by_link(save(intent.at(Phase.LINKING), record, disk), record, disk)


def _place_folder(intent: Intent, record: Path, disk: Disk) -> None:
    try:
        disk.rename(intent.thing, intent.target)
    except OSError as error:
        if not _is(intent.target, disk):
            raise
        abandon(record, disk)  # ENOTEMPTY or ENOTDIR: somebody was quicker
        raise _taken(intent.target) from error


def _place_by_link(intent: Intent, record: Path, disk: Disk) -> None:
    try:
        disk.link(intent.thing, intent.target)
    except FileExistsError:
        if not _took_place(intent, disk):  # NFS: the reply to a link that succeeded was lost
            abandon(record, disk)
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _place_by_reservation(save(intent.at(Phase.RESERVED), record, disk), record, disk)
    else:
        disk.fsync_dir(intent.target.parent)
        disk.unlink(intent.thing)


def _place_by_reservation(intent: Intent, record: Path, disk: Disk) -> None:
    try:
        disk.create(intent.target)
    except FileExistsError:
        # Not our reservation: as a link it is compared with the thing, not taken for ours.
        save(intent.at(Phase.LINKING), record, disk)
        abandon(record, disk)
        raise
    disk.rename(intent.thing, intent.target)


def _copy(
    intent: Intent,
    record: Path,
    token: str,
    disk: Disk,
    check: Callable[[Path], None] | None,
) -> Intent:
    """A complete, durable copy beside the target, and the record that says so."""
    part = intent.target.with_name(names.part(token))
    intent = replace(intent, part=part, phase=Phase.COPYING)
    save(intent, record, disk)
    try:
        remove_tree(part, disk)
        copy_tree(intent.source, part, disk)
        if check is not None:
            check(part)
        return save(intent.at(Phase.COPIED), record, disk)
    except Exception:
        with contextlib.suppress(OSError):  # the next call clears away what is left
            abandon(record, disk)
        raise


def _finish(intent: Intent, record: Path, disk: Disk) -> Path:
    """The thing is in place: make it last, remove the source of a copy, forget the record."""
    disk.fsync_dir(intent.target.parent)
    if intent.part is not None and intent.phase is not Phase.PLACED:
        save(intent.at(Phase.PLACED), record, disk)
    if intent.part is not None:
        remove_tree(intent.source, disk)
    with contextlib.suppress(FileNotFoundError):  # an emptied inbox folder may be gone by now
        disk.fsync_dir(intent.source.parent)
    _drop(record, disk)
    return intent.target


def _drop(record: Path, disk: Disk) -> None:
    if _is(record, disk):
        disk.unlink(record)
        disk.fsync_dir(record.parent)


def _is(path: Path, disk: Disk) -> bool:
    return disk.lstat(path) is not None


def _is_folder(path: Path, disk: Disk) -> bool:
    facts = disk.lstat(path)
    return facts is not None and stat.S_ISDIR(facts.st_mode)


def _is_empty_file(path: Path, disk: Disk) -> bool:
    facts = disk.lstat(path)
    return facts is not None and stat.S_ISREG(facts.st_mode) and facts.st_size == 0


def _twins(one: Path, other: Path, disk: Disk) -> bool:
    """Two names of one file.

    Inode numbers alone do not tell: some FUSE and CIFS mounts number names, not files.  A file at
    a name that was free when the record was written, with the same size, time and bytes, is it.
    """
    first, second = disk.lstat(one), disk.lstat(other)
    if first is None or second is None:
        return False
    if os.path.samestat(first, second):
        return True
    alike = (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)
    regular = stat.S_ISREG(first.st_mode) and stat.S_ISREG(second.st_mode)
    return alike and regular and disk.digest(one) == disk.digest(other)


def _drop_second_name(thing: Path, target: Path, disk: Disk) -> bool:
    """Whether both names were one file's: btrfs can show a rename so after a power cut."""
    if not same_file(thing, target, disk):
        return False
    disk.fsync_dir(target.parent)
    disk.unlink(thing)
    return True


def same_file(one: Path, other: Path, disk: Disk) -> bool:
    """Whether both names are of one regular file."""
    first, second = disk.lstat(one), disk.lstat(other)
    if first is None or second is None or not stat.S_ISREG(first.st_mode):
        return False
    return os.path.samestat(first, second)


def _taken(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
