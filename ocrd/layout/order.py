"""The order in which people read a page: rows, and columns of running text.  Pure.

A page is first split at gutters: straight gaps with running text on both sides.  Pieces that reach
across a gutter (a title, a wide figure's caption) stand above, below or between columns and are
read where they stand.  Cells (of a table, a form) are not split but read row by row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ocrd.layout.pieces import Piece, is_count
from ocrd.page import Box, Line

Row = tuple[Piece, ...]

LEAST_ROWS = 3  # on both sides of a gutter, somewhere along it
LEAST_WIDTH = 9  # heights of a line: narrower columns are those of tables
FULL = 0.7  # a row is full if so much of its column's width is text
LEAST_FULL = 0.4  # of a column's rows
LEVEL = 0.2  # line heights: the rows of a table differ by less
WORDY = 14  # letters of an average line of text
STRIP_ROWS, STRIP_WORDS = 6, 0.8  # rows, and the share of them that are words
PROSE = 30  # letters of a line that is no cell
SLACK = 0.3  # heights of a line by which a piece may reach into a gutter
WORD_GAP = 0.5  # heights: the white between words of a line, where it is not stretched
LOOSE = 2.2  # heights from line to line: running text is set closer
GOING_ON = 0.3  # of the lines of narrow text begin or end within a sentence, at least
VERSE = 5  # words of an average line
ACROSS = 0.9  # of the text's width: a rule so wide separates what is above from what is below
LARGER, BROADER = 1.25, 1.4  # times the height, or the strokes, of most lines: a headline
BEGINNING = 4.0  # heights of a line: what is so near below a headline's top begins its columns
ENDED = 3.0  # heights of a line: white so high below a column ends its article


@dataclass(frozen=True, slots=True)
class _Band:
    """The pieces on both sides of a gutter, between those that reach across it."""

    left: tuple[Piece, ...]
    right: tuple[Piece, ...]


def columns(pieces: Iterable[Piece], rules: Iterable[Box] = ()) -> list[list[Row]]:
    """The page's columns in reading order, each as its rows from top to bottom.

    The order of `pieces` does not matter.  Of the level `rules`, those that reach from side to side
    end columns; so do headlines that stand level at the top of all columns, as in newspapers.
    """
    text = list(pieces)
    parts_at = [*parting(rules, [it.box for it in text]), *_above_headlines(text)]
    across = [Piece(Line("", rule), rule) for rule in parts_at]
    parts = _parted(sorted([*text, *across], key=_place))
    found = (rows(piece for piece in part if piece not in across) for part in parts)
    return [column for column in found if column]


def parting(rules: Iterable[Box], boxes: Sequence[Box]) -> list[Box]:
    """The level rules that reach across nearly all content of a page without cutting any."""
    if not boxes:
        return []
    whole = Box.around(boxes)
    return [
        rule
        for rule in rules
        if rule.width > ACROSS * whole.width
        if not any(abs(2 * rule.y1 - it.y1 - it.y2) < it.height / 2 for it in boxes)
    ]


def _above_headlines(pieces: Sequence[Piece]) -> Iterator[Box]:
    """Level lines across the page, below which each column begins with a headline.

    Two columns of one text may have headings side by side by chance; but then no white ends one.
    """
    if not pieces:
        return
    boxes = [piece.box for piece in pieces]
    line, whole = median(box.height for box in boxes), Box.around(boxes)
    strokes = median(piece.weight for piece in pieces) or math.inf
    large = {it for it in pieces if it.height >= LARGER * line or it.weight >= BROADER * strokes}
    done = whole.y1
    for head in sorted(large, key=_place):
        top = head.box.y1 - line / 2
        if top < done or any(it.y1 < top and it.y2 > top + line for it in boxes):
            continue
        found = strips(it for it in pieces if top <= it.box.y1 < top + BEGINNING * line)
        firsts = [min(strip, key=lambda piece: piece.box.y1) for strip in found]
        heads = [it for it in firsts if it.box.y1 < top + line]  # one may be wide as two columns
        if len(heads) < 2 or not large.issuperset(heads):
            continue
        white = [top - end_above(top, (it.box for it in strip), boxes) for strip in found]
        if min(white) > 0 and (len(found) > 2 or max(white) > ENDED * line):
            yield Box(whole.x1, top, whole.x2, top)
            done = top + line


def end_above(top: float, column: Iterable[Box], boxes: Iterable[Box]) -> float:
    """Where what begins above `top`, over a column, ends; infinity if nothing is there."""
    place = Box.around(column)
    above = (it for it in boxes if it.y1 < top and it.x1 < place.x2 and it.x2 > place.x1)
    return max((it.y2 for it in above), default=math.inf)


def rows(pieces: Iterable[Piece]) -> list[Row]:
    """The rows from top to bottom: pieces that are side by side, from left to right."""
    found: list[list[Piece]] = []
    for piece in sorted(pieces, key=_place):
        if found and _beside(piece, found[-1]):
            found[-1].append(piece)
        else:
            found.append([piece])
    return [tuple(sorted(row, key=lambda piece: (piece.box.x1, piece.middle))) for row in found]


def _beside(piece: Piece, row: list[Piece]) -> bool:
    """Whether a piece is beside all pieces of a row (from top to bottom) and level with them."""
    middle = (row[(len(row) - 1) // 2].middle + row[len(row) // 2].middle) / 2
    low = min(piece.height, *(other.height for other in row))
    free = all(
        piece.box.x1 >= other.box.x2 - low or piece.box.x2 <= other.box.x1 + low for other in row
    )
    return free and piece.middle - middle < 0.5 * low


def _place(piece: Piece) -> tuple[float, float, float, str]:
    return piece.middle, piece.box.x1, piece.box.x2, piece.text


def _parted(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Parts without gutters, in reading order."""
    single: list[Piece] = []
    for band in _best_gutter(pieces):
        if not _columnar(band, least_rows=1):
            single += band.left + band.right
            continue
        if single:
            yield from _parted(single)
        single = []
        number = _in_gutter(band)
        yield from _parted([piece for piece in band.left if piece is not number])
        yield from _parted([piece for piece in band.right if piece is not number])
        single += [number] if number else []
    if single:
        yield from _parted(single) if len(single) < len(pieces) else [single]


def _in_gutter(band: _Band) -> Piece | None:
    """The page number between two columns, if there is one; it is in no line of theirs."""
    for column, strip in (
        (band.left, strips(band.left)[-1]),
        (band.right, strips(band.right)[0]),
    ):
        if len(strip) == 1 < len(column) and is_count(strip[0].text):
            return strip[0]
    return None


def _best_gutter(pieces: list[Piece]) -> list[_Band]:
    """The bands at the gutter with the most pieces beside it, from top to bottom."""
    if not pieces:
        return []
    best, most = [_Band(tuple(pieces), ())], 0
    line = max(1.0, median(piece.height for piece in pieces))
    for x in sorted({round(piece.box.x1 / line) for piece in pieces}):
        edge = min(p.box.x1 for p in pieces if round(p.box.x1 / line) == x)
        bands = _bands(pieces, edge, SLACK * line)
        beside = [band for band in bands if band.left and band.right]
        if sum(len(band.left) + len(band.right) for band in beside) <= most:
            continue
        count = sum(len(band.left) + len(band.right) for band in beside if _columnar(band))
        if count > most:
            best, most = bands, count
    return best


def _bands(pieces: list[Piece], edge: float, slack: float) -> list[_Band]:
    """Split pieces (from top to bottom) at the gutter with this right edge."""
    bands: list[_Band] = []
    left: list[Piece] = []
    right: list[Piece] = []
    for piece in pieces:
        if piece.box.x1 >= edge - slack:
            right.append(piece)
        elif piece.box.x2 <= edge + slack:
            left.append(piece)
        else:
            head = _heading(left, right, piece)
            bands += [_Band(tuple(left), tuple(right)), *head, _Band((piece,), ())]
            left, right = [], []
    return [*bands, _Band(tuple(left), tuple(right))]


def _heading(left: list[Piece], right: list[Piece], wide: Piece) -> list[_Band]:
    """Take off the left column's last piece if it is below both and nearer to what follows."""
    if len(left) < 2 or not right or left[-1].box.y1 < max(piece.box.y2 for piece in right):
        return []
    if wide.middle - left[-1].middle > left[-1].middle - left[-2].middle:
        return []
    return [_Band((left.pop(),), ())]


def _columnar(band: _Band, least_rows: int = LEAST_ROWS) -> bool:
    """Whether there is running text on both sides, side by side, or on one beside a table."""
    left, right = sides = _next_to_gutter(band.left, -1), _next_to_gutter(band.right, 0)
    texts = [side for side in sides if all(piece.text for row in side for piece in row)]
    if any(len(side) < least_rows for side in texts):
        return False
    if _gap(left, right) < WORD_GAP:
        return False
    top = max(side[0][0].box.y1 for side in sides)
    bottom = min(side[-1][0].box.y2 for side in sides)
    if bottom <= top or _strip(left, right) or _strip(right, left):
        return bottom > top
    if len(texts) < len(sides):
        return all(_running(side, level=False) for side in texts)
    level = _level(left, right)
    if level and _wide(band) and are_texts(_texts(band.left) + _texts(band.right)):
        return True
    beside_prose = (_close(a) and _is_prose(b) for a, b in ((left, right), (right, left)))
    if not level and any(beside_prose):  # rows of any kind, set close
        return True
    return _running(left, level=level) and _running(right, level=level)


def _wide(band: _Band) -> bool:
    """Whether a gutter is wider than the white between words of justified lines."""
    line = median(piece.height for piece in (*band.left, *band.right))
    gap = min(piece.box.x1 for piece in band.right) - max(piece.box.x2 for piece in band.left)
    return gap > line


def _gap(left: Sequence[Row], right: Sequence[Row]) -> float:
    """The white between columns, from the median row end to the median row start, in heights."""
    ends, begins = [row[-1].box.x2 for row in left], [row[0].box.x1 for row in right]
    line = median(piece.height for row in (*left, *right) for piece in row)
    return (median(begins) - median(ends)) / max(line, 1e-6)


def _is_prose(text: Sequence[Row]) -> bool:
    """Whether rows are full lines of running text."""
    full = sum(len(row[0].text) for row in text) > PROSE * len(text)
    return full and _running(text, level=True)


def are_texts(sides: Sequence[Sequence[Row]]) -> bool:
    """Whether columns side by side are narrow running text or verse, rather than cells.

    In running text, sentences continue from line to line.  Verse has two columns, such as a poem
    and its translation, with more words to a line than cells have.
    """
    if not all(map(_lettered, sides)):
        return False
    verse = len(sides) == 2 and all(map(_worded, sides))
    return verse or all(map(goes_on, sides))


def _lettered(lines: Sequence[Row]) -> bool:
    letters = sum(sum(map(str.isalpha, piece.text)) for row in lines for piece in row)
    return letters >= WORDY * len(lines) and _close(lines)


def _worded(lines: Sequence[Row]) -> bool:
    words = sum(len(piece.text.split()) for row in lines for piece in row)
    return words >= VERSE * len(lines)


def goes_on(lines: Sequence[Row]) -> bool:
    """Whether many lines begin with a small letter or end in a comma or semicolon, unlike cells."""
    within = [r[0].text[:1].islower() or r[-1].text.endswith((",", ";")) for r in lines]
    return sum(within) >= GOING_ON * len(lines)


def _close(lines: Sequence[Row]) -> bool:
    line = max(1.0, median(piece.height for row in lines for piece in row))
    pitches = [b[0].middle - a[0].middle for a, b in pairwise(lines)] or [0.0]
    return median(pitches) < LOOSE * line


def _strip(narrow: Sequence[Row], text: Sequence[Row]) -> bool:
    """Whether rows are the strip of the facing page that a scan shows beside a page of text."""
    words = [row[0].text for row in narrow if any(map(str.isalpha, row[0].text))]
    enough = len(narrow) >= STRIP_ROWS and 2 * len(narrow) > len(text)
    line = max(1.0, median(row[0].height for row in text))
    width = max(row[-1].box.x2 for row in narrow) - min(row[0].box.x1 for row in narrow)
    return (
        enough
        and len(words) > STRIP_WORDS * len(narrow)
        and width < LEAST_WIDTH * line
        and _is_prose(text)
    )


def _next_to_gutter(pieces: Iterable[Piece], which: int) -> list[Row]:
    """The rows of the column next to a gutter: the first or the last of a side.

    A single piece (a page number in the middle) is no column if there are others.
    """
    found = _texts(pieces)
    return found[which] if found else []


def _texts(pieces: Iterable[Piece]) -> list[list[Row]]:
    found = strips(pieces)
    return [rows(strip) for strip in found if len(strip) > 1] or [rows(strip) for strip in found]


def strips(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """The pieces in groups with white from top to bottom between them, left to right."""
    found: list[list[Piece]] = []
    end = 0.0
    for piece in sorted(pieces, key=lambda piece: piece.box.x1):
        if found and piece.box.x1 < end:
            found[-1].append(piece)
        else:
            found.append([piece])
        end = max(end, piece.box.x2)
    return found


def _level(left: Sequence[Row], right: Sequence[Row]) -> bool:
    """Whether most rows of the side with fewer rows are level with a row of the other side."""
    few, many = sorted(([row[0] for row in side] for side in (left, right)), key=len)
    off = [
        min(abs(one.middle - other.middle) / max(one.height, 1e-6) for other in many) for one in few
    ]
    return 2 * sum(distance < LEVEL for distance in off) > len(off)


def _running(lines: Sequence[Row], *, level: bool) -> bool:
    """Whether rows are lines of text in a column, rather than cells."""
    pieces = [piece for row in lines for piece in row]
    line = max(1.0, median(piece.height for piece in pieces))
    width = max(p.box.x2 for p in pieces) - min(p.box.x1 for p in pieces)
    filled = [sum(piece.width for piece in row) / max(width, 1.0) for row in lines]
    full = sum(share >= FULL for share in filled) >= LEAST_FULL * len(lines)
    letters = sum(len(piece.text) for piece in pieces) / len(lines)
    wordy = letters >= (PROSE if level else WORDY)
    return width >= LEAST_WIDTH * line and (full or wordy) and _close(lines)
