"""Which words stand on which printed line, and where: text against ink.  Pure.

The text is known and so are the lines of ink, but not which belongs to which.  Widths of letters
are known roughly (no font is), so they decide together with the gaps that the eye sees.
"""

from __future__ import annotations

import math
from bisect import bisect, bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise

from ocrd.document.font import FACES, text_width
from ocrd.document.ink import InkLine, Stretch

_SLACK = 8  # words that a line's end may be off its even share
_FINE = 2  # words that the first reckoning may be off
_NO_FIT = 0.6  # ems; words that fit miss their places by a tenth or so

Cost = Callable[[int, int, int], float]


class PrintedLine:
    """A printed line's dark runs, ready to be matched with one choice of words after another."""

    def __init__(self, runs: Sequence[Stretch]) -> None:
        self._starts = [start for start, _ in runs]
        self._ends = [end for _, end in runs]
        self._gaps = [later[0] - run[1] for run, later in pairwise(runs)]
        self._widest = sorted(self._gaps, reverse=True)
        self._spaces = list(accumulate(self._widest, initial=0.0))
        self._merits: dict[int, list[float]] = {}

    def matched(self, lengths: Sequence[float]) -> list[Stretch]:
        """Where words of these lengths (in ems) stand among the runs; empty if nowhere.

        Word by word, each is ended at the gap that is wide and near where its length ends it.
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
        """How well each gap parts words if there are so many: it need not be wider than a space."""
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
    """A text for each printed line, broken where lines and text agree best.

    First by how many letters and words each line shows; then, around the breaks so found, by how
    well each line's words fit the gaps in its ink.

    Args:
        atoms: Pieces of text that must not be broken, with the space behind them.
        lines: The printed lines, at most as many as atoms.
        runs: Each line's dark stretches.
        face: What the type looks like, of `FACES`.
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
    """Where each line may end, and what is wrong with a line that holds these words.

    The length of a line's letters is compared, not that of the line: justified text stretches its
    gaps.
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
    """The cheapest way to break the text into lines, each at one of its `ends`: 0, those ends."""
    reached: list[tuple[float, list[int]]] = [(0.0, [0])]
    for line, possible in enumerate(ends):
        ways = [_cheapest(reached, end, partial(cost, line)) for end in possible]
        reached = sorted(way for way in ways if way)
    return reached[0][1]


def _cheapest(
    reached: Sequence[tuple[float, list[int]]], end: int, cost: Callable[[int, int], float]
) -> tuple[float, list[int]] | None:
    """The cheapest way on to `end` from one of those reached, the cheapest of them first."""
    cheapest, taken = math.inf, None
    for before, breaks in reached:
        if before > cheapest:  # no line costs less than nothing
            break
        if breaks[-1] <= end:
            total = before + cost(breaks[-1], end)
            if taken is None or (total, breaks) < (cheapest, taken):
                cheapest, taken = total, breaks
    return (cheapest, [*taken, end]) if taken is not None else None


def misfit(lengths: Sequence[float], words: Sequence[Stretch]) -> float:
    """By how many ems the words of a line miss their places in it, in the mean."""
    if not words:
        return _NO_FIT
    em = sum(end - start for start, end in words) / sum(lengths)
    missed = (abs((end - start) / em - n) for (start, end), n in zip(words, lengths, strict=True))
    return sum(missed) / len(lengths)


def _word_counts(atoms: Sequence[str], lines: Sequence[InkLine]) -> list[float]:
    """How many words each line shows: the widest gaps of all, as many as the text has spaces."""
    spaces = sum(atom[-1].isspace() for atom in atoms) - len(lines)
    gaps = sorted((gap for line in lines for gap in line.gaps), reverse=True)
    if not 0 < spaces <= len(gaps) or not all(atom[-1].isspace() for atom in atoms):
        return [len(atoms) * line.dark / sum(other.dark for other in lines) for line in lines]
    widest = gaps[spaces - 1]
    return [1.0 + sum(gap >= widest for gap in line.gaps) for line in lines]
