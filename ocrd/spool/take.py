"""The way into the spool: an original becomes ours, or goes back if it is not what was recorded.

An original is one file, or the members of a joined document.  Members lie one by one in the inbox,
but in a folder of their own in the spool, in the archive and in failed/, from which a retry takes
them together.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ocrd.errors import SourceChangedError
from ocrd.files import Disk, display
from ocrd.job import Job, Member, Place
from ocrd.names import claimed, first_free
from ocrd.spool import names
from ocrd.spool.jobdir import PRIVATE, JobDir
from ocrd.spool.move import Mover, drop_second_name, forget, is_folder, settle
from ocrd.spool.tree import fsync_tree, make_folders

_MAY_BE_UNDER_WAY = ("claim", "back", "fail")


def claim(job: Job, source: Path, jobdir: JobDir) -> None:
    """Take the original from `source` into the job's folder, which is held (see `Spool.claim`)."""
    settle(jobdir, _MAY_BE_UNDER_WAY)
    wanted = pieces(job, source, jobdir)
    before = _inbox(job, source, jobdir)
    try:
        _take_all(wanted, jobdir)
    except SourceChangedError:
        if _inbox(job, source, jobdir) != before:  # putting back would write beneath the share
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(source.parent)) from None
        for piece in wanted:  # everything taken goes back, even if only one member has changed
            for thing in filter(jobdir.has, (piece.hidden, piece.target)):
                put_back(thing, piece.source, jobdir)
        leave(jobdir.original, jobdir)
        forget(jobdir)
        raise
    fsync_tree(jobdir.original, jobdir.disk)  # the program that wrote it may not have synced it
    jobdir.disk.fsync_dir(jobdir.path)
    for folder in sorted({piece.source.parent for piece in wanted}):
        with contextlib.suppress(FileNotFoundError):  # an emptied inbox folder may be gone by now
            jobdir.disk.fsync_dir(folder)
    report = names.report(source)
    # When this is repeated after a crash, another original may have failed under that name since.
    if job.place is Place.FAILED and jobdir.has(report) and not jobdir.has(source):
        jobdir.disk.unlink(report)
        jobdir.disk.fsync_dir(report.parent)


def gone(what: Job | Member) -> SourceChangedError:
    """The error for an original, or a member of it, that no longer exists."""
    return SourceChangedError(
        f"{display(what.source)}: the original is not there any more",
        hint="Nothing to do if it was taken away on purpose; else drop it into the inbox again.",
        kind="source-gone",
    )


def _changed(what: Job | Member) -> SourceChangedError:
    return SourceChangedError(
        f"{display(what.source)}: the file is no longer what was recorded",
        hint="Nothing to do: it is read again from the start when it has come to rest.",
    )


def _inbox(job: Job, source: Path, jobdir: JobDir) -> tuple[int, int] | None:
    """Device and inode of the original's inbox, to see if it is replaced; None for failed/."""
    if job.place is not Place.INBOX:
        return None
    facts = jobdir.disk.stat(top(source, job.source))
    return None if facts is None else (facts.st_dev, facts.st_ino)


def _take_all(wanted: Sequence[Piece], jobdir: JobDir) -> None:
    """Take all pieces that are not in the spool yet; a folder is made for members."""
    folder = wanted[0].target.parent
    if folder != jobdir.path and not jobdir.has(folder):
        jobdir.disk.mkdir(folder, PRIVATE)
        jobdir.disk.fsync_dir(jobdir.path)
    for piece in wanted:
        if jobdir.has(piece.target):
            drop_second_name(piece.source, piece.target, jobdir.disk)
            _check(piece, jobdir)
            continue
        try:
            _take(piece, jobdir)
        except (FileNotFoundError, NotADirectoryError):  # taken away since it was looked at
            raise gone(piece.what) from None


def _take(piece: Piece, jobdir: JobDir) -> None:
    """Move a piece from its source into the spool.

    Plain renames are enough: no other process makes names in the spool, or hidden names with our
    token.  On another file system the file first takes a hidden name in its own folder, so that a
    new file dropped under the old name during the copy is not mistaken for it.
    """
    if not jobdir.has(piece.hidden):
        folder = isinstance(piece.what, Job) and bool(piece.what.members)
        lies = jobdir.disk.lstat(piece.source)
        if lies is None or (not folder and stat.S_ISDIR(lies.st_mode)):  # a person's folder
            raise gone(piece.what)
        try:
            jobdir.disk.rename(piece.source, piece.target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            jobdir.disk.rename(piece.source, piece.hidden)
            jobdir.disk.fsync_dir(piece.hidden.parent)
        else:
            _check(piece, jobdir)
            return
    _take_copy(piece, jobdir)


def _check(piece: Piece, jobdir: JobDir) -> None:
    """Raise unless the piece is as recorded; a copy may have the inode number of a deleted file."""
    if not is_recorded(piece.what, piece.target, jobdir.disk):
        raise _changed(piece.what)


def _take_copy(piece: Piece, jobdir: JobDir) -> None:
    def as_recorded() -> bool:
        return is_recorded(piece.what, piece.hidden, jobdir.disk)

    def check(copy: Path) -> None:
        if not same_bytes(piece.what, copy, jobdir.disk) or not as_recorded():
            raise _changed(piece.what)

    if not as_recorded():
        raise _changed(piece.what)
    Mover(jobdir, "claim").move(piece.hidden, piece.target, check)


def leave(folder: Path, jobdir: JobDir) -> None:
    """Remove the folder of members, once its files have gone where they belong.

    Raises:
        OSError: The folder is not empty.
    """
    if is_folder(folder, jobdir.disk):
        jobdir.disk.rmdir(folder)


def put_back(thing: Path, wanted: Path, jobdir: JobDir) -> Path:
    """Move `thing` to `wanted`, or to the next free name there; its new path."""
    make_folders(wanted.parent, jobdir.disk)
    mover = Mover(jobdir, "back")
    return first_free(wanted.name, lambda name: mover.move(thing, wanted.with_name(name)))


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or a folder of members, that is moved into the spool as a whole.

    Attributes:
        what: The job or member, as it was recorded.
        source: The path before the move.
        hidden: The path in the same folder while it is copied from another file system.
        target: The path in the spool.
    """

    what: Job | Member
    source: Path
    hidden: Path
    target: Path


def pieces(job: Job, source: Path, jobdir: JobDir) -> list[Piece]:
    """The pieces of the original at `source` that go into the spool, in the order of its pages."""
    if not job.members or job.place is Place.FAILED:
        hidden = source.with_name(claimed(jobdir.token))
        return [Piece(job, source, hidden, jobdir.original)]
    inbox = top(source, job.source)
    hidden_names = hidden_members(inbox, job.members, jobdir.token)
    return [
        Piece(member, inbox / member.source, hidden, jobdir.original / member.name)
        for member, hidden in zip(job.members, hidden_names, strict=True)
    ]


def hidden_members(inbox: Path, members: Sequence[Member], token: str) -> list[Path]:
    """The hidden path of each member in its inbox, while it is copied from another file system."""
    return [
        (inbox / member.source).with_name(claimed(f"{token}-{number}"))
        for number, member in enumerate(members, start=1)
    ]


def top(path: Path, relative: str) -> Path:
    """The folder from which `relative` leads to `path`."""
    return path.parents[len(PurePosixPath(relative).parts) - 1]


def is_recorded(what: Job | Member, path: Path, disk: Disk, *, thorough: bool = False) -> bool:
    """Whether the file or folder at `path` is what was recorded.

    The size must be the same.  With the recorded inode, the time must be, too, and the contents are
    compared only if `thorough`; with another inode, the contents decide.  A file that was refused
    has no digest and never is as recorded: it has to be looked at in its inbox again.
    """
    if isinstance(what, Job) and what.members:
        return is_folder(path, disk) and all(
            is_recorded(member, path / member.name, disk, thorough=thorough)
            for member in what.members
        )
    facts = disk.lstat(path)
    if facts is None or not stat.S_ISREG(facts.st_mode) or facts.st_size != what.size:
        return False
    if not what.sha256:
        return False
    if facts.st_ino == what.inode:
        same = facts.st_mtime_ns == what.mtime_ns
        return same and (not thorough or disk.digest(path) == what.sha256)
    return disk.digest(path) == what.sha256  # a copy; or inodes have no meaning there


def same_bytes(what: Job | Member, path: Path, disk: Disk) -> bool:
    """Whether a copy at `path` has the recorded contents."""
    if isinstance(what, Job) and what.members:
        return all(same_bytes(member, path / member.name, disk) for member in what.members)
    return disk.digest(path) == what.sha256
