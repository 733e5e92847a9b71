"""How lines become running text: spaces, hyphens, Chinese.  Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_HYPHENS = "-\u00ad\u2010"
_ITEM = re.compile(r"^(?:[-\u2013*•·●▪◦‣∙]\s*\S|\(?(?:\d{1,2}|[a-z])[.)]\s)")


def is_wide(char: str) -> bool:
    """Whether a character belongs to a script written without spaces (Chinese, Japanese)."""
    return unicodedata.east_asian_width(char) in "WF" and not "\uac00" <= char <= "\ud7a3"


def is_stop(char: str) -> bool:
    """Whether a character is one of the full-width marks that end a clause."""
    return is_wide(char) and unicodedata.category(char) == "Po"


def is_item(text: str) -> bool:
    """Whether a line begins like an item of a list."""
    return _ITEM.match(text) is not None


def running(lines: Iterable[str]) -> str:
    """Lines of a paragraph as one: hyphens at line ends mended, Chinese joined without spaces."""
    text = ""
    for line in filter(None, (line.strip() for line in lines)):
        text = _follow(text, line) if text else line
    return text


def _follow(text: str, line: str) -> str:
    if is_wide(text[-1]) and is_wide(line[0]):
        return text + line
    if text[-1] in _HYPHENS and text[-2:-1].isalpha() and line[0].islower():
        return text[:-1] + line
    if text[-1] in _HYPHENS and text[-2:-1].isalnum():  # `forty-` `Six`, `2026-` `03`
        return text + line
    return f"{text} {line}"
