"""Does a text end in circles?  Pure.

A model that loses its place writes the same words until it meets its token limit.  The loop is
at the end of what it wrote, so the question is whether a long tail of the text has a period.
"""

from __future__ import annotations

from typing import NamedTuple

LOOKED_AT = 6000  # characters from the end: enough for 4 rounds of any period up to 1,500
MIN_ROUNDS = 4
MIN_LENGTH = 160  # a leader of dots or a ruled line is shorter


class Loop(NamedTuple):
    """Where in a text a tail begins that repeats, and of how many characters one round is."""

    start: int
    period: int


def loop_at_end(text: str) -> Loop | None:
    """The longest tail of `text` that is one piece said over and over, or None.

    The last round may be cut off anywhere.  Only the last `LOOKED_AT` characters count.
    """
    backwards = text[-LOOKED_AT:][::-1]
    found: Loop | None = None
    for length, border in enumerate(_borders(backwards), start=1):
        period = length - border
        if length >= MIN_LENGTH and length >= MIN_ROUNDS * period:
            found = Loop(start=len(text) - length, period=period)
    return found


def said_once(text: str) -> str:
    """The text up to the end of the first round of its loop; the text itself if it has none."""
    loop = loop_at_end(text)
    return text if loop is None else text[: loop.start + loop.period]


def _borders(text: str) -> list[int]:
    """For each prefix, the length of its longest proper prefix that is also its suffix.

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
