"""Reads the lines of a page with Tesseract, in a child process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from cv2.typing import MatLike

from ocrd.engine.rapid.crops import Crop, Pixels
from ocrd.engine.rapid.lines import Part, Span
from ocrd.engine.rapid.recogniser import Recogniser
from ocrd.engine.tesseract import packs
from ocrd.engine.tesseract.latin import LatinWords
from ocrd.engine.tesseract.library import Seen, Tesseract
from ocrd.engine.tesseract.tidy import tidied
from ocrd.engine.tesseract.words import (
    Said,
    composed,
    in_order,
    is_polytonic,
    is_word,
    mean,
    monotonic,
    numbered,
    placed,
)
from ocrd.languages import languages

TEAR_SEARCH = 0.8  # heights to either side in which to look for a gap: boxes are inexact
LETTERS_SURE = 0.96  # on average over the letters of a word: then one bad letter is no noise
WORD = 0.5  # confidence of a word of such letters, at least
SMALLER = 0.75  # times as large: a size at which Tesseract reads what it did not at another
WHITE = 16  # pixels of margin around a line, for better recognition


class TesseractRecogniser:
    """Reads lines in some languages; a `Recogniser`.

    Args:
        named: The languages, as a folder's `language` names them.
        latin: Reads Latin words in lines of other scripts, and numbers; None to leave them to
            Tesseract.

    Raises:
        EngineSetupError: Tesseract or a model is missing.
    """

    margin = 0.1  # for accents
    classified = False
    voters = 3  # fewer, since it is slower and more reliable
    head = 15
    least_sure = 0.75

    def __init__(self, named: str, latin: Recogniser | None = None) -> None:
        self._languages = languages(named)
        if (error := packs.missing(self._languages)) is not None:
            raise error
        self._tesseract = Tesseract(packs.folder(), "+".join(each.pack for each in self._languages))
        self.mirrored = self._languages[0].right_to_left
        self._scripts = {each.script for each in self._languages}
        self._ancient = any(each.code == "grc" for each in self._languages)
        scripts = {each.script for each in self._languages if not each.by_rapidocr}
        self._latin: LatinWords | None = None
        if latin is not None and scripts:
            self._latin = LatinWords(latin, self._said, scripts, mirrored=self.mirrored)

    def lines(self, crops: Sequence[Crop]) -> list[Part]:
        """The text of each line."""
        lines = [self._read(crop) for crop in crops]
        if not self._ancient and not is_polytonic(word.text for line in lines for word in line):
            lines = [[replace(word, text=monotonic(word.text)) for word in line] for line in lines]
        return [_part(line) for line in lines]

    def scores(self, pixels: Iterable[Pixels]) -> list[float]:
        """The confidence with which each piece of a line can be read, 0 to 1."""
        return [mean(self._seen(each)) for each in pixels]

    def _seen(self, pixels: Pixels) -> list[Seen]:
        """The words; a line of which Tesseract reads nothing at all is shown again, smaller."""
        grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)
        grey = tidied(np.ascontiguousarray(grey[:, ::-1]) if self.mirrored else grey)
        if seen := self._shown(grey):
            return seen
        smaller = cv2.resize(grey, None, fx=SMALLER, fy=SMALLER, interpolation=cv2.INTER_AREA)
        return [
            replace(each, left=_larger(each.left), right=_larger(each.right))
            for each in self._shown(smaller)
        ]

    def _shown(self, grey: MatLike) -> list[Seen]:
        edge = int(np.median(grey))
        around = (WHITE, WHITE, WHITE, WHITE)
        framed = cv2.copyMakeBorder(grey, *around, cv2.BORDER_CONSTANT, value=edge)
        return self._tesseract.line(framed.tobytes(), framed.shape[1], framed.shape[0])

    def _read(self, crop: Crop) -> list[Said]:
        """The words of the line in reading order."""
        said = self._said(crop, 0, crop.width)
        if self._latin is not None:
            said = list(self._latin.among(crop, said))
        return numbered(in_order(said) if self.mirrored else said)

    def _said(self, crop: Crop, first: int, last: int) -> list[Said]:
        """The words between two columns; Tesseract's words without a space between are joined.

        In right-to-left text they are not joined, since there Tesseract reports the space behind a
        word, if any.
        """
        words: list[list[Seen]] = []
        for seen in placed(self._seen(crop.pixels[:, first:last]), mirrored=self.mirrored):
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
        score = mean(seen)
        if is_word(text, self._scripts) and min(each.letters for each in seen) >= LETTERS_SURE:
            score = max(score, WORD)
        start, end = (first + left) / crop.width, (first + right) / crop.width
        return Said(text, start, end, score, least)


def _part(said: Sequence[Said]) -> Part:
    """The text of the line, and the places of its words in the crop."""
    text, words = "", []
    for word in said:
        text += " " if text else ""
        words.append(Span(len(text), len(text) + len(word.text), word.start, word.end))
        text += word.text
    places = tuple((word.start + word.end) / 2 for word in words)
    return Part(text, places, mean(said), parted=True, words=tuple(words))


def _larger(x: int) -> int:
    """A place on the smaller picture, on the whole one."""
    return WHITE + round((x - WHITE) / SMALLER)


def _untorn(crop: Crop, words: Sequence[list[Seen]]) -> list[list[Seen]]:
    """The words, joined at spaces far narrower than others of the line, which split a word.

    If the boxes of two words overlap, Tesseract has misplaced them, and they are not joined.
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
