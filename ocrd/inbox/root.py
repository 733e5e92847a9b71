"""Whether an inbox is there, is still the folder that it was, and lies on a disk of this machine.

What was once seen of it is kept over a restart: an empty mount point is no empty inbox.
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
    """The root of one inbox, looked at again and again.

    Attributes:
        path: As configured.
        real: The folder that it leads to; set by the first `check` that finds it well.
        generation: Grows whenever a well `check` finds another folder than the one before, or the
            same after a time without: whatever watched it must be made anew.

    Args:
        path: As configured.
        memory: A file to remember in, over a restart, what share the inbox lay on.
    """

    def __init__(self, path: Path, memory: Path | None = None) -> None:
        self.path = path
        self.real = ""
        self.generation = 0
        self._identity: tuple[int, int] | None = None
        self._memory = memory
        self._mount, self._marked = _recall(memory) if memory else (None, False)
        self._kept = self._mount, self._marked  # what the memory says

    def forget(self) -> None:
        """The kernel gave up its watch: what is found next is another folder, even if it is not."""
        self._identity = None

    def check(self) -> Cause | None:
        """None when the inbox is there and readable; else why files cannot be taken from it."""
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
        """Whether the kernel tells of all that happens in it."""
        return self._mount is None or not is_remote(self._mount.fstype)

    def local(self, table: Iterable[Mount]) -> bool:
        """Whether neither it nor anything below it lies on a share, which may hang."""
        table = list(table)
        here = mount_of(self.real, table) if self.real else None
        below = self.real.rstrip("/") + "/"
        remote = any(is_remote(each.fstype) and each.point.startswith(below) for each in table)
        return here is not None and not is_remote(here.fstype) and not remote


def _recall(file: Path) -> tuple[Mount | None, bool]:
    """What `_keep` wrote; nothing seen when there is nothing that can be understood."""
    try:
        told = json.loads(Disk().read(file) or b"")
        return told["mount"] and Mount(**told["mount"]), bool(told["marked"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, False


def _keep(mount: Mount | None, marked: bool, file: Path) -> None:
    """Keep what the inbox lay on, if the kernel tells, and whether the share's marker lay in it.

    With a full disk it is said again at the next change.
    """
    seen = {"mount": mount and asdict(mount), "marked": marked}
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o750, exist_ok=True)
        write_durably(file, json.dumps(seen).encode(), Disk())
