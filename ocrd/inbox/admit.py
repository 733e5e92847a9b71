"""A settled file, opened once more and hashed: what the ledger records.

Nothing that lies in an inbox is trusted: it may be a link to elsewhere, a FIFO that would block for
ever, a device, a file that is being replaced right now.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ocrd.errors import BadFileError, PlaceError, SourceChangedError
from ocrd.files import display
from ocrd.inbox.conditions import missing, unreadable
from ocrd.inbox.names import safe_relative
from ocrd.inbox.scan import fingerprint
from ocrd.inbox.settle import Fingerprint
from ocrd.job import Found

_CHUNK = 1 << 20
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_BUSY = frozenset({errno.EAGAIN, errno.EBUSY, errno.ETXTBSY})


@dataclass(frozen=True, slots=True)
class Calls:
    """The system calls that a fault can strike; handed in, so that tests can let one do so."""

    open: Callable[..., int] = os.open
    readinto: Callable[[int, memoryview], int] = lambda fd, into: os.readv(fd, [into])


REAL = Calls()


def admit(
    root: Path,
    folder: str,
    source: str,
    priority: int,
    *,
    seen: Fingerprint | None = None,
    progress: Callable[[], object] = lambda: None,
    calls: Calls = REAL,
) -> Found:
    """Open, check and hash the file `source` of the inbox `root`.

    Below the inbox no symbolic link is followed, be it the file or a folder on the way.  A file
    with several hard links is as good as any: what is moved later is this name of it.

    Args:
        root: The inbox; itself it may be a link.
        folder: The folder's name, for the record.
        source: Path below the inbox, `os.fsdecode`d.
        priority: The folder's, for the record.
        seen: What the file looked like while it rested; anything else now is a change.
        progress: Called after each MiB: a large file on a slow share takes minutes.
        calls: For tests.

    Raises:
        BadFileError: `not-regular` or `no-permission`: no job can be made of it.
        SourceChangedError: `source-gone`, `source-busy`, `source-changed` or `source-unreadable`:
            not now; look again later.
        PlaceError: The inbox itself cannot be opened.
    """
    with _open(root, safe_relative(source), calls) as (parent, name, fd):
        before = os.fstat(fd)
        _must_be_file(source, before)
        if seen is not None and fingerprint(before) != seen:
            raise _changed(source)
        _must_be_closed(source, fd)
        sha256 = _hash(source, fd, before.st_size, progress, calls)
        _must_be_closed(source, fd)
        _must_be_same(source, before, os.stat(name, dir_fd=parent, follow_symlinks=False))
    return Found(
        folder=folder,
        source=source,
        size=before.st_size,
        mtime_ns=before.st_mtime_ns,
        inode=before.st_ino,
        sha256=sha256,
        priority=priority,
    )


@contextmanager
def _open(root: Path, source: str, calls: Calls) -> Iterator[tuple[int, str, int]]:
    """The folder of `source` as a descriptor, its name in there, and it, open for reading."""
    *folders, name = source.split("/")
    parent = _open_root(root)
    fd = -1
    try:
        for part in folders:
            above, parent = parent, os.open(part, _FOLDER, dir_fd=parent)
            os.close(above)
        # A device may do things on being opened, so it is asked what it is before.
        _must_be_file(source, os.stat(name, dir_fd=parent, follow_symlinks=False))
        fd = _open_file(source, parent, name, calls)
        yield parent, name, fd
    except OSError as error:
        raise _not_now(source, error) from error
    finally:
        os.close(parent)
        if fd >= 0:
            os.close(fd)


def _open_root(root: Path) -> int:
    try:
        return os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    except OSError as error:
        gone = error.errno in _GONE
        shown = os.fspath(root)
        told = missing(shown) if gone else unreadable(shown, error, pauses=True)
        raise PlaceError(told.message, hint=told.hint, kind=told.kind) from error


def _open_file(source: str, parent: int, name: str, calls: Calls) -> int:
    try:
        return calls.open(name, _FILE, dir_fd=parent)
    except PermissionError as error:
        raise BadFileError(
            f"{display(source)} must not be read by the daemon's user",
            hint="Make it readable (chmod a+r, or setfacl -m u:ocrd:r), then `ocrd retry` the job.",
            kind="no-permission",
        ) from error


def _must_be_file(source: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BadFileError(
            f"{display(source)} is a {_kind(found.st_mode)}, not a file",
            hint="Put the file itself into the inbox: links, pipes and devices are not followed.",
            kind="not-regular",
        )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "symbolic link",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFDIR: "folder",
    }
    return kinds.get(stat.S_IFMT(mode), "device")


def _must_be_closed(source: str, fd: int) -> None:
    """A read lease is granted only while nobody has the file open for writing: fcntl(2).

    Refused for another reason (not the owner, no leases on this file system), it tells nothing.
    """
    try:
        # Who opens it for writing just now sends us a signal; SIGIO, the default, would be deadly.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise _not_now(source, error) from error
    else:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _hash(source: str, fd: int, size: int, progress: Callable[[], object], calls: Calls) -> str:
    """Reads `size` bytes and no more: a file that grows faster than it is read would never end."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(size, _CHUNK)))
    while size:
        got = calls.readinto(fd, buffer[: min(size, _CHUNK)])
        if not got:
            raise _changed(source)
        digest.update(buffer[:got])
        size -= got
        progress()
    return digest.hexdigest()


def _must_be_same(source: str, before: os.stat_result, after: os.stat_result) -> None:
    same = fingerprint(before) == fingerprint(after) and before.st_dev == after.st_dev
    if not same or before.st_ctime_ns != after.st_ctime_ns:
        raise _changed(source)


def _changed(source: str) -> SourceChangedError:
    return SourceChangedError(
        f"{display(source)} changed while it was taken in",
        hint="Nothing to do: it is looked at again once it has come to rest.",
    )


def _not_now(source: str, error: OSError) -> SourceChangedError:
    if error.errno in _GONE:
        return SourceChangedError(
            f"{display(source)} is no longer there, or a link took the place of a folder above it",
            hint="Nothing to do, unless it should be there: then put it into the inbox again.",
            kind="source-gone",
        )
    if error.errno in _BUSY:
        return SourceChangedError(
            f"{display(source)} is still open in another program",
            hint="Nothing to do: it is taken once it is closed.  `fuser -v` names the program.",
            kind="source-busy",
        )
    told = unreadable(source, error, pauses=False)
    return SourceChangedError(told.message, hint=told.hint, kind="source-unreadable")
