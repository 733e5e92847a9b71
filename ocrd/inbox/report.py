"""What a watch tells: the files that have come to rest, and how the inbox is getting on.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ocrd.inbox.conditions import Condition
from ocrd.inbox.settle import Fingerprint, Waiting
from ocrd.mounts import WatchKind

SHOWN = 100
"""So many overdue files and conditions are reported at most."""


class Candidate(NamedTuple):
    """A file that has come to rest.

    Attributes:
        path: Below the inbox, `os.fsdecode`d.
        seen: What it looked like all the while it rested.
    """

    path: str
    seen: Fingerprint


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchReport:
    """How an inbox is getting on, as of the last step.

    Attributes:
        kind: How it is watched now.
        waiting: Files seen and not yet admitted.
        oldest_s: For how many seconds the longest-waiting one has waited; None without any.
        overdue: Files that have waited too long (the first hundred).
        conditions: What is out of order (the first hundred).
        scans: How often all of it was looked through since the start.
        seen_until: Whatever came before this moment (of the watch's clock) has been seen; minus
            infinity before the first look through all of it.
        busy: Whether the last step left work undone: the next one should follow at once.
    """

    kind: WatchKind = "polling"
    waiting: int = 0
    oldest_s: float | None = None
    overdue: tuple[Waiting, ...] = ()
    conditions: tuple[Condition, ...] = ()
    scans: int = 0
    seen_until: float = float("-inf")
    busy: bool = False

    @property
    def paused(self) -> Condition | None:
        """Why no file is taken from the inbox; None when files are."""
        return next((found for found in self.conditions if found.pauses), None)
