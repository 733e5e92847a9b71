"""The way into the spool: an original becomes ours, or goes back if it is not what was recorded.

An original is one file, or the members of a joined document: they lie in its inbox one by one and
in a folder of their own everywhere else: in the spool, in the archive and in failed/, from where
they come back together.
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
        if _inbox(job, source, jobdir) != before:  # what was taken would be put beneath its share
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(source.parent)) from None
        for piece in wanted:  # what turned out not to be the job's
            for thing in filter(jobdir.has, (piece.hidden, piece.target)):
                put_back(thing, piece.source, jobdir)
        leave(jobdir.original, jobdir)
        forget(jobdir)
        raise
    fsync_tree(jobdir.original, jobdir.disk)  # whoever wrote it need not have synced it
    jobdir.disk.fsync_dir(jobdir.path)
    for folder in sorted({piece.source.parent for piece in wanted}):
        with contextlib.suppress(FileNotFoundError):  # an emptied inbox folder may be gone by now
            jobdir.disk.fsync_dir(folder)
    report = names.report(source)
    # Done again after a crash, another one may have failed by that name since.
    if job.place is Place.FAILED and jobdir.has(report) and not jobdir.has(source):
        jobdir.disk.unlink(report)
        jobdir.disk.fsync_dir(report.parent)


def gone(what: Job | Member) -> SourceChangedError:
    """The error for an original, or one of its files, that is nowhere."""
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
    """What tells whether the inbox is still the folder that it was; None for failed/."""
    if job.place is not Place.INBOX:
        return None
    facts = jobdir.disk.stat(top(source, job.source))
    return None if facts is None else (facts.st_dev, facts.st_ino)


def _take_all(wanted: Sequence[Piece], jobdir: JobDir) -> None:
    """All that is not there yet; members into a folder that is made for them."""
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
    """From its source into the spool.

    Nobody else makes names in the spool, nor hidden ones with our token: plain renames do.  From
    another file system the file first takes a hidden name where it is, so that a new one dropped
    under its name while it is copied is not taken for it.
    """
    if not jobdir.has(piece.hidden):
        folder = isinstance(piece.what, Job) and bool(piece.what.members)
        lies = jobdir.disk.lstat(piece.source)
        if lies is None or (not folder and stat.S_ISDIR(lies.st_mode)):  # that is a person's
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
    """What lies in the spool is what was recorded; a copy's inode can be that of a file gone."""
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
    """Remove a folder whose files have gone where they belong.

    Raises:
        OSError: There is something left in it.
    """
    if is_folder(folder, jobdir.disk):
        jobdir.disk.rmdir(folder)


def put_back(thing: Path, wanted: Path, jobdir: JobDir) -> Path:
    """Move `thing` to the name `wanted`, or the next free one; where it lies now."""
    make_folders(wanted.parent, jobdir.disk)
    mover = Mover(jobdir, "back")
    return first_free(wanted.name, lambda name: mover.move(thing, wanted.with_name(name)))


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or a folder of files, that is moved into the spool as a whole.

    Attributes:
        what: What it was when it was recorded.
        source: Where it lies before.
        hidden: The name that it takes there while it is copied from another file system.
        target: Where it lies in the spool.
    """

    what: Job | Member
    source: Path
    hidden: Path
    target: Path


def pieces(job: Job, source: Path, jobdir: JobDir) -> list[Piece]:
    """What is to be moved to make the original at `source` ours, in the order of its pages."""
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
    """For each member the name that it takes in its inbox while it is copied from there."""
    return [
        (inbox / member.source).with_name(claimed(f"{token}-{number}"))
        for number, member in enumerate(members, start=1)
    ]


def top(path: Path, relative: str) -> Path:
    """The folder below which `path` is `relative`."""
    return path.parents[len(PurePosixPath(relative).parts) - 1]


def is_recorded(what: Job | Member, path: Path, disk: Disk, *, thorough: bool = False) -> bool:
    """Whether what lies at `path` is what was recorded: size, time and contents.

    The inode, where it still is the recorded one, spares reading the contents unless `thorough`.
    What was refused has no digest: it has to be looked at in its inbox again.
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
    """Whether a copy at `path` holds what was recorded."""
    if isinstance(what, Job) and what.members:
        return all(same_bytes(member, path / member.name, disk) for member in what.members)
    return disk.digest(path) == what.sha256
