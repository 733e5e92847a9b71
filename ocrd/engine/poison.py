"""Which page ends an engine?  Engines that die with pages in them ask here; the proven are kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping

from ocrd.engine.base import PageRequest
from ocrd.errors import PageError
from ocrd.events import Events
from ocrd.page import PageImage

SPLIT = 8
ALONE = 32  # suspects to try one by one before more are trusted together, where deaths are dear
TOO_MANY = 3  # convictions in a row: then it is not the pages
MANY_KILLERS = 1000


class KnownKillers:
    """Pages that were convicted: refused from then on, whatever job brings them."""

    def __init__(self) -> None:
        self._known: dict[bytes, None] = {}

    def add(self, image: PageImage) -> None:
        """It ends engines."""
        self._known[fingerprint(image)] = None
        while len(self._known) > MANY_KILLERS:
            del self._known[next(iter(self._known))]

    async def refuse(self, image: PageImage) -> None:
        """Let a page pass that is not known.

        Raises:
            PageError: It is.
        """
        # Off the event loop: it takes milliseconds.
        if self._known and await asyncio.to_thread(fingerprint, image) in self._known:
            raise _kills_engine()


class PoisonSearch:
    """Remembers suspects, says who may run together, and convicts.

    Args:
        killers: Gets the convicted.
        events: Is told of suspects and of convictions, and where that was.
        split: After a death its suspects are read in so many parties; 0: one by one, and a
            conviction frees the others, where a death costs more than a wait.
    """

    def __init__(
        self, killers: KnownKillers, events: Events, *, split: int = SPLIT, **where: str
    ) -> None:
        self._killers = killers
        self._events = events
        self._where = where
        self._split = split
        self._convicted: set[str] = set()
        self._cell: dict[str, int] = {}  # suspect -> how many may run together with it
        self._in_a_row = 0
        self._proved = 0  # suspects that came through since the last death

    def __len__(self) -> int:
        return len(self._cell)

    def __contains__(self, page: str) -> bool:
        return page in self._cell

    @property
    def engine_at_fault(self) -> bool:
        """Whether page after page was convicted and none came through in between."""
        return self._in_a_row >= TOO_MANY

    def accuse(self, crowd: Mapping[str, PageRequest]) -> None:
        """An engine died with these pages; those of them that were suspects before are why."""
        suspects = [page for page in crowd if page in self._cell]
        convicted = self.died(suspects or crowd.keys())
        if convicted is not None:
            self._events.error("engine.page-kills", **self._where, page=convicted)
            self._convicted.add(convicted)
            self._killers.add(crowd[convicted].image)
        elif crowd:
            self._events.warn("engine.suspects", **self._where, pages=len(crowd))

    def check(self, page: str) -> None:
        """Let a page wait on that was not convicted.

        Raises:
            PageError: It was.
        """
        if page in self._convicted:
            raise _kills_engine()

    def died(self, in_flight: Collection[str]) -> str | None:
        """The engine died with these pages in flight.  Returns the page this convicts, if any.

        Nobody is convicted once the engine itself is at fault.
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
        """A page is out of the engine: `finished` with a result, or given up by its caller."""
        self._convicted.discard(page)
        suspect = self._cell.pop(page, None) is not None
        if finished:
            self._in_a_row = 0
            self._proved += suspect
            if suspect and not self._split and self._proved >= ALONE:
                self._cell = {other: 2 * size for other, size in self._cell.items()}

    def may_enter(self, page: str, in_flight: Collection[str]) -> bool:
        """Whether a page may go into the engine now, beside those in flight."""
        cell = self._cell.get(page)
        if cell is None:
            return not self._cell
        return len(in_flight) < cell and all(self._cell.get(other) == cell for other in in_flight)


def _kills_engine() -> PageError:
    """The verdict on a page that ends every engine it meets."""
    return PageError(
        "This page ends the engine: twice an engine died with it, the second time alone.",
        hint="Try another resolution or mode for it; the engine's last words are in the log.",
        kind="kills-engine",
    )


def fingerprint(image: PageImage) -> bytes:
    """What two copies of a page share."""
    return hashlib.sha256(b"%d %d " % (image.width, image.height) + image.rgb).digest()
