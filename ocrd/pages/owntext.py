"""A PDF page's own text as an engine would answer: blocks in reading order, lines with words.

Structure is told by what type shows: larger or bold lines are headings, bullets and numbers
begin items, rules make tables (PyMuPDF's table finder), white gutters part columns.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ocrd.page import Block, Box, Line, Markup, PageResult, Word, WordsFrom
from ocrd.pages.columns import grids
from ocrd.pages.reading import OwnText, in_order
from ocrd.pdffile import PdfPage, pymupdf
from ocrd.pdftext import fault_of, is_hidden, is_scan, pictures_of, seen_box, words_of

_READABLE = 0.04  # of the page: a picture as large as this without own text on it may hold print
_FIGURE = 0.01  # of the page: a smaller picture is a speck or a rule
_LARGER = 1.15  # times the body's type, from which a line is a heading
_HEADING = 160  # characters at most
_BOLD, _MONO, _LEVELS = 16, 8, 4
_EDGE = 0.07  # of the page: above and below, page numbers stand here
_OUTDENT = 0.004  # of the page's width: what begins so far left of an item is no part of it
_INDENT = 0.06  # of the page's width: a first line begins no further right
_CELLS = 4  # of a table, at least
_ITEM = re.compile(r"^([•·●▪◦‣∙\u2013*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_NUMBER = re.compile(r"^\W*(page|seite|p\.)?\W*\d{1,4}(\s*(of|von|/)\s*\d{1,4})?\W*$", re.I)
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad]$")


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the page with what its type shows."""

    text: str
    box: Box
    size: float
    bold: bool
    code: str = ""  # as it was typed, if it is set in type of equal widths


def own_text(page: PdfPage) -> OwnText | None:
    """What a PDF page says of itself; None if it says nothing, or lies on its side."""
    words = words_of(page)
    if not words or not _is_level(page):
        return None
    tables = list(_tables(page))
    loose = [word for word in words if not any(box.holds(word.box) for box, _ in tables)]
    for grid in grids(loose):
        block = Block("table", "", (grid.box,), Markup.PLAIN, rows=grid.rows)
        tables.append((grid.box, block))
    rows = [row for row in _rows(page) if not any(box.holds(row.box) for box, _ in tables)]
    blocks = [*_blocks(rows), *(block for _, block in tables)]
    pictures = [] if is_scan(page) else [box for box in pictures_of(page) if box.area > _FIGURE]
    blocks += [Block("image", "", (box,), Markup.PLAIN) for box in _apart(pictures)]
    linked = [_linked(block, list(_links(page))) for block in in_order(blocks)]
    result = PageResult(
        text="\n\n".join(_said(block) for block in linked if _said(block)),
        blocks=tuple(linked),
        lines=tuple(_lines(page, words)),
        output_tokens=sum(len(word.text) for word in words),
        words_from=WordsFrom.PDF,
    )
    silent = [box for box in pictures if not any(box.holds(word.box) for word in words)]
    whole = not any(box.area > _READABLE for box in silent) and (
        not is_scan(page) or is_hidden(page)
    )
    return OwnText(result, fault_of(word.text for word in words), whole)


def _is_level(page: PdfPage) -> bool:
    """Whether most of its letters run from left to right as the page is seen."""
    turned: Counter[bool] = Counter()
    for line in _raw_lines(page):
        x, y = line["dir"]
        if page.rotation:
            turn = page.rotation_matrix
            x, y = x * turn.a + y * turn.c, x * turn.b + y * turn.d
        turned[x > 0.9] += sum(len(span["text"]) for span in line["spans"])
    return turned[True] >= turned[False]


def _raw_lines(page: PdfPage) -> Iterator[dict[str, Any]]:
    for block in page.get_text("dict")["blocks"]:
        yield from block.get("lines", ())


def _rows(page: PdfPage) -> Iterator[_Row]:
    """The lines of the page as MuPDF finds them."""
    for line in _raw_lines(page):
        spans = [span for span in line["spans"] if span["text"].strip()]
        text = _spelt(" ".join("".join(span["text"] for span in line["spans"]).split()))
        if spans and text:
            size = max(spans, key=lambda span: len(span["text"]))["size"]
            bold = all(span["flags"] & _BOLD or "bold" in span["font"].lower() for span in spans)
            mono = all(span["flags"] & _MONO for span in spans)
            code = "".join(span["text"] for span in line["spans"]).rstrip() if mono else ""
            yield _Row(text, seen_box(page, line["bbox"]), round(size, 1), bold, code)


def _blocks(rows: Sequence[_Row]) -> Iterator[Block]:
    """Paragraphs, headings, items and page numbers of the lines, in their order."""
    sizes = Counter[float]()
    for row in rows:
        sizes[row.size] += len(row.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    larger = sorted({row.size for row in rows if row.size >= body * _LARGER}, reverse=True)
    levels = {size: min(index, _LEVELS) for index, size in enumerate(larger, start=1)}
    typed = sum(len(row.code) for row in rows) > sum(len(row.text) for row in rows) / 2
    for group in _paragraphs(rows):
        text, box = _joined(group), Box.around([row.box for row in group])
        if group[0].code and not typed:
            yield Block("code", "\n".join(row.code for row in group), (box,), Markup.PLAIN)
            continue
        level = levels.get(group[0].size, 0)
        if not level and all(row.bold for row in group) and len(group) < 3:
            level = min(len(levels) + 1, _LEVELS) if text[-1] not in ".,;" else 0
        at_edge = box.y2 < _EDGE or box.y1 > 1 - _EDGE
        if at_edge and _NUMBER.match(text):
            yield Block("page_number", text, (box,), Markup.PLAIN)
        elif level and len(text) <= _HEADING and any(char.isalpha() for char in text):
            label = "title" if level == 1 else "sub_title"
            yield Block(label, text, (box,), Markup.PLAIN, level=level)
        else:
            label = "list" if _ITEM.match(text) else "text"
            yield Block(label, text, (box,), Markup.PLAIN)


def _paragraphs(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    group: list[_Row] = []
    for row in rows:
        if group and not _goes_on(group, row):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _goes_on(group: Sequence[_Row], row: _Row) -> bool:
    """Whether a line belongs to the paragraph before it."""
    last = group[-1]
    height = max(last.box.y2 - last.box.y1, row.box.y2 - row.box.y1)
    if abs(row.size - last.size) > 0.6 or row.bold != last.bold:
        return False
    if bool(row.code) != bool(last.code):
        return False
    if _ITEM.match(group[0].text) and row.box.x1 < group[0].box.x1 - _OUTDENT:
        return False
    if abs(row.box.y1 - last.box.y1) < height * 0.3:  # the same printed line, further right
        return 0 <= row.box.x1 - last.box.x2 < height * 2
    if not -height * 0.4 < row.box.y1 - last.box.y2 < height * 0.75:
        return False
    if len(group) == 1 and last.box.x1 - row.box.x1 > _INDENT:  # a centred line above a paragraph
        return False
    across = min(row.box.x2, last.box.x2) - max(row.box.x1, last.box.x1)
    ended = last.box.x2 < max(each.box.x2 for each in group) - 0.15 and last.text[-1] in ".:;!?"
    return across > 0 and not _ITEM.match(row.text) and not (ended and len(group) > 1)


def _joined(rows: Sequence[_Row]) -> str:
    """A paragraph's lines as one; a word parted at a line's end is whole again."""
    text = rows[0].text
    for row in rows[1:]:
        if _HYPHEN.search(text) and row.text[0].islower():
            text = text[:-1] + row.text
        else:
            text = f"{text} {row.text}"
    return text


def _tables(page: PdfPage) -> Iterator[tuple[Box, Block]]:
    """The tables that rules show."""
    if not page.get_cdrawings():
        return
    for table in page.find_tables().tables:
        cells = [tuple(" ".join((cell or "").split()) for cell in row) for row in table.extract()]
        filled = sum(bool(cell) for row in cells for cell in row)
        if len(cells) > 1 and table.col_count > 1 and filled >= _CELLS:
            box = seen_box(page, table.bbox)
            yield box, Block("table", "", (box,), Markup.PLAIN, rows=tuple(cells))


def _links(page: PdfPage) -> Iterator[tuple[str, str, Box]]:
    """Words that lead somewhere: of a line, all that lead to one place."""
    places: dict[tuple[str, int], Any] = {}
    for link in page.get_links():
        if target := link.get("uri", ""):
            place, line = link["from"], (target, round(link["from"].y1))
            places[line] = places.get(line, place) | place
    words = page.get_text("words") if places else []
    for (target, _), place in places.items():
        held = (word for word in words if _middle(word) in place)
        said = " ".join(_spelt(word[4]) for word in held)
        if said:
            yield said.strip(".,;:"), target, seen_box(page, place)


def _middle(word: Sequence[Any]) -> Any:
    return pymupdf.Point((word[0] + word[2]) / 2, (word[1] + word[3]) / 2)


def _spelt(text: str) -> str:
    """With the letters of ligatures apart, as everybody types them."""
    return _LIGATURE.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)


def _linked(block: Block, links: Sequence[tuple[str, str, Box]]) -> Block:
    found = tuple(
        (words, target)
        for words, target, box in links
        if block.boxes and block.boxes[0].holds(box) and words in block.text
    )
    return replace(block, links=found) if found else block


def _lines(page: PdfPage, words: Sequence[Word]) -> Iterator[Line]:
    """The page's words, line by line, as MuPDF counts lines."""
    rows: dict[tuple[int, int], list[Word]] = {}
    places = iter(words)
    for *_, text, block, line, _ in page.get_text("words"):
        if any(char.isalnum() for char in text) and (word := next(places, None)) is not None:
            rows.setdefault((block, line), []).append(word)
    for row in rows.values():
        text = " ".join(word.text for word in row)
        yield Line(text, Box.around([word.box for word in row]), tuple(row), 1.0)


def _apart(boxes: Sequence[Box]) -> list[Box]:
    """Boxes that do not lie in one another."""
    return [
        box
        for index, box in enumerate(boxes)
        if not any(other.holds(box) and other.area > box.area for other in boxes[:index])
    ]


def _said(block: Block) -> str:
    return block.text or "\n".join("\t".join(row) for row in block.rows)
