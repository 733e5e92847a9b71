"""The words of a line: their confidence, their order, and their Unicode form.  Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from ocrd.engine.tesseract.library import Seen
from ocrd.languages import has_leftward

SARA_AM = "\u0e33"  # a Thai vowel; Tesseract knows only its two halves
_LOWER_TONES = "\u0e48\u0e49\u0e4a\u0e4b"


@dataclass(frozen=True, slots=True)
class Said:
    """A word of a line.

    Attributes:
        text: Its text.
        start: Where it begins, as a fraction of the crop's length.
        end: Where it ends, likewise.
        score: The recogniser's confidence, on average over characters.
        least: The lowest confidence of a part of the word.
    """

    text: str
    start: float
    end: float
    score: float
    least: float


def mean(seen: Iterable[Seen | Said]) -> float:
    """The recogniser's confidence, on average over characters; 0 if there are none."""
    scores = [(word.score, len(word.text)) for word in seen]
    return sum(score * count for score, count in scores) / max(1, sum(n for _, n in scores))


def latin_letters(text: str) -> int:
    """The number of Latin letters in the text."""
    return sum(unicodedata.name(char, "").startswith("LATIN ") for char in text)


def in_order(said: Iterable[Said]) -> list[Said]:
    """The words of a right-to-left line in reading order; Latin words in it go left to right.

    A number to the right of a Latin word belongs to it.  A line with only Latin words begins on the
    left.
    """
    ordered: list[Said] = []
    run: list[Said] = []
    for word in [*sorted(said, key=attrgetter("start")), None]:
        if word is not None and not has_leftward(word.text):
            run.append(word)
            continue
        last = max((n for n, each in enumerate(run, 1) if latin_letters(each.text)), default=0)
        last = len(run) if last and word is None and not ordered else last
        ordered += [*reversed(run[:last]), *run[last:]]
        ordered += [word] if word is not None else []
        run = []
    return ordered


def composed(text: str) -> str:
    """The text in Unicode's composed form (NFC, and Thai's sara am), with Greek's own mu."""
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.name(char, "").startswith("GREEK ") for char in text):
        text = text.replace("\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}")
    return "".join(_composed(text))


def _composed(text: str) -> Iterator[str]:
    """`น ้ ํ า` composed to `น ้ ำ`; the upper of two tone marks is a misread ring, its first half."""
    for place, char in enumerate(text):
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        ring = char == "\u0e4d" or (char in _LOWER_TONES and before and before in _LOWER_TONES)
        if ring and after == "\u0e32":
            continue
        after_ring = before == "\u0e4d" or (
            place > 1 and before in _LOWER_TONES and text[place - 2] in _LOWER_TONES
        )
        yield SARA_AM if char == "\u0e32" and after_ring else char
