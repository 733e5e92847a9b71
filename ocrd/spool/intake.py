"""The way into the spool: an original becomes ours, or goes back if it is not what was recorded."""

from __future__ import annotations

import contextlib
import errno
import stat
from pathlib import Path

from ocrd.errors import SourceChangedError
from ocrd.job import Job, Place
from ocrd.spool import names
from ocrd.spool.blame import shown
from ocrd.spool.choices import Choices
from ocrd.spool.home import Home
from ocrd.spool.record import JobRecord
from ocrd.spool.tree import make_folders

_MAY_BE_UNDER_WAY = ("claim", "back", "fail")


def claim(job: Job, source: Path, home: Home, choices: Choices) -> None:
    """Take the original from `source` (see `Spool.claim`)."""
    home.open(JobRecord.of(job, source))
    for step in _MAY_BE_UNDER_WAY:
        with contextlib.suppress(FileExistsError):  # given up: the thing is where it was
            home.resume(step)
    try:
        if not home.has(home.original):
            _take(job, source, home)
        if not is_recorded(job, home.original, home):
            raise _changed(job)
    except SourceChangedError:
        _hand_back(source, home, choices)
        home.forget()
        raise
    _make_last(source, home)
    if job.place is Place.FAILED:
        _remove_report(source, home)


def is_recorded(job: Job, path: Path, home: Home, *, thorough: bool = False) -> bool:
    """Whether a regular file with the recorded size, time and contents lies at `path`.

    The inode, where it still is the recorded one, spares reading the contents unless `thorough`.
    """
    facts = home.disk.lstat(path)
    if facts is None or not stat.S_ISREG(facts.st_mode) or facts.st_size != job.size:
        return False
    if facts.st_ino == job.inode:
        same = facts.st_mtime_ns == job.mtime_ns
        return same and (not thorough or home.disk.digest(path) == job.sha256)
    return home.disk.digest(path) == job.sha256  # a copy; or inodes have no meaning there


def gone(job: Job) -> SourceChangedError:
    """The error for an original that is nowhere."""
    return SourceChangedError(
        f"{shown(job.source)}: the original is not there any more",
        hint="Nothing to do if it was taken away on purpose; else drop it into the inbox again.",
        kind="source-gone",
    )


def _changed(job: Job) -> SourceChangedError:
    return SourceChangedError(
        f"{shown(job.source)}: the file is no longer what was recorded",
        hint="Nothing to do: it is read again from the start when it has come to rest.",
    )


def _take(job: Job, source: Path, home: Home) -> None:
    """From `source` into the spool.

    Nobody else makes names in the spool, nor hidden ones with our token: plain renames do.  From
    another file system the file first takes a hidden name where it is, so that a new one dropped
    under its name while it is copied is not taken for it.
    """
    hidden = source.with_name(names.claimed(home.token))
    if not home.has(hidden):
        if not home.has(source):
            raise gone(job)
        if _renamed(source, home):
            return
        home.disk.rename(source, hidden)
        home.disk.fsync_dir(hidden.parent)
    _take_copy(job, hidden, home)


def _renamed(source: Path, home: Home) -> bool:
    """Whether a plain rename reached; it does not from another file system."""
    try:
        home.disk.rename(source, home.original)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _take_copy(job: Job, hidden: Path, home: Home) -> None:
    def check(copy: Path) -> None:
        if home.disk.digest(copy) != job.sha256 or not is_recorded(job, hidden, home):
            raise _changed(job)

    if not is_recorded(job, hidden, home):
        raise _changed(job)
    home.move("claim", hidden, home.original, check)


def _make_last(source: Path, home: Home) -> None:
    """The original's contents, too: whoever wrote it need not have synced it."""
    home.disk.fsync_file(home.original)
    home.disk.fsync_dir(home.path)
    with contextlib.suppress(FileNotFoundError):  # an emptied inbox folder may be gone by now
        home.disk.fsync_dir(source.parent)


def _hand_back(source: Path, home: Home, choices: Choices) -> None:
    """What turned out not to be the job's goes back under its name, or the next free one."""
    for thing in (source.with_name(names.claimed(home.token)), home.original):
        if home.has(thing):
            put_back(thing, source, home, choices)


def put_back(thing: Path, wanted: Path, home: Home, choices: Choices) -> Path:
    """Move `thing` to the name `wanted`, or the next free one; where it lies now."""
    make_folders(wanted.parent, home.disk)
    return choices.moved(wanted, lambda target: home.move("back", thing, target))


def _remove_report(source: Path, home: Home) -> None:
    """A retried original has left failed/; its reason is no longer true."""
    report = names.report(source)
    if home.has(report):
        home.disk.unlink(report)
        home.disk.fsync_dir(report.parent)
