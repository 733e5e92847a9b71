"""Numbers for the names of outputs: one for each document, never the same twice."""

from __future__ import annotations

from sqlalchemy.dialects.sqlite import insert

from ocrd.ledger.part import Part
from ocrd.ledger.tables import counters

_insert = insert(counters)
_NEXT = _insert.on_conflict_do_update(
    index_elements=["folder"], set_={"value": counters.c.value + 1}
).returning(counters.c.value)


class Counters(Part):
    """Counts the documents of each folder."""

    def next_number(self, folder: str) -> int:
        """The next number, from 1.  It is given for good: a crash leaves a gap, no double."""
        with self._db.write() as connection:
            number: int = connection.execute(_NEXT, {"folder": folder, "value": 1}).scalar_one()
        return number
