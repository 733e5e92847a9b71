"""Keeps the kernel's events coming for one inbox, or says why it is polled instead."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Literal

from ocrd.inbox.conditions import Condition, limited, unwatched
from ocrd.inbox.native import Hints, NativeWatch, probe
from ocrd.mounts import WatchKind, watch_kind

RETRY_S = 600.0
"""After a limit was met, events are asked for again so much later: limits are seldom raised."""

RESTART_S = 5.0
"""After any other failure: soon, and yet not in circles."""

Choice = Literal["auto", "native", "polling"]


class EventSource:
    """The native watch of one folder, made, minded and made again.

    Args:
        hints: Where its paths go.
        choice: `auto` looks at the file system; the others do as they say.

    Attributes:
        condition: Why there are no events although there should be.
    """

    def __init__(self, hints: Hints, choice: Choice = "auto") -> None:
        self.condition: Condition | None = None
        self._hints = hints
        self._choice = choice
        self._watch: NativeWatch | None = None
        self._root = ""
        self._wanted = False
        self._not_before = 0.0

    @property
    def kind(self) -> WatchKind:
        """Whether events come now."""
        return "native" if self._watch is not None else "polling"

    def healthy(self) -> bool:
        """False when a watch died and `mind` has not seen to it yet.  For any thread."""
        watch = self._watch
        return watch is None or watch.alive()

    def open(self, root: str, now: float) -> None:
        """Watch `root` (absolute, no symbolic links) from now on, and nothing else."""
        self.close()
        self._root = root
        kind = watch_kind(Path(root)) if self._choice == "auto" else self._choice
        self._wanted = kind == "native"
        if self._wanted:
            self._start(now)

    def mind(self, now: float) -> bool:
        """See that events come; True when some may be missing, so that all must be scanned."""
        if self._watch is not None and not self._watch.alive():
            self._give_up(None, now)
            return True
        if self._wanted and self._watch is None and now >= self._not_before:
            self._start(now)
            return self._watch is not None
        return False

    def check_limit(self, now: float) -> None:
        """Give up when the kernel has no watch left: new sub-folders would go unwatched."""
        if self._watch is not None:
            try:
                probe(self._root)
            except OSError as error:
                self._give_up(error, now)

    def close(self) -> None:
        """No more events."""
        if self._watch is not None:
            self._watch.stop()
        self._watch = None
        self._wanted = False
        self.condition = None

    def _start(self, now: float) -> None:
        watch = NativeWatch(self._root, self._hints)
        try:
            watch.start()
        except OSError as error:
            self._give_up(error, now)
        else:
            self._watch = watch
            self.condition = None

    def _give_up(self, error: OSError | None, now: float) -> None:
        if self._watch is not None:
            self._watch.stop()
        self._watch = None
        if error is not None and error.errno in {errno.ENOSPC, errno.EMFILE}:
            self.condition = limited(self._root, error)
            self._not_before = now + RETRY_S
        else:
            self.condition = unwatched(self._root, error)
            self._not_before = now + RESTART_S
