"""Reads the lines of a page with Tesseract, in a child process."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import attrgetter, itemgetter

import cv2
import numpy as np

from ocrd.engine.rapid.crops import WORD_GAP, Crop, Pixels
from ocrd.engine.rapid.lines import Part, Span, spans
from ocrd.engine.rapid.recogniser import Recogniser
from ocrd.engine.tesseract import packs
from ocrd.engine.tesseract.library import Seen, Tesseract
from ocrd.engine.tesseract.tidy import tidied
from ocrd.languages import languages

SURE = 0.9  # of a word of which Tesseract is less sure, another recogniser is asked
LINE_SURE = 0.8  # likewise of a line: those of the page's script have 0.85 and more
LATIN_SURE = 0.97  # of Latin words it gives 0.99 and more, of others at most 0.95
FEWEST = 2  # Latin letters
ALIKE = frozenset("ABCEHIJKMNOPSTXYZaceijopsuvxy")  # that look like others
MOST_STEP = 0.9  # heights from one letter to the next, else some were left out
REST = 0.2  # heights: so much ink behind the last letter is another
SEARCH = 0.4  # heights to either side in which a gap is looked for
TEAR_SEARCH = 0.8  # likewise where a word may be torn: boxes of syllables are less exact
WHITE = 16  # pixels around a line, as Tesseract likes it
SARA_AM = "\u0e33"  # of Thai; Tesseract knows only its two halves
_LATIN_HEAD = re.compile(r"[\u0020-\u024f\u2010-\u203a\u20ac]+")
_LOWER_TONES = "\u0e48\u0e49\u0e4a\u0e4b"


@dataclass(frozen=True, slots=True)
class Said:
    """A word of a line, between two fractions of the crop's length.

    Attributes:
        score: How sure the recogniser is of an average character.
        least: How sure of the piece of which it is least sure.
    """

    text: str
    start: float
    end: float
    score: float
    least: float


@dataclass(frozen=True, slots=True)
class Head:
    """Latin letters with which a piece of a line begins.

    Attributes:
        part: What they say.
        first: From which column of the crop they were read.
        last: Up to which.
        end: Where they end, and what is not Latin begins.
    """

    part: Part
    first: int
    last: int
    end: int


class TesseractRecogniser:
    """Reads lines in some languages; a `Recogniser`.

    Tesseract's models of other scripts know no Latin letters, or few: a word of which it is unsure
    is shown to a recogniser that knows them well.

    Args:
        named: The languages, as a folder's `language` names them.
        latin: Reads Latin letters.

    Raises:
        EngineSetupError: A model is missing.
    """

    margin = 0.1  # accents reach there
    classified = False
    voters = 3  # it takes longer, and errs less
    head = 15
    least_sure = 0.75

    def __init__(self, named: str, latin: Recogniser | None = None) -> None:
        self._languages = languages(named)
        if (error := packs.missing(self._languages)) is not None:
            raise error
        self._tesseract = Tesseract(packs.folder(), "+".join(each.pack for each in self._languages))
        self.mirrored = self._languages[0].right_to_left
        scripts = {each.script for each in self._languages if not each.by_rapidocr}
        self._latin = latin if scripts and "Latin" not in scripts else None
        self._has_alike = bool(scripts & {"Cyrillic", "Greek"})

    def lines(self, crops: Sequence[Crop]) -> list[Part]:
        """What each of them says."""
        return [self._part(crop) for crop in crops]

    def scores(self, pixels: Iterable[Pixels]) -> list[float]:
        """How well pieces of lines can be read, 0 to 1."""
        return [_mean(self._seen(each)) for each in pixels]

    def _seen(self, pixels: Pixels) -> list[Seen]:
        grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)
        grey = tidied(np.ascontiguousarray(grey[:, ::-1]) if self.mirrored else grey)
        edge = int(np.median(grey))
        around = (WHITE, WHITE, WHITE, WHITE)
        framed = cv2.copyMakeBorder(grey, *around, cv2.BORDER_CONSTANT, value=edge)
        return self._tesseract.line(framed.tobytes(), framed.shape[1], framed.shape[0])

    def _part(self, crop: Crop) -> Part:
        """The line: its text, and where its words stand in the crop."""
        said = self._said(crop, 0, crop.width)
        if self._latin is not None:
            said = list(self._with_latin(crop, sorted(said, key=attrgetter("start"))))
        if self.mirrored:
            said = in_order(said)
        text, words = "", []
        for word in said:
            text += " " if text else ""
            words.append(Span(len(text), len(text) + len(word.text), word.start, word.end))
            text += word.text
        places = tuple((word.start + word.end) / 2 for word in words)
        return Part(text, places, _mean(said), parted=True, words=tuple(words))

    def _said(self, crop: Crop, first: int, last: int) -> list[Said]:
        """The words between two columns; what no space parts is one.

        From right to left Tesseract tells of the space behind a word, if any; there they are words.
        """
        words: list[list[Seen]] = []
        for seen in self._seen(crop.pixels[:, first:last]):
            if seen.parted or self.mirrored or not words:
                words.append([])
            words[-1].append(seen)
        if not self.mirrored:
            words = _untorn(crop.stretch(first, last), words)
        return [self._word(word, crop, first, last) for word in words]

    def _word(self, seen: Sequence[Seen], crop: Crop, first: int, last: int) -> Said:
        xs = [x - WHITE for each in seen for x in (each.left, each.right)]
        left, right = (min(max(x, 0), last - first) for x in (min(xs), max(xs)))
        if self.mirrored:
            left, right = last - first - right, last - first - left
        text = composed("".join(each.text for each in seen))
        least = min(each.score for each in seen)
        start, end = (first + left) / crop.width, (first + right) / crop.width
        return Said(text, start, end, _mean(seen), least)

    def _with_latin(self, crop: Crop, said: Sequence[Said]) -> Iterator[Said]:
        """The words from left to right; of those that are in doubt the better reading."""
        if _mean(said) < LINE_SURE:
            whole = self._head(crop, 0, crop.width)
            if whole is not None and whole.end == crop.width:
                yield from self._spread(crop, whole)
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
        """What some words of a line say that stands in pieces; empty where none of it is Latin."""
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
                assert head is not None  # noqa: S101 - as the key says
                said += self._spread(crop, head)
                if head.end < last:
                    said += self._rest(crop, said.pop(), head.end, last)
        return said

    def _is_word(self, head: Head | None, last: int) -> bool:
        """Whether a piece up to a column is a Latin word, or begins with one.

        Letters that Cyrillic or Greek has, too, make none, and nothing follows one there.
        """
        if head is None or _latin_letters(head.part.text) < FEWEST:
            return False
        letters = set(filter(str.isalpha, head.part.text))
        return not self._has_alike or (head.end >= last and not letters <= ALIKE)

    def _head(self, crop: Crop, first: int, last: int) -> Head | None:
        """The Latin letters that surely begin a piece; others may follow, as a particle does."""
        assert self._latin is not None  # noqa: S101 - else nobody asks
        shown = crop.stretch(first, last, mirrored=self.mirrored)
        (part,) = self._latin.lines([shown])
        end, head = shown.width, _LATIN_HEAD.match(part.text)
        if head is not None and not self.mirrored and part.places:
            count = len("".join(head[0].split()))
            if count == len(part.places) > 1 and part.score < LATIN_SURE:
                count -= 1  # it may have taken a particle for a letter
            ends = _end(shown, part.places[:count])
            if count < len(part.places):  # what it took the others for lowers its confidence
                end, last, shown = ends, first + ends, shown.stretch(0, ends)
                (part,) = self._latin.lines([shown])
            elif shown.inked[ends:].sum() > REST * shown.height:
                end = ends
        return Head(part, first, last, first + end) if _is_latin(shown, part) else None

    def _spread(self, crop: Crop, head: Head) -> list[Said]:
        """The words of a head."""
        shown = crop.stretch(head.first, head.last, mirrored=self.mirrored)
        part = head.part
        return [
            Said(part.text[word.first : word.last], *ends, part.score, part.score)
            for word in spans(part, shown.gap_between)
            for ends in [self._ends(crop, head.first, head.last, word)]
        ]

    def _rest(self, crop: Crop, head: Said, first: int, last: int) -> list[Said]:
        """A head with the particle behind it."""
        rest = self._said(crop, first, last)
        if not rest:
            return [head]
        return [replace(head, text=head.text + rest[0].text, end=rest[0].end), *rest[1:]]

    def _ends(self, crop: Crop, first: int, last: int, word: Span) -> tuple[float, float]:
        """Where a word of a stretch stands in the crop."""
        wide = last - first
        if self.mirrored:
            return (last - word.end * wide) / crop.width, (last - word.start * wide) / crop.width
        return (first + word.start * wide) / crop.width, (first + word.end * wide) / crop.width


def in_order(said: Iterable[Said]) -> list[Said]:
    """The words of a line that begins on the right, as they are read: Latin ones left to right.

    A number after a Latin word goes with it.  A line of Latin words begins on the left.
    """
    ordered: list[Said] = []
    run: list[Said] = []
    for word in [*sorted(said, key=attrgetter("start")), None]:
        if word is not None and not _to_the_left(word.text):
            run.append(word)
            continue
        last = max((n for n, each in enumerate(run, 1) if _latin_letters(each.text)), default=0)
        last = len(run) if last and word is None and not ordered else last
        ordered += [*reversed(run[:last]), *run[last:]]
        ordered += [word] if word is not None else []
        run = []
    return ordered


def _to_the_left(text: str) -> bool:
    return any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)


def _untorn(crop: Crop, words: Sequence[list[Seen]]) -> list[list[Seen]]:
    """Without spaces far narrower than the others of the line, which tear a word.

    Where the boxes of words overlap Tesseract has misplaced them, and the space stays.
    """
    least, reach = crop.word_gap(len(words) - 1), round(TEAR_SEARCH * crop.height)
    whole = [*words[:1]]
    for word in words[1:]:
        before, after = whole[-1][-1].right - WHITE, word[0].left - WHITE
        first, last = crop.gap(before - reach, after + reach) or (before, after)
        if before <= after and last - first < least:
            whole[-1] = [*whole[-1], *word]
        else:
            whole.append(word)
    return whole


def _latin_letters(text: str) -> int:
    return sum(unicodedata.name(char, "").startswith("LATIN ") for char in text)


def _between(crop: Crop, before: Said, after: Said) -> int:
    """The column between two words: the middle of the widest gap about there."""
    middle, reach = (before.end + after.start) / 2 * crop.width, SEARCH * crop.height
    found = crop.gap(round(middle - reach), round(middle + reach))
    return sum(found) // 2 if found else round(middle)


def _is_latin(crop: Crop, part: Part) -> bool:
    """Whether what was read is surely Latin, and nothing is left out before its end."""
    letters = sum(map(str.isalpha, part.text))
    if not part.places or part.score < LATIN_SURE or _latin_letters(part.text) < letters:
        return False
    steps = [part.places[0], *(b - a for a, b in pairwise(part.places))]
    return max(steps) * crop.width < MOST_STEP * crop.height


def _end(crop: Crop, places: Sequence[float]) -> int:
    """The column at which characters in these places end: the first without ink."""
    last = round(places[-1] * crop.width)
    blank = np.flatnonzero(~crop.inked[last:])
    return min(last + int(blank[0]) + 1 if len(blank) else crop.width, crop.width)


def composed(text: str) -> str:
    """The text in Unicode's composed form, Thai's am included, and with Greek's own mu."""
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.name(char, "").startswith("GREEK ") for char in text):
        text = text.replace("\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}")
    return "".join(_composed(text))


def _composed(text: str) -> Iterator[str]:
    """`น ้ ํ า` is `น ้ ำ`; of two tones above each other the upper is the ring of an am, misread."""
    for place, char in enumerate(text):
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        ring = char == "\u0e4d" or (char in _LOWER_TONES and before and before in _LOWER_TONES)
        if ring and after == "\u0e32":
            continue
        after_ring = before == "\u0e4d" or (
            place > 1 and before in _LOWER_TONES and text[place - 2] in _LOWER_TONES
        )
        yield SARA_AM if char == "\u0e32" and after_ring else char


def _mean(seen: Iterable[Seen | Said]) -> float:
    scores = [(word.score, len(word.text)) for word in seen]
    return sum(score * count for score, count in scores) / max(1, sum(n for _, n in scores))
