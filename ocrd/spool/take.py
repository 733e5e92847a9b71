"""The way into the spool: an original becomes ours, or goes back if it is not what was recorded."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path

from ocrd.errors import SourceChangedError
from ocrd.files import display
from ocrd.job import Job, Member, Place
from ocrd.spool import names
from ocrd.spool.choices import Choices
from ocrd.spool.home import PRIVATE, Home
from ocrd.spool.move import same_file
from ocrd.spool.pieces import Piece, is_folder, is_recorded, pieces, same_bytes, top
from ocrd.spool.record import JobRecord
from ocrd.spool.tree import fsync_tree, make_folders

_MAY_BE_UNDER_WAY = ("claim", "back", "fail")


def claim(job: Job, source: Path, home: Home, choices: Choices) -> None:
    """Take the original from `source` (see `Spool.claim`)."""
    home.open(JobRecord.of(job, source))
    for step in _MAY_BE_UNDER_WAY:
        with contextlib.suppress(FileExistsError):  # given up: the thing is where it was
            home.resume(step)
    wanted = pieces(job, source, home)
    before = _inbox(job, source, home)
    try:
        _take_all(wanted, home)
        for piece in wanted:
            if not is_recorded(piece.what, piece.target, home.disk):
                raise _changed(piece.what)
    except SourceChangedError:
        if _inbox(job, source, home) != before:  # what was taken would be put beneath its share
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(source.parent)) from None
        _hand_back(wanted, home, choices)
        home.forget()
        raise
    _make_last(wanted, home)
    if job.place is Place.FAILED:
        _remove_report(source, home)


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


def _inbox(job: Job, source: Path, home: Home) -> tuple[int, int] | None:
    """What tells whether the inbox is still the folder that it was; None for failed/."""
    if job.place is not Place.INBOX:
        return None
    facts = home.disk.stat(top(source, job.source))
    return None if facts is None else (facts.st_dev, facts.st_ino)


def _take_all(wanted: Sequence[Piece], home: Home) -> None:
    """All that is not there yet; members into a folder that is made for them."""
    folder = wanted[0].target.parent
    if folder != home.path and not home.has(folder):
        home.disk.mkdir(folder, PRIVATE)
        home.disk.fsync_dir(home.path)
    for piece in wanted:
        if home.has(piece.target):
            _forget_second_name(piece, home)
            continue
        try:
            _take(piece, home)
        except (FileNotFoundError, NotADirectoryError):  # taken away since it was looked at
            raise gone(piece.what) from None


def _forget_second_name(piece: Piece, home: Home) -> None:
    """Btrfs can show a rename under both names after a power cut: it is one file."""
    if same_file(piece.source, piece.target, home.disk):
        home.disk.unlink(piece.source)
        home.disk.fsync_dir(piece.source.parent)


def _take(piece: Piece, home: Home) -> None:
    """From its source into the spool.

    Nobody else makes names in the spool, nor hidden ones with our token: plain renames do.  From
    another file system the file first takes a hidden name where it is, so that a new one dropped
    under its name while it is copied is not taken for it.
    """
    if not home.has(piece.hidden):
        if not _lies_there(piece, home):
            raise gone(piece.what)
        if _renamed(piece, home):
            return
        home.disk.rename(piece.source, piece.hidden)
        home.disk.fsync_dir(piece.hidden.parent)
    _take_copy(piece, home)


def _lies_there(piece: Piece, home: Home) -> bool:
    """A folder in the place of a file is a person's, and stays where it is."""
    folder = isinstance(piece.what, Job) and bool(piece.what.members)
    return home.has(piece.source) and (folder or not is_folder(piece.source, home.disk))


def _renamed(piece: Piece, home: Home) -> bool:
    """Whether a plain rename reached; it does not from another file system."""
    try:
        home.disk.rename(piece.source, piece.target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _take_copy(piece: Piece, home: Home) -> None:
    def as_recorded() -> bool:
        return is_recorded(piece.what, piece.hidden, home.disk)

    def check(copy: Path) -> None:
        if not same_bytes(piece.what, copy, home.disk) or not as_recorded():
            raise _changed(piece.what)

    if not as_recorded():
        raise _changed(piece.what)
    home.move("claim", piece.hidden, piece.target, check)


def _make_last(taken: Sequence[Piece], home: Home) -> None:
    """The contents, too: whoever wrote them need not have synced them."""
    fsync_tree(home.original, home.disk)
    home.disk.fsync_dir(home.path)
    for folder in sorted({piece.source.parent for piece in taken}):
        with contextlib.suppress(FileNotFoundError):  # an emptied inbox folder may be gone by now
            home.disk.fsync_dir(folder)


def _hand_back(taken: Sequence[Piece], home: Home, choices: Choices) -> None:
    """What turned out not to be the job's goes back under its name, or the next free one."""
    for piece in taken:
        for thing in (piece.hidden, piece.target):
            if home.has(thing):
                put_back(thing, piece.source, home, choices)
    leave(home.original, home)


def leave(folder: Path, home: Home) -> None:
    """Remove a folder whose files have gone where they belong.

    Raises:
        OSError: There is something left in it.
    """
    if is_folder(folder, home.disk):
        home.disk.rmdir(folder)


def put_back(thing: Path, wanted: Path, home: Home, choices: Choices) -> Path:
    """Move `thing` to the name `wanted`, or the next free one; where it lies now."""
    make_folders(wanted.parent, home.disk)
    return choices.moved(wanted, lambda target: home.move("back", thing, target))


def _remove_report(source: Path, home: Home) -> None:
    """A retried original has left failed/; its reason is no longer true.

    Not so when this is done again after a crash and another one has failed by that name since.
    """
    report = names.report(source)
    if home.has(report) and not home.has(source):
        home.disk.unlink(report)
        home.disk.fsync_dir(report.parent)
