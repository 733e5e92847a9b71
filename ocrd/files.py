"""Files, once for everybody: what a file is, how it is opened, written, renamed and named.

Everything that changes the disk goes through a `Disk`, so that a test can hand in one that answers
ENOSPC or dies at any step.  What the kernel refuses is told by `ocrd.oserrors`.
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
from ocrd.names import display as display  # beside what else there is for files
from ocrd.oserrors import os_error

OURS = 0o640  # what only we change; the group may look at it
NOT_A_FILE = "not-a-file"  # the kind of what is a link, a folder, a pipe or a device
AROUND = 0o666  # what is handed out, as the umask has it

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_CHUNK = 1 << 20
_PIECE = 1 << 16
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OURS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REPLACE = _OURS | os.O_TRUNC
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
    """What a look at a file saw, and the digest once it was read; any write changes them.

    Attributes:
        size: Bytes.
        mtime_ns: Modification time, nanoseconds since the epoch.
        inode: Inode number.
        sha256: Hex digest of the contents; empty while it was not read.
    """

    size: int
    mtime_ns: int
    inode: int
    sha256: str = ""

    @classmethod
    def of(cls, found: os.stat_result, sha256: str = "") -> Self:
        """The facts that a `stat` tells."""
        return cls(
            size=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino, sha256=sha256
        )

    def facts(self) -> dict[str, Any]:
        """The same by their names: for a record that holds more, or for JSON."""
        return {
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "inode": self.inode,
            "sha256": self.sha256,
        }

    def looks(self) -> FileFacts:
        """Its looks alone: what a `stat` saw, whatever else is known of the file."""
        return FileFacts(size=self.size, mtime_ns=self.mtime_ns, inode=self.inode)

    def untouched(self, other: FileFacts) -> bool:
        """Whether nobody wrote between the two looks, as far as a look can tell."""
        return self.looks() == other.looks()


def untouched(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether both looks saw one file to which nothing was done in between."""
    alike = FileFacts.of(before) == FileFacts.of(after) and before.st_dev == after.st_dev
    return alike and before.st_ctime_ns == after.st_ctime_ns


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file of unknown origin for reading: only a regular one, and without waiting.

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


class OpenDocuments(Generic[T]):
    """Documents kept open between calls, so that page 3,000 does not wait for pages 1 to 2,999.

    Args:
        size: How many; the one not used for longest goes first.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._open: OrderedDict[tuple[int, ...], T] = OrderedDict()

    def get(self, file: BinaryIO, opener: Callable[[BinaryIO], T]) -> T:
        """The document in `file`: the one that is open if the file has not changed since."""
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
    """Make or replace a small file of ours: whole or as it was before, whatever happens."""
    draft = path.with_name(draft_of(path.name))
    disk.write(draft, content, mode)
    disk.fsync_file(draft)
    disk.rename(draft, path)
    disk.fsync_dir(path.parent)


def write_all(descriptor: int, content: bytes | bytearray) -> None:
    """Every byte, however many the kernel takes at a time."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def draft_of(name: str) -> str:
    """What a file that is written durably is called until it is whole."""
    return f"{name}.draft"


class Disk:
    """The real system calls.  Every method raises `OSError` as the kernel answered.

    A path below a tree that the disk knows is resolved beneath that tree's descriptor and through
    no link: whoever may write in a tree leads nothing out of it, not even between a look and the
    step after it.  A tree's own root may be a link.  What is below no tree is resolved as usual.
    """

    def __init__(self) -> None:
        self._trees: dict[str, Path] = {}
        self._held = threading.local()  # by folder: the descriptor that this thread works beneath
        self._share = Shared()

    # --- trees ---

    def know(self, tree: Path) -> None:
        """From now on what lies below `tree` is resolved beneath it."""
        self._trees[str(tree)] = tree

    def tree_of(self, path: Path) -> Path | None:
        """The innermost known tree that `path` is, or lies in."""
        place = str(path)
        while place and place not in self._trees:
            place = place.rpartition("/")[0]
        return self._trees.get(place)

    @contextlib.contextmanager
    def hold(self, folder: Path) -> Iterator[None]:
        """This thread works beneath what `folder` is now, even if something is mounted over it.

        Args:
            folder: A tree; or one that lies in a tree, of which much is asked within: none of that
                has to be found from the tree down.
        """
        held: dict[str, int] = vars(self._held)
        name = str(folder)
        before = held.get(name)
        descriptor = held[name] = self._open_folder(folder)
        try:
            yield
        finally:
            if before is None:
                del held[name]
            else:
                held[name] = before
            os.close(descriptor)

    def _place(self, path: Path) -> _At:
        """The descriptor and the name by which the kernel is to be asked for `path`."""
        whole = above = str(path)
        held: dict[str, int] = vars(self._held)
        while above and above not in self._trees:
            above = above.rpartition("/")[0]
            if above in held:
                break
        return _At(whole, above, held.get(above))

    @contextlib.contextmanager
    def _new(self, path: Path, source: Path | None = None) -> Iterator[tuple[int | None, str]]:
        """The same for a name that is to be made, or given to what lies at `source`.

        exFAT through FUSE answers ENOENT for a name that it does not take.  Where neither the
        folder nor the source is gone, that is told as EILSEQ, as other file systems do.
        """
        with self._place(path) as (folder, name):
            try:
                yield folder, name
            except FileNotFoundError as error:
                if folder is None or not os.fstat(folder).st_nlink:
                    raise
                if source is not None and self.lstat(source) is None:
                    raise
                raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), str(path)) from error

    def _open(self, path: Path, flags: int) -> int:
        with self._place(path) as (folder, name):
            return os.open(name, flags, dir_fd=folder)

    def _open_folder(self, path: Path, flags: int = _LIST) -> int:
        """The same; a tree itself may be a link."""
        if str(path) in self._trees:
            return os.open(path, flags & ~os.O_NOFOLLOW)
        return self._open(path, flags)

    @contextlib.contextmanager
    def _opened(self, path: Path, flags: int = _LIST) -> Iterator[int]:
        """The same for a moment; what this thread holds is not opened again."""
        held: int | None = vars(self._held).get(str(path))
        descriptor = self._open_folder(path, flags) if held is None else held
        try:
            yield descriptor
        finally:
            if held is None:
                os.close(descriptor)

    # --- looking ---

    def lstat(self, path: Path) -> os.stat_result | None:
        """What lies at `path`, links not followed; None only when nothing does.

        `os.path.lexists` also says no when a share does not answer, and what is not there counts
        as moved: every other error is raised.
        """
        return self._look(path, follow=False)

    def stat(self, path: Path) -> os.stat_result | None:
        """The same; where `path` is below no tree, what it leads to."""
        return self._look(path, follow=self.tree_of(path) is None)

    def _look(self, path: Path, *, follow: bool) -> os.stat_result | None:
        try:
            with self._place(path) as (folder, name):
                return os.stat(name, dir_fd=folder, follow_symlinks=follow)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, sorted."""
        return [name for name, _ in self.entries(folder)]

    def entries(self, folder: Path) -> list[tuple[str, bool]]:
        """The names in a folder, sorted, and of each whether it is a folder, and no link to one.

        The kernel tells both at once, where each name would else have to be looked at.
        """
        with self._opened(folder) as descriptor, os.scandir(descriptor) as found:
            return sorted((each.name, each.is_dir(follow_symlinks=False)) for each in found)

    def open(self, path: Path) -> io.BufferedReader:
        """A file for reading; a link is refused and a FIFO does not block."""
        return os.fdopen(self._open(path, _READ), "rb")

    def read(self, path: Path, most: int = sys.maxsize) -> bytes | None:
        """What a small file holds, up to so many bytes; None where no regular file lies."""
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
        """`renameat2(RENAME_NOREPLACE)`: EEXIST when `target` is taken.

        EINVAL, ENOSYS or ENOTSUP where the file system or the C library cannot do it.
        """
        rename = getattr(_libc, "renameat2", None)
        if rename is None:  # a C library older than glibc 2.28
            raise _os_error(errno.ENOSYS, source, target)
        with self._place(source) as (here, old), self._new(target, source) as (there, new):
            here, there = (_AT_FDCWD if at is None else at for at in (here, there))
            places = (here, os.fsencode(old), there, os.fsencode(new))
            if rename(*places, _RENAME_NOREPLACE) != 0:
                raise _os_error(ctypes.get_errno(), source, target)

    def rename(self, source: Path, target: Path) -> None:
        """Plain `rename`: replaces a file or an empty folder of that name."""
        with self._place(source) as (here, old), self._new(target, source) as (there, new):
            os.rename(old, new, src_dir_fd=here, dst_dir_fd=there)

    def link(self, source: Path, target: Path) -> None:
        """A second name for a file."""
        with self._place(source) as (here, old), self._new(target, source) as (there, new):
            os.link(old, new, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""
        with self._place(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        with self._place(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    # --- making ---

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        """Make a folder; the umask applies."""
        if self.tree_of(path) == path:  # a tree itself: there is no descriptor of it yet
            path.mkdir(mode)
            return
        with self._new(path) as (folder, name):
            os.mkdir(name, mode, dir_fd=folder)

    def create(self, path: Path) -> None:
        """Make an empty file where nothing is."""
        with self._new(path) as (folder, name):
            os.close(os.open(name, _CREATE, 0o600, dir_fd=folder))

    def write(self, path: Path, content: bytes, mode: int = AROUND) -> None:
        """Make a small file or replace what it holds.  Not atomic, not yet durable."""
        with self._new(path) as (folder, name):
            descriptor = os.open(name, _REPLACE, mode, dir_fd=folder)
            try:
                write_all(descriptor, content)
            finally:
                os.close(descriptor)

    def append(self, path: Path, content: bytes, end: int) -> None:
        """Add to a file of ours, which is made, from byte `end` on; on the disk when it returns."""
        with self._new(path) as (folder, name):
            descriptor = os.open(name, _OURS, 0o600, dir_fd=folder)
            try:
                os.ftruncate(descriptor, end)
                os.lseek(descriptor, end, os.SEEK_SET)
                write_all(descriptor, content)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def copy(self, source: Path, target: Path) -> None:
        """Copy a regular file with its mode and times to a free name.  Not yet durable.

        Raises:
            SourceChangedError: The source was longer or shorter at the end than what was copied.
        """
        from shutil import copyfileobj  # which takes longer to load than all that status needs

        with self.open(source) as reading, self._new(target) as (folder, name):
            if not stat.S_ISREG(os.fstat(reading.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(source))
            with os.fdopen(os.open(name, _CREATE, 0o600, dir_fd=folder), "wb") as writing:
                copyfileobj(reading, writing, _CHUNK)
                writing.flush()
                facts = os.fstat(reading.fileno())
                # File systems without owners (FAT, some CIFS) refuse them.
                with contextlib.suppress(PermissionError):
                    os.fchmod(writing.fileno(), stat.S_IMODE(facts.st_mode))
                with contextlib.suppress(PermissionError):
                    os.utime(writing.fileno(), ns=(facts.st_atime_ns, facts.st_mtime_ns))
                copied = os.fstat(writing.fileno()).st_size
            if copied != os.fstat(reading.fileno()).st_size:
                raise SourceChangedError(
                    f"{display(source)}: its length changed while it was copied",
                    hint="Nothing to do: it is tried again when the file has come to rest.",
                )

    def chmod(self, path: Path, mode: int) -> None:
        """Set the permissions of a file or folder; a link is refused."""
        with self._place(path) as (folder, name):
            descriptor = os.open(name, _NODE, dir_fd=folder)
            try:  # fchmod(2) wants more than O_PATH, and that may be what is not permitted
                os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101 - a bare call
            except OSError as error:
                error.filename = str(path)
                raise
            finally:
                os.close(descriptor)

    def chgrp(self, path: Path, gid: int) -> None:
        """Give a file or folder to a group."""
        with self._place(path) as (folder, name):
            os.chown(name, -1, gid, dir_fd=folder, follow_symlinks=False)

    # --- making durable ---

    def fsync_file(self, path: Path) -> None:
        """A file's contents and facts are on the disk."""
        with self._opened(path, _READ) as descriptor:
            _fsync(descriptor, path)

    def fsync_dir(self, path: Path) -> None:
        """A folder's names are on the disk, where the file system has a notion of it.

        Threads that ask for the same folder at the same time share a call: many jobs come from
        one inbox and go to one outbox.
        """
        flags = _LIST if self.tree_of(path) else _LIST & ~os.O_NOFOLLOW
        with self._opened(path, flags) as descriptor:
            found = os.fstat(descriptor)
            # Of two threads one may hold the folder that lay there before another was mounted.
            which = (str(path), found.st_dev, found.st_ino)
            try:
                self._share(which, partial(_fsync, descriptor, path))
            except OSError as error:
                if error.errno not in _NO_FOLDER_SYNC:  # some network file systems refuse folders
                    raise


def _fsync(descriptor: int, path: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:  # the call knows a descriptor only; the operator wants the name
        raise OSError(error.errno, error.strerror, str(path)) from error


class _At:
    """Where a path is, for the kernel: in which folder, if it lies below a tree, under what name.

    It is a class, as a generator costs several times as much; each file takes a hundred.

    Args:
        path: Whole.
        tree: The tree, or the folder that the thread holds, that it lies in; empty for none.
        held: A descriptor of that, if the thread has one.
    """

    __slots__ = ("_held", "_opened", "_path", "_tree")

    def __init__(self, path: str, tree: str, held: int | None) -> None:
        self._path = path
        self._tree = tree
        self._held = held
        self._opened: list[int] = []

    def __enter__(self) -> tuple[int | None, str]:
        if not self._tree:
            return None, self._path
        place = self._held
        try:
            if place is None:
                self._opened.append(place := os.open(self._tree, _FOLDER))
            folder, _, name = self._path[len(self._tree) + 1 :].rpartition("/")
            if folder:
                place = _open_beneath(place, folder, f"{self._tree}/{folder}")
                self._opened.append(place)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return place, name or "."

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        for descriptor in self._opened:
            os.close(descriptor)
        if not isinstance(error, OSError):
            return
        # The kernel was asked for a name in a folder: tell the whole path.
        if error.filename2 is not None and not str(error.filename2).startswith("/"):
            error.filename2 = self._path
        elif not str(error.filename).startswith("/"):
            error.filename = self._path


def _open_beneath(tree: int, folder: str, path: str) -> int:
    """A descriptor of a folder below another, step by step and through no link.

    openat2(2) takes one call for it, but by way of ctypes as long as for two steps, and seldom is
    a place further down.  A way of steps may be longer than the kernel takes at once.

    ENOTDIR where a link (or a file) stands in the way: what lies there is not what was meant.
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


def _os_error(code: int, source: Path, target: Path) -> OSError:
    return OSError(code, os.strerror(code), str(source), None, str(target))


class Shared:
    """Makes calls; who asks for one that is under way shares the next with the others.

    That next one begins after all of them have asked.  So it may stand for a call of each of them
    when what it does is to make everything that was done before last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns = weakref.WeakValueDictionary[Hashable, threading.Lock]()  # held during a call
        self._next: dict[Hashable, _Outcome] = {}  # of the call that has yet to begin

    def __call__(self, which: Hashable, call: Callable[[], None]) -> None:
        """Return when a call of that name that began after this one has ended; raise what it did.

        Args:
            which: What names the call.
            call: How this thread would make it; that of whoever comes to it first is made.
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
