"""Reads the lines of a page with Tesseract, in a child process."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np

from ocrd.engine.rapid.crops import Crop, Pixels
from ocrd.engine.rapid.lines import Part, Span
from ocrd.engine.tesseract import packs
from ocrd.engine.tesseract.library import Seen, Tesseract
from ocrd.languages import languages

WHITE = 16  # pixels around a line, as Tesseract likes it
SARA_AM = "\u0e33"  # of Thai; Tesseract knows only its two halves
_LOWER_TONES = "\u0e48\u0e49\u0e4a\u0e4b"


class TesseractRecogniser:
    """Reads lines in some languages; a `Recogniser`.

    Args:
        named: The languages, as a folder's `language` names them.

    Raises:
        EngineSetupError: A model is missing.
    """

    margin = 0.1  # accents reach there
    classified = False
    voters = 3  # it takes longer, and errs less
    head = 15
    least_sure = 0.75

    def __init__(self, named: str) -> None:
        self._languages = languages(named)
        if (error := packs.missing(self._languages)) is not None:
            raise error
        self._tesseract = Tesseract(packs.folder(), "+".join(each.pack for each in self._languages))
        self.mirrored = self._languages[0].right_to_left

    def lines(self, crops: Sequence[Crop]) -> list[Part]:
        """What each of them says."""
        return [self._part(crop, self._seen(crop.pixels)) for crop in crops]

    def scores(self, pixels: Iterable[Pixels]) -> list[float]:
        """How well pieces of lines can be read, 0 to 1."""
        return [_mean(self._seen(each)) for each in pixels]

    def _seen(self, pixels: Pixels) -> list[Seen]:
        grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)
        grey = grey[:, ::-1] if self.mirrored else grey
        edge = int(np.median(grey))
        around = (WHITE, WHITE, WHITE, WHITE)
        framed = cv2.copyMakeBorder(grey, *around, cv2.BORDER_CONSTANT, value=edge)
        return self._tesseract.line(framed.tobytes(), framed.shape[1], framed.shape[0])

    def _part(self, crop: Crop, seen: Sequence[Seen]) -> Part:
        """The line: its text, and where its words stand in the crop."""
        text, words = "", []
        for said, start, end in self._words(crop, seen):
            text += " " if text else ""
            words.append(Span(len(text), len(text) + len(said), start, end))
            text += said
        places = tuple((word.start + word.end) / 2 for word in words)
        return Part(text, places, _mean(seen), parted=True, words=tuple(words))

    def _words(self, crop: Crop, seen: Sequence[Seen]) -> Iterator[tuple[str, float, float]]:
        """Each word with its place; what no space parts is one."""
        said, start, end = "", 0.0, 0.0
        for word in seen:
            first, last = self._place(word, crop.width)
            if said and word.parted:
                yield composed(said), start, end
                said = ""
            start = start if said else first
            said, end = said + word.text, last
        if said:
            yield composed(said), start, end

    def _place(self, word: Seen, width: int) -> tuple[float, float]:
        left, right = (min(max((x - WHITE) / width, 0.0), 1.0) for x in (word.left, word.right))
        return (1 - right, 1 - left) if self.mirrored else (left, right)


def composed(text: str) -> str:
    """The text in Unicode's composed form, Thai's am included."""
    text = unicodedata.normalize("NFC", text)
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


def _mean(seen: Sequence[Seen]) -> float:
    letters = sum(len(word.text) for word in seen)
    return sum(word.score * len(word.text) for word in seen) / max(1, letters)
