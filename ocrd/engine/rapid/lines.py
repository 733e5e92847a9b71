"""From what the recogniser saw in the parts of a line to pieces of text with their words.

Places along a line are fractions of its length.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_low

from ocrd.engine.rapid.crops import HIGHEST, Crop, Pixels
from ocrd.engine.rapid.quads import Quad, around, between, height, straight, trimmed
from ocrd.layout.pieces import Piece, is_stop, is_wide
from ocrd.layout.ruled import Rule
from ocrd.page import Box, Line, Word

CELL_GAP = 1.6  # heights between two words that belong to different cells or columns
GUTTER_GAP = 0.6  # heights, where other pieces begin as well
BELOW = 3  # heights to the first of them from a head
ALIKE = 1.35  # times as high: a head is not much larger than its column
HEAD_GAP = 0.2  # heights: heads of narrow columns stand closer
WIDER = 1.5  # times the usual gap of its line
GUTTER, COLUMN = 3, 8  # so many of them; so many that a gap may be a space
SLACK = 3  # pixels by which a rule between two words may stand beside the gap
FEW = 2  # characters: photographs are taken for no more
ALONE_SURE = 0.8  # confidence of a single character: strokes and staples look like some
LARGE = 2 * HIGHEST  # pixels of a line's height: its edges are small beside its strokes
SIGN = 1.5  # times as high as the words of its page
SOLID = 0.6  # of the ink of large print; print has 0.7 and more, texture at most 0.46
LEAST_SAID = 0.7  # heights of ink for each character: of what is read it is 0.4

_TWICE = re.compile(r"(?<=[œŒ])e|(?<=[\u2019'])[\u2019']")
# l'homme, l'Inde; not I'm, I've, I'll
_ELISION = re.compile(r"\b[1I|]([\u2019'])(?=(?i:[aeiouyhàâäéèêëîïôöùûüœæ]))")
_ELIDED = re.compile(r"(?<=\b[A-Za-z1][\u2019'])l(?=[b-df-gj-km-np-tv-xz])")
_AMOUNT = re.compile(r"(?<![\w.,])(?=[^ ]*\d[^ ]*\d)[\dIl|]+[.,][\dIl|][\dI|](?![\w.,])")
_DIGITS = str.maketrans("Il|", "111")
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
    return Part(mended(text), tuple(places), score / max(1, len(places)), parted=True)


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
class Seams:
    """What parts the pieces of a page, as it is laid straight.

    Attributes:
        boxes: Those of its pieces, from left to right.
        upright: Its upright rules.
    """

    boxes: Sequence[Box]
    upright: Sequence[Rule]

    def ruled(self, gap: Box) -> bool:
        """Whether a rule runs through a gap."""
        middle = (gap.y1 + gap.y2) / 2
        return any(
            gap.x1 - SLACK <= x <= gap.x2 + SLACK and top < middle < bottom
            for x, top, _, bottom in self.upright
        )

    def beginning(self, x: float, reach: float) -> Sequence[Box]:
        """The boxes that begin about there."""
        first = bisect_left(self.boxes, x - reach, key=_left)
        return self.boxes[first : bisect_right(self.boxes, x + reach, key=_left)]


def _left(box: Box) -> float:
    return box.x1


@dataclass(frozen=True, slots=True)
class Recognised:
    """What is printed at `quad`, cut out as `crop`."""

    quad: Quad
    crop: Crop
    read: Part

    @property
    def plausible(self) -> bool:
        """Whether it says about as much as its length has room for, and is print, not a photo."""
        said = sum(2 if is_wide(char) else 1 for char in self.read.text)
        if len(self.read.text) == 1 and self.read.score < ALONE_SURE:
            return False
        if len(self.read.text) <= FEW and height(self.quad) > LARGE and self.crop.solid() < SOLID:
            return False
        return 0 < int(self.crop.inked.sum()) <= LEAST_SAID * said * self.crop.height

    @property
    def worded(self) -> bool:
        """Whether it has a letter or a figure: holes and boxes look like other characters."""
        return any(map(str.isalnum, self.read.text))

    def squares(self) -> list[Pixels]:
        """Its characters, cut out as squares."""
        height, width = self.crop.height, self.crop.width
        middles = [round(place * width) for place in self.read.places]
        lefts = [min(max(0, middle - height // 2), max(0, width - height)) for middle in middles]
        return [self.crop.pixels[:, left : left + height] for left in lefts]

    def pieces(self, pose: Pose, seams: Seams | None = None) -> Iterator[Piece]:
        """What it says; parted where a gap is as wide as between the cells of a table.

        Args:
            pose: How the page lies.
            seams: What on the page parts narrower gaps: between close columns, and in the head
                of a table, the detector sees one line now and then.
        """
        words = self.read.words or tuple(spans(self.read, self.crop.gap_between))
        usual = self._in_heights(median_low([b.start - a.end for a, b in pairwise(words)] or [0.0]))
        first = 0
        for last in range(1, len(words) + 1):
            gap = words[last - 1].end, words[last].start if last < len(words) else math.inf
            if self._parted(*gap, pose, seams, usual):
                yield self._piece(words[first:last], pose)
                first = last

    def _parted(
        self, start: float, end: float, pose: Pose, seams: Seams | None, usual: float
    ) -> bool:
        gap = self._in_heights(end - start)
        if gap > CELL_GAP or seams is None:
            return gap > CELL_GAP
        place = straight(between(self.quad, start, end), pose.slope)
        if gap <= HEAD_GAP or seams.ruled(place):
            return seams.ruled(place)
        line = height(self.quad)
        begun = seams.beginning(place.x2, line / 2)
        if gap > GUTTER_GAP or (gap > WIDER * usual > 0 and len(begun) >= COLUMN):
            return len(begun) >= GUTTER
        last = straight(self.quad, pose.slope).x2 - line
        cells = [
            abs(box.y1 - place.y1)
            for box in begun
            if abs(box.x1 - place.x2) < line / 4
            and last < box.x2
            and line < ALIKE * (box.y2 - box.y1)
        ]
        return len(cells) >= GUTTER and min(cells) < BELOW * line

    def _in_heights(self, part: float) -> float:
        """A fraction of its length, in its heights."""
        return part * self.crop.width / self.crop.height

    def _piece(self, words: Sequence[Span], pose: Pose) -> Piece:
        text, first, last = self.read.text, words[0], words[-1]
        placed = tuple(
            Word(text[word.first : word.last], self._place(word, word, pose)) for word in words
        )
        said, place = text[first.first : last.last], self._place(first, last, pose)
        line = Line(said, place, placed, self.read.score)
        box = straight(between(self.quad, first.start, last.end), pose.slope)
        stands = box.y2 - box.y1 > 2 * (box.x2 - box.x1)
        weight = height(self.quad) * self.crop.weight(first.start, last.end)
        gaps = sum(b.start - a.end for a, b in pairwise(words))
        on_end, spaces = stands and len(said) > 2, height(self.quad) * self._in_heights(gaps)
        return Piece(line, box, on_end=on_end, weight=weight, spaces=spaces)

    def _place(self, first: Span, last: Span, pose: Pose) -> Box:
        """Where the ink of some words stands on the page as it came."""
        stretch = between(self.quad, first.start, last.end)
        return pose.place(trimmed(stretch, self.crop.top, self.crop.bottom))


def printed(tried: Sequence[Recognised], sure: float) -> list[Recognised]:
    """What of the recognised pieces is print.

    Signs alone are print among words that are about as high: a tick box, a bullet; else they are
    holes in the paper.
    """
    lines = [line for line in tried if line.read.score >= sure and line.plausible]
    heights = [height(line.quad) for line in lines if line.worded]
    highest = SIGN * median_low(heights) if heights else 0.0
    return [line for line in lines if line.worded or height(line.quad) <= highest]


def read_in_parts(crop: Crop, answers: Sequence[tuple[str, float, Sequence[float]]]) -> Part:
    """The line of a crop, from what was read in its parts.

    Args:
        crop: The crop.
        answers: For each part the text, how sure the recogniser was, and where it saw each
            character but the spaces, in fractions of the part.
    """
    least = crop.word_gap(sum(text.strip().count(" ") for text, _, _ in answers))
    return joined(
        _part(crop, first, last, once(text), score, seen, parted=crop.parted(first, least))
        for (first, last), (text, score, seen) in zip(crop.parts(), answers, strict=True)
    )


def _part(
    crop: Crop,
    first: int,
    last: int,
    text: str,
    score: float,
    seen: Sequence[float],
    *,
    parted: bool,
) -> Part:
    count = sum(not char.isspace() for char in text)
    if len(seen) != count:  # spread evenly rather than fail: it is the text that matters
        seen = [(number + 0.5) / count for number in range(count)]
    places = tuple((first + place * (last - first)) / crop.width for place in seen)
    return Part(text, places, score, parted)


def once(text: str) -> str:
    """Text without what the recogniser says twice."""
    return _TWICE.sub("", text)


def mended(text: str) -> str:
    """Text in which the neighbours tell the characters that look alike; as many as before."""
    text = _ELISION.sub(r"l\1", _ELIDED.sub("I", text))
    return _AMOUNT.sub(lambda found: found[0].translate(_DIGITS), text)
