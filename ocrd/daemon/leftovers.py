"""Removes what a claim left in an inbox whose share went away before it was finished.

From another file system an original comes into the spool as a copy, and what was copied is removed
under a hidden name.  If the share is gone just then, nothing is there to be removed; when it is
back, a hidden file lies in it that nobody else would ever touch.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ocrd.config import Folder
from ocrd.events import Events
from ocrd.files import display
from ocrd.inbox.names import claimed_by
from ocrd.job import Job, Place


class Ledger(Protocol):
    """What is asked of the ledger."""

    def bearer(self, token: str) -> Job | None:
        """The job of that token, whatever its state."""


class Leftovers:
    """For one inbox.

    Args:
        folder: Whose inbox.
        ledger: Knows where the originals are.
        events: Is told of each removal.
    """

    def __init__(self, folder: Folder, *, ledger: Ledger, events: Events) -> None:
        self._folder = folder
        self._ledger = ledger
        self._events = events
        self._kept: set[str] = set()  # looked at before

    def remove(self, paths: Iterable[str]) -> None:
        """Remove each whose bytes are known to lie in the spool or behind it.

        Args:
            paths: Below the inbox, under the hidden name of a claim.

        Raises:
            LedgerError: It cannot be asked now.
        """
        for path in paths:
            if path not in self._kept:
                self._look_at(path)

    def _look_at(self, path: str) -> None:
        token = claimed_by(path.rpartition("/")[2])
        job = None if token is None else self._ledger.bearer(token)
        if job is not None and job.place in (Place.INBOX, Place.GONE):
            return  # being claimed just now, or going back
        whole = self._folder.inbox / path
        if job is None or _digest(whole) not in _digests(job):
            self._kept.add(path)
            return
        with contextlib.suppress(OSError):  # seen again at the next scan
            whole.unlink()
            self._events.emit(
                "inbox.leftover_removed",
                job=job.id,
                folder=job.folder,
                source=display(job.source),
            )


def _digests(job: Job) -> set[str]:
    return {job.sha256, *(member.sha256 for member in job.members)}


def _digest(path: Path) -> str | None:
    """None for what is no regular file, or cannot be read now."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
