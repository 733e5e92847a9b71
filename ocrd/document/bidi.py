"""Right-to-left text in the order in which it is printed.  Pure.

PDF shows glyphs from left to right, and readers of PDF turn Hebrew and Arabic back into the order
of reading.  This is the part of Unicode's bidirectional algorithm (UAX #9) that one line without
explicit embeddings needs: levels of strong characters, numbers and what stands between them.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby

_RIGHT = ("R", "AL")
_NUMBER = ("EN", "AN")
_NEUTRAL = "N"


def visual(text: str) -> str:
    """The characters of a line from left to right as they are printed."""
    kinds = [unicodedata.bidirectional(char) for char in text]
    if not any(kind in _RIGHT for kind in kinds):
        return text
    levels = _levels(_resolved(kinds))
    order = list(range(len(text)))
    for level in range(max(levels), 0, -1):
        order = _reversed_runs(order, levels, level)
    return "".join(text[index] for index in order)


def _resolved(kinds: list[str]) -> list[str]:
    """Each character as `L`, `R`, `EN` or neutral: weak kinds take after their neighbours."""
    simple = [_simple(kind) for kind in kinds]
    for index, kind in enumerate(kinds):
        before = simple[index - 1] if index else _NEUTRAL
        after = simple[index + 1] if index + 1 < len(simple) else _NEUTRAL
        joins = kind in ("ES", "CS") and before == after == "EN"
        belongs = kind == "ET" and "EN" in (before, after)
        if kind == "NSM":
            simple[index] = before
        elif joins or belongs:
            simple[index] = "EN"
    return simple


def _simple(kind: str) -> str:
    if kind in _RIGHT:
        return "R"
    if kind in _NUMBER:
        return "EN"
    return "L" if kind == "L" else _NEUTRAL


def _levels(kinds: list[str]) -> list[int]:
    """Embedding levels: even runs to the right, odd to the left."""
    base = 0 if next((kind for kind in kinds if kind in "LR"), "L") == "L" else 1
    outer = "R" if base else "L"
    levels: list[int] = []
    strong = outer
    runs = [(kind, len(list(run))) for kind, run in groupby(kinds)]
    for place, (kind, length) in enumerate(runs):
        if kind == _NEUTRAL:
            after = runs[place + 1][0] if place + 1 < len(runs) else outer
            before = "R" if place and runs[place - 1][0] == "EN" and strong == "R" else strong
            side = "R" if after == "EN" and strong == "R" else after
            kind = before if before == side else outer
            levels += [_level(kind, base)] * length
        elif kind == "EN":
            levels += [2 if base or strong == "R" else 0] * length
        else:
            strong = kind
            levels += [_level(kind, base)] * length
    return levels


def _level(side: str, base: int) -> int:
    if side == "R":
        return 1
    return 2 if base else 0


def _reversed_runs(order: list[int], levels: list[int], level: int) -> list[int]:
    """Rule L2: reverse every run of characters at `level` or above."""
    out: list[int] = []
    for reverse, group in groupby(order, key=lambda index: levels[index] >= level):
        run = list(group)
        out += run[::-1] if reverse else run
    return out
