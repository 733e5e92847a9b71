"""What is ready in one inbox is checked and hashed, small files before large ones."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ocrd.config import Folder
from ocrd.errors import OcrdError
from ocrd.files import Disk
from ocrd.inbox.admit import admit
from ocrd.inbox.join import Document
from ocrd.inbox.settle import Candidate
from ocrd.job import Found

AT_ONCE = 500  # files recorded in one transaction
SHORT_S = 0.25  # so long, and so much, is hashed before it is recorded
SHORT_BYTES = 64 << 20
LARGE_BYTES = 16 << 20  # more is hashed aside, so that a letter need not wait for a book
LARGE_AT_ONCE = 2


@dataclass(slots=True)
class Unit:
    """Files on their way to one job.

    Attributes:
        parts: As they came to rest.
        document: What they make up; None for a file that stands alone.
        found: For each part what hashing it gave, once that is done.
        fault: What hashing it aside met, and nobody foresaw.
    """

    parts: tuple[Candidate, ...]
    document: Document | None = None
    found: list[Found | OcrdError] = field(default_factory=list)
    fault: Exception | None = None

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(part.seen.size for part in self.parts)

    def whole(self) -> list[Found]:
        """What to record; nothing where a part cannot be taken, or not now."""
        found = [each for each in self.found if isinstance(each, Found)]
        return found if len(found) == len(self.parts) else []


class Hashing:
    """Units from when they are ready until they are recorded; for one thread.

    Attributes:
        hashed: What waits for its record.
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
        self._folder = folder
        self._disk = disk
        self._clock = clock
        self._wake = wake
        self._max_bytes = max_bytes
        self._ready: deque[Unit] = deque()
        self._large: deque[Unit] = deque()
        self._aside: deque[Unit] = deque()  # large, and hashed; other threads append
        self._threads = 0
        self._paths: set[str] = set()

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, path: str) -> bool:
        """Whether a file is part of a unit here."""
        return path in self._paths

    def put(self, unit: Unit) -> None:
        """It is ready."""
        self._paths.update(part.path for part in unit.parts)
        (self._large if unit.size > LARGE_BYTES else self._ready).append(unit)

    def waits(self) -> bool:
        """Whether something is to be hashed in `work`, or to be recorded."""
        return bool(self.hashed or self._ready or self._aside)

    def gather(self) -> None:
        """What was hashed aside is hashed.

        Raises:
            Exception: Whatever nobody foresaw.
        """
        while self._aside:
            unit = self._aside.popleft()
            self._threads -= 1
            if unit.fault is not None:
                raise unit.fault
            self.hashed.append(unit)

    def start_large(self) -> None:
        """Large files are hashed on threads of their own."""
        while self._large and self._threads < LARGE_AT_ONCE:
            self._threads += 1
            unit = self._large.popleft()
            work = threading.Thread(target=self._hash_aside, args=(unit,), daemon=True)
            work.name = "hashing"
            work.start()

    def work(self) -> None:
        """As much as may be, before what is hashed waits too long for its record."""
        began, left = self._clock(), SHORT_BYTES
        while self._ready and left > 0 and self._clock() - began < SHORT_S:
            unit = self._ready.popleft()
            left -= unit.size
            self._hash(unit)
            self.hashed.append(unit)
            if len(self.hashed) >= AT_ONCE:
                return

    def recorded(self) -> None:
        """What was hashed is in the ledger."""
        for unit in self.hashed:
            self._paths.difference_update(part.path for part in unit.parts)
        self.hashed = []

    def _hash_aside(self, unit: Unit) -> None:
        try:
            self._hash(unit)
        except Exception as error:
            unit.fault = error  # for the thread that gathers
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
