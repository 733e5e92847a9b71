"""Decides which files make up a document, in which order, and when it is complete.  Pure.

Only files in the same folder below the inbox ever belong together.  Times are seconds of the
inbox's monotonic clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from typing import Protocol

from ocrd.inbox.settle import Candidate
from ocrd.names import stem

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
        missing: Numbers of missing pages between those present (the first twenty).
        doubled: Paths of files that have the same page number as the file before them.
    """

    name: str
    parts: tuple[Candidate, ...]
    alone: bool = False
    missing: tuple[int, ...] = ()
    doubled: tuple[str, ...] = ()


class Rule(Protocol):
    """Decides which files belong together."""

    one_of_a_name: bool
    """Whether two documents of the same name are one document, some of whose pages came late."""

    def bin(self, path: str) -> str | None:
        """The bin of a file: only files of one bin may belong together; None if it stands alone."""

    def documents(self, parts: Collection[Candidate]) -> list[Document]:
        """The documents that the files of one bin make up."""


class ByPattern:
    """Joins files by their names.

    Args:
        pattern: A regular expression for the whole name of a file, with the groups `document` and
            `page`.
    """

    one_of_a_name = True

    def __init__(self, pattern: str) -> None:
        self._match = re.compile(pattern).fullmatch

    def bin(self, path: str) -> str | None:
        """The document's path below the inbox; None if the file's name gives none."""
        folder, slash, name = path.rpartition("/")
        match = self._match(name)
        document = (match["document"] or "").strip() if match else ""
        usable = document and not document.startswith(".")  # it becomes the name of a folder
        return f"{folder}{slash}{document}" if usable else None

    def documents(self, parts: Collection[Candidate]) -> list[Document]:
        """A single document, by page number; files with the same number are ordered by name."""
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
    """Joins files by their times: each page follows soon after the one before.

    Args:
        pause_s: The longest gap between the modification times of two pages, seconds.
    """

    one_of_a_name = False

    def __init__(self, pause_s: float) -> None:
        self._pause_ns = int(pause_s * NS)

    def bin(self, path: str) -> str | None:
        """The folder that the file lies in."""
        return path.rpartition("/")[0]

    def documents(self, parts: Collection[Candidate]) -> list[Document]:
        """One document for each pile, named after its first file; its files ordered by name."""
        piles: list[list[Candidate]] = []
        last = 0
        for part in sorted(parts, key=lambda part: part.seen.mtime_ns):
            if not piles or part.seen.mtime_ns - last > self._pause_ns:
                piles.append([])
            piles[-1].append(part)
            last = part.seen.mtime_ns
        named = [sorted(pile, key=lambda part: natural(part.path)) for pile in piles]
        return [
            Document(name=pile_name(pile[0].path), parts=tuple(pile), alone=len(pile) == 1)
            for pile in named
        ]


def natural(name: str) -> Order:
    """A sort key with numbers by value and without regard to case: `page 2` before `page 10`."""
    pieces = _DIGITS.split(name.casefold())  # text and digits alternate, text first
    counted = tuple(int(piece) if at % 2 else piece for at, piece in enumerate(pieces))
    return (counted, name)


def pile_name(first: str) -> str:
    """The name of the pile whose first, or only, file is `first`."""
    folder, slash, name = first.rpartition("/")
    return f"{folder}{slash}{stem(name)}"


def _page_order(page: str, path: str) -> Order:
    """Sort key: a file without a page (`scan` beside `scan_2`) first, unnumbered pages last."""
    if page.isdecimal():
        return (1, int(page), natural(path))
    return (2 if page else 0, natural(page), natural(path))


def _equal(page: str, before: str) -> bool:
    if page.isdecimal() and before.isdecimal():
        return int(page) == int(before)
    return page == before


def _missing(pages: Sequence[int]) -> tuple[int, ...]:
    """The first missing numbers: their count must be limited, since a name may have page 10**99."""
    there = sorted(set(pages))
    gaps = (range(before + 1, page) for before, page in pairwise(there))
    return tuple(islice(chain.from_iterable(gaps), TOLD))


def rule_for(join: str, pattern: str, pause_s: float) -> Rule | None:
    """The rule that a folder's `join` names; None if files are not joined."""
    if join == "pattern":
        return ByPattern(pattern)
    return ByPause(pause_s) if join == "pause" else None


@dataclass(slots=True)
class _Part:
    candidate: Candidate
    since: float  # when it was first offered with its present look


@dataclass(slots=True)
class _Bin:
    parts: dict[str, _Part] = field(default_factory=dict)
    marked: dict[str, float] = field(default_factory=dict)  # when, by a document's first file


class Joiner:
    """Holds settled files until their document is complete.

    A document is complete when `pause_s` have passed since its last file came, or as soon as its
    marker is there.  It is never complete before all files that came in the meantime have been
    seen, nor while a file that may belong to it has yet to settle.

    A complete document is returned at every look until its files are dropped, so that it cannot be
    lost in the handover.

    Args:
        rule: Decides which files belong together.
        pause_s: Seconds to wait for another file.
    """

    def __init__(self, rule: Rule, pause_s: float) -> None:
        self.rule = rule
        self._pause_s = pause_s
        self._bins: dict[str, _Bin] = {}

    def __len__(self) -> int:
        return sum(len(bin_.parts) for bin_ in self._bins.values())

    def __iter__(self) -> Iterator[str]:
        """The paths of the files held."""
        for bin_ in self._bins.values():
            yield from bin_.parts

    def __contains__(self, path: str) -> bool:
        key = self.rule.bin(path)
        return key in self._bins and path in self._bins[key].parts

    def add(self, candidate: Candidate, now: float) -> bool:
        """Hold a settled file; False if it stands alone and is not held."""
        key = self.rule.bin(candidate.path)
        if key is None:
            return False
        parts = self._bins.setdefault(key, _Bin()).parts
        held = parts.get(candidate.path)
        if held is None or held.candidate != candidate:
            parts[candidate.path] = _Part(candidate, now)
        return True

    def drop(self, path: str) -> None:
        """Release a file that is recorded, gone, or changed."""
        key = self.rule.bin(path)
        if key is not None and key in self._bins:
            bin_ = self._bins[key]
            bin_.parts.pop(path, None)
            bin_.marked.pop(path, None)
            if not bin_.parts:
                del self._bins[key]

    def keep(self, waiting: Container[str]) -> None:
        """Drop every file that is not in `waiting`: it no longer waits to be taken."""
        for path in [path for path in self if path not in waiting]:
            self.drop(path)

    def complete(
        self,
        now: float,
        *,
        seen_until: float,
        unsettled: Collection[str] = (),
        marked: Callable[[str], bool] | None = None,
    ) -> list[Document]:
        """The documents that are complete.

        Args:
            now: The time.
            seen_until: Everything that arrived before this moment has been seen.
            unsettled: Files that have yet to settle.
            marked: Whether the marker of the document of this name exists; None while markers are
                not looked for.
        """
        growing = {self.rule.bin(path) for path in unsettled}
        complete: list[Document] = []
        for key, bin_ in self._bins.items():
            if key in growing or not self._may_be_over(bin_, seen_until, marked is not None):
                continue
            for document in self.rule.documents([part.candidate for part in bin_.parts.values()]):
                first = document.parts[0].path  # a later document may have the same name
                if first not in bin_.marked and marked is not None and marked(document.name):
                    bin_.marked[first] = now
                if self._over(document, bin_) < seen_until:
                    complete.append(document)
        return complete

    def _may_be_over(self, bin_: _Bin, seen_until: float, marks: bool) -> bool:
        """A cheap test: False if no document of the bin can be complete, which saves sorting it."""
        first = min(part.since for part in bin_.parts.values())
        return marks or bool(bin_.marked) or first + self._pause_s < seen_until

    def _over(self, document: Document, bin_: _Bin) -> float:
        """When the wait for more files of a document ends."""
        last = max(bin_.parts[part.path].since for part in document.parts)
        return min(last + self._pause_s, bin_.marked.get(document.parts[0].path, float("inf")))
