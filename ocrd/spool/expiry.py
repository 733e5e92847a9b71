"""Archived originals that have been kept long enough are deleted: only those filed there by ocrd.

Whatever a person put into the archive, or changed there, stays.  A deletion cut short by a crash is
simply repeated.
"""

from __future__ import annotations

import enum
import stat
from pathlib import Path

from ocrd.files import Disk, untouched
from ocrd.job import Job, Member


class Fate(enum.StrEnum):
    """What became of an archived original."""

    DELETED = "deleted"
    GONE = "no longer there"  # a person took it, or a crash came after its deletion
    FOREIGN = "something else lies there now"
    OUTSIDE = "not below the folder's archive"  # which has been moved since; left where it is


def expire(job: Job, archive: Path, disk: Disk) -> Fate:
    """Delete the archived original of a done job, if that is what lies there.

    Raises:
        OSError: The archive cannot be read or written now.
    """
    path = Path(job.archived_to or "")
    if not path.parent.resolve().is_relative_to(archive.resolve()):
        return Fate.OUTSIDE
    facts = disk.lstat(path)
    if facts is None:
        return Fate.GONE
    if job.members:
        return _expire_members(job, path, disk) if stat.S_ISDIR(facts.st_mode) else Fate.FOREIGN
    return Fate.DELETED if _delete(path, job, disk) else Fate.FOREIGN


def tidy(folder: Path, archive: Path, in_use: Path, disk: Disk) -> None:
    """Remove dated folders that have become empty, from `folder` upward.

    Args:
        folder: Where an original was.
        archive: Stays, whatever it holds.
        in_use: Where originals are filed today: it stays, and what lies above and below it, as a
            job may be on its way there.
        disk: The system calls.
    """
    while folder != archive and folder.is_relative_to(archive):
        if in_use.is_relative_to(folder) or folder.is_relative_to(in_use):
            return
        try:
            disk.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:  # not empty, or not ours to remove
            return
        folder = folder.parent


def _expire_members(job: Job, folder: Path, disk: Disk) -> Fate:
    """The files of a joined document; the folder goes with the last thing in it."""
    filed = {member.name: member for member in job.members}
    names = disk.names(folder)
    deleted = [name in filed and _delete(folder / name, filed[name], disk) for name in names]
    if not all(deleted):
        return Fate.FOREIGN
    disk.rmdir(folder)
    disk.fsync_dir(folder.parent)
    return Fate.DELETED


def _delete(path: Path, filed: Job | Member, disk: Disk) -> bool:
    """Delete a file that is still what was filed, unless it changes while it is looked at."""
    before = disk.lstat(path)
    if before is None or not stat.S_ISREG(before.st_mode):
        return False
    if before.st_size != filed.size or disk.digest(path) != filed.sha256:  # the size spares reading
        return False
    now = disk.lstat(path)
    if now is None or not untouched(before, now):
        return False
    disk.unlink(path)
    disk.fsync_dir(path.parent)
    return True
