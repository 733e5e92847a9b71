"""The one home of file operations: how files are identified, opened, written, renamed and synced.

Jobs' files are changed through a `Disk`, so that a test can pass in one that answers ENOSPC or
dies at any step.  `ocrd.oserrors` turns errors of the kernel into errors with a remedy.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import io
import os
import stat
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Generic, Protocol, Self, TypeVar

from ocrd.errors import BadFileError, SourceChangedError
from ocrd.names import display as display  # re-exported beside the other file functions
from ocrd.oserrors import os_error

OURS = 0o640  # mode of a file that only the daemon changes; its group may read it
NOT_A_FILE = "not-a-file"  # error kind for a link, a folder, a pipe or a device
AROUND = 0o666  # mode of a file for others, less the umask

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_CHUNK = 1 << 20
_PIECE = 1 << 16
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OURS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NODE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = {errno.ENOENT, errno.ENOTDIR}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.EBADF, errno.ENOTSUP}

_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENODEV}

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """What `stat` says of a file, and its digest once it has been read; any write changes these.

    Attributes:
        size: Bytes.
        mtime_ns: Modification time, nanoseconds since the epoch.
        inode: Inode number.
        sha256: Hex digest of the contents; empty until the file has been read.
    """

    size: int
    mtime_ns: int
    inode: int
    sha256: str = ""

    @classmethod
    def of(cls, found: os.stat_result, sha256: str = "") -> Self:
        """The facts in the result of `stat`."""
        return cls(
            size=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino, sha256=sha256
        )

    def facts(self) -> dict[str, Any]:
        """The facts as a dictionary, for JSON or for a record with more fields."""
        return {
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "inode": self.inode,
            "sha256": self.sha256,
        }

    def looks(self) -> FileFacts:
        """The facts from `stat` alone, without the digest and without a subclass's fields."""
        return FileFacts(size=self.size, mtime_ns=self.mtime_ns, inode=self.inode)

    def untouched(self, other: FileFacts) -> bool:
        """Whether the file was not written between the two, as far as `stat` can tell."""
        return self.looks() == other.looks()


def untouched(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether both results are of one file with the same size, mtime and ctime."""
    alike = FileFacts.of(before) == FileFacts.of(after) and before.st_dev == after.st_dev
    return alike and before.st_ctime_ns == after.st_ctime_ns


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file of unknown origin for reading, if it is a regular file; never blocks.

    Raises:
        BadFileError: It is a link, a folder, a pipe or a device (kind `not-a-file`).
        SourceChangedError: It is gone.
        PlaceError: It cannot be read now.
    """
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _not_a_file(path) from error
        raise os_error(error, path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file(path)
    return os.fdopen(descriptor, "rb")


class _Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)
R = TypeVar("R")


class OpenDocuments(Generic[T]):
    """Documents kept open between calls, so that page 3,000 does not wait for pages 1 to 2,999.

    Args:
        size: How many stay open; the least recently used is closed first.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._open: OrderedDict[tuple[int, ...], T] = OrderedDict()

    def get(self, file: BinaryIO, opener: Callable[[BinaryIO], T]) -> T:
        """The document in `file`, reused if it is still open and the file has not changed."""
        key = _identity(file)
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        while len(self._open) >= self._size:
            self._open.popitem(last=False)[1].close()
        self._open[key] = opener(file)
        return self._open[key]

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            self._open.popitem()[1].close()

    def drop(self, file: BinaryIO) -> None:
        """Close the document in `file` if it is open."""
        document = self._open.pop(_identity(file), None)
        if document is not None:
            document.close()


def _identity(file: BinaryIO) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _not_a_file(path: Path) -> BadFileError:
    return BadFileError(
        f"{display(str(path))} is no regular file but a link, a folder, a pipe or a device",
        hint="Drop the file itself.",
        kind=NOT_A_FILE,
    )


def write_durably(path: Path, content: bytes, disk: Disk, mode: int = OURS) -> None:
    """Create or replace a small file; even after a crash it is either complete or as before."""
    draft = path.with_name(draft_of(path.name))
    disk.write(draft, content, mode)
    disk.fsync_file(draft)
    disk.rename(draft, path)
    disk.fsync_dir(path.parent)


def write_all(descriptor: int, content: bytes | bytearray) -> None:
    """Write every byte, however few the kernel takes at a time."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def draft_of(name: str) -> str:
    """The name of a durably written file until it is complete."""
    return f"{name}.draft"


class Disk:
    """The real system calls.  Every method raises `OSError` as the kernel reports it.

    A path below a known tree is resolved from that tree's descriptor and never through a link: a
    user who may write in the tree cannot redirect an operation out of it, not even between a check
    and the step after it.  The root of a tree may be a link.  Other paths are resolved as usual.
    """

    def __init__(self) -> None:
        self._trees: dict[str, Path] = {}
        self._held = threading.local()  # for each folder, the descriptor that this thread holds
        self._share = Shared()

    # --- trees ---

    def know(self, tree: Path) -> None:
        """Add a known tree: paths below it are resolved from its descriptor from now on."""
        self._trees[str(tree)] = tree

    def tree_of(self, path: Path) -> Path | None:
        """The innermost known tree that contains `path` or has it as its root; None without one."""
        place = str(path)
        while place and place not in self._trees:
            place = place.rpartition("/")[0]
        return self._trees.get(place)

    @contextlib.contextmanager
    def hold(self, folder: Path) -> Iterator[None]:
        """Keep `folder` open for this thread, which then uses it even if another is mounted there.

        Args:
            folder: A tree; or a folder in a tree with much to do below it: its paths are then not
                resolved from the tree down each time.
        """
        held: dict[str, int] = vars(self._held)
        name = str(folder)
        before = held.get(name)
        descriptor = held[name] = self._open(folder, _LIST)
        try:
            yield
        finally:
            if before is None:
                del held[name]
            else:
                held[name] = before
            os.close(descriptor)

    def _at(self, path: Path, call: Callable[[int | None, str], R]) -> R:
        """What `call` answers to `path` as the kernel is given it: a folder's descriptor, a name.

        Below no tree the descriptor is None, and the name the whole path.  An error tells the whole
        path in any case.
        """
        whole = above = str(path)
        held: dict[str, int] = vars(self._held)
        while above and above not in self._trees:
            above = above.rpartition("/")[0]
            if above in held:
                break
        place, opened = held.get(above), list[int]()
        try:
            if not above:
                return call(None, whole)
            if place is None:
                opened.append(place := os.open(above, _FOLDER))
            folder, _, name = whole[len(above) + 1 :].rpartition("/")
            if folder:
                opened.append(place := _open_beneath(place, folder, f"{above}/{folder}"))
            return call(place, name or ".")
        except OSError as error:
            if error.filename2 is not None and not str(error.filename2).startswith("/"):
                error.filename2 = whole
            elif not str(error.filename).startswith("/"):
                error.filename = whole
            raise
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _make(
        self, path: Path, call: Callable[[int | None, str], R], source: Path | None = None
    ) -> R:
        """As `_at`, for a name that is to be created, or given to the file at `source`.

        exFAT through FUSE reports ENOENT for a name that it does not accept.  If neither the
        folder nor the source is gone, EILSEQ is raised instead, as by other file systems.
        """

        def make(folder: int | None, name: str) -> R:
            try:
                return call(folder, name)
            except FileNotFoundError as error:
                if folder is None or not os.fstat(folder).st_nlink:
                    raise
                if source is not None and self.lstat(source) is None:
                    raise
                raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), str(path)) from error

        return self._at(path, make)

    def _at_both(
        self, source: Path, target: Path, call: Callable[[int | None, str, int | None, str], None]
    ) -> None:
        """`_at` for a call that gives `target`, which is new, to the file at `source`."""
        self._at(
            source,
            lambda here, old: self._make(
                target, lambda there, new: call(here, old, there, new), source
            ),
        )

    def _open(self, path: Path, flags: int) -> int:
        """A descriptor of `path`, which may be a link only if it is the root of a tree."""
        if str(path) in self._trees:
            return os.open(path, flags & ~os.O_NOFOLLOW)
        return self._at(path, lambda folder, name: os.open(name, flags, dir_fd=folder))

    @contextlib.contextmanager
    def _opened(self, path: Path, flags: int = _LIST) -> Iterator[int]:
        """As `_open`, and closed at the end; a folder that this thread holds is reused."""
        held: int | None = vars(self._held).get(str(path))
        descriptor = self._open(path, flags) if held is None else held
        try:
            yield descriptor
        finally:
            if held is None:
                os.close(descriptor)

    # --- looking ---

    def lstat(self, path: Path) -> os.stat_result | None:
        """The `stat` of `path`, links not followed; None only if it does not exist.

        Every other error is raised.  `os.path.lexists` also says no if a share does not answer,
        but a file that does not exist counts as moved.
        """
        return self._look(path, follow=False)

    def stat(self, path: Path) -> os.stat_result | None:
        """As `lstat`; but links are followed if `path` is in no known tree."""
        return self._look(path, follow=self.tree_of(path) is None)

    def _look(self, path: Path, *, follow: bool) -> os.stat_result | None:
        try:
            return self._at(
                path, lambda folder, name: os.stat(name, dir_fd=folder, follow_symlinks=follow)
            )
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, sorted."""
        return [name for name, _ in self.entries(folder)]

    def entries(self, folder: Path) -> list[tuple[str, bool]]:
        """The names in a folder, sorted, each with whether it is a folder (not a link to one).

        The kernel gives both at once, which saves a `stat` of each name.
        """
        with self._opened(folder) as descriptor, os.scandir(descriptor) as found:
            return sorted((each.name, each.is_dir(follow_symlinks=False)) for each in found)

    def open(self, path: Path) -> io.BufferedReader:
        """Open a file for reading; a link is refused and a FIFO does not block."""
        return os.fdopen(self._open(path, _READ), "rb")

    def read(self, path: Path, most: int = sys.maxsize) -> bytes | None:
        """The first `most` bytes of a small file; None if `path` is not a regular file."""
        try:
            descriptor = self._open(path, _READ)
        except OSError:
            found = self.lstat(path)
            if found is None or not stat.S_ISREG(found.st_mode):
                return None
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            content = b""
            while more := os.read(descriptor, min(most - len(content), _PIECE)):
                content += more
            return content
        finally:
            os.close(descriptor)

    def digest(self, path: Path) -> str:
        """The SHA-256 of a regular file's contents, in hex."""
        with self.open(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    # --- moving ---

    def rename_exclusive(self, source: Path, target: Path) -> None:
        """`renameat2(RENAME_NOREPLACE)`: fails with EEXIST if `target` exists.

        Fails with EINVAL, ENOSYS or ENOTSUP if the file system or the C library cannot do it.
        """
        self._at_both(source, target, _renameat2)

    def rename(self, source: Path, target: Path) -> None:
        """Plain `rename`: replaces a file or an empty folder of that name."""
        self._at_both(
            source,
            target,
            lambda here, old, there, new: os.rename(old, new, src_dir_fd=here, dst_dir_fd=there),
        )

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name (a hard link)."""
        self._at_both(
            source,
            target,
            lambda here, old, there, new: os.link(
                old, new, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False
            ),
        )

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""
        self._at(path, lambda folder, name: os.unlink(name, dir_fd=folder))

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        self._at(path, lambda folder, name: os.rmdir(name, dir_fd=folder))

    # --- making ---

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        """Make a folder; the umask applies."""
        if self.tree_of(path) == path:  # a tree itself: there is no descriptor of it yet
            path.mkdir(mode)
            return
        self._make(path, lambda folder, name: os.mkdir(name, mode, dir_fd=folder))

    def create(self, path: Path) -> None:
        """Create an empty file; fails if the name is taken."""
        self._make(path, lambda at, name: os.close(os.open(name, _CREATE, 0o600, dir_fd=at)))

    def write(self, path: Path, content: bytes, mode: int = AROUND) -> None:
        """Create a small file or replace its contents.  Not atomic, not yet durable."""
        self._make(path, lambda folder, name: _put(folder, name, content, mode))

    def append(self, path: Path, content: bytes, end: int) -> None:
        """Write `content` from byte `end` on, as the file's new end; it is on the disk on return.

        The file is created if it is missing.
        """
        self._make(path, lambda folder, name: _put(folder, name, content, 0o600, end, durable=True))

    def copy(self, source: Path, target: Path) -> None:
        """Copy a regular file with its mode and times to a free name.  Not yet durable.

        Raises:
            SourceChangedError: The source has another length at the end than what was copied.
        """
        from shutil import copyfileobj  # slow to load, and not needed by `ocrd status`

        def copy(folder: int | None, name: str) -> int:
            if not stat.S_ISREG(os.fstat(reading.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(source))
            with os.fdopen(os.open(name, _CREATE, 0o600, dir_fd=folder), "wb") as writing:
                copyfileobj(reading, writing, _CHUNK)
                writing.flush()
                facts = os.fstat(reading.fileno())
                # File systems without owners (FAT, some CIFS) refuse these calls.
                with contextlib.suppress(PermissionError):
                    os.fchmod(writing.fileno(), stat.S_IMODE(facts.st_mode))
                with contextlib.suppress(PermissionError):
                    os.utime(writing.fileno(), ns=(facts.st_atime_ns, facts.st_mtime_ns))
                return os.fstat(writing.fileno()).st_size

        with self.open(source) as reading:
            if self._make(target, copy) != os.fstat(reading.fileno()).st_size:
                raise SourceChangedError(
                    f"{display(source)}: its length changed while it was copied",
                    hint="Nothing to do: it is tried again when the file has come to rest.",
                )

    def chmod(self, path: Path, mode: int) -> None:
        """Set the permissions of a file or folder; a link is refused."""
        descriptor = self._at(path, lambda folder, name: os.open(name, _NODE, dir_fd=folder))
        try:  # fchmod(2) refuses O_PATH, and opening the file otherwise may not be permitted
            os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101 - a bare call
        except OSError as error:
            error.filename = str(path)
            raise
        finally:
            os.close(descriptor)

    def chgrp(self, path: Path, gid: int) -> None:
        """Give a file or folder to a group."""
        self._at(
            path,
            lambda folder, name: os.chown(name, -1, gid, dir_fd=folder, follow_symlinks=False),
        )

    # --- making durable ---

    def fsync_file(self, path: Path) -> None:
        """Flush a file's contents and metadata to the disk."""
        with self._opened(path, _READ) as descriptor:
            _fsync(descriptor, path)

    def fsync_dir(self, path: Path) -> None:
        """Flush a folder's entries to the disk, if its file system supports that.

        Threads that flush the same folder at the same time share a call: many jobs come from one
        inbox and go to one outbox.
        """
        flags = _LIST if self.tree_of(path) else _LIST & ~os.O_NOFOLLOW
        with self._opened(path, flags) as descriptor:
            found = os.fstat(descriptor)
            # One thread may still hold the folder that was here before another was mounted over it.
            which = (str(path), found.st_dev, found.st_ino)
            try:
                self._share(which, partial(_fsync, descriptor, path))
            except OSError as error:
                if error.errno not in _NO_FOLDER_SYNC:  # some network file systems refuse folders
                    raise


def _fsync(descriptor: int, path: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:  # the kernel was given a descriptor; the operator needs the name
        raise OSError(error.errno, error.strerror, str(path)) from error


def _open_beneath(tree: int, folder: str, path: str) -> int:
    """A descriptor of a folder below `tree`, opened step by step and never through a link.

    openat2(2) needs a single call, but through ctypes that takes as long as two steps, and few
    folders are deeper.  Step by step, the path may also be longer than the kernel takes at once.

    Raises ENOTDIR if the path has a `..`, or a link or a file is in the way of the folder meant.
    """
    names = os.fsencode(folder).split(b"/")
    if b".." in names:
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    place = tree
    try:
        for name in names:
            above, place = place, os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=place)
            if above != tree:
                os.close(above)
    except BaseException as error:
        if place != tree:
            os.close(place)
        if isinstance(error, OSError):
            error.filename = path
        raise
    return place


def _renameat2(here: int | None, old: str, there: int | None, new: str) -> None:
    rename = getattr(_libc, "renameat2", None)
    here, there = (_AT_FDCWD if at is None else at for at in (here, there))
    places = (here, os.fsencode(old), there, os.fsencode(new), _RENAME_NOREPLACE)
    code = errno.ENOSYS  # a C library older than glibc 2.28
    if rename is not None:
        if rename(*places) == 0:
            return
        code = ctypes.get_errno()
    raise OSError(code, os.strerror(code), old, None, new)


def _put(
    folder: int | None,
    name: str,
    content: bytes,
    mode: int,
    end: int = 0,
    *,
    durable: bool = False,
) -> None:
    """Write `content` from byte `end` on, where the file then ends."""
    descriptor = os.open(name, _OURS, mode, dir_fd=folder)
    try:
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        write_all(descriptor, content)
        if durable:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


class Shared:
    """Runs calls, so that threads that request the same call at the same time share one run.

    Requests made during a run share the next run.  That run begins after all of them were made, so
    it serves each of them if, like fsync, it makes durable whatever was done before it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns = weakref.WeakValueDictionary[Hashable, threading.Lock]()  # held during a call
        self._next: dict[Hashable, _Outcome] = {}  # of the call that has yet to begin

    def __call__(self, which: Hashable, call: Callable[[], None]) -> None:
        """Return once a run of `which` that began after this request has ended; raise its error.

        Args:
            which: Identifies the call.
            call: Makes the call.  The first of the sharing threads to get its turn runs its own.
        """
        with self._lock:
            turn = self._turns.setdefault(which, threading.Lock())
            ours = self._next.setdefault(which, _Outcome())
        with turn:
            with self._lock:
                first = self._next.get(which) is ours
                if first:
                    del self._next[which]
            if first:
                try:
                    call()
                except BaseException as error:
                    ours.error = error
        if ours.error is not None:
            raise ours.error


class _Outcome:
    error: BaseException | None = None
