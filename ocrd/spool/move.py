"""Moves that never overwrite, never show anything half-written, and survive a crash at any step.

On one file system a move is one `renameat2(RENAME_NOREPLACE)`.  Where that is unavailable, each
step whose outcome a crash would leave in doubt is recorded first (see `jobdir`):

- a file system without RENAME_NOREPLACE (NFS, most FUSE): a file is hard-linked to the target and
  then loses its old name; where links are refused, too (`fs.protected_hardlinks`), an empty file
  reserves the target's name and is then replaced.  A folder is renamed after checking that the
  name is free: `rename` never replaces a folder that is not empty.
- two file systems, or two mounts of one: the source is copied to a hidden part beside the target;
  the part is fsynced and renamed, and only then is the source removed.  The kernel's EXDEV tells
  that a copy is needed, never `st_dev`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from ocrd.files import Disk
from ocrd.spool.jobdir import NAME, Intent, JobDir, Phase
from ocrd.spool.tree import copy_tree, remove_tree

_NO_EXCLUSIVE_RENAME = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}


class Mover:
    """The move that one step of a job makes.

    Args:
        jobdir: The job's folder, which records the move while it is under way.
        step: The step's name in that record.
    """

    def __init__(self, jobdir: JobDir, step: str) -> None:
        self.disk = jobdir.disk
        self._jobdir = jobdir
        self._has = jobdir.has
        self._step = step

    def move(self, source: Path, target: Path, check: Callable[[Path], None] | None = None) -> Path:
        """Move a file or a folder to a free name; after a crash, repeat the call.

        Args:
            source: The path to move.  If it is gone and the target exists, it was moved before.
            target: The new path, in a folder that exists.
            check: Called with the complete copy, if one has to be made, before it is used; if it
                raises, the copy is removed.

        Returns:
            The new path: `target`, or the target of an earlier call that had got far enough.

        Raises:
            FileExistsError: The target's name is taken; the source is untouched.
            FileNotFoundError: Neither the source nor the target exists.
            OSError: As the kernel answered; the same call later continues the move.
        """
        earlier = self._under_way()
        if earlier is not None:
            placed = self._resume(earlier)
            if placed is not None and earlier.source == source:
                return placed
        intent = Intent(source=source, target=target)
        if self._has(source):
            try:
                self._place(intent)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self.abandon()
                intent = self._copy(intent, check)
                self._place(intent)
        elif not self._has(target):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
        return self._finish(intent)

    def resume(self) -> Path | None:
        """Complete or undo the move that is under way, if there is one.

        Returns:
            The new path, if the move had got far enough to be completed; None if there was no
            move, or if it was undone and the source is untouched.

        Raises:
            FileExistsError: The target's name was taken meanwhile; the move was given up.
        """
        intent = self._under_way()
        return None if intent is None else self._resume(intent)

    def abandon(self) -> None:
        """Give up a move: its part is removed; whatever is in place already stays."""
        intent = self._under_way()
        if intent is None:
            return
        if not self._took_place(intent) and intent.part is not None:
            # First the record must stop claiming a complete part: after a kill, a missing part
            # would mean that whatever has the target's name is that part.
            self._keep(intent.at(Phase.COPYING))
            remove_tree(intent.part, self.disk)
        self._jobdir.keep_move(self._step, None)

    def _under_way(self) -> Intent | None:
        return self._jobdir.moves().get(self._step)

    def _keep(self, intent: Intent) -> Intent:
        self._jobdir.keep_move(self._step, intent)
        return intent

    def _resume(self, intent: Intent) -> Path | None:
        if not self._took_place(intent):
            copied = intent.part is not None and self._has(intent.part)
            if intent.phase is Phase.COPYING or not copied:
                self.abandon()
                return None
            self._place(intent)
        return self._finish(intent)

    def _place(self, intent: Intent) -> None:
        """Rename the source or part to the target, unless that name is taken."""
        try:
            self.disk.rename_exclusive(intent.thing, intent.target)
        except FileExistsError:
            self.abandon()
            if not drop_second_name(intent.thing, intent.target, self.disk):
                raise
        except OSError as error:
            if error.errno not in _NO_EXCLUSIVE_RENAME:
                raise
            self._place_otherwise(intent)

    def _place_otherwise(self, intent: Intent) -> None:
        """Do without RENAME_NOREPLACE: look first, then use calls that do not overwrite either."""
        if self._has(intent.target):
            self.abandon()
            if not drop_second_name(intent.thing, intent.target, self.disk):
                raise _taken(intent.target)
        elif is_folder(intent.thing, self.disk):
            self._place_folder(intent)
        else:
            self._place_by_link(self._keep(intent.at(Phase.LINKING)))

    def _place_folder(self, intent: Intent) -> None:
        try:
            self.disk.rename(intent.thing, intent.target)
        except OSError as error:
            if not self._has(intent.target):
                raise
            self.abandon()  # ENOTEMPTY or ENOTDIR: another process was quicker
            raise _taken(intent.target) from error

    def _place_by_link(self, intent: Intent) -> None:
        try:
            self.disk.link(intent.thing, intent.target)
        except FileExistsError:
            if not self._took_place(intent):  # NFS: the link succeeded, but its reply was lost
                self.abandon()
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._place_by_reservation(self._keep(intent.at(Phase.RESERVED)))
        else:
            self.disk.fsync_dir(intent.target.parent)
            self.disk.unlink(intent.thing)

    def _place_by_reservation(self, intent: Intent) -> None:
        try:
            self.disk.create(intent.target)
        except FileExistsError:
            # Not our reservation: as a link, it is compared and not just removed when empty.
            self._keep(intent.at(Phase.LINKING))
            self.abandon()
            raise
        self.disk.rename(intent.thing, intent.target)

    def _copy(self, intent: Intent, check: Callable[[Path], None] | None) -> Intent:
        """Make a complete, durable copy beside the target, and record that it is there."""
        part = intent.target.with_name(f".ocrd-{self._jobdir.token}.part")
        intent = self._keep(replace(intent, part=part, phase=Phase.COPYING))
        try:
            remove_tree(part, self.disk)
            copy_tree(intent.source, part, self.disk)
            if check is not None:
                check(part)
            return self._keep(intent.at(Phase.COPIED))
        except Exception:
            with contextlib.suppress(OSError):  # the next call clears away what is left
                self.abandon()
            raise

    def _finish(self, intent: Intent) -> Path:
        """Make a target that is in place durable, remove a copy's source, and drop the record."""
        self.disk.fsync_dir(intent.target.parent)
        if intent.part is not None:
            self._keep(intent.at(Phase.PLACED))
            remove_tree(intent.source, self.disk)
        with contextlib.suppress(FileNotFoundError):  # an emptied inbox folder may be gone by now
            self.disk.fsync_dir(intent.source.parent)
        self._jobdir.keep_move(self._step, None)
        return intent.target

    def _took_place(self, intent: Intent) -> bool:
        """Whether the move has reached the target; a link is completed, a reservation undone."""
        if intent.phase in (Phase.COPYING, Phase.PLACED):
            return intent.phase is Phase.PLACED
        if not self._has(intent.thing):
            return self._has(intent.target)
        if intent.phase is Phase.LINKING and same_file(intent.thing, intent.target, self.disk):
            self.disk.fsync_dir(intent.target.parent)
            self.disk.unlink(intent.thing)
            return True
        if intent.phase is Phase.RESERVED:
            facts = self.disk.lstat(intent.target)
            if facts is not None and stat.S_ISREG(facts.st_mode) and facts.st_size == 0:
                self.disk.unlink(intent.target)
        return False


def settle(jobdir: JobDir, steps: Collection[str]) -> None:
    """Complete or undo moves that a crash interrupted; one whose target is taken is given up."""
    under_way = jobdir.moves()
    for step in steps:
        if step in under_way:
            with contextlib.suppress(FileExistsError):
                Mover(jobdir, step).resume()


def forget(jobdir: JobDir) -> None:
    """Give up a job's moves and remove its folder, the record last."""
    if not jobdir.has(jobdir.path):
        return
    for step in jobdir.moves():
        Mover(jobdir, step).abandon()
    remove_tree(jobdir.path, jobdir.disk, last=jobdir.path / NAME)
    jobdir.disk.fsync_dir(jobdir.path.parent)


def is_folder(path: Path, disk: Disk) -> bool:
    """Whether `path` is a folder, and not a link to one."""
    facts = disk.lstat(path)
    return facts is not None and stat.S_ISDIR(facts.st_mode)


def same_file(one: Path, other: Path, disk: Disk) -> bool:
    """Whether two paths are names of one file.

    Inode numbers alone do not decide: some FUSE and CIFS mounts number names, not files.  Since
    the name was free when the move was recorded, a file there with the same size, time and
    contents is the same file.
    """
    first, second = disk.lstat(one), disk.lstat(other)
    if first is None or second is None:
        return False
    if os.path.samestat(first, second):
        return True
    alike = (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)
    regular = stat.S_ISREG(first.st_mode) and stat.S_ISREG(second.st_mode)
    return alike and regular and disk.digest(one) == disk.digest(other)


def drop_second_name(thing: Path, target: Path, disk: Disk) -> bool:
    """Whether both paths named one file, as btrfs can show after a power cut; `thing` then goes."""
    first, second = disk.lstat(thing), disk.lstat(target)
    if first is None or second is None or not stat.S_ISREG(first.st_mode):
        return False
    if not os.path.samestat(first, second):
        return False
    disk.fsync_dir(target.parent)
    disk.unlink(thing)
    return True


def _taken(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
