"""Which files belong to one document, and in which order.  Pure.

Only files of the same folder below the inbox ever belong together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import Protocol

from ocrd.inbox.names import stem
from ocrd.inbox.report import Candidate

NS = 1_000_000_000
TOLD = 20

_DIGITS = re.compile(r"(\d+)")

Order = tuple[object, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """Files that make up one document.

    Attributes:
        name: Path below the inbox: the folder of the files and the document's name.
        parts: The files in page order.
        alone: Whether it is one file that was not named as part of a document.
        missing: Numbers of pages that are not there although later ones are (the first twenty).
        doubled: Paths of files that bear the number of the one before them.
    """

    name: str
    parts: tuple[Candidate, ...]
    alone: bool = False
    missing: tuple[int, ...] = ()
    doubled: tuple[str, ...] = ()


class Rule(Protocol):
    """Tells what belongs together."""

    one_of_a_name: bool
    """Whether two documents of one name are the same one, of which pages came late."""

    def bin(self, path: str) -> str | None:
        """Files of one bin may belong together; None for a file that stands alone."""

    def documents(self, parts: Collection[Candidate]) -> list[Document]:
        """The documents that the files of one bin make up."""


class ByPattern:
    """The names say it.

    Args:
        pattern: A regular expression for the whole name of a file, with the groups `document` and
            `page`.
    """

    one_of_a_name = True

    def __init__(self, pattern: str) -> None:
        self._match = re.compile(pattern).fullmatch

    def bin(self, path: str) -> str | None:
        """The document's name."""
        folder, slash, name = path.rpartition("/")
        match = self._match(name)
        document = (match["document"] or "").strip() if match else ""
        usable = document and not document.startswith(".")  # it will be the name of a folder
        return f"{folder}{slash}{document}" if usable else None

    def documents(self, parts: Collection[Candidate]) -> list[Document]:
        """Just one, by page number; two files of one number follow each other by name."""
        ordered = sorted(parts, key=lambda part: _page_order(self._page(part), part.path))
        pages = [self._page(part) for part in ordered]
        pairs = zip(ordered[1:], pages[1:], pages[:-1], strict=True)
        return [
            Document(
                name=self.bin(ordered[0].path) or ordered[0].path,
                parts=tuple(ordered),
                missing=_missing([int(page) for page in pages if page.isdecimal()]),
                doubled=tuple(part.path for part, page, before in pairs if _equal(page, before)),
            )
        ]

    def _page(self, part: Candidate) -> str:
        match = self._match(part.path.rpartition("/")[2])
        return (match["page"] or "") if match else ""


class ByPause:
    """Their times say it: the next page comes soon after the one before.

    Args:
        pause_s: The longest gap between the modification times of two pages, seconds.
    """

    one_of_a_name = False

    def __init__(self, pause_s: float) -> None:
        self._pause_ns = int(pause_s * NS)

    def bin(self, path: str) -> str | None:
        """The folder that it lies in."""
        return path.rpartition("/")[0]

    def documents(self, parts: Collection[Candidate]) -> list[Document]:
        """One for each pile, named after its first file; its files in the order of their names."""
        piles: list[list[Candidate]] = []
        last = 0
        for part in sorted(parts, key=lambda part: part.seen.mtime_ns):
            if not piles or part.seen.mtime_ns - last > self._pause_ns:
                piles.append([])
            piles[-1].append(part)
            last = part.seen.mtime_ns
        return [_pile(pile) for pile in piles]


def natural(name: str) -> Order:
    """A key that sorts as people count: `page 2` before `page 10`, capitals like small letters."""
    pieces = _DIGITS.split(name.casefold())  # text and digits take turns, text first
    counted = tuple(int(piece) if at % 2 else piece for at, piece in enumerate(pieces))
    return (counted, name)


def pile_name(first: str) -> str:
    """What a pile is called that begins with the file `first`, be it the only one."""
    folder, slash, name = first.rpartition("/")
    return f"{folder}{slash}{stem(name)}"


def _pile(parts: Sequence[Candidate]) -> Document:
    ordered = sorted(parts, key=lambda part: natural(part.path))
    return Document(name=pile_name(ordered[0].path), parts=tuple(ordered), alone=len(ordered) == 1)


def _page_order(page: str, path: str) -> Order:
    """The page without any (`scan`, `scan_2` …) comes first, those without a number come last."""
    if page.isdecimal():
        return (1, int(page), natural(path))
    return (2 if page else 0, natural(page), natural(path))


def _equal(page: str, before: str) -> bool:
    if page.isdecimal() and before.isdecimal():
        return int(page) == int(before)
    return page == before


def _missing(pages: Sequence[int]) -> tuple[int, ...]:
    """At most so many as anybody reads: nothing keeps a name from bearing the number 10**99."""
    there = sorted(set(pages))
    gaps = (range(before + 1, page) for before, page in pairwise(there))
    return tuple(islice(chain.from_iterable(gaps), TOLD))
