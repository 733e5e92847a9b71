"""Matches a text to its printed lines: which words stand on which line, and where.  Pure.

The text and the lines of ink are known, but not which words belong to which line.  The font is
unknown, so letter widths are only estimates; they decide together with the gaps in the ink.
"""

from __future__ import annotations

import math
from bisect import bisect, bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise

from ocrd.document.font import FACES, text_width
from ocrd.document.ink import InkLine, Stretch

_SLACK = 8  # words by which the end of a line may differ from its share by width
_FINE = 2  # words by which the first estimate may be off
_NO_FIT = 0.6  # ems: the misfit of words that match no gaps; words that fit have about 0.1

Cost = Callable[[int, int, int], float]


class PrintedLine:
    """The dark runs of a printed line, prepared for matching against many choices of words."""

    def __init__(self, runs: Sequence[Stretch]) -> None:
        self._starts = [start for start, _ in runs]
        self._ends = [end for _, end in runs]
        self._gaps = [later[0] - run[1] for run, later in pairwise(runs)]
        self._widest = sorted(self._gaps, reverse=True)
        self._spaces = list(accumulate(self._widest, initial=0.0))
        self._merits: dict[int, list[float]] = {}

    def matched(self, lengths: Sequence[float]) -> list[Stretch]:
        """The stretches of words of these lengths (in ems); empty if they do not fit the runs.

        Each word in turn ends at a gap that is wide and close to where its length predicts the end.
        """
        starts, ends, count = self._starts, self._ends, len(lengths)
        if not 0 < count <= len(ends) or not all(lengths):
            return []
        em = (ends[-1] - starts[0] - self._spaces[count - 1]) / sum(lengths)
        if em <= 0:
            return []
        merits = self._merits_among(count)
        found: list[Stretch] = []
        first = 0
        for left, length in zip(range(count - 1, -1, -1), lengths, strict=True):
            start, wanted = starts[first], length * em
            last = len(ends) - 1
            if left:
                furthest = bisect_left(starts, start + wanted + 2 * em, first, len(ends) - left)
                best = math.inf
                for at in range(first, max(furthest, first + 1)):
                    off = ends[at] - start - wanted
                    fault = (off if off > 0 else -off) - merits[at]
                    if fault < best:
                        best, last = fault, at
            if abs(ends[last] - start - wanted) > 0.6 * em + 0.35 * wanted:
                return []
            found.append((start, ends[last]))
            first = last + 1
        return found

    def _merits_among(self, count: int) -> list[float]:
        """Each gap's merit as a word space between `count` words; excess width adds nothing."""
        if count not in self._merits:
            space = self._widest[count - 2] if count > 1 else 0.0
            self._merits[count] = [4 * min(gap, space) for gap in self._gaps]
        return self._merits[count]


def aligned(
    atoms: Sequence[str],
    lines: Sequence[InkLine],
    runs: Sequence[Sequence[Stretch]],
    face: str = FACES[0],
) -> list[str]:
    """The text of each printed line, broken where text and ink agree best.

    The first estimate goes by how many letters and words each line shows.  If every atom ends in
    a space, the breaks then move by up to two words to where the words fit the gaps best.

    Args:
        atoms: Pieces of text that must not be broken, each with the space after it.
        lines: The printed lines, at most as many as atoms.
        runs: Each line's dark stretches.
        face: The typeface, one of `FACES`.
    """
    lengths = [text_width(atom.strip(), face) for atom in atoms]
    breaks = _best_breaks(*_coarse(lengths, _word_counts(atoms, lines), lines))
    if all(atom[-1].isspace() for atom in atoms):
        printed = [PrintedLine(line) for line in runs]
        nearby = [range(max(at - _FINE, 0), min(at + _FINE, len(atoms)) + 1) for at in breaks[1:-1]]
        breaks = _best_breaks(
            [*nearby, [len(atoms)]],
            lambda line, start, end: misfit(
                lengths[start:end], printed[line].matched(lengths[start:end])
            ),
        )
    return ["".join(atoms[start:end]).strip() for start, end in pairwise(breaks)]


def _coarse(
    lengths: Sequence[float], counts: Sequence[float], lines: Sequence[InkLine]
) -> tuple[list[Sequence[int]], Cost]:
    """The possible ends of each line, and the cost of giving certain words to a line.

    The cost compares the total width of letters, not of the line, because justified text stretches
    its gaps.
    """
    ends = list(accumulate(lengths, initial=0.0))
    inks = list(accumulate((line.dark for line in lines), initial=0.0))
    em = inks[-1] / max(ends[-1], 1e-6)
    count, words, ink = len(lines), len(lengths), inks[-1]

    def cost(line: int, start: int, end: int) -> float:
        letters = ((ends[end] - ends[start]) * em - lines[line].dark) * count / ink
        return letters**2 + ((end - start - counts[line]) * count / words) ** 2

    middles = [bisect(ends, done / em) for done in inks[1:-1]]
    nearby = [range(max(at - _SLACK, 0), min(at + _SLACK, words) + 1) for at in middles]
    return [*nearby, [words]], cost


def _best_breaks(ends: Sequence[Sequence[int]], cost: Cost) -> list[int]:
    """The cheapest breaks of the text: 0, then the end of each line, chosen from its `ends`."""
    reached: list[tuple[float, list[int]]] = [(0.0, [0])]
    for line, possible in enumerate(ends):
        ways = [_cheapest(reached, end, partial(cost, line)) for end in possible]
        reached = sorted(way for way in ways if way)
    return reached[0][1]


def _cheapest(
    reached: Sequence[tuple[float, list[int]]], end: int, cost: Callable[[int, int], float]
) -> tuple[float, list[int]] | None:
    """The cheapest way to `end` that extends one in `reached` (sorted by cost), if any can."""
    cheapest, taken = math.inf, None
    for before, breaks in reached:
        if before > cheapest:  # costs are never negative
            break
        if breaks[-1] <= end:
            total = before + cost(breaks[-1], end)
            if taken is None or (total, breaks) < (cheapest, taken):
                cheapest, taken = total, breaks
    return (cheapest, [*taken, end]) if taken is not None else None


def misfit(lengths: Sequence[float], words: Sequence[Stretch]) -> float:
    """The mean difference, in ems, between the words' lengths and the stretches found for them."""
    said, shown = sum(lengths), sum(end - start for start, end in words)
    if not (said > 0 < shown):  # such as a control character, or a word without a width
        return _NO_FIT
    em = shown / said
    missed = (abs((end - start) / em - n) for (start, end), n in zip(words, lengths, strict=True))
    return sum(missed) / len(lengths)


def _word_counts(atoms: Sequence[str], lines: Sequence[InkLine]) -> list[float]:
    """How many words each line shows, as the widest gaps of all lines must be the text's spaces.

    Where there are too few gaps or unspaced atoms, lines share the atoms by their dark width.
    """
    spaces = sum(atom[-1].isspace() for atom in atoms) - len(lines)
    gaps = sorted((gap for line in lines for gap in line.gaps), reverse=True)
    if not 0 < spaces <= len(gaps) or not all(atom[-1].isspace() for atom in atoms):
        return [len(atoms) * line.dark / sum(other.dark for other in lines) for line in lines]
    widest = gaps[spaces - 1]
    return [1.0 + sum(gap >= widest for gap in line.gaps) for line in lines]
