"""Finds the pages that kill an engine, and remembers those that were convicted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping

from ocrd.engine.base import PageRequest
from ocrd.errors import PageError
from ocrd.events import Events
from ocrd.page import PageImage

SPLIT = 8
ALONE = 32  # with split 0: suspects to read one by one before groups of them grow
TOO_MANY = 3  # convictions in a row: then the engine is at fault, not the pages
MANY_KILLERS = 1000


class KnownKillers:
    """Pages that were convicted of killing an engine: refused from then on, in any job."""

    def __init__(self) -> None:
        self._known: dict[bytes, None] = {}

    def add(self, image: PageImage) -> None:
        """Remember a page that kills engines; beyond `MANY_KILLERS` the oldest is forgotten."""
        self._known[fingerprint(image)] = None
        while len(self._known) > MANY_KILLERS:
            del self._known[next(iter(self._known))]

    async def refuse(self, image: PageImage) -> None:
        """Refuse a page that is known to kill engines.

        Raises:
            PageError: The page is known.
        """
        # In a thread, because hashing takes milliseconds.
        if self._known and await asyncio.to_thread(fingerprint, image) in self._known:
            raise _kills_engine()


class PoisonSearch:
    """Remembers suspects, decides which pages may run together, and convicts.

    Args:
        killers: Convicted pages are added to it.
        events: Suspects and convictions are logged to it, with the fields in `where`.
        split: Suspects of a death are read in about so many groups.  0: one by one, and a
            conviction clears the others; for engines where a death costs more than a wait.
    """

    def __init__(
        self, killers: KnownKillers, events: Events, *, split: int = SPLIT, **where: str
    ) -> None:
        self._killers = killers
        self._events = events
        self._where = where
        self._split = split
        self._convicted: set[str] = set()
        self._cell: dict[str, int] = {}  # suspect -> the size of the group that it may run in
        self._in_a_row = 0
        self._proved = 0  # suspects that were read since the last death

    def __len__(self) -> int:
        return len(self._cell)

    def __contains__(self, page: str) -> bool:
        return page in self._cell

    @property
    def engine_at_fault(self) -> bool:
        """Whether several pages in a row were convicted and none was read in between."""
        return self._in_a_row >= TOO_MANY

    def accuse(self, crowd: Mapping[str, PageRequest]) -> None:
        """Handle an engine's death with these pages, of which earlier suspects are to blame."""
        suspects = [page for page in crowd if page in self._cell]
        convicted = self.died(suspects or crowd.keys())
        if convicted is not None:
            self._events.error("engine.page-kills", **self._where, page=convicted)
            self._convicted.add(convicted)
            self._killers.add(crowd[convicted].image)
        elif crowd:
            self._events.warn("engine.suspects", **self._where, pages=len(crowd))

    def check(self, page: str) -> None:
        """Check that a waiting page was not convicted meanwhile.

        Raises:
            PageError: It was convicted.
        """
        if page in self._convicted:
            raise _kills_engine()

    def died(self, in_flight: Collection[str]) -> str | None:
        """Record the engine's death with these pages in flight; the page it convicts, if any.

        No page is convicted once the engine itself is at fault.
        """
        self._proved = 0
        if self.engine_at_fault:
            self._cell.clear()
            return None
        if len(in_flight) == 1:
            (alone,) = in_flight
            if alone in self._cell:
                del self._cell[alone]
                self._in_a_row += 1
                if not self._split:
                    self._cell.clear()
                return alone
        size = max(1, len(in_flight) // self._split) if self._split else 1
        self._cell.update(dict.fromkeys(in_flight, size))
        return None

    def left(self, page: str, *, finished: bool) -> None:
        """A page has left the engine: `finished` with a result, or cancelled by its caller."""
        self._convicted.discard(page)
        suspect = self._cell.pop(page, None) is not None
        if finished:
            self._in_a_row = 0
            self._proved += suspect
            if suspect and not self._split and self._proved >= ALONE:
                self._cell = {other: 2 * size for other, size in self._cell.items()}

    def may_enter(self, page: str, in_flight: Collection[str]) -> bool:
        """Whether a page may enter the engine now, together with those in flight."""
        cell = self._cell.get(page)
        if cell is None:
            return not self._cell
        return len(in_flight) < cell and all(self._cell.get(other) == cell for other in in_flight)


def _kills_engine() -> PageError:
    """The error for a page that kills every engine."""
    return PageError(
        "This page ends the engine: twice an engine died with it, the second time alone.",
        hint="Try another resolution or mode for it; the engine's last words are in the log.",
        kind="kills-engine",
    )


def fingerprint(image: PageImage) -> bytes:
    """A hash of the page's size and pixels, equal for identical pages."""
    return hashlib.sha256(b"%d %d " % (image.width, image.height) + image.rgb).digest()
