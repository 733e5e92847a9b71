"""Lines of type -> paragraphs, headings, items, code, running heads.  Pure.

What stands out from the type in which most is set is a heading: larger, bold; and, where a text
follows, alone in capitals, italics or another colour.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ocrd.layout.pieces import follows, is_count, is_mark
from ocrd.page import Block, Box, Markup

_LARGER = 1.15  # times the body's type, from which a line is a heading
_SMALLER = 0.95  # times the body's type: none is smaller
_HEADING, _WEAK = 160, 80  # characters at most; of one that only its style tells
_WORDY = 40  # characters of the text below such a one, at least
_BODY = 200  # characters of a page that tell in what it is set; else the document does
_LEVELS = 6
_EDGE = 0.07  # of the page: above and below, page numbers stand here
_MARGINAL = 0.12  # of the page: running heads and feet
_OUTDENT = 0.004  # of the page's width: what begins so far left of an item is no part of it
_INDENT = 0.06  # of the page's width: a first line begins no further right
_APART = 1.2  # times the usual distance of lines: further apart, another paragraph begins
_FIRST = 0.01  # of the page's width: by so much a first line stands in, at least
_FEW = 6  # lines: where one of so few is broken on purpose, all are
_ROOMY = 1.5  # times what the first word of the next line takes, and so many letters more
_SPARE = 2
_NARROW = 0.4  # of the page's width: lines of an address, one of which leaves room for a word
_DEEPER = 0.012  # of the page's width: an item so far to the right lies in the one above
_DROPPED = 1.8  # times the body's type: an initial over several lines
_MOST_NUMBERS = 400  # of a page; more are figures
_MARKER_GAP = 4.0  # heights between an item's marker and its text
_TICKS = "✓✔✕✖✗✘☐☑☒"  # marks that say something, and so are told
_MARK = rf"[•·●▪◦‣∙■□○◆►▸➢{_TICKS}\u2013\u2014*\uf0a7\uf0b7\uf0d8\uf0fc-]|\uf06f|o(?=\s[^\W\d_])"
_ENUM = r"\(?\d{1,3}[.)]|\d{1,2}[\u00b0\u00ba]|\(?[a-zA-Z][.)]|\(?[ivxIVX]{1,5}[.)]"
_MARKER = re.compile(rf"(?:{_MARK}|o)$")
_ITEM = re.compile(rf"({_MARK}|{_ENUM})\s+\S")
_BULLET = re.compile(rf"^(?:(?=[{_TICKS}])|(?:{_MARK})\s+)")
_NUMBER = re.compile(r"^\W*(page|seite|p\.)?\W*\d{1,4}(\s*(of|von|de|sur|/)\s*\d{1,4})?\W*$", re.I)
_NUMBERED = re.compile(r"(?:\d{1,2}|[A-Z])((?:\.\d{1,2})*)\.?\s+[^\W\d_]")
_CAPTION = re.compile(r"(fig(ure|ura|\.)?|tab(le|elle|leau|la|\.)?|abb(ildung|\.)?)\s*\d", re.I)
_SHARED = re.compile(r"(und|oder|bzw)\b")  # Ein- und Ausgang: what they share stands once
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad]$")


@dataclass(frozen=True, slots=True)
class Style:
    """In what a line is set; sizes are points.  The colour of a link is None: it tells nothing."""

    size: float
    bold: bool = False
    italic: bool = False
    colour: int | None = 0
    face: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the page with what its type shows.

    Attributes:
        style: In what most of it is set.
        code: As it was typed, if it is set in type of equal widths.
        marked: It begins with a mark that was set apart from it.
    """

    text: str
    box: Box
    style: Style
    code: str = ""
    marked: bool = False

    @property
    def capitals(self) -> bool:
        """Whether it is in capitals throughout."""
        return self.text.isupper() and sum(map(str.isalpha, self.text)) > 3


@dataclass(frozen=True, slots=True)
class Typography:
    """What the pages of a document have in common.

    Attributes:
        styles: Characters set in each style.
        running: Heads and feet that stand on several pages, without their numbers.
    """

    styles: Counter[Style] = field(default_factory=Counter)
    running: frozenset[tuple[str, bool]] = frozenset()

    @classmethod
    def of(cls, pages: Iterable[Sequence[Row]]) -> Typography:
        """Of some pages of a document."""
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
    """What tells a running head or foot from another; None for what stands in the middle."""
    above = row.box.y2 < _MARGINAL
    if not (above or row.box.y1 > 1 - _MARGINAL):
        return None
    return re.sub(r"\d+|\b[ivxl]+\b", "", row.text).strip(), above


def blocks(rows: Sequence[Row], dots: Sequence[Box], document: Typography) -> Iterator[Block]:
    """Paragraphs, headings, items and page numbers of the lines of a page, in their order.

    `dots` are small drawings, which may be the marks of items; of `document` what is known of the
    other pages.
    """
    own = _styles(row for row in rows if not row.code) or _styles(rows)
    everywhere = document.styles or own
    body = (own if own.total() >= _BODY else everywhere).most_common(1)[0][0] if own else Style(0)
    rows = list(_dotted(_marked(_initialled(rows, body.size)), dots))
    sizes = sorted({style.size for style in everywhere if style.size >= body.size * _LARGER})[::-1]
    typed = sum(len(row.code) for row in rows) > sum(len(row.text) for row in rows) / 2
    groups = list(_paragraphs(rows))
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
    text, box = _joined(group), Box.around(row.box for row in group)
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
    return Block("list" if _ITEM.match(text) else "text", text, (box,), Markup.PLAIN)


def _level(
    group: Sequence[Row], text: str, below: Sequence[Row], body: Style, sizes: Sequence[float]
) -> int:
    """Of a heading, from 1; else 0."""
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
    if len(text) > _WEAK or not begins or (_ITEM.match(text) and not deeper):
        return 0
    differs = (
        all(row.capitals for row in group)
        or style.italic > body.italic
        or style.colour not in (None, body.colour)
        or deeper > 0
    )
    return min(level + 1, _LEVELS) if differs and _is_text(below, body) else 0


def _salutes(group: Sequence[Row]) -> bool:
    """Whether a line is what a letter begins with, below its subject."""
    return len(group) == 1 and len(group[0].text) < _WORDY and group[0].text[-1] in ",:!"


def _is_text(group: Sequence[Row], body: Style) -> bool:
    """Whether lines are a paragraph in the page's own type, or an item."""
    if not group or abs(group[0].style.size - body.size) > 0.6 or group[0].capitals:
        return False
    said = sum(len(row.text) for row in group)
    return said >= _WORDY or _ITEM.match(group[0].text) is not None


def _not_beside(found: Sequence[Block]) -> Iterator[Block]:
    """The blocks; of headings on one line those without a text below are heads of columns."""
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
        if block.boxes[0].y1 >= box.y2 - _OUTDENT
        and min(block.boxes[0].x2, box.x2) > max(block.boxes[0].x1, box.x1)
    ]
    nearest = min(below, key=lambda block: block.boxes[0].y1, default=None)
    return nearest is not None and len(nearest.text) >= _WORDY


def _few_headings(found: Sequence[Block]) -> Iterator[Block]:
    """Where most of a page would be headings none of the lesser are: they are its text."""
    letters = sum(len(block.text) for block in found)
    said = sum(len(block.text) for block in found if block.level)
    least = min((block.level for block in found if block.level), default=0)
    few = 2 * said <= letters or sum(block.level > 0 for block in found) < 3
    for block in found:
        yield block if few or block.level == least else replace(block, label="text", level=0)


def _initialled(rows: Sequence[Row], size: float) -> list[Row]:
    """The lines, an initial that reaches over several of them put to the first."""
    done = list(rows)
    for initial in rows:
        if (
            len(initial.text) == 1
            and initial.text.isalpha()
            and initial.style.size > _DROPPED * size
        ):
            beside = [
                row
                for row in done
                if row.style.size < initial.style.size / 1.5
                and -initial.box.height < row.box.x1 - initial.box.x2 < initial.box.height
                and initial.box.y1 - row.box.height < (row.box.y1 + row.box.y2) / 2 < initial.box.y2
            ]
            if len(beside) > 1:
                first = min(beside, key=lambda row: row.box.y1)
                whole = replace(first, text=initial.text + first.text)
                done[done.index(first)] = whole
                done.remove(initial)
    return done


def _marked(rows: Sequence[Row]) -> list[Row]:
    """The lines, markers that were set apart put before the items that they mark."""
    counted = {id(row) for row in _counted(rows)}
    from_one = any(row.text == "1" for row in rows if id(row) in counted)
    markers = [
        row for row in rows if _MARKER.match(row.text) or is_mark(row.text) or id(row) in counted
    ]
    apart = {id(marker) for marker in markers}
    done = [row for row in rows if id(row) not in apart]
    right = max((row.box.x2 for row in done), default=1.0)
    for marker in reversed(markers):  # (1) (a): the inner one is put to its text first
        item = _beside(marker.box, done, sure=id(marker) in counted)
        if item is None and id(marker) in counted and marker.box.x1 > right:
            item = _before(marker.box, done)
        if item is not None:
            left = min(marker.box.x1, item.box.x1)
            box = replace(item.box, x1=left)  # a mark in the right margin makes no line longer
            mark = marker.text + "." * (from_one and marker.text.isdecimal())
            text = f"{mark} {item.text}"
            done[done.index(item)] = replace(item, text=text, box=box, marked=True)
        elif any(map(str.isalnum, marker.text)) or marker.text in _TICKS:
            done.append(marker)
    return done if markers else list(rows)


def _counted(rows: Sequence[Row]) -> list[Row]:
    """Numbers below each other that count up."""
    numbers = [row for row in rows if is_count(row.text)]
    found = dict[int, Row]()
    for row in numbers if len(numbers) < _MOST_NUMBERS else ():
        for other in numbers:
            off = min(abs(other.box.x1 - row.box.x1), abs(other.box.x2 - row.box.x2))
            below = other.box.y1 > row.box.y1
            if below and off < _DEEPER and follows(row.text, other.text):
                found |= {id(row): row, id(other): other}
    return list(found.values())


def _before(mark: Box, rows: Sequence[Row]) -> Row | None:
    """The line of text left of a mark in the right margin."""
    middle = (mark.y1 + mark.y2) / 2
    left = [row for row in rows if row.box.y1 < middle < row.box.y2 and len(row.text) >= _WORDY]
    return max(left, key=lambda row: row.box.x2, default=None)


def _beside(mark: Box, rows: Sequence[Row], *, sure: bool = False) -> Row | None:
    """The line that begins right of a mark; farther away if it is sure to be one."""
    middle, gap = (mark.y1 + mark.y2) / 2, _MARKER_GAP * (1 + sure)
    right = [
        row
        for row in rows
        if row.box.y1 < middle < row.box.y2 and -0.001 < row.box.x1 - mark.x2 < gap * row.box.height
    ]
    return min(right, key=lambda row: row.box.x1, default=None)


def _dotted(rows: Sequence[Row], dots: Sequence[Box]) -> Iterator[Row]:
    """The lines, those behind a drawn dot marked as items."""
    marked = dict[int, Box]()
    for dot in dots:
        item = _beside(dot, rows)
        if item is not None and 2 * dot.height < item.box.height and not _ITEM.match(item.text):
            marked[id(item)] = dot
    for row in rows:
        dot_ = marked.get(id(row))
        if dot_ is None:
            yield row
        else:
            box = Box(dot_.x1, row.box.y1, row.box.x2, row.box.y2)
            yield replace(row, text=f"• {row.text}", box=box)


def _pitches(rows: Sequence[Row]) -> dict[float, float]:
    """From the top of a line to the next, by size of type: what is usual within paragraphs."""
    found: dict[float, list[float]] = {}
    for last, row in pairwise(rows):
        pitch = row.box.y1 - last.box.y1
        across = min(row.box.x2, last.box.x2) - max(row.box.x1, last.box.x1)
        if row.style.size == last.style.size and across > 0 and 0.5 < pitch / row.box.height < 2:
            found.setdefault(row.style.size, []).append(pitch)
    return {size: sorted(pitches)[len(pitches) // 4] for size, pitches in found.items()}


def _paragraphs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    usual = _pitches(rows)
    for row in rows:
        pitch = group[1].box.y1 - group[0].box.y1 if len(group) > 1 else 0.0
        pitch = pitch if pitch > 0.5 * row.box.height else usual.get(row.style.size, 0.0)
        if group and not _goes_on(group, row, pitch or row.box.height):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _goes_on(group: Sequence[Row], row: Row, pitch: float) -> bool:
    """Whether a line belongs to the paragraph before it, whose lines are so far apart."""
    last = group[-1]
    height = max(last.box.height, row.box.height)
    if abs(row.style.size - last.style.size) > 0.6 or bool(row.code) != bool(last.code):
        return False
    if _stands_apart(group, row):
        return False
    if _ITEM.match(group[0].text) and row.box.x1 < group[0].box.x1 - _OUTDENT:
        return False
    if abs(row.box.y1 - last.box.y1) < height * 0.3:  # the same printed line, further right
        return 0 <= row.box.x1 - last.box.x2 < height * 2
    if not -height * 0.4 < row.box.y1 - last.box.y2 < height * 0.75:
        return False
    if row.box.y1 - last.box.y1 > _APART * pitch:
        return False
    if len(group) == 1 and last.box.x1 - row.box.x1 > _INDENT:  # a centred line above a paragraph
        return False
    level = len(group) > 1 and abs(group[1].box.x1 - last.box.x1) < _OUTDENT
    if level and _FIRST < row.box.x1 - last.box.x1 < _INDENT:  # the first line of another
        return False
    across = min(row.box.x2, last.box.x2) - max(row.box.x1, last.box.x1)
    ended = last.box.x2 < max(each.box.x2 for each in group) - 0.15 and last.text[-1] in ".:;!?"
    return (
        across > 0 and not (row.marked or _ITEM.match(row.text)) and not (ended and len(group) > 1)
    )


def _stands_apart(group: Sequence[Row], row: Row) -> bool:
    """Whether a line is set otherwise than the lines above: bold, or a line that ends early."""
    last = group[-1]
    if row.style.bold != last.style.bold:
        return True
    other = (
        row.capitals != last.capitals
        or row.style.italic != last.style.italic
        or (
            None not in (row.style.colour, last.style.colour)
            and row.style.colour != last.style.colour
        )
        or row.style.face != last.style.face
    )
    whole = Box.around(each.box for each in (*group, row))
    return other and _would_fit(row, last, whole.x1, whole.x2)


def _would_fit(row: Row, last: Row, left: float, right: float, *, sure: bool = True) -> bool:
    """Whether the first word of a line had room on the line before: that was broken on purpose."""
    letter = row.box.width / max(len(row.text), 1)
    room = right - last.box.x2 + max(0.0, last.box.x1 - left - _INDENT)
    needed = (len(row.text.split()[0]) + 1) * letter
    return room > (_ROOMY * needed + _SPARE * letter if sure else needed)


def _joined(rows: Sequence[Row]) -> str:
    """A paragraph's lines as one; a word parted at a line's end is whole again.

    Lines that were broken on purpose (an address) stay lines.
    """
    whole = Box.around(row.box for row in rows)
    broken = [_would_fit(row, last, whole.x1, whole.x2) for last, row in pairwise(rows)]
    if any(broken) or _is_address(rows, whole):
        broken = [len(rows) <= _FEW or each for each in broken]
    text = rows[0].text
    for row, on_purpose in zip(rows[1:], broken, strict=True):
        lines = on_purpose and not _HYPHEN.search(text)
        text = f"{text}\n{row.text}" if lines else _run_on(text, row.text)
    return text


def _is_address(rows: Sequence[Row], whole: Box) -> bool:
    """Whether a few lines are short, begin with capitals or figures, and leave room or stand right.

    They are lines then, not a sentence.
    """
    if len(rows) < 3 or whole.width > _NARROW or rows[-1].text[-1] in ".:;!?":
        return False
    if not all(row.text[0].isupper() or row.text[0].isdigit() for row in rows[:-1]):
        return False
    lefts, rights = ({round(getattr(row.box, side), 3) for row in rows} for side in ("x1", "x2"))
    fits = (_would_fit(row, last, whole.x1, whole.x2, sure=False) for last, row in pairwise(rows))
    return len(lefts) > 2 >= len(rights) or any(fits)


def _run_on(text: str, more: str) -> str:
    if not _HYPHEN.search(text) or _SHARED.match(more):
        return f"{text} {more}"
    return (text[:-1] if more[0].islower() or text[-1] == "\u00ad" else text) + more


def flowing(found: Sequence[Block]) -> Iterator[Block]:
    """Blocks in the order of reading, a paragraph over two columns and a list's items each one."""
    done: list[Block] = []
    for block in found:
        if done and _flows(done[-1], block):
            text = _run_on(done[-1].text, block.text)
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
    """The blocks; a lesser heading above a few words only (an answer in a form) is text."""
    first = min((block.level for block in found if block.level), default=0)
    for number, block in enumerate(found):
        below = [each for each in found[number + 1 : number + 3] if each.label == "text"]
        few = (
            found[number + 1 : number + 2] == below[:1] != []
            and all(len(each.text) < _WORDY for each in below)  # else a letter's salutation
            and below[0].text[-1] not in ".:;!?"
        )
        lesser = block.level > first and few
        yield replace(block, label="text", level=0) if lesser else block


def _flows(above: Block, block: Block) -> bool:
    """Whether a paragraph goes on at the top of the next column."""
    if not (above.label in ("text", "list") and block.label == "text"):
        return False
    one, other = above.boxes[-1], block.boxes[0]
    next_column = other.x1 >= one.x2 and other.y1 < one.y1
    open_end = above.text[-1] not in ".:;!?\u201d\u3002"
    return next_column and open_end and block.text[0].islower()


def _list(items: Sequence[Block]) -> Block:
    """One list; an item further right lies in the one above, which two blanks a step show."""
    lefts: list[float] = []
    lines = []
    for item in items:
        left = item.boxes[0].x1
        while lefts and left < lefts[-1] - _DEEPER:
            lefts.pop()
        if not lefts or left > lefts[-1] + _DEEPER:
            lefts.append(left)
        lines.append("  " * (len(lefts) - 1) + _BULLET.sub("• ", item.text, count=1))
    box = Box.around(item.boxes[0] for item in items)
    others = [box for item in items for box in item.boxes[1:]]
    return Block("list", "\n".join(lines), (box, *others), Markup.PLAIN)
