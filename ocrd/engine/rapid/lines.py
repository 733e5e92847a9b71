"""Makes pieces of text, with their words, from the recognised parts of lines.

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

CELL_GAP = 1.6  # heights: a wider gap separates cells or columns
GUTTER_GAP = 0.6  # heights: likewise, if other pieces of the page begin behind the gap, too
BELOW = 3  # heights: a table's head is no farther above the first of those pieces
ALIKE = 1.35  # a head is lower than so many times the height of its column's pieces
HEAD_GAP = 0.2  # heights: a narrower gap does not separate heads of columns
WIDER = 1.5  # times the usual gap of its line
GUTTER, COLUMN = 3, 8  # pieces that must begin behind a gap; behind one that may be a space
SLACK = 3  # pixels by which a rule between two words may be outside the gap
FEW = 2  # characters: photographs are read as no more than this
ALONE_SURE = 0.8  # least confidence of a single character: strokes and staples look like some
LARGE = 2 * HIGHEST  # pixels of a line's height: its soft edges are small beside its strokes
SIGN = 1.5  # times the height of the words of its page
SOLID = 0.6  # of the ink of large print; print has 0.7 and more, texture at most 0.46
LEAST_SAID = 0.7  # most ink for each character, in heights: text that is read has 0.4

_TWICE = re.compile(r"(?<=[œŒ])e|(?<=[\u2019'])[\u2019']")
# l'homme, l'Inde; not I'm, I've, I'll
_ELISION = re.compile(r"\b[1I|]([\u2019'])(?=(?i:[aeiouyhàâäéèêëîïôöùûüœæ]))")
_ELIDED = re.compile(r"(?<=\b[A-Za-z1][\u2019'])l(?=[b-df-gj-km-np-tv-xz])")
_AMOUNT = re.compile(r"(?<![\w.,])(?=[^ ]*\d[^ ]*\d)[\dIl|]+[.,][\dIl|][\dI|](?![\w.,])")
_DIGITS = str.maketrans("Il|", "111")
Gap = Callable[[float, float], tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class Span:
    """A word: the characters from `first` up to `last` of a line, between `start` and `end`."""

    first: int
    last: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Part:
    """The text read in one part of a line.

    Attributes:
        text: The text.
        places: The middle of each character except spaces, in order; from Tesseract, of each word.
        score: The recogniser's confidence, 0 to 1.
        parted: Whether there is a gap between words before it.
        words: Its words and their places; empty from a recogniser that does not report words.
    """

    text: str
    places: tuple[float, ...]
    score: float
    parted: bool
    words: tuple[Span, ...] = ()


def joined(parts: Iterable[Part]) -> Part:
    """The parts joined into the whole line; its score is the average over its characters."""
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
    """The words of a line, with their ends where the gaps between them are.

    Args:
        line: A whole line.
        gap: Returns the widest stretch without ink between two places; None if there is none.
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
    """The first character and the last + 1 of each word; a full-width comma ends a word, too."""
    first = 0
    for place, char in enumerate(text + " "):
        ends = place > first and is_stop(text[place - 1]) and not is_stop(char)
        if char == " " or ends:
            if place > first:
                yield first, place
            first = place + (char == " ")


@dataclass(frozen=True, slots=True)
class Pose:
    """The orientation of the page while it is read.

    Attributes:
        width: In pixels, as the page is read.
        height: In pixels, as the page is read.
        turned: Degrees clockwise by which the page was turned to be read.
        slope: How much its lines slope downward, in radians.
        mirrored: Whether the page is read as in a mirror, for lines that begin on the right.
    """

    width: int
    height: int
    turned: int
    slope: float
    mirrored: bool = False

    def place(self, quad: Quad) -> Box:
        """The box of a quad on the original page, at least one pixel wide and high."""
        box = around(quad, self.width, self.height)
        x2, y2 = max(box.x2, box.x1 + 1 / self.width), max(box.y2, box.y1 + 1 / self.height)
        over, low = max(x2 - 1, 0.0), max(y2 - 1, 0.0)
        seen = Box(box.x1 - over, box.y1 - low, x2 - over, y2 - low).turned(-self.turned)
        return Box(1 - seen.x2, seen.y1, 1 - seen.x1, seen.y2) if self.mirrored else seen


@dataclass(frozen=True, slots=True)
class Seams:
    """What can separate the pieces of a page, in pixels of the page without its slope.

    Attributes:
        boxes: The boxes of its pieces, by their left edges.
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
        """The boxes whose left edge is within `reach` of `x`."""
        first = bisect_left(self.boxes, x - reach, key=_left)
        return self.boxes[first : bisect_right(self.boxes, x + reach, key=_left)]


def _left(box: Box) -> float:
    return box.x1


@dataclass(frozen=True, slots=True)
class Recognised:
    """A recognised piece of the page: `read` is the text at `quad`, cut out as `crop`."""

    quad: Quad
    crop: Crop
    read: Part

    @property
    def plausible(self) -> bool:
        """Whether it has enough characters for the length of its ink, and is print, not a photo."""
        said = sum(2 if is_wide(char) else 1 for char in self.read.text)
        if len(self.read.text) == 1 and self.read.score < ALONE_SURE:
            return False
        if len(self.read.text) <= FEW and height(self.quad) > LARGE and self.crop.solid() < SOLID:
            return False
        return 0 < int(self.crop.inked.sum()) <= LEAST_SAID * said * self.crop.height

    @property
    def worded(self) -> bool:
        """Whether it has a letter or a digit: holes and boxes look like other characters."""
        return any(map(str.isalnum, self.read.text))

    def squares(self) -> list[Pixels]:
        """Its characters, each cut out as a square."""
        height, width = self.crop.height, self.crop.width
        middles = [round(place * width) for place in self.read.places]
        lefts = [min(max(0, middle - height // 2), max(0, width - height)) for middle in middles]
        return [self.crop.pixels[:, left : left + height] for left in lefts]

    def pieces(self, pose: Pose, seams: Seams | None = None) -> Iterator[Piece]:
        """The piece of text, split at gaps as wide as those between the cells of a table.

        Args:
            pose: The orientation of the page.
            seams: Marks narrower gaps to split at: the detector sometimes sees one line across
                close columns, or in the head of a table.  None for wide gaps only.
        """
        words = self.read.words or tuple(spans(self.read, self.crop.gap_between))
        words = tuple(sorted(words, key=lambda word: word.start))  # some may run the other way
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
        """A fraction of its length, as a multiple of its height."""
        return part * self.crop.width / self.crop.height

    def _piece(self, words: Sequence[Span], pose: Pose) -> Piece:
        """The piece of text with these words, given from the line's beginning to its end."""
        said, placed, first, last = "", list[Word](), words[0], words[-1]
        for word in sorted(words, key=lambda word: word.first):
            text = self.read.text[word.first : word.last]
            placed.append(Word(text, self._place(word, word, pose)))
            parted = placed[1:] and self.read.text[word.first - 1].isspace()
            said += f" {text}" if parted else text
        place = self._place(first, last, pose)
        line = Line(said, place, tuple(placed), self.read.score)
        box = straight(between(self.quad, first.start, last.end), pose.slope)
        stands = box.y2 - box.y1 > 2 * (box.x2 - box.x1)
        weight = height(self.quad) * self.crop.weight(first.start, last.end)
        gaps = sum(b.start - a.end for a, b in pairwise(words))
        on_end, spaces = stands and len(said) > 2, height(self.quad) * self._in_heights(gaps)
        return Piece(line, box, on_end=on_end, weight=weight, spaces=spaces)

    def _place(self, first: Span, last: Span, pose: Pose) -> Box:
        """The box around the ink of the words from `first` to `last` on the original page."""
        stretch = between(self.quad, first.start, last.end)
        return pose.place(trimmed(stretch, self.crop.top, self.crop.bottom))


def printed(tried: Sequence[Recognised], sure: float) -> list[Recognised]:
    """The recognised pieces that are print.

    A piece without letters or digits is print if it is about as high as the words of the page (a
    tick box, a bullet); otherwise it is a hole in the paper.
    """
    lines = [line for line in tried if line.read.score >= sure and line.plausible]
    heights = [height(line.quad) for line in lines if line.worded]
    highest = SIGN * median_low(heights) if heights else 0.0
    return [line for line in lines if line.worded or height(line.quad) <= highest]


def read_in_parts(crop: Crop, answers: Sequence[tuple[str, float, Sequence[float]]]) -> Part:
    """The line of a crop, joined from the text read in its parts.

    Args:
        crop: The crop.
        answers: For each part the text, the recogniser's confidence, and the place of each
            character except spaces, in fractions of the part.
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
    if len(seen) != count:  # spread evenly rather than fail, since the text matters most
        seen = [(number + 0.5) / count for number in range(count)]
    places = tuple((first + place * (last - first)) / crop.width for place in seen)
    return Part(text, places, score, parted)


def once(text: str) -> str:
    """The text without characters that the recogniser typically doubles."""
    return _TWICE.sub("", text)


def mended(text: str) -> str:
    """The text with look-alike characters corrected by their neighbours; its length is the same."""
    text = _ELISION.sub(r"l\1", _ELIDED.sub("I", text))
    return _AMOUNT.sub(lambda found: found[0].translate(_DIGITS), text)
