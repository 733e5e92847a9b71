"""What recognises the lines of a page once they are found: RapidOCR's own model, or another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ocrd.engine.rapid.crops import Crop, Pixels
from ocrd.engine.rapid.lines import Part, read_in_parts


class Recogniser(Protocol):
    """Reads lines that were cut out.

    Attributes:
        margin: Heights to add above and below what was found, before it is cut out.
        mirrored: Whether its lines begin on the right: it takes pages as seen in a mirror.
        classified: Whether RapidOCR's classifier knows its scripts, and tells which way is up.
        voters: How many lines it is asked which way is up.
        head: How much of each it is shown then, in heights.
        least_sure: Its confidence in the average character of a page that it can read.
    """

    margin: float
    mirrored: bool
    classified: bool
    voters: int
    head: int
    least_sure: float

    def lines(self, crops: Sequence[Crop]) -> list[Part]:
        """What each of them says."""

    def scores(self, pixels: Iterable[Pixels]) -> Sequence[float]:
        """How well pieces of lines can be read, 0 to 1."""


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
        """Long lines are parted, recognised in one go, and put together again."""
        said = self._ocr.recognize_txt(
            [crop.pixels[:, a:b] for crop in crops for a, b in crop.parts()]
        )
        answers = zip(said.txts, said.scores, said.word_results, strict=True)
        return [
            read_in_parts(crop, [_understood(*next(answers)) for _ in crop.parts()])
            for crop in crops
        ]

    def scores(self, pixels: Iterable[Pixels]) -> Sequence[float]:
        """As the model gives them."""
        return [float(score) for score in self._ocr.recognize_txt(list(pixels)).scores]


def _understood(text: str, score: float, seen: Any) -> tuple[str, float, list[float]]:
    """Text, confidence, and where in the part each character but the spaces was seen (0 to 1)."""
    columns = (column for word in seen.word_cols for column in word)
    return text, float(score), [(column + 0.5) / seen.line_txt_len for column in columns]
