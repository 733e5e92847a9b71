"""Whether an inbox exists, is still the same folder, and lies on a local disk.

The mount and marker last seen are kept over a restart: an empty mount point is not an empty inbox.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ocrd.files import Disk, write_durably
from ocrd.inbox.conditions import missing, unmarked, unmounted, unreadable
from ocrd.job import Cause
from ocrd.mounts import MARKER, Mount, is_remote, mount_at, mount_of, root_identity, share_lost


class Root:
    """The root folder of one inbox, checked repeatedly.

    Attributes:
        path: As configured.
        real: The folder that `path` resolves to; empty until a `check` succeeds.
        generation: Grows whenever a `check` succeeds with another folder than the last time, or
            with the same folder after a failure: all watches must then be renewed.

    Args:
        path: As configured.
        memory: The file that keeps, over a restart, which share the inbox lay on.
    """

    def __init__(self, path: Path, memory: Path | None = None) -> None:
        self.path = path
        self.real = ""
        self.generation = 0
        self._identity: tuple[int, int] | None = None
        self._memory = memory
        self._mount, self._marked = _recall(memory) if memory else (None, False)
        self._kept = self._mount, self._marked  # what the memory file says

    def forget(self) -> None:
        """Treat the folder found next as a new one, since the kernel ended its watch."""
        self._identity = None

    def check(self) -> Cause | None:
        """None if the inbox exists and is readable, otherwise why files cannot be taken from it."""
        shown = os.fspath(self.path)
        try:
            identity = root_identity(self.path)
        except OSError as error:
            self._identity = None
            return unreadable(shown, error)
        if identity is None or identity != self._identity:
            self._identity = None
            if self._mount is not None and share_lost(self.path, self._mount):
                return unmounted(shown, self._mount.source, self._mount.point, self._memory)
            if identity is None:
                return missing(shown)
        marked = os.path.lexists(self.path / MARKER)
        if self._marked and not marked:
            self._identity = None
            return unmarked(shown, MARKER, self._memory)
        if self._identity is None:
            self._identity = identity
            self.real = os.path.realpath(self.path)
            self._mount = mount_at(self.path)
            self.generation += 1
        self._marked = marked
        if (self._mount, marked) != self._kept:
            self._kept = self._mount, marked
            if self._memory is not None:
                _keep(self._mount, marked, self._memory)
        return None

    @property
    def native(self) -> bool:
        """Whether the kernel reports every change in it: it is not known to lie on a share."""
        return self._mount is None or not is_remote(self._mount.fstype)

    def local(self, table: Iterable[Mount]) -> bool:
        """Whether neither it nor any mount below it is a share, which may hang."""
        table = list(table)
        here = mount_of(self.real, table) if self.real else None
        below = self.real.rstrip("/") + "/"
        remote = any(is_remote(each.fstype) and each.point.startswith(below) for each in table)
        return here is not None and not is_remote(here.fstype) and not remote


def _recall(file: Path) -> tuple[Mount | None, bool]:
    """The mount and marker that `_keep` wrote; (None, False) if the file cannot be read."""
    try:
        told = json.loads(Disk().read(file) or b"")
        return told["mount"] and Mount(**told["mount"]), bool(told["marked"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, False


def _keep(mount: Mount | None, marked: bool, file: Path) -> None:
    """Remember the inbox's mount, if known, and whether the share's marker lay in it.

    If the disk is full, nothing is kept until the next change.
    """
    seen = {"mount": mount and asdict(mount), "marked": marked}
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o750, exist_ok=True)
        write_durably(file, json.dumps(seen).encode(), Disk())
