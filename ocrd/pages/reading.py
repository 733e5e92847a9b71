"""Puts blocks in reading order, and merges a page's own text with an engine's.  Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ocrd.layout.order import end_above
from ocrd.page import Block, Box, PageResult, WordsFrom, letters

_GUTTER = 0.012  # of the page's width, at least, between columns
_LEVEL = 0.75  # of the lines with several blocks: more is a form
_LINE = 0.03  # of the page's height: a block so low is one line
_MOST = 0.5  # of the letters read in a place: with fewer, the page's own words yield
_ENDED = 2.0  # heights of a heading: white so high below a column ends its text
_LONGEST = 40  # characters of a form's label, or of the answer filled in


@dataclass(frozen=True, slots=True)
class OwnText:
    """The text that a page has of its own.

    Attributes:
        result: The text in the form of an engine's result.
        fault: Why it cannot be trusted; empty if it can.
        whole: Whether nothing is left on the page that only an engine could read.
    """

    result: PageResult
    fault: str
    whole: bool


def merged(own: PageResult, read: PageResult) -> PageResult:
    """The page's own text, and what an engine read on the rest of the page.

    Where there are both, the page's own words count unless they are the smaller part of what was
    read there: a stamp on a scanned table, a layer with some of its words.  If any block was read
    without a place, the two cannot be compared, and only what was read is used.
    """
    if not read.blocks or not all(block.boxes for block in read.blocks):
        return read

    def is_new(text: str, boxes: Sequence[Box]) -> bool:
        if any(line.box.holds(box) for line in own.lines for box in boxes):
            return False
        within = [line.text for line in own.lines if any(box.holds(line.box) for box in boxes)]
        return not within or letters(within) < _MOST * letters([text])

    new = [block for block in read.blocks if is_new(block.said, block.boxes)]
    places = [box for block in new if block.said for box in block.boxes]
    kept = [
        block
        for block in own.blocks
        if not (new if block.label == "image" else _lies_in(block.boxes, places))
    ]
    lines = [line for line in read.lines if is_new(line.text, (line.box,))]
    taken = [line.box for line in lines]
    own_lines = [line for line in own.lines if not _lies_in((line.box,), taken)]
    blocks = tuple(in_order([*kept, *new]))
    return replace(read, blocks=blocks, lines=(*own_lines, *lines), words_from=WordsFrom.BOTH)


def _lies_in(boxes: Sequence[Box], places: Sequence[Box]) -> bool:
    return bool(boxes) and all(any(place.holds(box) for place in places) for box in boxes)


def in_order(blocks: Sequence[Block]) -> list[Block]:
    """Blocks in reading order: columns one after another, blocks that span them in between."""
    if len(blocks) < 2 or not all(block.boxes for block in blocks):
        return list(blocks)
    bands = _parted(blocks, across=False)
    if _cells(bands):
        return [block for band in bands for block in _across(band)]
    articles = _articles(bands)
    if len(articles) > 1:
        return [block for rows in articles for block in in_order(rows)]
    parts = _parted(blocks, across=True) if len(bands) < len(blocks) else []
    if len(parts) > 1:
        return [block for part in parts for block in in_order(part)]
    if len(bands) == 1:
        return sorted(blocks, key=lambda block: (block.boxes[0].y1, block.boxes[0].x1))
    start, end = _columned(bands)
    return [
        block
        for group in (*([band] for band in bands[:start]), bands[start:end], bands[end:])
        for block in in_order([block for band in group for block in band])
    ]


def _articles(bands: Sequence[Sequence[Block]]) -> list[list[Block]]:
    """The blocks of the bands, parted above headings that stand level over all columns."""
    found: list[list[Block]] = [[]]
    for band in bands:
        if found[-1] and _headed(band, found[-1]):
            found.append([])
        found[-1] += band
    return found


def _headed(band: Sequence[Block], above: Sequence[Block]) -> bool:
    """Whether headings begin a band's columns; two, only if white below a column ends its text.

    Two columns of one text may have headings side by side by chance.
    """
    columns = _parted(band, across=True)
    firsts = [min(column, key=lambda block: block.boxes[0].y1) for column in columns]
    top = min(first.boxes[0].y1 for first in firsts)
    height = min(first.boxes[0].height for first in firsts)
    heads = [first for first in firsts if first.boxes[0].y1 < top + height / 2]
    if len(heads) < 2 or not all(head.level for head in heads):
        return False
    boxes = [block.boxes[0] for block in above]
    white = [top - end_above(top, (it.boxes[0] for it in column), boxes) for column in columns]
    return math.isfinite(min(white)) and (len(columns) > 2 or max(white) > _ENDED * height)


def _cells(bands: Sequence[Sequence[Block]]) -> bool:
    """Whether most blocks side by side are, line by line, a form's label and its answer."""
    beside = [band for band in bands if len(band) > 1]
    level = list(filter(_is_level, beside))
    return len(level) > 1 and len(level) > _LEVEL * len(beside)


def _across(band: Sequence[Block]) -> list[Block]:
    """The blocks of a band: from left to right if they are cells, otherwise in reading order."""
    if not _is_level(band):
        return in_order(band)
    return sorted(band, key=lambda block: block.boxes[0].x1)


def _is_level(band: Sequence[Block]) -> bool:
    return all(_is_cell(block, band[0]) for block in band)


def _is_cell(block: Block, first: Block) -> bool:
    """Whether a block is one short line, no list item, and level with `first`."""
    box, other = block.boxes[0], first.boxes[0]
    slack = min(box.height, other.height) / 2
    level = abs(box.y1 - other.y1) < slack and abs(box.y2 - other.y2) < slack
    level = level and box.height < _LINE
    return level and block.label != "list" and 0 < len(block.text) < _LONGEST


def _columned(bands: Sequence[Sequence[Block]]) -> tuple[int, int]:
    """The successive bands in columns with the most blocks: the first, and the one after the last.

    If there are none, it is the first band alone.
    """
    best, most = (0, 1), 0
    beside = [len(_parted(band, across=True)) > 1 for band in bands]
    for start in range(len(bands)):
        spans: list[tuple[float, float]] = []
        for end, band in enumerate(bands[start:], start=start + 1):
            for block in band:
                spans = list(_with(spans, block.boxes[0]))
            count = sum(map(len, bands[start:end]))
            if len(spans) > 1 and count > most and any(beside[start:end]):
                best, most = (start, end), count
    return best


def _with(spans: Sequence[tuple[float, float]], box: Box) -> Iterator[tuple[float, float]]:
    """The spans across the page that columns take, with one more block."""
    left, right = box.x1, box.x2
    for start, stop in spans:
        if start < right + _GUTTER and left < stop + _GUTTER:
            left, right = min(left, start), max(right, stop)
        else:
            yield start, stop
    yield left, right


def _parted(blocks: Sequence[Block], *, across: bool) -> list[list[Block]]:
    """The blocks split into columns by vertical white space (`across`), or bands by horizontal."""

    def sides(block: Block) -> tuple[float, float]:
        box = block.boxes[0]
        return (box.x1, box.x2) if across else (box.y1, box.y2)

    parts: list[list[Block]] = []
    end, gap = 0.0, _GUTTER if across else 0.0
    for block in sorted(blocks, key=sides):
        start, stop = sides(block)
        if parts and start < end + gap:
            parts[-1].append(block)
        else:
            parts.append([block])
        end = max(end, stop) if len(parts[-1]) > 1 else stop
    return parts
