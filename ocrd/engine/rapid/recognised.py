"""From what the recogniser says about the parts of a crop to pieces of text with their words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ocrd.engine.rapid.crops import Crop
from ocrd.engine.rapid.pieces import Piece
from ocrd.engine.rapid.quads import Quad, around, between, straight, trimmed
from ocrd.engine.rapid.words import Part, Span, spans
from ocrd.page import Box, Line, Word

CELL_GAP = 1.6  # heights between two words that belong to different cells or columns


@dataclass(frozen=True, slots=True)
class Pose:
    """How the page lies while it is read.

    Attributes:
        width: Pixels, as it is read.
        height: Likewise.
        turned: Degrees clockwise by which it was turned to be read.
        slope: By how much its lines slope downward, radians.
    """

    width: int
    height: int
    turned: int
    slope: float

    def place(self, quad: Quad) -> Box:
        """Where a quad lies on the page as it came."""
        return around(quad, self.width, self.height).turned(-self.turned)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What is printed at `quad`, cut out as `crop`."""

    quad: Quad
    crop: Crop
    read: Part

    def pieces(self, pose: Pose) -> Iterator[Piece]:
        """What it says; parted where a gap is as wide as between the cells of a table."""
        words = spans(self.read, self._gap)
        wide = CELL_GAP * self.crop.height / self.crop.width
        first = 0
        for last in range(1, len(words) + 1):
            if last == len(words) or words[last].start - words[last - 1].end > wide:
                yield self._piece(words[first:last], pose)
                first = last

    def _piece(self, words: Sequence[Span], pose: Pose) -> Piece:
        text, first, last = self.read.text, words[0], words[-1]
        placed = tuple(
            Word(text[word.first : word.last], self._place(word, word, pose)) for word in words
        )
        said, place = text[first.first : last.last], self._place(first, last, pose)
        line = Line(said, place, placed, self.read.score)
        return Piece(line, straight(between(self.quad, first.start, last.end), pose.slope))

    def _place(self, first: Span, last: Span, pose: Pose) -> Box:
        """Where the ink of some words stands on the page as it came."""
        stretch = between(self.quad, first.start, last.end)
        return pose.place(trimmed(stretch, self.crop.top, self.crop.bottom))

    def _gap(self, start: float, end: float) -> tuple[float, float] | None:
        width = self.crop.width
        found = self.crop.gap(round(start * width), round(end * width))
        return (found[0] / width, found[1] / width) if found else None


def part(crop: Crop, first: int, last: int, text: str, score: float, seen: Sequence[float]) -> Part:
    """What was read between two columns of a crop.

    Args:
        crop: The crop.
        first: Where the part begins in it.
        last: Where it ends.
        text: What was read.
        score: How surely.
        seen: Where the recogniser saw each character but the spaces, in fractions of the part.
    """
    count = sum(not char.isspace() for char in text)
    if len(seen) != count:  # spread evenly rather than fail: it is the text that matters
        seen = [(number + 0.5) / count for number in range(count)]
    places = tuple((first + place * (last - first)) / crop.width for place in seen)
    return Part(text, places, score, crop.parted(first))
