"""The words of a line: their confidence, their order, and their Unicode form.  Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from ocrd.engine.tesseract.library import Seen
from ocrd.languages import Language, has_leftward

SARA_AM = "\u0e33"  # a Thai vowel; Tesseract knows only its two halves
_LOWER_TONES = "\u0e48\u0e49\u0e4a\u0e4b"
_STOPS = re.compile("(?<=[\u0620-\u06ff])[,;?]")  # behind an Arabic letter
_ARABIC_STOPS = {",": "\u060c", ";": "\u061b", "?": "\u061f"}
# Decomposed: a breathing with or without an accent, or another accent than the acute one
_POLYTONIC = re.compile("[\u0313\u0314][\u0300\u0301\u0342]?|(?<=[\u0391-\u03c9])[\u0300\u0342]")
_IOTA_BELOW = "\u0345"


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


def placed(seen: Sequence[Seen], *, mirrored: bool) -> list[Seen]:
    """The words as Tesseract ordered them, none of which spans the one beside it.

    Tesseract may count a stroke of one word into the box of another, far away.  In a line that
    begins on the right, words of other scripts may be in any place, and are kept.
    """
    done = list(seen[:1])
    for word in seen[1:]:
        before = done[-1]
        if not mirrored or (has_leftward(before.text) and has_leftward(word.text)):
            if word.left < before.left and before.right < word.right:
                ends = (word.left, before.left) if mirrored else (before.right, word.right)
                word = replace(word, left=ends[0], right=ends[1])
            elif before.left < word.left and word.right < before.right:
                ends = (word.right, before.right) if mirrored else (before.left, word.left)
                done[-1] = replace(before, left=ends[0], right=ends[1])
        done.append(word)
    return done


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


def composed(text: str, languages: Sequence[Language] = ()) -> str:
    """The text in Unicode's composed form (NFC, and Thai's sara am), with its script's own marks.

    Tesseract reads the comma of Arabic as the Latin one, and the only accent of modern Greek as
    one of ancient Greek, which is a language of its own.
    """
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.name(char, "").startswith("GREEK ") for char in text):
        text = text.replace("\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}")
        if "grc" not in {each.code for each in languages}:
            apart = unicodedata.normalize("NFD", text).replace(_IOTA_BELOW, "")
            text = unicodedata.normalize("NFC", _POLYTONIC.sub("\u0301", apart))
    text = _STOPS.sub(lambda stop: _ARABIC_STOPS[stop[0]], text)
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
