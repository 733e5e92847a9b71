"""Which words stand on which printed line, and where: text against ink.  Pure.

The text is known and so are the lines of ink, but not which belongs to which.  Widths of letters
are known roughly (no font is), so they decide together with the gaps that the eye sees.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

from ocrd.document.pdf.font import text_width
from ocrd.document.pdf.ink import InkLine, Stretch

_SLACK = 8  # words that a line's end may be off its even share
_FINE = 2  # words that the first reckoning may be off
_NO_FIT = 0.6  # ems; words that fit miss their places by a tenth or so

Cost = Callable[[int, int, int], float]


def matched(lengths: Sequence[float], runs: Sequence[Stretch]) -> list[Stretch]:
    """Where words of these lengths (in ems) stand among a line's dark runs; empty if nowhere.

    Word by word, each is ended at the gap that is wide and near where its length ends it.
    """
    if len(runs) < len(lengths) or not all(lengths):
        return []
    gaps = [later[0] - run[1] for run, later in pairwise(runs)]
    spaces = sorted(gaps, reverse=True)[: len(lengths) - 1]
    em = (runs[-1][1] - runs[0][0] - sum(spaces)) / sum(lengths)
    found: list[Stretch] = []
    first = 0
    for left, length in zip(range(len(lengths) - 1, -1, -1), lengths, strict=True):
        start, wanted = runs[first][0], length * em
        last = len(runs) - 1
        if left:
            furthest = start + wanted + 2 * em
            near = range(first, len(runs) - left)
            near = range(first, max(bisect(runs, (furthest, 0.0), first, near.stop), first + 1))
            off = {at: abs(runs[at][1] - start - wanted) for at in near}
            last = min(off, key=lambda at: off[at] - 4 * min(gaps[at], spaces[-1]))
        if abs(runs[last][1] - start - wanted) > 0.6 * em + 0.35 * wanted:
            return []
        found.append((start, runs[last][1]))
        first = last + 1
    return found


def poured(
    atoms: Sequence[str], lines: Sequence[InkLine], runs: Sequence[Sequence[Stretch]]
) -> list[str]:
    """A text for each printed line, broken where lines and text agree best.

    First by how many letters and words each line shows; then, around the breaks so found, by how
    well each line's words fit the gaps in its ink.

    Args:
        atoms: Pieces of text that must not be broken, with the space behind them.
        lines: The printed lines, at most as many as atoms.
        runs: Each line's dark stretches.
    """
    lengths = [text_width(atom.strip()) for atom in atoms]
    breaks = _best_breaks(*_coarse(lengths, _word_counts(atoms, lines), lines))
    if all(atom[-1].isspace() for atom in atoms):
        nearby = [range(max(at - _FINE, 0), min(at + _FINE, len(atoms)) + 1) for at in breaks[1:-1]]
        breaks = _best_breaks(
            [*nearby, [len(atoms)]],
            lambda line, start, end: _misfit(lengths[start:end], runs[line]),
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
    """The cheapest way to break the text into lines: 0, the end of each line.

    Args:
        ends: For each line, where it may end.
        cost: Of a line that holds the words from a start to an end.
    """
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [0])}
    for line, possible in enumerate(ends):
        reached = {}
        for end in possible:
            ways = [
                (before + cost(line, start, end), [*breaks, end])
                for start, (before, breaks) in best.items()
                if start <= end
            ]
            if ways:
                reached[end] = min(ways)
        best = reached
    return min(best.values())[1]


def _misfit(lengths: Sequence[float], runs: Sequence[Stretch]) -> float:
    """By how many ems the words of a line miss their places in it, in the mean."""
    words = matched(lengths, runs) if lengths else []
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
