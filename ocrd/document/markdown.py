"""Blocks -> the Markdown of one page.  Pure.

Headers, footers and page numbers stay, small (`<sub>`): a letterhead is often the only place
that names the sender.  Figures link to the pictures cut out of the page; their captions stay
visible below as well, since most viewers never show a picture's description.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from ocrd.document import tables
from ocrd.document.inline import formula, one_line, safe, tidy, with_math
from ocrd.modes import Reader
from ocrd.page import Block, Markup

FIGURES = frozenset({"image", "figure", "chart"})
CAPTIONS = frozenset({"image_caption", "figure_caption", "figure_title", "caption"})
ASIDES = frozenset({"header", "footer", "page_header", "page_footer", "page_number"})

_BULLET = re.compile(r"^[•·●▪◦‣∙]\s*")
_MARKS = re.compile(r"[\\`*<\[\]]|(?<!\w)_|_(?!\w)|!(?=\[)|&(?=#?\w{1,30};)")
_OPENS = re.compile(r"^(?=#{1,6}\s|>|\+\s|~~~|={2,}$)")
_HEADING = re.compile(r"#{1,6} ")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


def page(blocks: Sequence[Block], reader: Reader, figures: Mapping[int, str]) -> str:
    """One page, without page separators or labels.

    Args:
        blocks: What was read.
        reader: How it was read; plain text and chart data keep their form.
        figures: For a block's index, the picture cut out for it, relative to the Markdown.
    """
    if reader is Reader.PLAIN and all(block.markup is Markup.PLAIN for block in blocks):
        parts = [tidy(block.text) for block in blocks]
    elif reader is Reader.FIGURE:
        parts = [_chart(tidy(block.text)) for block in blocks]
    elif reader is Reader.PLAIN:
        parts = [_with_tables(tidy(block.text), safe) for block in blocks]
    else:
        parts = [_block(blocks, index, figures) for index in range(len(blocks))]
    return _BLANK_LINES.sub("\n\n", "\n\n".join(part for part in parts if part)).strip("\n")


def unread(number: int, reason: str) -> str:
    """The line that stands in the place of a page that could not be read."""
    return f"> **Page {number} could not be read:** {with_math(one_line(tidy(reason)))}"


def incomplete(number: int, reason: str) -> str:
    """The line that stands before the text of a page that is known to be doubtful."""
    return f"> **Page {number} is incomplete:** {with_math(one_line(tidy(reason)))}"


def _block(blocks: Sequence[Block], index: int, figures: Mapping[int, str]) -> str:
    block = blocks[index]
    text = tidy(block.text).strip("\n")
    if block.markup is Markup.PLAIN and block.label not in FIGURES:
        return _printed(block, text)
    if block.label in FIGURES:
        return _figure(text, figures.get(index), _caption(blocks, index))
    render = _RENDER.get(block.label, _prose)
    return render(text) if text.strip() else ""


def _printed(block: Block, text: str) -> str:
    """Text as printed: what Markdown would take for markup is escaped, lines stay lines."""
    if block.rows:
        rows = [[tables.Cell(escaped(tidy(cell))) for cell in row] for row in block.rows]
        return tables.Table(rows).markdown()
    lines = [escaped(line) for line in text.split("\n")]
    if block.level:
        return f"{'#' * block.level} {one_line(' '.join(lines))}"
    if block.label in ASIDES:
        return f"<sub>{one_line(' '.join(lines))}</sub>"
    return "  \n".join(lines)


def escaped(line: str) -> str:
    """A printed line as Markdown that shows it; a printed bullet becomes one of Markdown."""
    return _OPENS.sub(r"\\\g<0>", _MARKS.sub(r"\\\g<0>", _BULLET.sub("- ", line)))


def _title(text: str, marks: str) -> str:
    if _HEADING.match(text):
        return _prose(text)
    return f"{marks} {with_math(one_line(text))}"


def _equation(text: str) -> str:
    """A displayed formula, whichever delimiters the model gave it, closed or not."""
    body = text.strip()
    for opening, closing in ((r"\[", r"\]"), ("$$", "$$")):
        if body.startswith(opening):
            inner = body.removeprefix(opening).removesuffix(closing)
            if opening not in inner and closing not in inner:
                return f"$$\n{formula(inner)}\n$$" if inner.strip() else ""
    if r"\[" in body or "$$" in body:
        return _prose(text)
    return f"$$\n{formula(body)}\n$$"


def _aside(text: str) -> str:
    return f"<sub>{with_math(one_line(text))}</sub>"


def _prose(text: str) -> str:
    return _with_tables(text, with_math).strip("\n")


def _code(text: str) -> str:
    """A fence longer than any in the text; models often write their own."""
    inner = re.sub(r"\A```[^\n]{0,40}\n(.*?)\n?```\s*\Z", r"\1", text, flags=re.DOTALL)
    longest = max((len(run) for run in re.findall(r"`{3,}", inner)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{inner}\n{fence}"


def _chart(text: str) -> str:
    """Data of a chart: a table if it is one, else as it came."""
    if tables.first_tag(text) is not None or text.lstrip().startswith("|"):
        return _prose(text)
    return _code(text.strip("\n"))


def _with_tables(text: str, prose: Callable[[str], str]) -> str:
    start = tables.first_tag(text)
    if start is None:
        return prose(text)
    if "<table" not in text.lower():
        text = f"{text[:start]}<table>{text[start:]}</table>"
    parts = (
        prose(part).strip() if isinstance(part, str) else part.markdown()
        for part in tables.split(text)
    )
    return "\n\n".join(part for part in parts if part)


def _figure(text: str, picture: str | None, caption: str) -> str:
    said = _prose(text) if text.strip() else ""
    if picture is None:
        return said
    link = f"![{_description(caption)}]({quote(os.fsencode(picture))})"
    return f"{link}\n\n{said}" if said else link


def _caption(blocks: Sequence[Block], index: int) -> str:
    """The caption that belongs to a figure: the block after it, or else the one before."""
    for neighbour in (index + 1, index - 1):
        if 0 <= neighbour < len(blocks) and blocks[neighbour].label in CAPTIONS:
            return blocks[neighbour].text
    return ""


def _description(caption: str) -> str:
    words = one_line(tidy(caption))[:300].strip()
    return re.sub(r"[\[\]\\`<>*_!|]", "", words)


_RENDER: dict[str, Callable[[str], str]] = {
    "title": partial(_title, marks="#"),
    "sub_title": partial(_title, marks="##"),
    "subtitle": partial(_title, marks="##"),
    "section_title": partial(_title, marks="##"),
    "equation": _equation,
    "formula": _equation,
    "code": _code,
    "algorithm": _code,
    **dict.fromkeys(ASIDES, _aside),
}
