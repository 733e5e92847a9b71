"""Detects texts that end in a loop.  Pure.

A model that loses its place repeats the same words until it reaches its token limit.  The loop is
at the end of its text, so the question is whether a long tail of the text is periodic.
"""

from __future__ import annotations

from typing import NamedTuple

LOOKED_AT = 6000  # characters from the end: enough for 4 rounds of any period up to 1,500
MIN_ROUNDS = 4
MIN_LENGTH = 160  # characters; a leader of dots or a ruled line is shorter


class Loop(NamedTuple):
    """Where the repeating tail of a text begins, and how many characters one round has."""

    start: int
    period: int


def loop_at_end(text: str) -> Loop | None:
    """The longest tail of `text` that repeats one piece over and over, or None.

    The last round may be cut off anywhere.  Only the last `LOOKED_AT` characters are examined.
    """
    backwards = text[-LOOKED_AT:][::-1]
    found: Loop | None = None
    for length, border in enumerate(_borders(backwards), start=1):
        period = length - border
        if length >= MIN_LENGTH and length >= MIN_ROUNDS * period:
            found = Loop(start=len(text) - length, period=period)
    return found


def said_once(text: str) -> str:
    """The text up to the end of the first round of its loop; the whole text if it has no loop."""
    loop = loop_at_end(text)
    return text if loop is None else text[: loop.start + loop.period]


def _borders(text: str) -> list[int]:
    """For each prefix, the length of its longest proper prefix that is also a suffix of it.

    The prefix function of Knuth, Morris and Pratt: a prefix of length n has the period n - border.
    """
    borders = [0] * len(text)
    border = 0
    for index in range(1, len(text)):
        while border and text[index] != text[border]:
            border = borders[border - 1]
        border += text[index] == text[border]
        borders[index] = border
    return borders
