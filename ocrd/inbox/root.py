"""Whether an inbox is there, and is still the folder that it was."""

from __future__ import annotations

import os
from pathlib import Path

from ocrd.inbox.conditions import Condition, missing, unmarked, unmounted, unreadable
from ocrd.inbox.memory import Seen, keep, recall
from ocrd.mounts import MARKER, remember, root_identity, share_lost


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
        self._seen = recall(memory) if memory else Seen()
        self._mount = self._seen.mount

    def check(self) -> Condition | None:
        """None when the inbox is there and readable; else why files cannot be taken from it."""
        shown = os.fspath(self.path)
        try:
            identity = root_identity(self.path)
        except OSError as error:
            self._identity = None
            return unreadable(shown, error, pauses=True)
        if identity is None or identity != self._identity:
            self._identity = None
            if self._mount is not None and share_lost(self.path, self._mount):
                return unmounted(shown, self._mount.source, self._mount.point, self._memory)
            if identity is None:
                return missing(shown)
        marked = os.path.lexists(self.path / MARKER)
        if self._seen.marked and not marked:
            self._identity = None
            return unmarked(shown, MARKER, self._memory)
        if self._identity is None:
            self._begin(identity)
        self._remember(Seen(self._mount, marked))
        return None

    def _begin(self, identity: tuple[int, int]) -> None:
        self._identity = identity
        self._mount = remember(self.path)
        self.real = os.path.realpath(self.path)
        self.generation += 1

    def _remember(self, seen: Seen) -> None:
        if seen != self._seen and self._memory is not None:
            keep(seen, self._memory)
        self._seen = seen
