"""Where a PDF page's look and its text differ: print in pictures and outlines, unseen words.

Programs draw letters as outlines, phones put their name on the photo of a page, and forms are
filled in over what they hide.  A page must be checked for these before its text is trusted.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, replace
from itertools import groupby
from typing import Any

from PIL import Image

from ocrd.page import Box
from ocrd.pdffile import PdfPage, pymupdf
from ocrd.pdftext import ONCE, drawn, extremes, letters_of, seen_box

_READABLE = 0.04  # of the page: a picture as large as this without own text on it may hold print
_TOLD = 0.3  # of a picture: words that span less are a part of it, or name its maker
_TOUCH = 0.002  # of the page: pictures so close are strips of one
_LOWEST, _HIGHEST = 2.0, 120.0  # points: the size of letters
_ON_A_LINE = 6  # letters that stand on one line, at least …
_LETTERS = 20  # … and of all lines; fewer are a logo
_SHAPES = 8  # different sizes of letters; fewer are a chart's marks
_HEIGHTS, _FEW, _MOST = 24, 4, 0.65  # height classes; so few of them hold this share
_CURVED = 0.2  # the least share of curved letters, and of letters among all small shapes
_QUARTERS, _ROUND = 4, 0.02  # a circle's curves; how far from round it is at most
_CELL = 3.0  # points
_PALE = 200  # of 255: darker ink shows on paper
_BODY = 0.2  # of a line's height: above and below, other lines may reach in
_CONTRAST = 8  # of 255: less between a word's darkest and lightest pixel shows nothing
_OPAQUE = 0.95
_BAND = 10.0  # points: spans are looked up by bands of this height
_TWICE = 0.12  # of its size: the same letter so close by is a second print of it
_DRAWN = {"fill-path", "stroke-path", "fill-image", "fill-imgmask", "fill-shade"}
_SOFT_MASK = re.compile(r"/S\s*/(?:Luminosity|Alpha)\b")
_SAME = 12  # of 255: ink and paper so close are one

Cover = tuple[int, tuple[float, float, float, float]]  # its turn in the order of drawing; its box


def untold_pictures(pictures: Sequence[Box], words: Sequence[Box]) -> list[Box]:
    """Pictures that may hold print that is not in the page's words; strips of one are joined."""
    wide = _in_stacks(pictures, across=True)
    large = [box for box in _in_stacks(wide, across=False) if box.area > _READABLE]
    return [box for box in large if not _tell(box, words)]


def has_outlines(page: PdfPage, drawings: Sequence[dict[str, Any]], words: Sequence[Box]) -> bool:
    """Whether letters are drawn as outlines: rows of small shapes where no word stands.

    The letters of a line have few heights, and some are curved, unlike marks, bubbles and the
    houses of a map.
    """
    shapes = [shape for drawing in drawings for shape in _letters(drawing)]
    if len(shapes) < _LETTERS:
        return False
    width, height = page.rect.width, page.rect.height
    taken = set(_cells(box.scaled(width, height) for box in words))
    lines: defaultdict[int, list[tuple[float, float, bool]]] = defaultdict(list)
    for shape, curved in shapes:
        box = seen_box(page, shape).scaled(width, height)
        at = int((box.x1 + box.x2) / 2 // _CELL), int((box.y1 + box.y2) / 2 // _CELL)
        if at not in taken and 0 < box.x2 < width and 0 < box.y2 < height:
            lines[round(box.y2 / 2)].append((round(box.width, 1), round(box.height, 1), curved))
    rows = []
    for bottom in list(lines):
        # round letters stand a little lower than others
        if _is_row([shape for n in (-1, 0, 1) for shape in lines[bottom + n]]):
            rows += lines[bottom]
    sizes = {shape[:2] for shape in rows}
    curves = sum(shape[2] for shape in rows)
    least = max(_LETTERS, _CURVED * sum(map(len, lines.values())))  # otherwise chance makes rows
    return len(rows) >= least and len(sizes) >= _SHAPES and curves >= _CURVED * len(rows)


def _is_row(shapes: Sequence[tuple[float, float, bool]]) -> bool:
    highest = max((high for _, high, _ in shapes), default=0.0)
    heights = Counter(round(_HEIGHTS * high / highest) for _, high, _ in shapes)
    usual = sum(count for _, count in heights.most_common(_FEW) if count > 1)
    return len(shapes) >= _ON_A_LINE and usual >= _MOST * len(shapes)


def seen_lines(
    page: PdfPage,
    lines: Sequence[dict[str, Any]],
    words: Iterable[Box],
    drawings: Sequence[dict[str, Any]],
    *,
    bare: bool,
) -> list[dict[str, Any]] | None:
    """The page's lines without unseen text: transparent, in the paper's colour, or covered.

    On a page that is `bare`, nothing is drawn that might cover text.

    Returns:
        Lines in the form of `rawdict`, their spans with a `text`; None if all text is seen.
    """
    spans = [span for line in lines for span in line["spans"]]
    if bare and not any(not span["alpha"] or min(_rgb(span)) > _PALE for span in spans):
        return None
    colours = drawn(page, "RGB")
    traces = page.get_texttrace()
    covers = _written_over(page, drawings, traces)
    signs = (span for span in spans if not any(map(str.isalnum, span["text"])))
    places = [*words, *(seen_box(page, sign["bbox"]) for sign in signs if sign["text"].strip())]
    if not covers and not any(_is_plain(colours, box) for box in places):
        return None
    look = _Look(page, colours, traces, covers)
    # text over the same covered text is no second print of it
    found = letters_of(page, once=0 if covers else ONCE)
    return list(_filled_in(line for line in found if look.keep_seen(line)))


class _Look:
    """Finds which letters of a page are seen."""

    def __init__(
        self,
        page: PdfPage,
        colours: Image.Image,
        traces: Iterable[dict[str, Any]],
        covers: Sequence[Cover],
    ) -> None:
        self._page = page
        self._colours = colours
        self._covers = covers
        self._drawn = [
            (number, box) for number, (what, box) in enumerate(page.get_bboxlog()) if what in _DRAWN
        ]
        self._kept: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._turns: defaultdict[tuple[float, ...], list[int]] = defaultdict(list)
        for trace in traces:
            for _, _, origin, _ in trace["chars"]:
                self._turns[_rounded(origin)].append(trace["seqno"])

    def keep_seen(self, line: dict[str, Any]) -> bool:
        """Replace the unseen letters of a line by spaces; whether any letter is left."""
        for span in line["spans"]:
            words = groupby(span["chars"], key=lambda char: bool(char["c"].strip()))
            span["chars"] = [char for _, word in words for char in self._seen(span, [*word])]
            span["text"] = _said(span["chars"])
        left = [c["bbox"] for span in line["spans"] for c in span["chars"] if c["c"].strip()]
        if left:
            line["bbox"] = astuple(Box.around(Box(*box) for box in left))
        return bool(left)

    def _seen(
        self, span: dict[str, Any], word: Sequence[dict[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        turns = [self._turn(char) for char in word]
        place = Box.around(Box(*char["bbox"]) for char in word)
        box = seen_box(self._page, astuple(place))
        plain = word[0]["c"].strip() and _is_plain(self._colours, box)
        nothing = plain and self._shows_nothing(span, box, place, max(turns))
        for char, turn in zip(word, turns, strict=True):
            gone = _is_under(turn, char["bbox"], self._covers)
            unseen = nothing or gone or self._again(char, span["size"])
            yield {**char, "c": " "} if unseen else char

    def _again(self, char: dict[str, Any], size: float) -> bool:
        """Whether the same letter is there already, printed twice for boldness or a shadow."""
        if not self._covers or not char["c"].strip():
            return False
        x, y = char["origin"]
        kept = self._kept[char["c"]]
        if any(abs(x - a) < _TWICE * size > abs(y - b) for a, b in kept):
            return True
        kept.append((x, y))
        return False

    def _turn(self, char: dict[str, Any]) -> int:
        """The letter's place in the order of drawing; -1 if it is never drawn."""
        turns = self._turns.get(_rounded(char["origin"]))
        return turns.pop(0) if turns else -1

    def _shows_nothing(self, span: dict[str, Any], box: Box, place: Box, turn: int) -> bool:
        """Whether a word of which nothing shows is unseen, rather than without glyphs in MuPDF."""
        if not span["alpha"]:
            return True
        if _is_under(turn, astuple(place), self._drawn):
            return True
        paper = (darkest for darkest, _ in _of_body(self._colours, box))
        return all(abs(one - other) < _SAME for one, other in zip(_rgb(span), paper, strict=True))


def _is_under(turn: int, box: Sequence[float], covers: Iterable[Cover]) -> bool:
    """Whether something was drawn later over a box."""
    return any(at > turn and is_within(box, over) for at, over in covers)


def is_within(box: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the middle of a box lies in another; PyMuPDF's own test takes ten times as long."""
    x1, y1, x2, y2 = other
    return 2 * x1 < box[0] + box[2] < 2 * x2 and 2 * y1 < box[1] + box[3] < 2 * y2


def _written_over(
    page: PdfPage, drawings: Iterable[dict[str, Any]], traces: Sequence[dict[str, Any]]
) -> list[Cover]:
    """Opaque boxes over older text and under newer text: when they are drawn, and where."""
    texts = [(trace["seqno"], trace["bbox"]) for trace in traces]

    def over(box: Sequence[float], at: int) -> bool:
        x1, y1, x2, y2 = box
        there = {
            turn < at
            for turn, (a1, b1, a2, b2) in texts
            if x1 < a2 and a1 < x2 and y1 < b2 and b1 < y2
        }
        return x1 < x2 and y1 < y2 and len(there) > 1

    if not any(_is_cover(each) and over(each["rect"], each["seqno"]) for each in drawings):
        return []
    if _has_soft_masks(page):
        return []
    found = []
    pictures = [
        (number, pymupdf.Rect(box))
        for number, (what, box) in enumerate(page.get_bboxlog())
        if what == "fill-image"
    ]
    # By level, the area in which clips and groups show opaquely what is drawn in them: none where
    # they are no boxes or are transparent.
    within: list[Any] = []
    for drawing in page.get_cdrawings(extended=True):
        level = drawing["level"]
        del within[level:]
        left = within[-1] if within else pymupdf.INFINITE_RECT()
        if drawing["type"] == "clip":
            left = left & pymupdf.Rect(drawing["scissor"])
            within.append(left if is_box(drawing["items"]) else pymupdf.Rect())
        elif drawing["type"] == "group":
            opaque = drawing["blendmode"] == "Normal" and drawing["opacity"] > _OPAQUE
            within.append(left if opaque else pymupdf.Rect())
        elif _is_cover(drawing):
            at, box = drawing["seqno"], left & pymupdf.Rect(drawing["rect"])
            under = ((box & picture).get_area() for n, picture in pictures if n > at)
            if over(box, at) and max(under, default=0.0) < _OPAQUE * box.get_area():
                found.append((at, tuple(box)))
    return found


def _has_soft_masks(page: PdfPage) -> bool:
    """Whether something in the document is drawn through a soft mask, which drawings omit."""
    document = page.parent
    kept = vars(document)
    if "soft_masks" not in kept:
        numbers = range(1, document.xref_length())
        kept["soft_masks"] = any(_SOFT_MASK.search(document.xref_object(n)) for n in numbers)
    return bool(kept["soft_masks"])


def _is_cover(drawing: dict[str, Any]) -> bool:
    return (drawing.get("fill_opacity") or 0) > _OPAQUE and is_box(drawing["items"])


def is_box(items: Sequence[tuple[Any, ...]]) -> bool:
    """Whether a drawing is a rectangle and nothing else."""
    if items[0][0] in ("re", "qu"):
        return len(items) == 1
    corners = {_rounded(point) for item in items for point in item[1:]}
    straight = all(item[0] == "l" for item in items)
    return straight and len({x for x, _ in corners}) == len({y for _, y in corners}) == 2


def _rounded(point: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(each, 1) for each in point)


def _filled_in(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines, with a line that stands in a gap of another inserted there."""
    done: list[dict[str, Any]] = []
    level: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        here = line["bbox"]
        for span in level[int((here[1] + here[3]) / 2 // _BAND)]:
            chars = span["chars"]
            if not is_within(here, span["bbox"]):
                continue
            if any(is_within(c["bbox"], here) for c in chars if c["c"].strip()):
                continue
            at = next((n for n, c in enumerate(chars) if c["bbox"][0] >= here[0]), len(chars))
            new = [char for piece in line["spans"] for char in piece["chars"]]
            blank = {**new[0], "c": " "}
            span["chars"] = [*chars[:at], blank, *new, blank, *chars[at:]]
            span["text"] = _said(span["chars"])
            break
        else:
            done.append(line)
            for span in line["spans"]:
                top, foot = (int(y // _BAND) for y in span["bbox"][1::2])
                for band in range(top, foot + 1):
                    level[band].append(span)
    yield from done


def _said(chars: Iterable[dict[str, Any]]) -> str:
    return "".join(char["c"] for char in chars)


def _rgb(span: dict[str, Any]) -> tuple[int, int, int]:
    """The span's red, green and blue, 0 to 255 each."""
    colour = span["color"]
    return colour >> 16 & 255, colour >> 8 & 255, colour & 255


def _is_plain(colours: Image.Image, box: Box) -> bool:
    """Whether there is no contrast where the bodies of a word's letters should be."""
    return all(most - least < _CONTRAST for least, most in _of_body(colours, box))


def _of_body(colours: Image.Image, box: Box) -> Sequence[tuple[int, int]]:
    high = _BODY * box.height
    body = replace(box, y1=box.y1 + high, y2=box.y2 - high)
    return extremes(colours, body)


def _tell(picture: Box, words: Sequence[Box]) -> bool:
    within = [word for word in words if picture.holds(word)]
    return bool(within) and Box.around(within).area >= _TOLD * picture.area


def _in_stacks(pictures: Sequence[Box], *, across: bool) -> list[Box]:
    """The pictures, with those of one size joined that touch side by side or one below another."""
    stacks: dict[tuple[int, int], list[Box]] = {}
    for box in sorted(pictures, key=lambda box: box.x1 if across else box.y1):
        sides = (box.y1, box.y2) if across else (box.x1, box.x2)
        stack = stacks.setdefault((round(sides[0] / _TOUCH), round(sides[1] / _TOUCH)), [])
        if stack and (box.x1 - stack[-1].x2 if across else box.y1 - stack[-1].y2) < _TOUCH:
            stack[-1] = Box.around((stack[-1], box))
        else:
            stack.append(box)
    return [box for stack in stacks.values() for box in stack]


def _letters(
    drawing: dict[str, Any],
) -> Iterator[tuple[tuple[float, float, float, float], bool]]:
    """The boxes of pieces that may be letters by size and shape, and whether they have curves."""
    for piece in _pieces(drawing["items"]):
        points = [point for item in piece for point in item[1:]]
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        box = min(xs), min(ys), max(xs), max(ys)
        high, wide = box[3] - box[1], box[2] - box[0]
        curves = sum(item[0] == "c" for item in piece)
        made = len(piece) > 2 or curves  # it is more than a tick
        circle = curves == len(piece) == _QUARTERS and abs(high - wide) < _ROUND * high
        if made and not circle and _LOWEST < high < _HIGHEST and wide < _HIGHEST:
            yield box, curves > 0


def _pieces(items: Sequence[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """A path's lines and curves, split where a new part of it begins."""
    piece: list[tuple[Any, ...]] = []
    for item in items:
        if item[0] not in ("l", "c"):  # rectangles
            continue
        if piece and piece[-1][-1] != item[1]:
            yield piece
            piece = []
        piece.append(item)
    if piece:
        yield piece


def _cells(boxes: Iterable[Box]) -> Iterator[tuple[int, int]]:
    for box in boxes:
        for x in range(int(box.x1 // _CELL), int(box.x2 // _CELL) + 1):
            for y in range(int(box.y1 // _CELL), int(box.y2 // _CELL) + 1):
                yield x, y
