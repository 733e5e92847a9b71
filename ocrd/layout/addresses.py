"""Finds addresses and the text beside them.  Pure.

An address is a few closely set lines, exactly one of which names a town with its postal code; in a
column of a table either no row names a town, or most rows do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median

from ocrd.layout.order import Row, rows, strips

LEAST_LINES, MOST_LINES = 3, 9
CLOSE = 1.8  # line heights: the greatest distance between lines of an address
EVEN = 1.7  # usual distances: likewise

_TOWN = re.compile(
    r"(?:[A-Z]{1,2}[- ])?\d{4,5}\s+(?:[A-Z]{2}\s+)?[^\W\d_]{2}.*"  # D-28195 Bremen, 1017 AB Delft
    r"|.*[^\W\d_],?\s*[A-Z]{2}\.?\s+\d{5}(?:-\d{4})?"  # Portland, OR 97205
    r"|(?:.*\s)?[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}"  # Worcester WR2 4AY
    r"|.*\s[A-Z]\d[A-Z]\s?\d[A-Z]\d"  # Ottawa, ON K1A 0B1
)


def addresses(column: Sequence[Row]) -> Iterator[tuple[list[list[Row]], Sequence[Row]]]:
    """The parts of a column, from top to bottom, as pairs of texts and rows.

    A part with an address is (texts, ()): the texts side by side, each as its rows, at least one of
    them an address.  The rows between such parts are ([], rows).
    """
    others: list[Row] = []
    for block in _close_set(column):
        beside = _beside(block)
        if not beside:
            others += block
            continue
        if others:
            yield [], others
        yield beside, ()
        others = []
    if others:
        yield [], others


def _close_set(column: Sequence[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    distances: list[float] = []
    for row in column:
        if block:
            distance = row[0].middle - block[-1][0].middle
            line = median(piece.height for piece in (*block[-1], *row))
            usual = median(distances) if len(distances) > 1 else distance
            if distance > min(CLOSE * line, EVEN * usual):
                yield block
                block, distances = [], []
            else:
                distances.append(distance)
        block.append(row)
    if block:
        yield block


def _beside(block: Sequence[Row]) -> list[list[Row]]:
    """The texts side by side in a block, left to right; none if none of them is an address."""
    found = [rows(strip) for strip in strips(piece for row in block for piece in row)]
    if len(found) < 2 or not any(map(is_address, found)):
        return []
    texts: list[list[Row]] = []
    for whole, parts in groupby(found, is_address):
        if whole:
            texts += parts
        else:
            texts.append(rows(piece for part in parts for row in part for piece in row))
    return texts


def is_address(lines: Sequence[Row]) -> bool:
    """Whether the rows are an address: a few, of one piece each, exactly one naming a town."""
    towns = sum(_TOWN.fullmatch(row[0].text) is not None for row in lines)
    alone = all(len(row) == 1 for row in lines)
    return LEAST_LINES <= len(lines) <= MOST_LINES and alone and towns == 1
