"""From what the recogniser saw in the parts of a line to pieces of text with their words.

Places along a line are fractions of its length.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ocrd.engine.rapid.crops import Crop, Pixels
from ocrd.engine.rapid.pieces import Piece, is_stop, is_wide
from ocrd.engine.rapid.quads import Quad, around, between, height, straight, trimmed
from ocrd.page import Box, Line, Word

CELL_GAP = 1.6  # heights between two words that belong to different cells or columns
GUTTER_GAP = 0.6  # heights, where other pieces begin as well
GUTTER = 3  # so many of them
LEAST_SAID = 0.7  # heights of ink for each character: of what is read it is 0.4
Gap = Callable[[float, float], tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class Span:
    """A word: its characters `first` to `last` of the line's, its place from `start` to `end`."""

    first: int
    last: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Part:
    """What was read in one part of a line.

    Attributes:
        text: What it says.
        places: The middle of each character but the spaces, in order.
        score: How sure the recogniser was, 0 to 1.
        parted: Whether a gap between words lies before it.
        words: Where its words stand, from a recogniser that sees them.
    """

    text: str
    places: tuple[float, ...]
    score: float
    parted: bool
    words: tuple[Span, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Pose:
    """How the page lies while it is read.

    Attributes:
        width: Pixels, as it is read.
        height: Likewise.
        turned: Degrees clockwise by which it was turned to be read.
        slope: By how much its lines slope downward, radians.
        mirrored: Whether it is read as in a mirror, as lines are that begin on the right.
    """

    width: int
    height: int
    turned: int
    slope: float
    mirrored: bool = False

    def place(self, quad: Quad) -> Box:
        """Where a quad lies on the page as it came; a pixel at least."""
        box = around(quad, self.width, self.height)
        x2, y2 = max(box.x2, box.x1 + 1 / self.width), max(box.y2, box.y1 + 1 / self.height)
        over, low = max(x2 - 1, 0.0), max(y2 - 1, 0.0)
        seen = Box(box.x1 - over, box.y1 - low, x2 - over, y2 - low).turned(-self.turned)
        return Box(1 - seen.x2, seen.y1, 1 - seen.x1, seen.y2) if self.mirrored else seen


@dataclass(frozen=True, slots=True)
class Recognised:
    """What is printed at `quad`, cut out as `crop`."""

    quad: Quad
    crop: Crop
    read: Part

    @property
    def plausible(self) -> bool:
        """Whether it says about as much as its length has room for."""
        said = sum(2 if is_wide(char) else 1 for char in self.read.text)
        return 0 < int(self.crop.inked.sum()) <= LEAST_SAID * said * self.crop.height

    def squares(self) -> list[Pixels]:
        """Its characters, cut out as squares."""
        height, width = self.crop.height, self.crop.width
        middles = [round(place * width) for place in self.read.places]
        lefts = [min(max(0, middle - height // 2), max(0, width - height)) for middle in middles]
        return [self.crop.pixels[:, left : left + height] for left in lefts]

    def pieces(self, pose: Pose, starts: Sequence[float] = ()) -> Iterator[Piece]:
        """What it says; parted where a gap is as wide as between the cells of a table.

        Args:
            pose: How the page lies.
            starts: Where pieces of the page begin, in order; between narrow columns the detector
                sees one line now and then.
        """
        words = self.read.words or spans(self.read, self._gap)
        first = 0
        for last in range(1, len(words) + 1):
            if last == len(words) or self._parted(words[last - 1], words[last], pose, starts):
                yield self._piece(words[first:last], pose)
                first = last

    def _parted(self, left: Span, right: Span, pose: Pose, starts: Sequence[float]) -> bool:
        gap = (right.start - left.end) * self.crop.width / self.crop.height
        if gap <= GUTTER_GAP or gap > CELL_GAP:
            return gap > CELL_GAP
        x = straight(between(self.quad, right.start, right.end), pose.slope).x1
        near = height(self.quad) / 2
        return bisect_right(starts, x + near) - bisect_left(starts, x - near) >= GUTTER

    def _piece(self, words: Sequence[Span], pose: Pose) -> Piece:
        text, first, last = self.read.text, words[0], words[-1]
        placed = tuple(
            Word(text[word.first : word.last], self._place(word, word, pose)) for word in words
        )
        said, place = text[first.first : last.last], self._place(first, last, pose)
        line = Line(said, place, placed, self.read.score)
        box = straight(between(self.quad, first.start, last.end), pose.slope)
        stands = box.y2 - box.y1 > 2 * (box.x2 - box.x1)
        return Piece(line, box, on_end=stands and len(said) > 2)

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
