"""Opens, checks and hashes settled files for the ledger, small files before large ones.

Nothing in an inbox is trusted: an entry may be a link to elsewhere, a FIFO that would block for
ever, a device, or a file that is being replaced right now.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import shlex
import signal
import stat
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ocrd.config import Folder
from ocrd.errors import BadFileError, OcrdError, PlaceError, SourceChangedError
from ocrd.files import Disk, FileFacts, display, untouched
from ocrd.inbox.conditions import missing, unreadable
from ocrd.inbox.join import Document
from ocrd.inbox.settle import Candidate
from ocrd.job import Found
from ocrd.names import safe_relative
from ocrd.owners import user_name

AT_ONCE = 500  # the most files recorded in one transaction
SHORT_S = 0.25  # the most seconds and bytes of hashing before the results are recorded
SHORT_BYTES = 64 << 20
LARGE_BYTES = 16 << 20  # larger files are hashed on threads, so that small ones need not wait
LARGE_AT_ONCE = 2

_CHUNK = 1 << 20
_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFDIR: "folder",
}
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_BUSY = frozenset({errno.EAGAIN, errno.EBUSY, errno.ETXTBSY})


def admit(
    folder: Folder, candidate: Candidate, disk: Disk, *, max_bytes: int | None = None
) -> Found:
    """Open, check and hash a settled file in a folder's inbox.

    No symbolic link below the inbox is followed, neither the file nor a folder on its path.  A file
    with several hard links is accepted: only this name of it is moved later.

    Args:
        folder: The folder that owns the inbox; the inbox itself may be a symbolic link.
        candidate: The file as it looked when it settled; a different look now means it has changed.
        disk: Knows the inbox as a tree.
        max_bytes: The largest size accepted; None for no limit.

    Raises:
        BadFileError: `not-regular`, `no-permission` or `too-large`: no job can be made of the file.
        SourceChangedError: `source-gone`, `source-busy`, `source-changed`, `source-unproven` or
            `source-unreadable`: not possible now, try again later.
        PlaceError: The inbox itself cannot be opened.
    """
    source = candidate.path
    path = folder.inbox / safe_relative(source)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(disk.hold(folder.inbox))
        except OSError as error:
            inbox = str(folder.inbox)
            gone = error.errno in _GONE
            told = missing(inbox) if gone else unreadable(inbox, error)
            raise PlaceError(**told.shown()) from error
        try:
            facts = _read(path, candidate, disk, max_bytes)
        except OSError as error:
            raise _not_now(source, error) from error
    return Found(folder=folder.name, source=source, priority=folder.priority, **facts.facts())


def _read(path: Path, candidate: Candidate, disk: Disk, max_bytes: int | None) -> FileFacts:
    source = candidate.path
    _must_be_file(source, _look(path, disk))  # before: opening a device can have side effects
    try:
        opened = disk.open(path)
    except PermissionError as error:
        user, place = user_name(os.geteuid()), shlex.quote(display(path))
        raise BadFileError(
            f"{display(source)} must not be read by the daemon's user",
            hint=f"Make it readable (chmod a+r {place}, or setfacl -m u:{user}:r {place}), then "
            "`ocrd retry` the job.",
            kind="no-permission",
        ) from error
    with opened as file:
        before = os.fstat(file.fileno())
        _must_be_file(source, before)
        if candidate.seen != FileFacts.of(before):
            raise _changed(source)
        if max_bytes is not None and before.st_size > max_bytes:
            raise BadFileError(
                f"{display(source)} has {before.st_size} bytes, more than a file may have "
                f"({max_bytes})",
                hint="Split it, or raise `max_file_mib` in [watch], restart ocrd, then `ocrd "
                "retry` the job.",
                kind="too-large",
            )
        _must_be_closed(source, file.fileno(), prove=candidate.unproven)
        sha256 = _hash(source, file, before.st_size)
        _must_be_closed(source, file.fileno())
    if not untouched(before, _look(path, disk)):
        raise _changed(source)
    return FileFacts.of(before, sha256)


def _look(path: Path, disk: Disk) -> os.stat_result:
    found = disk.lstat(path)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return found


def _must_be_file(source: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "device")
        raise BadFileError(
            f"{display(source)} is a {kind}, not a file",
            hint="Put the file itself into the inbox: links, pipes and devices are not followed.",
            kind="not-regular",
        )


def _must_be_closed(source: str, fd: int, *, prove: bool = False) -> None:
    """Check with a read lease that no process has the file open for writing: fcntl(2).

    The kernel refuses the lease with EAGAIN, which is raised, if there is a writer.  A refusal for
    another reason (not the owner, no leases on this file system) proves nothing, and is an error
    only if `prove` is set.
    """
    try:
        # Opening it for writing now sends us a signal; SIGIO, the default, would kill the process.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise
        if prove:
            raise SourceChangedError(
                f"{display(source)}: nobody can tell whether it is still open",
                hint="Nothing to do: it is taken after the settle time.",
                kind="source-unproven",
            ) from None
    else:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _hash(source: str, file: io.BufferedReader, size: int) -> str:
    """Reads only `size` bytes: a file that grows faster than it is read would never end."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(size, _CHUNK)))
    while size:
        got = file.readinto(buffer[: min(size, _CHUNK)])
        if not got:
            raise _changed(source)
        digest.update(buffer[:got])
        size -= got
    return digest.hexdigest()


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
    told = unreadable(source, error)
    return SourceChangedError(told.message, hint=told.hint, kind="source-unreadable")


@dataclass(slots=True)
class Unit:
    """One or more files that become one job.

    Attributes:
        parts: The files as they looked when they settled.
        document: The joined document; None for a file that stands alone.
        found: The result of hashing each part, in the order of `parts`; empty until hashed.
        fault: An unexpected exception from hashing on a thread.
    """

    parts: tuple[Candidate, ...]
    document: Document | None = None
    found: list[Found | OcrdError] = field(default_factory=list)
    fault: Exception | None = None

    @property
    def size(self) -> int:
        """The sum of the parts' sizes, bytes."""
        return sum(part.seen.size for part in self.parts)

    def whole(self) -> list[Found]:
        """The hashed parts; empty unless every part was hashed successfully."""
        found = [each for each in self.found if isinstance(each, Found)]
        return found if len(found) == len(self.parts) else []


class Hashing:
    """Hashes units between settling and recording; used by one thread.

    Attributes:
        hashed: Units that are hashed and wait to be recorded.
        paths: The paths of the files of all units held here.
    """

    def __init__(
        self,
        folder: Folder,
        disk: Disk,
        clock: Callable[[], float],
        wake: Callable[[], object],
        max_bytes: int | None,
    ) -> None:
        self.hashed: list[Unit] = []
        self.paths: set[str] = set()
        self._folder = folder
        self._disk = disk
        self._clock = clock
        self._wake = wake
        self._max_bytes = max_bytes
        self._ready: deque[Unit] = deque()
        self._large: deque[Unit] = deque()
        self._aside: deque[Unit] = deque()  # large units, hashed; other threads append
        self._threads = 0

    def put(self, unit: Unit) -> None:
        """Queue a unit for hashing."""
        self.paths.update(part.path for part in unit.parts)
        (self._large if unit.size > LARGE_BYTES else self._ready).append(unit)

    def waits(self) -> bool:
        """Whether a unit waits to be hashed by `work`, or a hashed one to be recorded."""
        return bool(self.hashed or self._ready or self._aside)

    def gather(self) -> None:
        """Move units that threads have hashed to `hashed`.

        Raises:
            Exception: An unexpected exception in a hashing thread.
        """
        while self._aside:
            unit = self._aside.popleft()
            self._threads -= 1
            if unit.fault is not None:
                raise unit.fault
            self.hashed.append(unit)

    def work(self, *, small: bool) -> None:
        """Start threads for large files and, if `small` is set, hash small files here.

        Returns early enough for the hashed units to be recorded without a long wait.
        """
        while self._large and self._threads < LARGE_AT_ONCE:
            self._threads += 1
            unit = self._large.popleft()
            aside = threading.Thread(target=self._hash_aside, args=(unit,), daemon=True)
            aside.name = "hashing"
            aside.start()
        began, left = self._clock(), SHORT_BYTES if small else 0
        while self._ready and left > 0 and self._clock() - began < SHORT_S:
            unit = self._ready.popleft()
            left -= unit.size
            self._hash(unit)
            self.hashed.append(unit)
            if len(self.hashed) >= AT_ONCE:
                return

    def recorded(self) -> None:
        """Forget the hashed units: they are in the ledger."""
        for unit in self.hashed:
            self.paths.difference_update(part.path for part in unit.parts)
        self.hashed = []

    def _hash_aside(self, unit: Unit) -> None:
        try:
            self._hash(unit)
        except Exception as error:
            unit.fault = error  # for the thread that calls `gather`
        self._aside.append(unit)
        self._wake()

    def _hash(self, unit: Unit) -> None:
        for part in unit.parts:
            try:
                found = admit(self._folder, part, self._disk, max_bytes=self._max_bytes)
            except OcrdError as error:
                unit.found.append(error)
            else:
                unit.found.append(found)
