"""Hands files over to an inbox: each appears there whole or not at all.

The inbox may belong to others, who can swap whatever lies in it for a link at any moment, and the
caller may be root.  So nothing below the inbox is named by a path: folders and files are opened by
descriptor, no link is followed, modes and times are set on the descriptor that was written to, and
root acts as the daemon's user meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ocrd.errors import OcrdError, PlaceError, UsageError
from ocrd.files import Disk, display
from ocrd.inbox.marker import Marker
from ocrd.inbox.names import numbered

_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.ENOENT, errno.EACCES}
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class Owner(NamedTuple):
    """Whose rights root uses while it works in an inbox."""

    uid: int
    gid: int


def daemon_user(spool: Path) -> Owner | None:
    """The daemon's user as root knows it, by the spool; None for others, and where it is root."""
    try:
        found = spool.lstat()
    except OSError:
        return None
    usable = os.geteuid() == 0 and found.st_uid != 0 and stat.S_ISDIR(found.st_mode)
    return Owner(found.st_uid, found.st_gid) if usable else None


def submit(
    file: Path,
    inbox: Path,
    *,
    below: Path = Path(),
    done_marker: str = "",
    owner: Owner | None = None,
) -> Path:
    """Copy a file into `inbox` under its own name, or the next free one; its path there.

    Nothing is overwritten.

    Args:
        file: What to copy.
        inbox: Where to; may be a symbolic link.
        below: The folder below the inbox; it is made.
        done_marker: How the marker is called that is put beside it; empty for none.
        owner: Whose rights to use in the inbox; only root can.

    Raises:
        UsageError: `file` cannot be read or is no regular file.
        PlaceError: The inbox cannot be written.
    """
    with (
        _opened(file) as reading,
        _acting_as(owner),
        _place_error(inbox),
        _folder(inbox, below.parts) as folder,
    ):
        name = place(reading, file.name, folder)
        if done_marker:
            _touch(Marker(done_marker).of(name), folder)
    return inbox / below / name


def place(reading: BinaryIO, name: str, folder: int) -> str:
    """Copy `reading` to its end into the folder of a descriptor; the name it got there.

    Raises:
        OSError: The folder cannot be written.
    """
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
        return _place_named(reading, name, folder)
    with os.fdopen(fd, "wb") as writing:  # nameless: a kill leaves nothing behind
        _copy(reading, writing)
        try:
            return _first_free(
                name,
                lambda target: os.link(
                    f"/proc/self/fd/{fd}", target, dst_dir_fd=folder, follow_symlinks=True
                ),
            )
        except OSError as error:  # no /proc, or no links
            if error.errno not in _NO_LINKS:
                raise
    reading.seek(0)
    return _place_named(reading, name, folder)


def _place_named(reading: BinaryIO, name: str, folder: int) -> str:
    """It grows under a hidden name, which the daemon sweeps away a day after a kill."""
    draft = f".ocrd-{secrets.token_hex(8)}.part"
    fd = os.open(draft, _CREATE, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as writing:
            _copy(reading, writing)
        return _first_free(name, lambda target: _rename(draft, target, folder))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)


def _copy(reading: BinaryIO, writing: BinaryIO) -> None:
    shutil.copyfileobj(reading, writing, _CHUNK)
    writing.flush()
    facts, mode = None, 0o600
    with contextlib.suppress(OSError, ValueError):  # a stream that is no file has no facts
        facts = os.fstat(reading.fileno())
        mode = stat.S_IMODE(facts.st_mode) & 0o777
    with contextlib.suppress(PermissionError):  # file systems without owners refuse it
        os.fchmod(writing.fileno(), mode | 0o440)  # the daemon may read it as another user
    if facts is not None:
        with contextlib.suppress(PermissionError):
            os.utime(writing.fileno(), ns=(facts.st_atime_ns, facts.st_mtime_ns))
    os.fsync(writing.fileno())


def _first_free(name: str, give: Callable[[str], object]) -> str:
    for number in itertools.count(1):
        target = numbered(name, number)
        with contextlib.suppress(FileExistsError):
            give(target)
            return target
    raise AssertionError


def _rename(draft: str, target: str, folder: int) -> None:
    here = Path(f"/proc/self/fd/{folder}")
    try:
        Disk().rename_exclusive(here / draft, here / target)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        os.close(os.open(target, _CREATE, 0o600, dir_fd=folder))  # the name is ours now
        os.rename(draft, target, src_dir_fd=folder, dst_dir_fd=folder)


def _touch(name: str, folder: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(name, _CREATE, 0o660, dir_fd=folder))


@contextlib.contextmanager
def _folder(inbox: Path, names: tuple[str, ...]) -> Iterator[int]:
    """A descriptor of a folder below the inbox, which is made where it is not there."""
    here = os.open(inbox, _FOLDER)
    try:
        for name in names:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=here)
                _share(name, here)
            above, here = here, os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
            os.close(above)
        yield here
    finally:
        os.close(here)


def _share(name: str, parent: int) -> None:
    """A new folder is for its group, too, whatever the umask: the daemon takes files out of it."""
    with contextlib.suppress(OSError):
        made = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
        try:
            if os.fstat(made).st_uid == os.geteuid():
                os.fchmod(made, stat.S_IMODE(os.fstat(parent).st_mode) | 0o770)
        finally:
            os.close(made)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """With the caller's own rights, and never waiting for a pipe."""
    try:
        fd = os.open(file, _SOURCE)
    except OSError as error:
        raise _unreadable(file, error) from None
    with os.fdopen(fd, "rb") as reading:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _unreadable(file, OSError(errno.EINVAL, "no regular file"))
        yield reading


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{display(path)}: {error.strerror or error}",
        hint="Name regular files that you may read.",
    )


@contextlib.contextmanager
def _acting_as(owner: Owner | None) -> Iterator[None]:
    if owner is None:
        yield
        return
    groups, gid, uid = os.getgroups(), os.getegid(), os.geteuid()
    os.setgroups([owner.gid])
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


@contextlib.contextmanager
def _place_error(inbox: Path) -> Iterator[None]:
    try:
        yield
    except OcrdError:
        raise
    except OSError as error:
        raise PlaceError(
            f"{display(inbox)}: cannot be written: {error.strerror}",
            hint="Check that it exists (a starting daemon makes it), that you may write there, and "
            "that the disk has room.",
        ) from None
