"""Which page of which file is page n of a document.  Pure, and said nowhere else.

The files of a joined document follow one another.  In a duplex pile the fronts of all sheets come
first and then their backs, either in the same order or, when the pile was turned over, last first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from ocrd.errors import BadFileError

SINGLE = "none"  # a document that is in order as it comes
REVERSED = "reversed"  # fronts 1 … n, backs n … 1
SAME = "same"  # fronts 1 … n, backs 1 … n

Key: TypeAlias = "list[int | str]"


@dataclass(frozen=True, slots=True)
class Collation:
    """The order of a document's pages.

    Attributes:
        counts: How many pages each file gives, in the order of the files; each at least 1.
        duplex: `SINGLE`, `REVERSED` or `SAME`.
    """

    counts: tuple[int, ...]
    duplex: str = SINGLE

    @classmethod
    def of(cls, counts: Sequence[int], duplex: str) -> Collation:
        """The order of the pages of files that have so many each.

        Raises:
            BadFileError: Fronts and backs are not equally many (kind `uneven-pile`).
        """
        collation = cls(tuple(counts), duplex)
        if duplex != SINGLE:
            _require_even(collation.counts)
        return collation

    @property
    def pages(self) -> int:
        """How many pages the document has."""
        return sum(self.counts)

    @property
    def plain(self) -> bool:
        """Whether page n is simply page n of the only file."""
        return len(self.counts) == 1 and self.duplex == SINGLE

    def place(self, number: int) -> tuple[int, int]:
        """Where page `number` of the document, from 1, is found.

        Returns:
            The file's index, from 0, and the page in it, from 1.
        """
        scanned = self._scanned(number)
        ends = list(accumulate(self.counts))
        file = bisect_right(ends, scanned - 1)
        return file, scanned - (ends[file - 1] if file else 0)

    def key(self) -> Key | None:
        """What results of pages depend on; None where page numbers are the file's own."""
        return None if self.plain else [self.duplex, *self.counts]

    def _scanned(self, number: int) -> int:
        """As the how-manieth, from 1, the page was scanned."""
        if self.duplex == SINGLE:
            return number
        sheet, is_back = (number + 1) // 2, number % 2 == 0
        if not is_back:
            return sheet
        return self.pages // 2 + sheet if self.duplex == SAME else self.pages + 1 - sheet


def _require_even(counts: Sequence[int]) -> None:
    pages = sum(counts)
    if len(counts) == 2 and counts[0] != counts[1]:
        fronts, backs = counts
        told = f"the pile has {_so_many(fronts, 'front')} and {_so_many(backs, 'back')}"
    elif pages % 2:
        told = f"the pile has {_so_many(pages, 'page')}, which is no even number"
    else:
        return
    raise BadFileError(
        f"Fronts and backs cannot be put together: {told}.",
        hint="A sheet was missed or fed twice, or the pile was printed on one side only: scan it "
        "again, both sides of every sheet, or drop it into a folder without `duplex`.",
        kind="uneven-pile",
    )


def _so_many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
