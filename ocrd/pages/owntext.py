"""A PDF page's own text in the form of an engine's result: blocks in reading order, lines, words.

Structure is inferred from how the page is set: larger or bold lines are headings, bullets and
numbers begin items, rules make tables (PyMuPDF's table finder), white gutters separate columns.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ocrd.languages import has_leftward
from ocrd.layout.notes import among
from ocrd.layout.order import parting
from ocrd.page import Block, Box, Line, Markup, PageResult, Word, WordsFrom
from ocrd.pages import columns, leftward, typeset
from ocrd.pages.reading import OwnText, in_order
from ocrd.pages.shown import has_outlines, is_box, is_within, seen_lines, untold_pictures
from ocrd.pages.type_rows import Row, Style
from ocrd.pages.typeset import Typography
from ocrd.pdfcontent import broken_content
from ocrd.pdffile import FAULTS, Document, PdfPage, memory_ran_out
from ocrd.pdftext import (
    NO_PICTURES,
    ONCE,
    drawn,
    fault_of_page,
    is_hidden,
    is_scan,
    letters_of,
    pictures_of,
    seen_box,
    words_in,
    words_of,
)

_FIGURE = 0.01  # of the page: a smaller picture is a speck or a rule
_BOLD, _MONO, _ITALIC = 16, 8, 2
_TWICE = 8  # MuPDF's flag of a character that is printed twice
_CELLS = 4  # of a table that have text, at least
_DOT = 8.0  # points: the largest mark that is drawn before an item
_WIDER, _OVER = 1.25, 2.5  # times a table's width and a line's height: its heads reach no further
_BESIDE = 2.5  # times its height: the text on either side of a number in a gutter is taller
_RULE = 2.5  # points: a drawing so low is a rule
_WIDE = 24.0  # points: no table's rule is shorter
_MOST_DRAWINGS = 4000  # of a page; more is a picture
_SAMPLE = 24  # pages of a document that are looked at to learn how it is set
# For check boxes, MuPDF reports codes of ZapfDingbats or glyph numbers of its own font.
_TICKS = str.maketrans("345678\x13\x14\x15\x16\x17\x18", 2 * "✓✔✕✖✗✘")
_UNBROKEN = re.compile("\u00ad(?=\\S)")
_LIGATURE = re.compile("[\ufb00-\ufdff\ufe70-\ufefc]")


def own_text(page: PdfPage) -> OwnText | None:
    """The text that a PDF page has of its own; None if it has none or most of it is not level."""
    raw = _raw_lines(page)
    spans = [span for line in raw for span in line["spans"]]
    if not spans or not _is_level(page, raw):
        return None
    drawings = page.get_cdrawings()
    scan = is_scan(page)
    hidden = scan and is_hidden(page)
    pictures = pictures_of(page)
    told = words_of(page)
    seen = None
    if not hidden:
        places = [word.box for line in told for word in line]
        bare = not drawings and not pictures
        seen = seen_lines(page, raw, places, drawings, bare=bare)
        if has_leftward("".join(span["text"] for span in spans)):
            seen = [*leftward.as_read(seen if seen is not None else letters_of(page))]
    if seen is not None:
        raw, told = seen, [[*words_in(page, line)] for line in seen]
    lines = [_line(row) for row in told if row]
    words = [word for line in lines for word in line.words]
    if not words:
        return None
    ruled = list(_tables(page, seen)) if _may_rule(drawings) else []
    shapes = drawings if len(drawings) < _MOST_DRAWINGS else []
    links = list(_links(page))
    linked_places = [box for _, _, box in links]
    size = page.rect.width, page.rect.height
    printed = list(_rows(page, raw, linked_places))
    typography = _typography(page)
    free = [Line(row.text, row.box) for row in printed if not _in_any(ruled, row.box)]
    ruled += columns.contents(free, *size)
    unruled = [row for row in printed if not _in_any(ruled, row.box)]
    counts = list(columns.line_numbers([Line(row.text, row.box) for row in unruled], *size))
    unruled = [row for row in unruled if not _in_any(counts, row.box)]
    beside = list(_notes(unruled, size, typography))
    apart = [*ruled, *counts, *(note for _, note in beside)]
    rest = [word for word in words if not _in_any(apart, word.box)]
    rules = [seen_box(page, rule) for rule in _joined(shapes)]
    found = columns.tables(rest, rules, ruled, *size)
    tables = [
        _as_printed(it, printed) if it.label == "text" else _headed(it, printed, apart)
        for it in found
    ]
    apart += tables
    rows = [row for row in printed if not _in_any(apart, row.box)]
    dots = [seen_box(page, drawing["rect"]) for drawing in shapes if _is_mark(drawing)]
    blocks = [*typeset.blocks(rows, dots, typography), *ruled, *tables]
    figures = [] if scan else [box for box in pictures if box.area > _FIGURE]
    blocks += [Block("image", "", (box,), Markup.PLAIN) for box in _apart(figures)]
    above, printed_text, below = _margins(blocks)
    text = _between(rules, printed_text)
    flowing = typeset.flowing([*above, *text, *below])  # text in margins continues nowhere
    read = [*among(flowing, beside, lambda block: block.boxes), *counts]
    linked = [_linked(block, links) for block in read]
    result = PageResult(
        text="\n\n".join(block.said for block in linked if block.said),
        blocks=tuple(linked),
        lines=tuple(lines),
        output_tokens=sum(len(word.text) for word in words),
        partial=broken_content(page) or None,
        words_from=WordsFrom.PDF,
    )
    places = [word.box for word in words]
    whole = (
        not untold_pictures(pictures, places)
        and (not scan or hidden)
        and not has_outlines(page, drawings, places)
    )
    return OwnText(result, fault_of_page(words, drawn(page, "L") if hidden else None), whole)


def _notes(
    rows: Sequence[Row], size: tuple[float, float], document: Typography
) -> Iterator[tuple[Box, Block]]:
    """The side notes, each as the box of its first line and its block, which may be a heading."""
    for first, note in columns.notes([Line(row.text, row.box) for row in rows], *size):
        within = [row for row in rows if note.boxes[0].holds(row.box)]
        made = list(typeset.blocks(within, (), document))
        yield first, made[0] if len(made) == 1 and made[0].level else note


def _margins(blocks: Sequence[Block]) -> tuple[list[Block], list[Block], list[Block]]:
    """The blocks level with a page number above the text, the text, and such blocks below it."""
    numbers = [block for block in blocks if _is_page_number(block, blocks)]
    beside = [block for block in blocks if any(_on_a_line(block, it) for it in numbers)]
    beside.sort(key=lambda block: block.boxes[0].x1)
    text = [block for block in blocks if block not in beside]
    foot = max((block.boxes[0].y2 for block in text), default=0.0)
    above = [block for block in beside if block.boxes[0].y2 < min(foot, 0.5)]
    return above, text, [block for block in beside if block not in above]


def _is_page_number(block: Block, blocks: Sequence[Block]) -> bool:
    """Whether a block is a page number: labelled so, or bare below all else or in a gutter."""
    if block.label == "page_number" or not block.text.isdecimal():
        return block.label == "page_number"
    box, others = block.boxes[0], [it.boxes[0] for it in blocks if it is not block]
    if all(other.y2 < (box.y1 + box.y2) / 2 for other in others):
        return True
    high = _BESIDE * box.height
    beside = [it for it in others if it.y1 < box.y1 and it.y2 > box.y2 and it.height > high]
    inside = any(it.x1 < box.x2 and it.x2 > box.x1 for it in beside)
    left, right = (
        any(side) for side in ((it.x2 < box.x1 for it in beside), (it.x1 > box.x2 for it in beside))
    )
    return left and right and not inside


def _on_a_line(block: Block, number: Block) -> bool:
    """Whether a line is level with a page number, and so part of a running head or foot."""
    box, other = block.boxes[0], number.boxes[0]
    middle, high = (other.y1 + other.y2) / 2, 2 * other.height
    return box.y1 < middle < box.y2 and box.height < high


def _between(rules: Sequence[Box], blocks: Sequence[Block]) -> list[Block]:
    """Blocks in reading order: those above a rule from side to side before those below it."""
    ends = sorted(rule.y1 for rule in parting(rules, [block.boxes[0] for block in blocks]))
    parts: list[list[Block]] = [[] for _ in range(len(ends) + 1)]
    for block in blocks:
        box = block.boxes[0]
        parts[bisect(ends, (box.y1 + box.y2) / 2)].append(block)
    return [block for part in parts for block in in_order(part)]


def _as_printed(block: Block, rows: Sequence[Row]) -> Block:
    """A block with its printed lines as text, signs between words included, if not shorter."""
    inside = sorted((row for row in rows if block.boxes[0].holds(row.box)), key=lambda r: r.box.y1)
    text = "\n".join(row.text for row in inside)
    return replace(block, text=text) if len(text) >= len(block.text) else block


def _headed(table: Block, rows: Sequence[Row], apart: Sequence[Block]) -> Block:
    """A table with the line close above it that has a word for each column, if it is bold."""
    box, columns_ = table.boxes[0], len(table.rows[0])
    free = (row for row in rows if row.style.bold and not _in_any(apart, row.box))
    heads = sorted(
        (
            row
            for row in free
            if 0 <= box.y1 - (row.box.y1 + row.box.y2) / 2 < _OVER * row.box.height
        ),
        key=lambda row: row.box.x1,
    )
    if len(heads) != columns_ or any(row.box.y2 < heads[0].box.y1 for row in heads):
        return table
    whole = Box.around([box, *(row.box for row in heads)])
    if whole.width > box.width * _WIDER:
        return table
    titles = tuple(row.text for row in heads)
    return replace(table, boxes=(whole,), rows=(titles, *table.rows))


def _in_any(blocks: Sequence[Block], box: Box) -> bool:
    return any(block.boxes[0].holds(box) for block in blocks)


def _is_level(page: PdfPage, lines: Sequence[dict[str, Any]]) -> bool:
    """Whether most of the text runs from left to right on the page as displayed."""
    turned: Counter[bool] = Counter()
    for line in lines:
        x, y = line["dir"]
        if page.rotation:
            turn = page.rotation_matrix
            x, y = x * turn.a + y * turn.c, x * turn.b + y * turn.d
        turned[x > 0.9] += sum(len(span["text"]) for span in line["spans"])
    return turned[True] >= turned[False]


def _raw_lines(page: PdfPage) -> list[dict[str, Any]]:
    """The lines of the page from MuPDF, which extracts them anew on each call."""
    blocks = page.get_text("dict", flags=NO_PICTURES | ONCE)["blocks"]
    return [line for block in blocks for line in block.get("lines", ())]


def _rows(
    page: PdfPage, lines: Sequence[dict[str, Any]], links: Sequence[Box] = ()
) -> Iterator[Row]:
    """The page's lines, each with its style."""
    for line in lines:
        shown = line["spans"]
        spans = [span for span in shown if span["text"].strip()]
        printed = (
            span["text"].translate(_TICKS) if span["font"] == "ZapfDingbats" else span["text"]
            for span in shown
        )
        text = typed(" ".join("".join(printed).split()))
        if spans and text:
            most = max(spans, key=lambda span: len(span["text"]))
            box = seen_box(page, line["bbox"])
            style = Style(
                size=round(most["size"], 1),
                bold=all(_is_bold(span) for span in spans),
                italic=all(span["flags"] & _ITALIC for span in spans),
                colour=None if any(box.holds(link) for link in links) else most["color"],
                face=re.split(r"[-,]", most["font"])[0],
            )
            mono = all(span["flags"] & _MONO for span in spans)
            code = "".join(span["text"] for span in shown).rstrip() if mono else ""
            yield Row(text, box, style, code)


def _is_bold(span: dict[str, Any]) -> bool:
    """Whether a span is bold, by its font or because it is printed twice."""
    twice = span["char_flags"] & _TWICE
    return bool(span["flags"] & _BOLD or twice or "bold" in span["font"].lower())


def _typography(page: PdfPage) -> Typography:
    """The typography of the page's document, found once and kept with the open document."""
    kept = vars(page.parent)
    if "typography" not in kept:
        count = page.parent.page_count
        numbers = range(0, count, -(-count // _SAMPLE))
        kept["typography"] = Typography.of(_rows_of(page.parent, number) for number in numbers)
    found: Typography = kept["typography"]
    return found


def _rows_of(document: Document, number: int) -> list[Row]:
    """The lines of a page; none if it is damaged."""
    try:
        page = document.load_page(number)
        return list(_rows(page, _raw_lines(page)))
    except FAULTS as error:
        memory_ran_out(str(error))
        return []


def _is_mark(drawing: dict[str, Any]) -> bool:
    """Whether a drawing is small and about as wide as high, like the bullets that programs draw."""
    x1, y1, x2, y2 = drawing["rect"]
    wide, high = float(x2 - x1), float(y2 - y1)
    return 0 < wide < _DOT and 0 < high < _DOT and 0.7 < wide / high < 1.4


def _is_dot(drawing: dict[str, Any]) -> bool:
    """Whether a drawing is small and partly curved, so that it is no piece of a rule."""
    x1, y1, x2, y2 = drawing["rect"]
    curved = any(item[0] == "c" for item in drawing["items"])
    return curved and max(x2 - x1, y2 - y1) < _DOT


def _may_rule(drawings: Sequence[dict[str, Any]]) -> bool:
    """Whether drawings may be those of a table: a box, or several level rules of some length.

    PyMuPDF's table finder compares all with all, which takes a second on a map.
    """
    boxes = (drawing["rect"] for drawing in drawings if is_box(drawing["items"]))
    if any(x2 - x1 > _WIDE and y2 - y1 > _RULE for x1, y1, x2, y2 in boxes):
        return True
    return sum(x2 - x1 > _WIDE for x1, _, x2, _ in _joined(drawings)) > 1


def _joined(drawings: Sequence[dict[str, Any]]) -> list[list[float]]:
    """The level rules among drawings; those that touch are joined."""
    thin = [rule for drawing in drawings for rule in _thin(drawing)]
    found: list[list[float]] = []
    for x1, y1, x2, y2 in sorted(thin, key=lambda rule: (round(rule[1]), rule[0])):
        if found and abs(found[-1][1] - y1) < _RULE and x1 - found[-1][2] < _RULE:
            found[-1][2] = max(found[-1][2], x2)
        else:
            found.append([x1, y1, x2, y2])
    return found


def _thin(drawing: dict[str, Any]) -> Iterator[tuple[float, float, float, float]]:
    """The parts of a drawing that are level rules, or rectangles so low that they are rules."""
    lines = [(*item[1], *item[2]) for item in drawing["items"] if item[0] == "l"]
    boxes = [item[1] for item in drawing["items"] if item[0] == "re"]
    for x1, y1, x2, y2 in [*lines, *boxes, drawing["rect"]]:
        if abs(y2 - y1) < _RULE and abs(x2 - x1) > _DOT:
            yield min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _tables(page: PdfPage, seen: Sequence[dict[str, Any]] | None) -> Iterator[Block]:
    """The tables that rules show; with `seen`, their text comes from these lines only."""
    paths = None  # the finder's own, which it gets after turning the page upright
    if not page.rotation:
        paths = [drawing for drawing in page.get_drawings() if not _is_dot(drawing)]
    for table in page.find_tables(paths=paths).tables:
        said = table.extract() if seen is None else _cells_of(table, seen)
        cells = [tuple(" ".join((cell or "").split()) for cell in row) for row in said]
        filled = sum(bool(cell) for row in cells for cell in row)
        if len(cells) > 1 and table.col_count > 1 and filled >= _CELLS:
            box = seen_box(page, table.bbox)
            yield Block("table", "", (box,), Markup.PLAIN, rows=tuple(cells))


def _cells_of(table: Any, lines: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The text of these lines in each cell of a table, letter by letter."""
    lines = sorted(lines, key=lambda line: (line["bbox"][1], line["bbox"][0]))

    def said(cell: Sequence[float]) -> str:
        x1, y1, x2, y2 = cell
        held = (
            "".join(
                char["c"]
                for span in line["spans"]
                for char in span["chars"]
                if 2 * x1 <= char["bbox"][0] + char["bbox"][2] < 2 * x2
                if 2 * y1 <= char["bbox"][1] + char["bbox"][3] < 2 * y2
            )
            for line in lines
            if line["bbox"][0] < x2 and line["bbox"][1] < y2
            if line["bbox"][2] > x1 and line["bbox"][3] > y1
        )
        return " ".join(held)

    return [[said(cell) if cell else "" for cell in row.cells] for row in table.rows]


def _links(page: PdfPage) -> Iterator[tuple[str, str, Box]]:
    """Words, target and box of each link, top to bottom; one for all words of a line and target."""
    places: dict[tuple[str, int], Any] = {}
    for link in page.get_links():
        if target := link.get("uri", ""):
            place, line = link["from"], (target, round(link["from"].y1))
            places[line] = places.get(line, place) | place
    words = page.get_text("words") if places else []
    for (target, _), place in sorted(places.items(), key=lambda each: (each[1].y1, each[1].x0)):
        held = (word for word in words if is_within(word, place))
        said = " ".join(typed(word[4]) for word in held)
        if said:
            yield said.strip(".,;:"), target, seen_box(page, place)


def typed(text: str) -> str:
    """The text with ligatures and forms of joining letters as ordinary letters.

    A soft hyphen is kept at the end of its line, the only place where it shows.
    """
    # NFKC puts a space under a mark by itself, whose letter is before it in the text.
    text = _LIGATURE.sub(lambda match: unicodedata.normalize("NFKC", match[0]).lstrip(), text)
    return _UNBROKEN.sub("", text)


def _linked(block: Block, links: Sequence[tuple[str, str, Box]]) -> Block:
    """The block with the links in it; a link that continues in the next line stays one link."""
    said = block.said
    found: list[tuple[str, str]] = []
    for words, target, box in links:
        if not any(place.holds(box) for place in block.boxes):
            continue
        before = found[-1][0] if found and found[-1][1] == target else ""
        parts = (f"{before} {words}", before[:-1] + words) if before else ()
        whole = next((each for each in parts if each in said), "")
        if whole:
            found[-1] = (whole, target)
        elif words in said or words.rstrip("-\u00ad") in said:
            found.append((words, target))
    return replace(block, links=tuple(found)) if found else block


def _line(words: Sequence[Word]) -> Line:
    box = Box.around(word.box for word in words)
    return Line(" ".join(word.text for word in words), box, tuple(words), 1.0)


def _apart(boxes: Sequence[Box]) -> list[Box]:
    """The boxes, without those that lie in a larger one before them."""
    return [
        box
        for index, box in enumerate(boxes)
        if not any(other.holds(box) and other.area > box.area for other in boxes[:index])
    ]
