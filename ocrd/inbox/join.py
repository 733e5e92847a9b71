"""When is a document of several files complete?  Pure: time is a parameter.

Times are seconds of the clock that the watch of the inbox goes by, which never steps back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from ocrd.inbox.joinrules import Document, Rule
from ocrd.inbox.report import Candidate


@dataclass(slots=True)
class _Part:
    candidate: Candidate
    since: float  # when it was first offered as it is now


@dataclass(slots=True)
class _Bin:
    parts: dict[str, _Part] = field(default_factory=dict)
    marked: dict[str, float] = field(default_factory=dict)  # by a document's first file; since when


class Joiner:
    """Holds settled files until their document is complete.

    A document is complete when, since the last of its files came, `pause_s` have gone by; or as
    soon as it is marked.  Never before all that came meanwhile has been seen, and never while a
    file that may belong to it has yet to come to rest.

    A complete document is told at each look until its files are dropped: nothing is lost between
    here and there.

    Args:
        rule: What belongs together.
        pause_s: How long to wait for one more file.
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
        """A file has come to rest; whether it is held, or stands alone."""
        key = self.rule.bin(candidate.path)
        if key is None:
            return False
        parts = self._bins.setdefault(key, _Bin()).parts
        held = parts.get(candidate.path)
        if held is None or held.candidate != candidate:
            parts[candidate.path] = _Part(candidate, now)
        return True

    def drop(self, path: str) -> None:
        """The file is recorded, gone, or no longer as it was."""
        key = self.rule.bin(path)
        if key is not None and key in self._bins:
            bin_ = self._bins[key]
            bin_.parts.pop(path, None)
            bin_.marked.pop(path, None)
            if not bin_.parts:
                del self._bins[key]

    def complete(
        self,
        now: float,
        *,
        seen_until: float,
        unsettled: Collection[str] = (),
        marked: Callable[[str], bool] | None = None,
    ) -> list[Document]:
        """The documents of which every file is here.

        Args:
            now: The time.
            seen_until: Whatever came before this moment has been seen.
            unsettled: Files that have yet to come to rest.
            marked: Whether a document's marker lies there; None where none are looked for now.
        """
        growing = {self.rule.bin(path) for path in unsettled}
        complete: list[Document] = []
        for key, bin_ in self._bins.items():
            if key in growing or not self._may_be_over(bin_, seen_until, marked is not None):
                continue
            for document in self.rule.documents([part.candidate for part in bin_.parts.values()]):
                first = document.parts[0].path  # a later document may bear the same name
                if first not in bin_.marked and marked is not None and marked(document.name):
                    bin_.marked[first] = now
                if self._over(document, bin_) < seen_until:
                    complete.append(document)
        return complete

    def _may_be_over(self, bin_: _Bin, seen_until: float, marks: bool) -> bool:
        """False spares putting a bin in order at every look."""
        first = min(part.since for part in bin_.parts.values())
        return marks or bool(bin_.marked) or first + self._pause_s < seen_until

    def _over(self, document: Document, bin_: _Bin) -> float:
        """When to wait no longer for more files of a document."""
        last = max(bin_.parts[part.path].since for part in document.parts)
        return min(last + self._pause_s, bin_.marked.get(document.parts[0].path, float("inf")))
