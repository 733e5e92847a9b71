"""Reads Latin words, and numbers, again with a recogniser that knows Latin letters well.

Tesseract's models for other scripts know few Latin words, or none.  The words of which it is unsure
are read again, and replaced if they are surely Latin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import attrgetter, itemgetter

import numpy as np

from ocrd.engine.rapid.crops import WORD_GAP, Crop
from ocrd.engine.rapid.lines import Part, Span, spans
from ocrd.engine.rapid.recogniser import Recogniser
from ocrd.engine.tesseract.words import Said, latin_letters, mean

SURE = 0.9  # Tesseract's confidence: a word with less is read again by the other recogniser
LINE_SURE = 0.8  # likewise for a line: those in the page's script have 0.85 and more
LATIN_SURE = 0.97  # the other's confidence: Latin words have 0.99 and more, others at most 0.95
FEWEST = 2  # Latin letters
ALIKE = frozenset("ABCEHIJKMNOPSTXYZaceijopsuvxy")  # letters that look like those of other scripts
MOST_STEP = 0.9  # heights from one letter to the next; with more some were left out
REST = 0.2  # heights: more ink behind the last letter is another letter
SEARCH = 0.4  # heights to either side in which to look for a gap
_LATIN_HEAD = re.compile(r"[\u0020-\u024f\u2010-\u203a\u20ac]+")


@dataclass(frozen=True, slots=True)
class Head:
    """The Latin letters at the beginning of a piece of a line.

    Attributes:
        part: Their text.
        first: The first column of the crop in which they were read.
        last: The last column + 1.
        end: The column at which they end, and other letters may begin.
    """

    part: Part
    first: int
    last: int
    end: int


class LatinWords:
    """Reads the doubtful words of lines again.

    Args:
        recogniser: Knows Latin letters.
        said: Reads the words between two columns of a line with Tesseract.
        scripts: The scripts of the page.  If Latin is one, only numbers are read again.
        mirrored: Whether lines begin on the right.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        said: Callable[[Crop, int, int], list[Said]],
        scripts: Collection[str],
        *,
        mirrored: bool,
    ) -> None:
        self._recogniser = recogniser
        self._said = said
        self._mirrored = mirrored
        self._numbers_only = "Latin" in scripts
        self._has_alike = bool({"Cyrillic", "Greek"} & {*scripts})  # letters like Latin ones

    def among(self, crop: Crop, said: Sequence[Said]) -> Iterator[Said]:
        """The words of a line from left to right, with the better reading of doubtful ones."""
        said = sorted(said, key=attrgetter("start"))
        if mean(said) < LINE_SURE:
            whole = self._head(crop, 0, crop.width)
            numeric = whole is not None and not any(map(str.isalpha, whole.part.text))
            if whole and whole.end == crop.width and (numeric or not self._numbers_only):
                yield from self._spread(crop, whole)
                return
        if self._numbers_only:
            yield from said
            return
        least, done = max(crop.word_gap(len(said) - 1), WORD_GAP * crop.height), 0
        for doubtful, run in groupby(said, key=lambda word: word.least < SURE):
            words = list(run)
            first, done = done, done + len(words)
            if not doubtful:
                yield from words
                continue
            left = _between(crop, said[first - 1], said[first]) if first else 0
            right = _between(crop, said[done - 1], said[done]) if done < len(said) else crop.width
            yield from self._again(crop, crop.apart(left, right, least)) or words

    def _again(self, crop: Crop, pieces: Sequence[tuple[int, int]]) -> list[Said]:
        """The words in the pieces of a line, read again; empty if none of them is Latin."""
        read = [self._head(crop, *piece) for piece in pieces]
        ends = [last for _, last in pieces]
        sure = [self._is_word(head, last) for head, last in zip(read, ends, strict=True)]
        if not any(sure):
            return []
        said: list[Said] = []
        for latin, run in groupby(zip(pieces, read, sure, strict=True), key=itemgetter(2)):
            stretch = list(run)
            if not latin:
                said += self._said(crop, stretch[0][0][0], stretch[-1][0][1])
                continue
            for (_, last), head, _ in stretch:
                assert head is not None  # noqa: S101 - by the key of the groups
                said += self._spread(crop, head)
                if head.end < last:
                    said += self._rest(crop, said.pop(), head.end, last)
        return said

    def _is_word(self, head: Head | None, last: int) -> bool:
        """Whether a piece that ends at the column `last` is a Latin word, or begins with one.

        On a page in Cyrillic or Greek it must be Latin to its end, and not consist only of letters
        that look like those of other scripts.
        """
        if head is None or latin_letters(head.part.text) < FEWEST:
            return False
        letters = set(filter(str.isalpha, head.part.text))
        return not self._has_alike or (head.end >= last and not letters <= ALIKE)

    def _head(self, crop: Crop, first: int, last: int) -> Head | None:
        """The Latin letters that surely begin a piece, or None; a particle may follow them."""
        shown = crop.stretch(first, last, mirrored=self._mirrored)
        (part,) = self._recogniser.lines([shown])
        end, head = shown.width, _LATIN_HEAD.match(part.text)
        if head is not None and not self._mirrored and part.places:
            count = len("".join(head[0].split()))
            if count == len(part.places) > 1 and part.score < LATIN_SURE:
                count -= 1  # the last letter may be a misread particle
            ends = _end(shown, part.places[:count])
            if count < len(part.places):  # the other letters lower the confidence: read without
                end, last, shown = ends, first + ends, shown.stretch(0, ends)
                (part,) = self._recogniser.lines([shown])
            elif shown.inked[ends:].sum() > REST * shown.height:
                end = ends
        return Head(part, first, last, first + end) if _is_latin(shown, part) else None

    def _spread(self, crop: Crop, head: Head) -> list[Said]:
        """The words of a head."""
        shown = crop.stretch(head.first, head.last, mirrored=self._mirrored)
        part = head.part
        return [
            Said(part.text[word.first : word.last], *ends, part.score, part.score)
            for word in spans(part, shown.gap_between)
            for ends in [self._ends(crop, head.first, head.last, word)]
        ]

    def _rest(self, crop: Crop, head: Said, first: int, last: int) -> list[Said]:
        """A Latin word with the particle that follows it, and any words behind that."""
        rest = self._said(crop, first, last)
        if not rest:
            return [head]
        return [replace(head, text=head.text + rest[0].text, end=rest[0].end), *rest[1:]]

    def _ends(self, crop: Crop, first: int, last: int, word: Span) -> tuple[float, float]:
        """Where a word of a stretch begins and ends, as fractions of the crop's length."""
        wide = last - first
        if self._mirrored:
            return (last - word.end * wide) / crop.width, (last - word.start * wide) / crop.width
        return (first + word.start * wide) / crop.width, (first + word.end * wide) / crop.width


def _between(crop: Crop, before: Said, after: Said) -> int:
    """The column between two words: the middle of the widest gap near there."""
    middle, reach = (before.end + after.start) / 2 * crop.width, SEARCH * crop.height
    found = crop.gap(round(middle - reach), round(middle + reach))
    return sum(found) // 2 if found else round(middle)


def _is_latin(crop: Crop, part: Part) -> bool:
    """Whether the text is surely Latin, and no letter was left out before its end."""
    letters = sum(map(str.isalpha, part.text))
    if not part.places or part.score < LATIN_SURE or latin_letters(part.text) < letters:
        return False
    steps = [part.places[0], *(b - a for a, b in pairwise(part.places))]
    return max(steps) * crop.width < MOST_STEP * crop.height


def _end(crop: Crop, places: Sequence[float]) -> int:
    """The column behind characters in these places: just after the first one without ink."""
    last = round(places[-1] * crop.width)
    blank = np.flatnonzero(~crop.inked[last:])
    return min(last + int(blank[0]) + 1 if len(blank) else crop.width, crop.width)
