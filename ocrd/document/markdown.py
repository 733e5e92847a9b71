r"""Renders the blocks of a page as Markdown: the only place that escapes.  Pure.

Anything can be printed on a page or invented by a model: scripts, tracking pictures, links to
local files, comments that swallow the rest of the document.  Printed text is escaped so that it
renders as printed.  A model's own Markdown is reduced to text, a few harmless pairs of tags, web
links, and mathematics (`\[…\]` as `$$…$$`, `\(…\)` as `$…$`).

Headers, footers and page numbers are kept in small type (`<sub>`): a letterhead is often the only
place that names the sender.  Figures link to the pictures cut out of the page; their captions are
also kept as text, since most viewers never show a picture's description.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from ocrd.document import tables
from ocrd.document.plain import FIGURES, one_line, tidy, tidy_markup
from ocrd.modes import AnswerFormat
from ocrd.page import Block, Markup

CAPTIONS = frozenset({"image_caption", "figure_caption", "figure_title", "caption"})
ASIDES = frozenset({"header", "footer", "page_header", "page_footer", "page_number"})

_PAIR = r"<(sub|sup|b|i|u|s|em|strong|small|del)>([^<>]{0,500})</\1>"
_MARKUP = re.compile(rf"{_PAIR}|<br ?/?>|<(?=[A-Za-z/!?])", re.IGNORECASE)
_LINK = re.compile(r"\]\((?!\s{0,8}<?(?:https?://|mailto:))", re.IGNORECASE)
_WEB = re.compile(r"(https?://|mailto:)[^\s<>]+", re.IGNORECASE)
_MATH_TOKEN = re.compile(r"(\\\[|\\\]|\\\(|\\\))")
_ENTITY = re.compile(r"&(?!(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});)")
_ITEM = re.compile(r" *(?:- |\d{1,3}[.)] )")
_BULLET = re.compile(r"^[•·●▪◦‣∙]\s*")
_PRINTED_MARKS = re.compile(  # what Markdown takes for markup, anywhere …
    r"[\\`*<\[\]$]|(?<![^\W_])_|_(?![^\W_])|~~|!(?=\[)|&(?=#?\w{1,30};)"
)
_PRINTED_STARTS = re.compile(  # … and at the start of a line
    r"^(?=#{1,6}(\s|$)|>|\+\s|~~~|[-=_|:][-=_|: ]+$)"
)
_HEADING = re.compile(r"#{1,6} ")
_URL_SAFE = "/:?#[]@!$&'()*+,;=%~-._"
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


def page(blocks: Sequence[Block], answers: AnswerFormat, figures: Mapping[int, str]) -> str:
    """The Markdown of one page, without page separators or labels.

    Args:
        blocks: What was read.
        answers: How it was read; plain text and chart data keep their form.
        figures: By block index, the path of the picture cut out for it, relative to the Markdown.
    """
    parts = [_block(blocks, index, answers, figures) for index in range(len(blocks))]
    return _BLANK_LINES.sub("\n\n", "\n\n".join(part for part in parts if part)).strip("\n")


def unread(number: int, reason: str) -> str:
    """The line that replaces a page that could not be read."""
    return f"> **Page {number} could not be read:** {_with_math(one_line(tidy(reason)))}"


def incomplete(number: int, reason: str) -> str:
    """The line above the text of a page that is only partial."""
    return f"> **Page {number} is incomplete:** {_with_math(one_line(tidy(reason)))}"


def escaped(line: str) -> str:
    """Markdown that renders as the printed line; a printed bullet becomes one of Markdown."""
    marked = _PRINTED_MARKS.sub(r"\\\g<0>", _BULLET.sub("- ", line.strip()))
    return _PRINTED_STARTS.sub(r"\\\g<0>", marked)


def _block(
    blocks: Sequence[Block], index: int, answers: AnswerFormat, figures: Mapping[int, str]
) -> str:
    block = blocks[index]
    printed = block.markup is Markup.PLAIN
    text = (tidy if printed else tidy_markup)(block.text).strip("\n")
    if answers is AnswerFormat.PLAIN:
        return text if printed and not block.rows else _with_tables(text, _safe)
    if answers is AnswerFormat.FIGURE:
        return _chart(text)
    if block.label in FIGURES:
        said = (_printed(block, text) if printed else _prose(text)) if text.strip() else ""
        return _figure(said, figures.get(index), _caption(blocks, index))
    if printed:
        return _code(text) if block.label == "code" else _printed(block, text)
    return _RENDER.get(block.label, _prose)(text) if text.strip() else ""


def _printed(block: Block, text: str) -> str:
    """Text as printed: markup characters are escaped, and paragraphs keep their line breaks."""
    links = list(block.links)
    if block.rows:
        cells = ((one_line(tidy(cell)) for cell in row) for row in block.rows)
        return _pipes([[_linked(escaped(cell), links) for cell in row] for row in cells])
    lines = [
        _step(line) * (block.label == "list") + _linked(escaped(line), links)
        for line in text.split("\n")
        if line.strip()
    ]
    if not lines:
        return ""
    if block.level:
        return f"{'#' * min(block.level, 6)} {' '.join(lines)}"
    if block.label in ASIDES:
        return f"<sub>{' '.join(lines)}</sub>"
    return "".join(
        line if not above else f"{'' if _ITEM.match(line) else '  '}\n{line}"
        for above, line in zip(["", *lines], lines, strict=False)
    )


def _step(line: str) -> str:
    """The indent of a nested list item, deeper than any number before the outer item."""
    return "    " * ((len(line) - len(line.lstrip(" "))) // 2)


def _linked(line: str, links: list[tuple[str, str]]) -> str:
    """A line with its links as Markdown links; each link found is removed from `links`."""
    done, rest = "", line
    for words, target in list(links):
        found = re.search(rf"(?<!\w){re.escape(escaped(words))}(?!\w)", rest)
        if found and words and _WEB.fullmatch(target):
            url = quote(target, safe=_URL_SAFE)
            done += f"{rest[: found.start()]}[{found[0]}](<{url}>)"
            rest = rest[found.end() :]
            links.remove((words, target))
    return done + rest


def _title(text: str, marks: str) -> str:
    if _HEADING.match(text):
        return _prose(text)
    return f"{marks} {_with_math(one_line(text))}"


def _equation(text: str) -> str:
    """A displayed formula, whatever delimiters the model gave it, closed or not."""
    body = text.strip()
    for opening, closing in ((r"\[", r"\]"), ("$$", "$$")):
        if body.startswith(opening):
            inner = body.removeprefix(opening).removesuffix(closing)
            if opening not in inner and closing not in inner:
                return f"$$\n{_latex(inner)}\n$$" if inner.strip() else ""
    if r"\[" in body or "$$" in body:
        return _prose(text)
    return f"$$\n{_latex(body)}\n$$"


def _aside(text: str) -> str:
    return f"<sub>{_with_math(one_line(text))}</sub>"


def _prose(text: str) -> str:
    return _with_tables(text, _with_math).strip("\n")


def _code(text: str) -> str:
    """The text in a fence longer than any inside; a fence that the model wrote is replaced."""
    inner = re.sub(r"\A```[^\n]{0,40}\n(.*?)\n?```\s*\Z", r"\1", text, flags=re.DOTALL)
    longest = max((len(run) for run in re.findall(r"`{3,}", inner)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{inner}\n{fence}"


def _chart(text: str) -> str:
    """The data of a chart: rendered if it has a table, otherwise verbatim in a code block."""
    if tables.has_tags(text) or text.lstrip().startswith("|"):
        return _prose(text)
    return _code(text) if text else ""


def _figure(said: str, picture: str | None, caption: str) -> str:
    if picture is None:
        return said
    words = one_line(tidy_markup(caption))[:300].strip()
    description = re.sub(r"[\[\]\\`<>*_!|]", "", words)
    link = f"![{description}]({quote(os.fsencode(picture))})"
    return f"{link}\n\n{said}" if said else link


def _caption(blocks: Sequence[Block], index: int) -> str:
    """The caption of a figure, from the block after it, otherwise from the one before it."""
    for neighbour in (index + 1, index - 1):
        if 0 <= neighbour < len(blocks) and blocks[neighbour].label in CAPTIONS:
            return blocks[neighbour].text
    return ""


def _with_tables(text: str, prose: Callable[[str], str]) -> str:
    if not tables.has_tags(text):
        return prose(text)
    parts = (
        prose(part).strip() if isinstance(part, str) else _table(part)
        for part in tables.split(text)
    )
    return "\n\n".join(part for part in parts if part)


def _table(table: tables.Table) -> str:
    """The table in pipes, which are readable as they are; in HTML if cells are merged."""
    caption = table.caption.strip()
    parts = [_with_math(caption)] if caption else []
    if table.rows and table.simple:
        parts.append(
            _pipes([[one_line(_with_math(cell.text)) for cell in row] for row in table.rows])
        )
    elif table.rows:
        rows = ("".join(_html_cell(cell) for cell in row) for row in table.rows)
        parts.append("\n".join(["<table>", *(f"<tr>{row}</tr>" for row in rows), "</table>"]))
    return "\n\n".join(parts)


def _pipes(rows: Sequence[Sequence[str]]) -> str:
    """A pipe table of escaped cells; the first row is the heading."""
    width = max(len(row) for row in rows)
    bare = [[cell.replace("|", r"\|") for cell in row] + [""] * (width - len(row)) for row in rows]
    bare.insert(1, ["---"] * width)
    return "\n".join(f"| {' | '.join(row)} |" for row in bare)


def _html_cell(cell: tables.Cell) -> str:
    name = "th" if cell.header else "td"
    columns = f' colspan="{cell.columns}"' if cell.columns > 1 else ""
    rows = f' rowspan="{cell.rows}"' if cell.rows > 1 else ""
    return f"<{name}{columns}{rows}>{one_line(_safe_in_html(cell.text))}</{name}>"


def _safe(text: str) -> str:
    """A model's text made safe: no foreign HTML, no pictures, links to the web only."""
    text = _MARKUP.sub(_harmless, text)
    text = text.replace("![", r"!\[").replace("]:", r"]\:")
    return _LINK.sub(r"]\\(", text)


def _safe_in_html(text: str) -> str:
    """The same for text inside an HTML element, where Markdown's backslashes have no effect."""
    text = _MARKUP.sub(_harmless, _ENTITY.sub("&amp;", text))
    return text.replace("![", "!&#91;").replace("](", "]&#40;")


def _with_math(text: str) -> str:
    """A model's text, made safe, with its formulas in `$`; an unclosed delimiter stays."""
    pieces = _MATH_TOKEN.split(text)
    out: list[str] = []
    index = 0
    while index < len(pieces):
        opening, closing = pieces[index], "".join(pieces[index + 2 : index + 3])
        inner = "".join(pieces[index + 1 : index + 2])
        if (opening, closing) in ((r"\[", r"\]"), (r"\(", r"\)")) and inner.strip():
            formula = _latex(inner)
            out.append(f"$${formula}$$" if opening == r"\[" else f"${one_line(formula)}$")
            index += 3
        else:
            out.append(opening if _MATH_TOKEN.fullmatch(opening) else _safe(opening))
            index += 1
    return "".join(out)


def _latex(text: str) -> str:
    """LaTeX that stays the same, but is harmless in a renderer without mathematics."""
    text = re.sub(r"<(?=[A-Za-z/!?])", "< ", text)
    text = text.replace("](", "] (").replace("]:", "] :").replace("![", "! [")
    return re.sub(r"\n\s*\n", "\n", text.replace("$$", "$ $")).strip()


def _harmless(match: re.Match[str]) -> str:
    whole = match[0]
    if whole == "<":
        return "&lt;"
    return whole if match[1] else "<br>"


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
