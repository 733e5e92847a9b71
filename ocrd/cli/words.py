"""How the commands print: JSON, colours, tables that fit the terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

NARROW = 80  # columns, if their number is unknown
COLOURS = {  # of states, as ANSI codes
    "running": "32",
    "ready": "32",
    "done": "32",
    "loading": "33",
    "restarting": "33",
    "delivering": "36",
    "stopped": "31",
    "failed": "31",
    "cancelled": "2",
}


def print_json(facts: dict[str, Any], indent: int | None = 2) -> None:
    """Print facts as JSON in UTF-8.

    A name that is not UTF-8 keeps its other bytes as escaped lone surrogates, so that a program
    that reads the JSON can open the file.
    """
    text = json.dumps(facts, ensure_ascii=False, indent=indent)
    print(re.sub("[\ud800-\udfff]", lambda odd: f"\\u{ord(odd[0]):04x}", text), flush=True)


def state_of(state: str) -> str:
    """A state, coloured if stdout is a terminal with colours."""
    code = COLOURS.get(state)
    coloured = code and on_screen() and "NO_COLOR" not in os.environ
    return f"\x1b[{code}m{state}\x1b[0m" if coloured else state


def on_screen() -> bool:
    """Whether stdout is a terminal that can be drawn on, not a pipe, a file or a dumb one."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def width() -> int | None:
    """Columns to fit; None if stdout is no terminal, where lines stay whole for `grep`."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        import shutil

        return shutil.get_terminal_size((NARROW, 24)).columns
    return None


def clipped(text: str, room: int) -> str:
    """The text, cut to `room` columns; a cut is marked by an ellipsis."""
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"


def wrapped(text: str, indent: str = "") -> list[str]:
    """The text as lines that fit the terminal."""
    room = width()
    if room is None or len(indent) + len(text) <= room:
        return [indent + text]
    import textwrap

    return textwrap.wrap(
        text, room, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str],
    give: Sequence[str],
) -> list[str]:
    """The lines of a table that fits the terminal, its heads first.

    Args:
        heads: The columns' names.
        rows: The cells as text.
        right: The columns that are aligned to the right.
        give: The columns that are cut if there is too little room, the last of them first.
    """
    cells = [list(heads), *([str(cell) for cell in row] for row in rows)]
    sizes = [max(map(len, column)) for column in zip(*cells, strict=True)]
    over = sum(sizes) + 2 * (len(sizes) - 1) - (width() or sys.maxsize)
    for name in reversed(give):
        place = heads.index(name)
        least = min(sizes[place], max(len(name), 8))
        cut = min(max(0, over), sizes[place] - least)
        sizes[place] -= cut
        over -= cut
    return [_row(row, heads, sizes, right) for row in cells]


def _row(
    row: Sequence[str], heads: Sequence[str], sizes: Sequence[int], right: Sequence[str]
) -> str:
    parts = []
    for cell, head, size in zip(row, heads, sizes, strict=True):
        text = clipped(cell, size)
        text = text.rjust(size) if head in right else text.ljust(size)
        parts.append(text.replace(cell, state_of(cell)) if head == "state" else text)
    return "  ".join(parts).rstrip()
