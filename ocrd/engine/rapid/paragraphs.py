"""Groups the lines of a column into paragraphs.  Pure.

It uses only features that need no understanding: distances, indents, size and weight of type, and
whether the first word of a line would have fitted on the line before.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median

from ocrd.layout.order import Row, goes_on
from ocrd.layout.pieces import is_hangul, is_item, is_wide, numbered

GAP = 1.25  # usual distances of lines: with a larger one another paragraph begins
INDENT = 0.8  # heights of a line
OTHER_TYPE = 1.25  # times larger or smaller
OTHER_HEIGHT = 1.4  # times higher or lower
BOLD = 1.17  # times broader strokes
LEAST_CAPITALS = 4  # letters
FEW_LINES, NARROW_SLIP, RAGGED = 6, 18, 0.7  # lines, heights, of the width: an address
STRETCHED = 0.4  # heights: spaces that are wider on average are those of a justified line
ENOUGH = 6  # characters: with fewer, size and weight of type cannot be judged
FILLED, SYLLABLE = 3, 2  # lines; average syllables
NARROW, BROAD, CAPITAL, WIDE = 0.6, 1.5, 1.3, 2.1  # times the width of an average small letter


class Join(enum.Enum):
    """How a line continues the one above it."""

    FLOW = "flow"  # it continues the running text
    BREAK = "break"  # in the same block, but deliberately on a new line: an address, a list
    NEW = "new"  # it begins another block
    WITHIN = "within"  # it continues the running text, perhaps in the midst of a word


@dataclass(frozen=True)
class TextLine:
    """A row of text with its measurements."""

    row: Row

    @cached_property
    def text(self) -> str:
        """Its text, with two spaces between pieces."""
        return "  ".join(piece.text for piece in self.row)

    @cached_property
    def left(self) -> float:
        """The left end, in pixels."""
        return self.row[0].box.x1

    @cached_property
    def right(self) -> float:
        """The right end, in pixels."""
        return self.row[-1].box.x2

    @cached_property
    def middle(self) -> float:
        """The distance of its middle from the top of the page, in pixels."""
        return self.row[0].middle

    @cached_property
    def height(self) -> float:
        """The height of its highest piece, in pixels."""
        return max(1e-6, *(piece.height for piece in self.row))

    @cached_property
    def size(self) -> float:
        """The size of its type: the width of an average small letter, in pixels."""
        width = sum(piece.width for piece in self.row)
        letters = sum(breadth(char) for piece in self.row for char in piece.text)
        spaces = sum(piece.spaces for piece in self.row)
        count = sum(piece.text.count(" ") for piece in self.row)
        if spaces > STRETCHED * self.height * count:  # then they say nothing about the type
            width, letters = width - spaces, letters - NARROW * count
        return max(1e-6, width / max(1.0, letters))

    @cached_property
    def space(self) -> float:
        """The average width of its spaces, in pixels."""
        spaces = sum(piece.spaces for piece in self.row)
        return spaces / max(1, sum(piece.text.count(" ") for piece in self.row))

    @cached_property
    def weight(self) -> float:
        """The breadth of its strokes, in pixels; 0 if not measured."""
        width = sum(piece.width for piece in self.row)
        return sum(piece.weight * piece.width for piece in self.row) / max(width, 1e-6)

    @cached_property
    def capitals(self) -> bool:
        """Whether it is in capitals; abbreviations and numbers do not count."""
        return self.text.isupper() and sum(map(str.isalpha, self.text)) >= LEAST_CAPITALS

    @cached_property
    def first_word(self) -> float:
        """The width of its first word, or first Chinese character, in pixels."""
        text = self.row[0].text
        word = text[:1] if is_wide(text[0]) else text.split(maxsplit=1)[0]
        return self.size * sum(map(breadth, word))


def breadth(char: str) -> float:
    """The width of a character, in average small letters; marks above and below have none."""
    if unicodedata.category(char) == "Mn":
        return 0.0
    if is_wide(char):
        return WIDE
    if char in "iIl.,;:'|!ftjr1()[] ":
        return NARROW
    if char in "mwMW@%":
        return BROAD
    return CAPITAL if char.isupper() else 1.0


def paragraphs(lines: Sequence[TextLine]) -> list[list[tuple[Join, TextLine]]]:
    """The blocks of a column's lines, top to bottom; each line with its join to the one above."""
    blocks: list[list[tuple[Join, TextLine]]] = []
    pitch, right = _pitch(lines), max((line.right for line in lines), default=0)
    usual = median(line.size for line in lines) if lines else 0.0
    slip = _is_slip(lines, right)
    for line in lines:
        join = Join.NEW
        if blocks:  # larger type is set farther apart
            larger = max(1.0, min(line.size, blocks[-1][-1][1].size) / usual)
            join = _join(blocks[-1], line, pitch * larger, right)
        if slip and join is not Join.NEW:
            join = Join.BREAK
        if join is Join.NEW:
            blocks.append([])
        blocks[-1].append((join, line))
    if _fills_lines([pair for block in blocks for pair in pairwise(block)], right):
        return [_by_syllables(block) for block in blocks]
    return blocks


def _fills_lines(
    pairs: Sequence[tuple[tuple[Join, TextLine], tuple[Join, TextLine]]], right: float
) -> bool:
    """Whether Korean lines are broken between any two syllables, not only between words.

    Then none of them has room for another syllable.  If words were kept whole, most would have,
    or, in justified text, would have wider spaces than others.
    """
    lines = [above for (_, above), (join, _) in pairs if join is Join.FLOW]
    lines = [line for line in lines if is_hangul(line.text[-1])]
    if len(lines) < FILLED:
        return False
    space = min(line.space for line in lines)
    rooms = [
        (right - line.right + (line.space - space) * line.text.count(" ")) / line.size
        for line in lines
    ]
    return max(rooms) < SYLLABLE


def _by_syllables(block: Sequence[tuple[Join, TextLine]]) -> list[tuple[Join, TextLine]]:
    """The block, with the joins between two syllables marked."""
    above = [None, *(line for _, line in block)]
    return [
        (Join.WITHIN, line)
        if join is Join.FLOW and last and is_hangul(last.text[-1]) and is_hangul(line.text[0])
        else (join, line)
        for last, (join, line) in zip(above, block, strict=False)
    ]


def _is_slip(lines: Sequence[TextLine], right: float) -> bool:
    """Whether the lines are a few short ones that were broken on purpose, like an address."""
    if not 2 <= len(lines) <= FEW_LINES:
        return False
    width = right - min(line.left for line in lines)
    narrow = width < NARROW_SLIP * median(line.height for line in lines)
    ragged = any(line.right - line.left < RAGGED * width for line in lines[:-1])
    return narrow and (ragged or not goes_on([line.row for line in lines]))


def _pitch(lines: Iterable[TextLine]) -> float:
    """The usual distance of lines: the lower quartile, since paragraphs are farther apart."""
    pitches = sorted(below.middle - above.middle for above, below in pairwise(lines))
    return pitches[len(pitches) // 4] if pitches else 0.0


def _join(block: list[tuple[Join, TextLine]], line: TextLine, pitch: float, right: float) -> Join:
    came, above = block[-1]
    if line.middle - above.middle > GAP * pitch or _other_type(above, line):
        return Join.NEW
    room = right - above.right > line.first_word + 0.5 * line.height
    if came is Join.NEW and room and _heads(above, line):
        return Join.NEW
    if is_item(line.text):
        return Join.BREAK
    item = any(is_item(earlier.text) for _, earlier in block)
    if line.left - above.left > INDENT * line.height and not item:
        return Join.NEW
    if room:
        return Join.NEW if came is Join.FLOW and not item else Join.BREAK
    return Join.FLOW


def _heads(above: TextLine, line: TextLine) -> bool:
    """Whether `above` is the numbered heading of `line`, and they are not items of a list."""
    items = is_item(above.text) and is_item(line.text)
    return numbered(above.text) and above.text[-1] not in ".,;:" and not items


def _other_type(a: TextLine, b: TextLine) -> bool:
    """Whether two lines differ in the size or weight of their type, or in capitals."""
    height = max(a.height, b.height) / min(a.height, b.height)
    size = max(a.size, b.size) / min(a.size, b.size)
    judged = min(len(a.text), len(b.text)) >= ENOUGH
    bolder = max(a.weight, b.weight) > BOLD * min(a.weight, b.weight) > 0
    return (
        height > OTHER_HEIGHT
        or (judged and (size > OTHER_TYPE or bolder))
        or a.capitals != b.capitals
    )
