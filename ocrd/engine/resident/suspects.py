"""Which page kills the engine?  Pure.

Every page that was in flight when the engine died is a suspect.  Suspects run again without
other company, in groups an eighth the size of the crowd they died in; a group that kills the
engine is split again.  A suspect that was alone when the engine died is convicted.  With 512
pages in flight that takes three deaths, where halving would take nine and one by one would keep
the engine idle for most of an hour.
"""

from __future__ import annotations

from collections.abc import Collection

SPLIT = 8
TOO_MANY = 3  # convictions in a row: then it is not the pages


class Suspects:
    """Remembers suspects, says who may run together, and convicts."""

    def __init__(self) -> None:
        self._cell: dict[str, int] = {}  # suspect -> how many may run together with it
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._cell)

    def __contains__(self, page: str) -> bool:
        return page in self._cell

    @property
    def engine_at_fault(self) -> bool:
        """Whether page after page was convicted and none came through in between."""
        return self._in_a_row >= TOO_MANY

    def died(self, in_flight: Collection[str]) -> str | None:
        """The engine died with these pages in flight.  Returns the page this convicts, if any.

        Nobody is convicted once the engine itself is at fault.
        """
        if self.engine_at_fault:
            self._cell.clear()
            return None
        if len(in_flight) == 1:
            (alone,) = in_flight
            if alone in self._cell:
                del self._cell[alone]
                self._in_a_row += 1
                return alone
        size = max(1, len(in_flight) // SPLIT)
        self._cell.update(dict.fromkeys(in_flight, size))
        return None

    def left(self, page: str, *, finished: bool) -> None:
        """A page is out of the engine: `finished` with a result, or given up by its caller."""
        self._cell.pop(page, None)
        if finished:
            self._in_a_row = 0

    def may_enter(self, page: str, in_flight: Collection[str]) -> bool:
        """Whether a page may go into the engine now, beside those in flight."""
        cell = self._cell.get(page)
        if cell is None:
            return not self._cell
        return len(in_flight) < cell and all(self._cell.get(other) == cell for other in in_flight)
