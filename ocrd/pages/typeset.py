"""Turns printed lines into paragraphs, headings, items, code and running heads.  Pure.

A line that stands out from the body type is a heading: larger or bold; and, where text follows,
also one in capitals, in italics, in another colour or with a number such as 2.1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ocrd.page import Block, Box, Markup
from ocrd.pages.items import dotted, initialled, marked
from ocrd.pages.paragraphs import joined, paragraphs, run_on
from ocrd.pages.type_rows import DEEPER, ITEM, MARK, OUTDENT, TICKS, WORDY, Row, Style

_LARGER = 1.15  # times the body's type, from which a line is a heading
_SMALLER = 0.95  # times the body's type: no heading is smaller
_HEADING, _WEAK = 160, 80  # characters at most; of one that is neither larger nor bold
_BODY = 200  # characters that show a page's body type; with fewer, the document's counts
_LEVELS = 6
_EDGE = 0.07  # of the page, at its top and foot, where page numbers stand
_MARGINAL = 0.12  # of the page, likewise, for running heads and feet
_BULLET = re.compile(rf"^(?:(?=[{TICKS}])|(?:{MARK})\s+)")
_NUMBER = re.compile(r"^\W*(page|seite|p\.)?\W*\d{1,4}(\s*(of|von|de|sur|/)\s*\d{1,4})?\W*$", re.I)
_NUMBERED = re.compile(r"(?:\d{1,2}|[A-Z])((?:\.\d{1,2})*)\.?\s+[^\W\d_]")
_CAPTION = re.compile(r"(fig(ure|ura|\.)?|tab(le|elle|leau|la|\.)?|abb(ildung|\.)?)\s*\d", re.I)


@dataclass(frozen=True, slots=True)
class Typography:
    """What the pages of a document have in common.

    Attributes:
        styles: Characters set in each style.
        running: Heads (true) and feet on several pages, without their numbers.
    """

    styles: Counter[Style] = field(default_factory=Counter)
    running: frozenset[tuple[str, bool]] = frozenset()

    @classmethod
    def of(cls, pages: Iterable[Sequence[Row]]) -> Typography:
        """The typography of some pages of a document."""
        styles, edges = Counter[Style](), Counter[tuple[str, bool]]()
        for rows in pages:
            styles += _styles(rows)
            edges.update({key for row in rows if (key := _edge_key(row)) is not None})
        return cls(styles, frozenset(key for key, pages_ in edges.items() if pages_ > 1))


def _styles(rows: Iterable[Row]) -> Counter[Style]:
    styles = Counter[Style]()
    for row in rows:
        styles[row.style] += len(row.text)
    return styles


def _edge_key(row: Row) -> tuple[str, bool] | None:
    """A line's text without numbers, and whether it is at the top; None in the middle."""
    above = row.box.y2 < _MARGINAL
    if not (above or row.box.y1 > 1 - _MARGINAL):
        return None
    return re.sub(r"\d+|\b[ivxl]+\b", "", row.text).strip(), above


def blocks(rows: Sequence[Row], dots: Sequence[Box], document: Typography) -> Iterator[Block]:
    """The lines of a page as paragraphs, headings, items and page numbers, in their order.

    `dots` are small drawings, which may be the marks of items; `document` is what the document's
    pages have in common.
    """
    own = _styles(row for row in rows if not row.code) or _styles(rows)
    everywhere = document.styles or own
    body = (own if own.total() >= _BODY else everywhere).most_common(1)[0][0] if own else Style(0)
    rows = list(dotted(marked(initialled(rows, body.size)), dots))
    sizes = sorted({style.size for style in everywhere if style.size >= body.size * _LARGER})[::-1]
    typed = sum(len(row.code) for row in rows) > sum(len(row.text) for row in rows) / 2
    groups = list(paragraphs(rows))
    if not groups:
        return
    below_them = [*groups[1:], []]
    found = [
        _block(group, after if _salutes(below) else below, body, sizes, document, typed=typed)
        for group, below, after in zip(groups, below_them, [*below_them[1:], []], strict=True)
    ]
    yield from _few_headings(list(_not_beside(found)))


def _block(
    group: Sequence[Row],
    below: Sequence[Row],
    body: Style,
    sizes: Sequence[float],
    document: Typography,
    *,
    typed: bool,
) -> Block:
    text, box = joined(group), Box.around(row.box for row in group)
    if all(row.code for row in group) and not typed:
        return Block("code", "\n".join(row.code for row in group), (box,), Markup.PLAIN)
    at_edge = box.y2 < _EDGE or box.y1 > 1 - _EDGE
    if at_edge and _NUMBER.match(text):
        return Block("page_number", text, (box,), Markup.PLAIN)
    small = group[0].style.size < body.size * _LARGER
    if small and len(group) == 1 and _edge_key(group[0]) in document.running:
        return Block("header" if box.y2 < 0.5 else "footer", text, (box,), Markup.PLAIN)
    level = _level(group, text, below, body, sizes)
    if level:
        label = "title" if level == 1 else "sub_title"
        text = " ".join(text.split("\n"))
        return Block(label, text, (box,), Markup.PLAIN, level=level)
    return Block("list" if ITEM.match(text) else "text", text, (box,), Markup.PLAIN)


def _level(
    group: Sequence[Row], text: str, below: Sequence[Row], body: Style, sizes: Sequence[float]
) -> int:
    """The level of a heading, from 1; 0 if the lines are none."""
    style = group[0].style
    letters = sum(map(str.isalpha, text))
    if letters < 2 or len(text) > _HEADING or style.size < body.size * _SMALLER:
        return 0
    if _CAPTION.match(text):
        return 0
    number = _NUMBERED.match(text)
    deeper = number[1].count(".") if number else 0
    if style.size >= body.size * _LARGER:
        return min(1 + sum(size > style.size for size in sizes), _LEVELS)
    level = min(len(sizes) + 1 + deeper, _LEVELS)
    if len(group) > 2 or text[-1] in ".,;" or (text[-1] == ":" and not style.bold):
        return 0
    if style.bold > body.bold:
        return level
    begins = text[0].isupper() or text[0].isdigit()
    if len(text) > _WEAK or not begins or (ITEM.match(text) and not deeper):
        return 0
    differs = (
        all(row.capitals for row in group)
        or style.italic > body.italic
        or style.colour not in (None, body.colour)
        or deeper > 0
    )
    return min(level + 1, _LEVELS) if differs and _is_text(below, body) else 0


def _salutes(group: Sequence[Row]) -> bool:
    """Whether a line may be a letter's salutation, which stands below its subject."""
    return len(group) == 1 and len(group[0].text) < WORDY and group[0].text[-1] in ",:!"


def _is_text(group: Sequence[Row], body: Style) -> bool:
    """Whether lines are in the body type, and a paragraph or an item."""
    if not group or abs(group[0].style.size - body.size) > 0.6 or group[0].capitals:
        return False
    said = sum(len(row.text) for row in group)
    return said >= WORDY or ITEM.match(group[0].text) is not None


def _not_beside(found: Sequence[Block]) -> Iterator[Block]:
    """The blocks; of three headings on one line, those without text below are column heads."""
    lines = Counter(round(block.boxes[0].y1, 3) for block in found if block.level)
    for block in found:
        beside = block.level and lines[round(block.boxes[0].y1, 3)] > 2
        if beside and not _wordy_below(block.boxes[0], found):
            yield replace(block, label="text", level=0)
        else:
            yield block


def _wordy_below(box: Box, found: Sequence[Block]) -> bool:
    below = [
        block
        for block in found
        if block.boxes[0].y1 >= box.y2 - OUTDENT
        and min(block.boxes[0].x2, box.x2) > max(block.boxes[0].x1, box.x1)
    ]
    nearest = min(below, key=lambda block: block.boxes[0].y1, default=None)
    return nearest is not None and len(nearest.text) >= WORDY


def _few_headings(found: Sequence[Block]) -> Iterator[Block]:
    """The blocks; where most of a page would be headings, all but the highest become text."""
    letters = sum(len(block.text) for block in found)
    said = sum(len(block.text) for block in found if block.level)
    least = min((block.level for block in found if block.level), default=0)
    few = 2 * said <= letters or sum(block.level > 0 for block in found) < 3
    for block in found:
        yield block if few or block.level == least else replace(block, label="text", level=0)


def flowing(found: Sequence[Block]) -> Iterator[Block]:
    """Blocks in reading order, with paragraphs over several columns and a list's items joined."""
    done: list[Block] = []
    for block in found:
        if done and _flows(done[-1], block):
            text = run_on(done[-1].text, block.text)
            done[-1] = replace(done[-1], text=text, boxes=(*done[-1].boxes, *block.boxes))
        else:
            done.append(block)
    items: list[Block] = []
    for block in _followed(done):
        goes_on = items and block.label == "list" and block.boxes[0].y1 >= items[-1].boxes[0].y1
        if items and not goes_on:
            yield _list(items)
            items = []
        if block.label == "list":
            items.append(block)
        else:
            yield block
    if items:
        yield _list(items)


def _followed(found: Sequence[Block]) -> Iterator[Block]:
    """The blocks; a lesser heading with only a few words below (an answer in a form) is text."""
    first = min((block.level for block in found if block.level), default=0)
    for number, block in enumerate(found):
        below = [each for each in found[number + 1 : number + 3] if each.label == "text"]
        few = (
            found[number + 1 : number + 2] == below[:1] != []
            and all(len(each.text) < WORDY for each in below)  # else a letter follows
            and below[0].text[-1] not in ".:;!?"
        )
        lesser = block.level > first and few
        yield replace(block, label="text", level=0) if lesser else block


def _flows(above: Block, block: Block) -> bool:
    """Whether a paragraph continues at the top of the next column."""
    if not (above.label in ("text", "list") and block.label == "text"):
        return False
    one, other = above.boxes[-1], block.boxes[0]
    next_column = other.x1 >= one.x2 and other.y1 < one.y1
    open_end = above.text[-1] not in ".:;!?\u201d\u3002"
    return next_column and open_end and block.text[0].islower()


def _list(items: Sequence[Block]) -> Block:
    """The items as one list; an item further right is nested, by two spaces for each level."""
    lefts: list[float] = []
    lines = []
    for item in items:
        left = item.boxes[0].x1
        while lefts and left < lefts[-1] - DEEPER:
            lefts.pop()
        if not lefts or left > lefts[-1] + DEEPER:
            lefts.append(left)
        lines.append("  " * (len(lefts) - 1) + _BULLET.sub("• ", item.text, count=1))
    box = Box.around(item.boxes[0] for item in items)
    others = [box for item in items for box in item.boxes[1:]]
    return Block("list", "\n".join(lines), (box, *others), Markup.PLAIN)
