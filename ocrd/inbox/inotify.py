"""Kernel events for any number of folders, on one descriptor and without a thread.

Events are hints: any may be missing.  inotify(7) watches single folders; a caller that scans a tree
adds each folder it meets on every scan, which repairs any watch that was lost.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ocrd.inbox.settle import Sign
from ocrd.oserrors import last_refusal

if TYPE_CHECKING:
    from ocrd.inbox.watcher import Watcher

_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x8, 0x40, 0x80
_CREATE, _DELETE = 0x100, 0x200
_UNMOUNT, _OVERFLOW, _IGNORED, _ISDIR = 0x2000, 0x4000, 0x8000, 0x40000000
_ONLYDIR, _DONT_FOLLOW, _EXCL_UNLINK = 0x01000000, 0x02000000, 0x04000000

_WANTED = _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_HOW = _ONLYDIR | _DONT_FOLLOW | _EXCL_UNLINK
_SIGNS = {
    _CREATE: Sign.CREATED,
    _MODIFY: Sign.WRITTEN,
    _CLOSE_WRITE: Sign.CLOSED,
    _MOVED_TO: Sign.MOVED,
}
_HEAD = struct.Struct("iIII")
_READ = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


class Event(NamedTuple):
    """An event in a watched folder.

    Attributes:
        whose: The watcher of the folder; None when events were lost, which concerns all watchers.
        folder: As it was given to `add`.
        name: The entry concerned; empty for the folder itself, which is no longer watched.
        sign: What happened.
        is_folder: Whether `name` is a folder.
    """

    whose: Watcher | None
    folder: str
    name: str
    sign: Sign
    is_folder: bool


class Inotify:
    """An inotify instance; for one thread.

    Raises:
        OSError: EMFILE: no more instances (or descriptors) are available.
    """

    def __init__(self) -> None:
        self._places: dict[int, tuple[Watcher, str]] = {}
        self._fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise last_refusal()

    def fileno(self) -> int:
        """The descriptor to poll."""
        return int(self._fd)

    def close(self) -> None:
        """Close the descriptor, which ends all watches."""
        os.close(self._fd)
        self._places.clear()

    def add(self, whose: Watcher, path: str, folder: str) -> None:
        """Watch the folder `path`; its events name it `folder`.  Adding it again is harmless.

        Raises:
            OSError: ENOSPC: the kernel's limit of watches is reached; others: it is not a folder
                any more.
        """
        watch = _libc.inotify_add_watch(self._fd, os.fsencode(path), _WANTED | _HOW)
        if watch < 0:
            raise last_refusal()
        self._places[watch] = whose, folder

    def remove(self, whose: Watcher, folder: str = "") -> None:
        """Stop watching `folder` and all folders below it; by default all of this watcher."""
        for watch, (owner, path) in list(self._places.items()):
            if owner is whose and (not folder or path == folder or path.startswith(f"{folder}/")):
                del self._places[watch]
                _libc.inotify_rm_watch(self._fd, watch)

    def read(self) -> Iterator[Event]:
        """Yield the events since the last call."""
        while True:
            try:
                pieces = os.read(self._fd, _READ)
            except BlockingIOError:
                return
            at = 0
            while at < len(pieces):
                watch, mask, _, length = _HEAD.unpack_from(pieces, at)
                name = pieces[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0")
                at += _HEAD.size + length
                event = self._event(watch, mask, os.fsdecode(name))
                if event is not None:
                    yield event

    def _event(self, watch: int, mask: int, name: str) -> Event | None:
        if mask & _OVERFLOW:
            return Event(None, "", "", Sign.LOOK, is_folder=False)
        if watch not in self._places:
            return None
        whose, folder = self._places[watch]
        if mask & (_IGNORED | _UNMOUNT):
            if mask & _IGNORED:
                del self._places[watch]
            return Event(whose, folder, "", Sign.LOOK, is_folder=True)
        is_folder = bool(mask & _ISDIR)
        if is_folder and mask & _MOVED_FROM:  # its watches move with it: their paths are now wrong
            self.remove(whose, f"{folder}/{name}" if folder else name)
        sign = next((sign for bit, sign in _SIGNS.items() if mask & bit), Sign.LOOK)
        return Event(whose, folder, name, sign, is_folder)
