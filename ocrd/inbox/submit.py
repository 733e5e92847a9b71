"""Hands files over to an inbox: each appears there whole or not at all.

The inbox may belong to other users, who can replace any entry in it by a link at any moment, and
the caller may be root.  So nothing below the inbox is accessed by path: folders and files are
opened by descriptor, no link is followed, modes and times are set on the descriptor that was
written to, and root acts as the daemon's user meanwhile.
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
    """The user and group that root acts as while it works in an inbox."""

    uid: int
    gid: int


def daemon_user(spool: Path) -> Owner | None:
    """The spool's owner (the daemon's user) if the caller is root and the owner is not."""
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
    """Copy a file into `inbox` under its own name, or the next free one; returns its path there.

    Nothing is overwritten.

    Args:
        file: The file to copy.
        inbox: The inbox; may be a symbolic link.
        below: The folder below the inbox; created if missing.
        done_marker: The template of the marker to put beside the file; empty for none.
        owner: The user whose rights to use in the inbox; only root can.

    Raises:
        UsageError: `file` cannot be read or is not a regular file.
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
    """Refuse a name that the folder would ignore in its inbox.

    Raises:
        UsageError: The folder ignores files of that name.
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
    """Refuse a file that cannot be handed over; called before the first file is handed over.

    Raises:
        UsageError: `file` cannot be read, is not a regular file, or is empty.
    """
    with _opened(file) as reading:
        if not os.fstat(reading.fileno()).st_size:
            raise UsageError(f"{display(file)} is empty", hint="Scan or copy it again.")


def marker_of(folder: Folder, name: str) -> str:
    """The folder's `done_marker` if a file of this name needs one, otherwise empty.

    Files that are joined need none: their document is complete after a pause.
    """
    rule = rule_for(folder.join, folder.join_pattern, folder.join_pause_s)
    return folder.done_marker if rule is None or rule.bin(name) is None else ""


def place(reading: BinaryIO, name: str, folder: int) -> str:
    """Copy `reading` to its end into the folder with descriptor `folder`; returns the name given.

    Raises:
        OSError: The folder cannot be written.
    """
    with Draft(folder) as draft:
        while chunk := reading.read(_CHUNK):
            draft.write(chunk)
        with contextlib.suppress(OSError, ValueError):  # a stream that is not a file has no stat
            draft.dress(os.fstat(reading.fileno()))
        return draft.give(name)


class Draft:
    """A file that is written to a folder unseen, and appears there whole.

    It has no name, so that a kill leaves nothing behind; on a file system without nameless files it
    has a hidden name, and the daemon removes a leftover after a day.

    Args:
        folder: A descriptor of the folder; the draft duplicates it.
        nameless: Whether to try a nameless file first.

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
        """Append all of `data`."""
        write_all(self._fd, data)

    def sync(self) -> None:
        """Flush the data to the disk, which thereby proves to have room for it."""
        os.fsync(self._fd)

    def dress(self, source: os.stat_result | None) -> None:
        """Copy mode and times from `source`, if given; the group (the daemon) may read the file."""
        mode = 0o600 if source is None else stat.S_IMODE(source.st_mode) & 0o777
        with contextlib.suppress(PermissionError):  # file systems without owners refuse it
            os.fchmod(self._fd, mode | 0o440)
            if source is not None:
                os.utime(self._fd, ns=(source.st_atime_ns, source.st_mtime_ns))

    def facts(self) -> FileFacts:
        """What a `stat` of the draft shows now."""
        return FileFacts.of(os.fstat(self._fd))

    def give(self, name: str, into: int | None = None) -> str:
        """Make the file appear, durably, under `name` or the next free one; returns the name given.

        Args:
            name: The name wanted.
            into: A descriptor of another folder to appear in.

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
            self._fd, named._fd = named._fd, self._fd  # this draft now owns the file that appeared
        return given

    def close(self) -> None:
        """Release the descriptors, and remove a hidden file that has not appeared."""
        if self._hidden is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._hidden, dir_fd=self._folder)
        for descriptor in {self._fd, self._folder} - {-1}:
            os.close(descriptor)
        self._fd = self._folder = -1
        self._hidden = None


def appear(hidden: str, name: str, folder: int) -> str:
    """Rename a hidden file of the folder to `name` or the next free one; returns the name given.

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
        os.close(os.open(target, _CREATE, 0o600, dir_fd=folder))  # reserves the name
        os.rename(draft, target, src_dir_fd=source, dst_dir_fd=folder)
    return target


def touch(name: str, folder: int) -> None:
    """Create an empty file in the folder with descriptor `folder`, unless it exists."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(name, _CREATE, 0o660, dir_fd=folder))


@contextlib.contextmanager
def opened_folder(inbox: Path, names: tuple[str, ...] = ()) -> Iterator[int]:
    """A descriptor of the inbox, or of a folder below it; missing folders below it are created."""
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
    """Open a new folder to its group, whatever the umask: the daemon takes files out of it."""
    with contextlib.suppress(OSError):
        made = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
        try:
            if os.fstat(made).st_uid == os.geteuid():
                os.fchmod(made, stat.S_IMODE(os.fstat(parent).st_mode) | 0o770)
        finally:
            os.close(made)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """Open a regular file with the caller's own rights, without blocking on a pipe."""
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
