"""What has come to rest and still has to wait: for its done marker, or for its document."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocrd.inbox.join import Joiner
from ocrd.inbox.joinrules import ByPattern, ByPause, Document, Rule
from ocrd.inbox.marker import Marker, Marks
from ocrd.inbox.report import Candidate


@dataclass(frozen=True, slots=True)
class Ready:
    """What can be taken now: files that stand alone, and documents of several."""

    files: list[Candidate]
    documents: list[Document]


class Gatherer:
    """Between coming to rest and being recorded.

    A file that waits here waits in the inbox: whatever is forgotten here is found there again.

    Args:
        root: The inbox.
        rule: What belongs to one document; None where every file stands alone.
        pause_s: How long a document waits for one more file.
        marker: How done markers are called; empty where none are asked for.
        clock: Seconds, the clock of the watch.
    """

    def __init__(
        self,
        root: Path,
        *,
        rule: Rule | None = None,
        pause_s: float = 0.0,
        marker: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._joiner = Joiner(rule, pause_s) if rule else None
        self._marks = Marks(root, Marker(marker), clock) if marker else None
        self._clock = clock
        self._ready: list[Candidate] = []

    @property
    def rule(self) -> Rule | None:
        """What belongs to one document."""
        return self._joiner.rule if self._joiner is not None else None

    @property
    def unmarked(self) -> int:
        """How many files wait for their marker."""
        return len(self._marks or ())

    @property
    def unjoined(self) -> int:
        """How many files wait for the rest of their document."""
        return len(self._joiner or ())

    def __iter__(self) -> Iterator[str]:
        """The paths of all files that wait here."""
        yield from self._marks or ()
        yield from self._joiner or ()

    def __contains__(self, path: str) -> bool:
        return path in (self._marks or ()) or path in (self._joiner or ())

    def is_marker(self, path: str) -> bool:
        """Whether a file is no document, but says of one that it is complete."""
        return self._marks is not None and self._marks.marker.is_one(path)

    def add(self, candidates: Sequence[Candidate]) -> None:
        """These have come to rest."""
        now = self._clock()
        for candidate in candidates:
            if self._joiner is not None and self._joiner.add(candidate, now):
                continue
            if self._marks is not None:
                self._marks.add(candidate)
            else:
                self._ready.append(candidate)

    def drop(self, path: str) -> None:
        """It is recorded, or no longer as it was when it was added."""
        for holder in (self._marks, self._joiner):
            if holder is not None:
                holder.drop(path)

    def keep(self, waits: Callable[[str], bool]) -> None:
        """Drop what does not wait in the inbox any more."""
        for path in [path for path in self if not waits(path)]:
            self.drop(path)

    def take(self, *, seen_until: float, unsettled: Callable[[], Collection[str]]) -> Ready:
        """What can be taken now.

        Files that stand alone are told once, documents until their files are dropped.

        Args:
            seen_until: Whatever came to the inbox before this moment has been seen.
            unsettled: Tells which files have yet to come to rest.
        """
        marks = self._marks
        files, self._ready = self._ready, []
        documents = []
        if self._joiner:
            documents = self._joiner.complete(
                self._clock(),
                seen_until=seen_until,
                unsettled=unsettled(),
                marked=marks.of_document if marks is not None and marks.due() else None,
            )
        return Ready(files + (marks.take() if marks is not None else []), documents)


def rule_for(join: str, pattern: str, pause_s: float) -> Rule | None:
    """The rule that a folder's `join` names."""
    if join == "pattern":
        return ByPattern(pattern)
    return ByPause(pause_s) if join == "pause" else None
