"""Deletes archived originals that have been kept long enough: only those that ocrd filed there.

Whatever a person put into the archive, or changed there, stays.  A deletion interrupted by a crash
is simply repeated.
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
    GONE = "no longer there"  # a person took it, or a crash followed its deletion
    FOREIGN = "something else lies there now"
    OUTSIDE = "not below the folder's archive"  # the archive was moved since; the file stays


def expire(job: Job, archive: Path, disk: Disk) -> Fate:
    """Delete the archived original of a done job, if it still is the file that was archived.

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
        folder: The folder that an original was in.
        archive: The archive itself, which is never removed.
        in_use: The folder that originals are filed in today.  It stays, and so do the folders
            above and below it, since a job may be on its way there.
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
    """Delete the files of a joined document, and their folder if nothing else is in it."""
    filed = {member.name: member for member in job.members}
    names = disk.names(folder)
    deleted = [name in filed and _delete(folder / name, filed[name], disk) for name in names]
    if not all(deleted):
        return Fate.FOREIGN
    disk.rmdir(folder)
    disk.fsync_dir(folder.parent)
    return Fate.DELETED


def _delete(path: Path, filed: Job | Member, disk: Disk) -> bool:
    """Delete a file if it still is what was filed and does not change meanwhile; whether it was."""
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
