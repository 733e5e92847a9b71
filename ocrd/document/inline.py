"""Text from a model, made safe to stand in Markdown.  Pure.

A page can print, and a model can make up, anything: scripts, tracking pictures, links to local
files, comments that swallow the rest of the document.  What is left through is text, a few
harmless pairs of tags, web links, and mathematics.
"""

from __future__ import annotations

import re

_PAIR = r"<(sub|sup|b|i|u|s|em|strong|small|del)>([^<>]{0,500})</\1>"
_BREAK = r"<br ?/?>"
_MARKUP = re.compile(rf"{_PAIR}|{_BREAK}|<(?=[A-Za-z/!?])", re.IGNORECASE)
_LINK = re.compile(r"\]\((?!\s{0,8}<?(?:https?://|mailto:))", re.IGNORECASE)
_MATH_TOKEN = re.compile(r"(\\\[|\\\]|\\\(|\\\))")
_CENTER = re.compile(r"</?center>", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ENTITY = re.compile(r"&(?!(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});)")


def tidy(text: str) -> str:
    """Unix line ends, no control characters, no `<center>`; `:=` spelt out."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CENTER.sub("", _CONTROL.sub("", text))
    text = re.sub(r"\\coloneqq(?![A-Za-z])", ":=", text)
    return re.sub(r"\\eqqcolon(?![A-Za-z])", "=:", text)


def safe(text: str) -> str:
    """Text that renders as text: no foreign HTML, no pictures, links to the web only."""
    text = _MARKUP.sub(_harmless, text)
    text = text.replace("![", r"!\[").replace("]:", r"]\:")
    return _LINK.sub(r"]\\(", text)


def safe_in_html(text: str) -> str:
    """The same inside an HTML element, where Markdown's backslashes do not count."""
    text = _MARKUP.sub(_harmless, _ENTITY.sub("&amp;", text))
    return text.replace("![", "!&#91;").replace("](", "]&#40;")


def with_math(text: str) -> str:
    r"""`safe` text with `\[…\]` as `$$…$$` and `\(…\)` as `$…$`; what is not closed stays."""
    pieces = _MATH_TOKEN.split(text)
    out: list[str] = []
    index = 0
    while index < len(pieces):
        opening, closing = pieces[index], "".join(pieces[index + 2 : index + 3])
        inner = "".join(pieces[index + 1 : index + 2])
        if (opening, closing) in ((r"\[", r"\]"), (r"\(", r"\)")) and inner.strip():
            out.append(_formula(inner, display=opening == r"\["))
            index += 3
        else:
            out.append(opening if _MATH_TOKEN.fullmatch(opening) else safe(opening))
            index += 1
    return "".join(out)


def formula(text: str) -> str:
    """LaTeX that stays LaTeX but is nothing to a renderer without mathematics."""
    text = re.sub(r"<(?=[A-Za-z/!?])", "< ", text)
    text = text.replace("](", "] (").replace("]:", "] :").replace("![", "! [")
    return re.sub(r"\n\s*\n", "\n", text.replace("$$", "$ $")).strip()


def one_line(text: str) -> str:
    """The text on one line, as a label or a picture's description needs it."""
    return " ".join(text.split())


def _formula(text: str, *, display: bool) -> str:
    return f"$${formula(text)}$$" if display else f"${one_line(formula(text))}$"


def _harmless(match: re.Match[str]) -> str:
    whole = match[0]
    if whole == "<":
        return "&lt;"
    return whole if match[1] else "<br>"
