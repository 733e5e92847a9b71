"""The interface of recognisers, which read the lines found on a page, and RapidOCR's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ocrd.engine.rapid.crops import Crop, Pixels
from ocrd.engine.rapid.lines import Part, read_in_parts


class Recogniser(Protocol):
    """Reads lines that were cut out.

    Attributes:
        margin: How much to add above and below a line before it is cut out, in heights.
        mirrored: Whether its lines begin on the right: it gets pages as seen in a mirror.
        classified: Whether RapidOCR's classifier knows its scripts, and so helps to see which way
            is up.
        voters: How many lines are used to decide which way is up.
        head: How much of the beginning of each is used for that, in heights.
        least_sure: The least confidence, on average over characters, for a page that it can read.
    """

    margin: float
    mirrored: bool
    classified: bool
    voters: int
    head: int
    least_sure: float

    def lines(self, crops: Sequence[Crop]) -> list[Part]:
        """The text of each line."""

    def scores(self, pixels: Iterable[Pixels]) -> Sequence[float]:
        """The confidence with which each piece of a line can be read, 0 to 1."""


class RapidRecogniser:
    """The model in RapidOCR's wheel; a `Recogniser`."""

    margin = 0.0
    mirrored = False
    classified = True
    voters = 12
    head = 4
    least_sure = 0.9  # a worn page in a script that it knows has 0.97

    def __init__(self, ocr: Any) -> None:  # its types are unions
        self._ocr = ocr

    def lines(self, crops: Sequence[Crop]) -> list[Part]:
        """The text of each line; the parts of all lines are recognised in one call, then joined."""
        said = self._ocr.recognize_txt(
            [crop.pixels[:, a:b] for crop in crops for a, b in crop.parts()]
        )
        answers = zip(said.txts, said.scores, said.word_results, strict=True)
        return [
            read_in_parts(crop, [_understood(*next(answers)) for _ in crop.parts()])
            for crop in crops
        ]

    def scores(self, pixels: Iterable[Pixels]) -> Sequence[float]:
        """The model's confidence in each piece, 0 to 1."""
        return [float(score) for score in self._ocr.recognize_txt(list(pixels)).scores]


def _understood(text: str, score: float, seen: Any) -> tuple[str, float, list[float]]:
    """Text, confidence, and the place of each character except spaces in the part, 0 to 1."""
    columns = (column for word in seen.word_cols for column in word)
    return text, float(score), [(column + 0.5) / seen.line_txt_len for column in columns]
