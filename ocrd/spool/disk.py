"""The system calls by which the spool looks at and changes the disk.

Everything the spool does goes through a `Disk`, so that a test can hand in one that answers
ENOSPC or dies at any step.  The real one adds nothing to the calls but errors with both names.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import io
import os
import shutil
import stat
from pathlib import Path

from ocrd.errors import SourceChangedError
from ocrd.spool.blame import shown
from ocrd.spool.shared import Shared

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REPLACE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = {errno.ENOENT, errno.ENOTDIR}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.EBADF, errno.ENOTSUP}

_libc = ctypes.CDLL(None, use_errno=True)


class Disk:
    """The real system calls.  Every method raises `OSError` as the kernel answered."""

    def __init__(self) -> None:
        self._sync_folder = Shared(_fsync_dir)

    # --- looking ---

    def lstat(self, path: Path) -> os.stat_result | None:
        """What lies at `path`, links not followed; None only when nothing does.

        `os.path.lexists` also says no when a share does not answer, and what is not there counts
        as moved: every other error is raised.
        """
        return _unless_absent(path, follow=False)

    def stat(self, path: Path) -> os.stat_result | None:
        """What `path` leads to, links followed; None when it leads nowhere."""
        return _unless_absent(path, follow=True)

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, sorted."""
        return sorted(os.listdir(folder))  # noqa: PTH208 -- names are wanted, not paths

    def entries(self, folder: Path) -> list[tuple[str, bool]]:
        """The names in a folder, sorted, and of each whether it is a folder, and no link to one.

        The kernel tells both at once, where each name would else have to be looked at.
        """
        with os.scandir(folder) as found:
            return sorted((each.name, each.is_dir(follow_symlinks=False)) for each in found)

    def open(self, path: Path) -> io.BufferedReader:
        """A file for reading; a link is refused and a FIFO does not block."""
        return open(os.open(path, _READ), "rb")  # noqa: PTH123 -- a descriptor; the caller closes

    def digest(self, path: Path) -> str:
        """The SHA-256 of a regular file's contents, in hex."""
        with self.open(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    # --- moving ---

    def rename_exclusive(self, source: Path, target: Path) -> None:
        """`renameat2(RENAME_NOREPLACE)`: EEXIST when `target` is taken.

        EINVAL, ENOSYS or ENOTSUP where the file system or the C library cannot do it.
        """
        rename = getattr(_libc, "renameat2", None)
        if rename is None:  # a C library older than glibc 2.28
            raise _os_error(errno.ENOSYS, source, target)
        arguments = (_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target))
        if rename(*arguments, _RENAME_NOREPLACE) != 0:
            raise _os_error(ctypes.get_errno(), source, target)

    def rename(self, source: Path, target: Path) -> None:
        """Plain `rename`: replaces a file or an empty folder of that name."""
        os.rename(source, target)  # noqa: PTH104 -- the bare call, as everywhere in this class

    def link(self, source: Path, target: Path) -> None:
        """A second name for a file."""
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""
        os.unlink(path)  # noqa: PTH108 -- likewise

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        os.rmdir(path)  # noqa: PTH106 -- likewise

    # --- making ---

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        """Make a folder; the umask applies."""
        os.mkdir(path, mode)  # noqa: PTH102 -- likewise

    def create(self, path: Path) -> None:
        """Make an empty file where nothing is."""
        os.close(os.open(path, _CREATE, 0o600))

    def write(self, path: Path, content: bytes) -> None:
        """Make a small file or replace what it holds.  Not atomic, not yet durable."""
        descriptor = os.open(path, _REPLACE, 0o666)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)

    def copy(self, source: Path, target: Path) -> None:
        """Copy a regular file with its mode and times to a free name.  Not yet durable.

        Raises:
            SourceChangedError: The source was longer or shorter at the end than what was copied.
        """
        with self.open(source) as reading:
            if not stat.S_ISREG(os.fstat(reading.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(source))
            with os.fdopen(os.open(target, _CREATE, 0o600), "wb") as writing:
                shutil.copyfileobj(reading, writing, _CHUNK)
                writing.flush()
                _keep_facts(reading.fileno(), writing.fileno())
                copied = os.fstat(writing.fileno()).st_size
            if copied != os.fstat(reading.fileno()).st_size:
                raise SourceChangedError(
                    f"{shown(source)}: its length changed while it was copied",
                    hint="Nothing to do: it is tried again when the file has come to rest.",
                )

    def chmod(self, path: Path, mode: int) -> None:
        """Set permissions."""
        os.chmod(path, mode)  # noqa: PTH101 -- likewise

    def chgrp(self, path: Path, gid: int) -> None:
        """Give a file or folder to a group."""
        os.chown(path, -1, gid, follow_symlinks=False)

    # --- making durable ---

    def fsync_file(self, path: Path) -> None:
        """A file's contents and facts are on the disk."""
        _fsync(path, _READ)

    def fsync_dir(self, path: Path) -> None:
        """A folder's names are on the disk, where the file system has a notion of it.

        Threads that ask for the same folder at the same time share a call: many jobs come from
        one inbox and go to one outbox.
        """
        self._sync_folder(path)


def _unless_absent(path: Path, *, follow: bool) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=follow)  # noqa: PTH116 -- likewise
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _os_error(code: int, source: Path, target: Path) -> OSError:
    return OSError(code, os.strerror(code), str(source), None, str(target))


def _keep_facts(source: int, target: int) -> None:
    """The copy's mode and times; file systems without owners (FAT, some CIFS) refuse them."""
    facts = os.fstat(source)
    with contextlib.suppress(PermissionError):
        os.fchmod(target, stat.S_IMODE(facts.st_mode))
    with contextlib.suppress(PermissionError):
        os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _fsync_dir(path: Path) -> None:
    try:
        _fsync(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:  # some network file systems refuse folders
            raise


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:  # the call knows a descriptor only; the operator wants the name
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)
