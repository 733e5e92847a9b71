"""The kernel's events below one folder, by watchdog.  They are hints: any may be missing."""

from __future__ import annotations

import ctypes
import errno
import os
import threading

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyEvent, InotifyFD

WANTED: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]

_IN_CREATE = 0x100  # inotify(7); which event is asked for does not matter to the limit
_IN_UNMOUNT = 0x2000  # inotify(7); watchdog passes it by


class Hints:
    """What the watch's threads leave for the one that looks.  Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._lost = False

    def add(self, path: str) -> None:
        """Look at `path`."""
        with self._lock:
            self._paths.add(path)

    def lose(self) -> None:
        """Events were lost: look at everything."""
        with self._lock:
            self._lost = True

    def pending(self) -> bool:
        """Whether there is something to look at."""
        with self._lock:
            return bool(self._paths) or self._lost

    def take(self) -> tuple[set[str], bool]:
        """The paths to look at, and whether events were lost, since the last call."""
        with self._lock:
            paths, lost = self._paths, self._lost
            self._paths, self._lost = set(), False
        return paths, lost


class NativeWatch:
    """Watches a folder and all below it; puts paths below it into `hints`.

    Args:
        root: The folder, absolute and free of symbolic links (a linked root gives no events).
        hints: Where the paths go.
    """

    def __init__(self, root: str, hints: Hints) -> None:
        self._root = root
        self._hints = hints
        self._reader: _Reader | None = None
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Begin; when it returns, whatever happens from now on gives a hint.

        Raises:
            OSError: No watch is to be had: ENOSPC or EMFILE for the kernel's limits.
        """
        self._reader = _Reader(self._hints)
        self._reader.start()
        self._observer = BaseObserver(InotifyEmitter, inotify_fd=self._reader)
        try:
            handler = _Enqueue(self._root, self._hints)
            self._observer.schedule(handler, self._root, recursive=True, event_filter=WANTED)
            self._observer.start()
            probe(self._root)
        except OSError:
            self.stop()
            raise

    def alive(self) -> bool:
        """Whether events can still come: each thread that they pass through runs.

        The emitter ends when its root is deleted; the observer would stay alive without it.
        Nothing ends when the file system is unmounted, and yet all watches are gone.
        """
        observer, reader = self._observer, self._reader
        if observer is None or reader is None or reader.unmounted:
            return False
        return all(thread.is_alive() for thread in (observer, reader, *observer.emitters))

    def stop(self) -> None:
        """Give all watches and threads back."""
        for thread in (self._observer, self._reader):
            if thread is not None:
                thread.stop()
        for thread in (self._observer, self._reader):
            if thread is not None and thread.is_alive():
                thread.join()
        self._observer = self._reader = None


def probe(root: str) -> None:
    """Ask the kernel for one more watch and give it back.

    watchdog says nothing when a sub-folder cannot be watched for want of watches; this does.

    Raises:
        OSError: ENOSPC: max_user_watches is reached; EMFILE: max_user_instances, or the process's
            own limit of descriptors.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    if fd < 0:
        raise _last_error()
    try:
        if libc.inotify_add_watch(fd, os.fsencode(root), _IN_CREATE) < 0:
            error = _last_error()
            if error.errno == errno.ENOSPC:
                raise error
    finally:
        os.close(fd)


def _last_error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


class _Enqueue(FileSystemEventHandler):
    """Enqueues and does nothing else: an error here would kill watchdog's thread."""

    def __init__(self, root: str, hints: Hints) -> None:
        self._prefix = root.rstrip("/") + "/"
        self._hints = hints

    def on_any_event(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            name = os.fsdecode(path)
            if name.startswith(self._prefix):
                self._hints.add(name[len(self._prefix) :])


class _Reader(InotifyFD):
    """Tells what watchdog keeps to itself: events were lost, or the file system is gone."""

    def __init__(self, hints: Hints) -> None:
        super().__init__()
        self.unmounted = False
        self._hints = hints

    def handle_event(self, event: InotifyEvent) -> None:
        self.unmounted |= bool(event.mask & _IN_UNMOUNT)
        super().handle_event(event)
        if event.is_queue_overflow:  # not before watchdog has made its watches anew
            self._hints.lose()
