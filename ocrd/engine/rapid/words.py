"""From what the recogniser saw in the parts of a line to its text and the places of its words.

Pure.  Places along a line are fractions of its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ocrd.engine.rapid.wording import is_stop, is_wide

Gap = Callable[[float, float], tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class Part:
    """What was read in one part of a line.

    Attributes:
        text: What it says.
        places: The middle of each character but the spaces, in order.
        score: How sure the recogniser was, 0 to 1.
        parted: Whether a gap between words lies before it.
    """

    text: str
    places: tuple[float, ...]
    score: float
    parted: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A word: its characters `first` to `last` of the line's, its place from `start` to `end`."""

    first: int
    last: int
    start: float
    end: float


def joined(parts: Iterable[Part]) -> Part:
    """The whole line; its score is that of its average character."""
    text, score = "", 0.0
    places: list[float] = []
    for part in parts:
        if not part.places:
            continue
        wide = bool(text) and is_wide(text[-1]) and is_wide(part.text.lstrip()[0])
        text += (" " if text and part.parted and not wide else "") + part.text.strip()
        places += part.places
        score += part.score * len(part.places)
    return Part(text, tuple(places), score / max(1, len(places)), parted=True)


def spans(line: Part, gap: Gap) -> list[Span]:
    """The words of a line: where one ends and the next begins is where the gap between them is.

    Args:
        line: A whole line.
        gap: Tells the widest stretch without ink between two places; None if there is none.
    """
    found: list[Span] = []
    done = 0
    for first, last in _words(line.text):
        middles = line.places[done : done + last - first]
        done += len(middles)
        if found:
            middle = (found[-1].end + middles[0]) / 2
            before, start = gap(found[-1].end, middles[0]) or (middle, middle)
            found[-1] = replace(found[-1], end=before)
        else:
            start = (gap(0, middles[0]) or (0, 0))[1]
        found.append(Span(first, last, start, middles[-1]))
    if found:
        found[-1] = replace(found[-1], end=(gap(found[-1].end, 1) or (1, 1))[0])
    return found


def _words(text: str) -> Iterator[tuple[int, int]]:
    """First and last character + 1 of each word; a Chinese sentence ends behind its comma."""
    first = 0
    for place, char in enumerate(text + " "):
        ends = place > first and is_stop(text[place - 1]) and not is_stop(char)
        if char == " " or ends:
            if place > first:
                yield first, place
            first = place + (char == " ")
