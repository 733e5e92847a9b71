"""Hands files over to an inbox: each appears there whole or not at all.

The inbox may belong to others, who can swap whatever lies in it for a link at any moment, and the
caller may be root.  So nothing below the inbox is named by a path: folders and files are opened by
descriptor, no link is followed, modes and times are set on the descriptor that was written to, and
root acts as the daemon's user meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ocrd.config import Folder
from ocrd.errors import PlaceError, UsageError
from ocrd.files import Disk, FileFacts, display, write_all
from ocrd.inbox.join import rule_for
from ocrd.inbox.marker import Marker
from ocrd.names import first_free, ignored, included
from ocrd.owners import acting_as, how_to_be_let_in

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
    as_owner = acting_as(*owner, [owner.gid]) if owner else contextlib.nullcontext()
    with _opened(file) as reading, as_owner:
        try:
            with opened_folder(inbox, below.parts) as folder:
                name = place(reading, file.name, folder)
                if done_marker:
                    touch(Marker(done_marker).of(name), folder)
        except OSError as error:
            hint = "Check that it exists (a starting daemon makes it), and that the disk has room."
            raise PlaceError(
                f"{display(inbox)}: cannot be written: {error.strerror}",
                hint=how_to_be_let_in(inbox) if isinstance(error, PermissionError) else hint,
            ) from None
    return inbox / below / name


def require_taken(name: str, folder: Folder) -> None:
    """Refuse a name that would lie in the folder's inbox unread.

    Raises:
        UsageError: The folder leaves files of that name alone.
    """
    marks = bool(folder.done_marker) and Marker(folder.done_marker).is_one(name)
    left_alone = marks or ignored(name, folder.ignore)
    if left_alone or not included(name, folder.include, folder.ignore):
        raise UsageError(
            f"{display(name)}: folder {folder.name!r} leaves files of such a name alone",
            hint="Give it another name: its `include`, `ignore` and `done_marker` say which are "
            "taken, and hidden names and the usual temporaries (*.part, *.tmp) never are.",
        )


def require_whole(file: Path) -> None:
    """Refuse what cannot be handed over, before anything else is.

    Raises:
        UsageError: `file` cannot be read, is no regular file, or is empty.
    """
    with _opened(file) as reading:
        if not os.fstat(reading.fileno()).st_size:
            raise UsageError(f"{display(file)} is empty", hint="Scan or copy it again.")


def marker_of(folder: Folder, name: str) -> str:
    """The `done_marker` that a file by itself needs; empty where none is waited for.

    Files that are joined are complete after a pause.
    """
    rule = rule_for(folder.join, folder.join_pattern, folder.join_pause_s)
    return folder.done_marker if rule is None or rule.bin(name) is None else ""


def place(reading: BinaryIO, name: str, folder: int) -> str:
    """Copy `reading` to its end into the folder of a descriptor; the name it got there.

    Raises:
        OSError: The folder cannot be written.
    """
    with Draft(folder) as draft:
        while chunk := reading.read(_CHUNK):
            draft.write(chunk)
        with contextlib.suppress(OSError, ValueError):  # a stream that is no file has no facts
            draft.dress(os.fstat(reading.fileno()))
        return draft.give(name)


class Draft:
    """A file that grows in a folder where nobody sees it, and appears there whole.

    It has no name, so that a kill leaves nothing behind; where the file system knows no such files
    it has a hidden one, which the daemon sweeps away a day later.

    Args:
        folder: A descriptor of the folder; the draft keeps one of its own.
        nameless: Whether to try that first.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: int, *, nameless: bool = True) -> None:
        self._folder = os.dup(folder)
        self._hidden: str | None = None
        self._fd = -1
        try:
            if nameless:
                self._fd = self._make_nameless()
            if self._fd < 0:
                self._hidden = f".ocrd-{secrets.token_hex(8)}.part"
                self._fd = os.open(self._hidden, _CREATE, 0o600, dir_fd=folder)
            self.dress(None)
        except OSError:
            self.close()
            raise

    def _make_nameless(self) -> int:
        flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
        try:
            return os.open(".", flags, 0o600, dir_fd=self._folder)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
        return -1

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: bytes | bytearray) -> None:
        """Append all of it."""
        write_all(self._fd, data)

    def sync(self) -> None:
        """What was written is on the disk, which has found room for it."""
        os.fsync(self._fd)

    def dress(self, source: os.stat_result | None) -> None:
        """Give it mode and times of what it is a copy of; the daemon, another user, may read it."""
        mode = 0o600 if source is None else stat.S_IMODE(source.st_mode) & 0o777
        with contextlib.suppress(PermissionError):  # file systems without owners refuse it
            os.fchmod(self._fd, mode | 0o440)
            if source is not None:
                os.utime(self._fd, ns=(source.st_atime_ns, source.st_mtime_ns))

    def facts(self) -> FileFacts:
        """What a look at it would see now."""
        return FileFacts.of(os.fstat(self._fd))

    def give(self, name: str, into: int | None = None) -> str:
        """Let it appear, durably, under its name or the next free one; which.

        Args:
            name: What it is to be called.
            into: A descriptor of another folder where it is to appear.

        Raises:
            OSError: The folder cannot be written.
        """
        folder = self._folder if into is None else into
        self.sync()
        try:
            given = first_free(name, lambda target: self._appear(target, folder))
        except OSError as error:  # no /proc, no links, or another file system
            linked = self._hidden is not None or error.errno not in _NO_LINKS
            if linked and error.errno != errno.EXDEV:
                raise
            return self._give_copy(name, folder)
        self._hidden = None
        os.fsync(folder)
        return given

    def _appear(self, target: str, folder: int) -> str:
        if self._hidden is None:
            own = f"/proc/self/fd/{self._fd}"
            os.link(own, target, dst_dir_fd=folder, follow_symlinks=True)
        else:
            _rename(self._hidden, self._folder, target, folder)
        return target

    def _give_copy(self, name: str, folder: int) -> str:
        with Draft(folder, nameless=False) as named:
            os.lseek(self._fd, 0, os.SEEK_SET)
            while chunk := os.read(self._fd, _CHUNK):
                named.write(chunk)
            named.dress(os.fstat(self._fd))
            given = named.give(name)
            self._fd, named._fd = named._fd, self._fd  # what has appeared is this draft's from now
        return given

    def close(self) -> None:
        """Leave nothing behind, unless it has appeared."""
        if self._hidden is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._hidden, dir_fd=self._folder)
        for descriptor in {self._fd, self._folder} - {-1}:
            os.close(descriptor)
        self._fd = self._folder = -1
        self._hidden = None


def appear(hidden: str, name: str, folder: int) -> str:
    """Give a hidden file of the folder its name there, or the next free one; which.

    Raises:
        OSError: It is gone, or the folder cannot be written.
    """
    given = first_free(name, lambda target: _rename(hidden, folder, target, folder))
    os.fsync(folder)
    return given


def _rename(draft: str, source: int, target: str, folder: int) -> str:
    here, there = Path(f"/proc/self/fd/{source}"), Path(f"/proc/self/fd/{folder}")
    try:
        Disk().rename_exclusive(here / draft, there / target)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        os.close(os.open(target, _CREATE, 0o600, dir_fd=folder))  # the name is ours now
        os.rename(draft, target, src_dir_fd=source, dst_dir_fd=folder)
    return target


def touch(name: str, folder: int) -> None:
    """Make an empty file in the folder of a descriptor, unless there is one."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(name, _CREATE, 0o660, dir_fd=folder))


@contextlib.contextmanager
def opened_folder(inbox: Path, names: tuple[str, ...] = ()) -> Iterator[int]:
    """A descriptor of the inbox, or of a folder below it, which is made where it is not there."""
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
