"""Which folders are outside their schedule now, and when their pages are read again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ocrd.config import Folder


class Hours:
    """The folders' schedules against a clock.

    Args:
        clock: Seconds since the epoch.
        heed: False reads at any time: who works an inbox off by hand wants it done now.
    """

    def __init__(self, clock: Callable[[], float], *, heed: bool = True) -> None:
        self._clock = clock
        self._heed = heed

    def opens_at(self, folder: Folder) -> float | None:
        """When the folder's pages are read again, seconds since the epoch; None if they are now."""
        return folder.schedule.opens_at(self._clock()) if self._heed else None

    def closed(self, folders: Iterable[Folder]) -> set[str]:
        """The names of those whose pages are not read now."""
        return {folder.name for folder in folders if self.opens_at(folder) is not None}
