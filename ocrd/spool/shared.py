"""One call for all who ask for the same at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path


class Shared:
    """Makes a call for a path; who asks while one is under way shares the next with the others.

    That next one begins after all of them have asked.  So it may stand for a call of each of them
    when what it does is to make everything that was done before last.

    Args:
        call: What to do for a path, by whichever thread asked first.
    """

    def __init__(self, call: Callable[[Path], None]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._under_way: dict[str, _Round] = {}  # by path: a `Path` is slow to hash
        self._next: dict[str, _Round] = {}

    def __call__(self, path: Path) -> None:
        """Return when a call for `path` that began after this one has ended; raise what it did."""
        key = str(path)
        with self._lock:
            mine = self._next.get(key)
            leading = mine is None
            if mine is None:
                mine = self._next[key] = _Round()
            before = self._under_way.get(key)
        if leading:
            if before is not None:
                before.wait()
            self._lead(mine, key, path)
        else:
            mine.wait()
        if mine.error is not None:
            raise mine.error

    def _lead(self, mine: _Round, key: str, path: Path) -> None:
        with self._lock:
            self._under_way[key] = self._next.pop(key)
        try:
            self._call(path)
        except BaseException as error:
            mine.error = error
        finally:
            with self._lock:
                del self._under_way[key]
            mine.over.release()


class _Round:
    """One call: whether it has ended, and how."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.over = threading.Lock()  # held until then; an `Event` costs several times as much
        self.over.acquire()

    def wait(self) -> None:
        """Until it has ended."""
        with self.over:
            pass
