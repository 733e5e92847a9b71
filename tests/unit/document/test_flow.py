"""Wherever text is laid, all of it is laid, in its order, on the page."""

from __future__ import annotations

import io
import math
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrd.document.align import PrintedLine
from ocrd.document.ink import NO_INK, Ink
from ocrd.document.placing import Placed, place_lines, place_rows
from ocrd.document.sheet import Sheet
from ocrd.page import Box, Line
from tests.unit.document.scans import two_columns

edges = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda e: e[1] - e[0] > 1e-3)
boxes = st.builds(lambda x, y: Box(x[0], y[0], x[1], y[1]), edges, edges)
words = st.text("abcXYZ.,-0189你好äé\u0301\u200b", min_size=1, max_size=12)
rows = st.lists(st.lists(words | st.just(""), min_size=1, max_size=4).filter(any), max_size=8)
texts = st.lists(words, min_size=1, max_size=60).map(" ".join)
turns = st.sampled_from([0, 90, 180, 270])


@cache
def ink() -> Ink:
    """A page with a heading and two columns."""
    return Ink.on(Image.open(io.BytesIO(two_columns().png)).reduce(2))


def sheets(turned: int, skew: float, *, seen: bool) -> Sheet:
    sides = (792.0, 612.0) if turned in (90, 270) else (612.0, 792.0)
    return Sheet(*sides, turned, skew, ink() if seen else NO_INK)


def said(placed: list[Placed]) -> str:
    return "".join("".join(item.text.split()) for item in placed)


@settings(deadline=None)
@given(rows, st.lists(boxes, max_size=3), turns, st.sampled_from([0.0, -1.5]), st.booleans())
def test_every_cell_is_laid_in_its_order(
    cells: list[list[str]], places: list[Box], turned: int, skew: float, seen: bool
) -> None:
    placed = place_rows(cells, places, sheets(turned, skew, seen=seen))
    assert said(placed) == "".join(cell for row in cells for cell in row)


@settings(deadline=None)
@given(texts, boxes, st.booleans())
def test_every_word_of_a_paragraph_is_laid_in_its_order(text: str, place: Box, seen: bool) -> None:
    placed = place_rows([[text]], [place], sheets(0, 0, seen=seen))
    assert said(placed) == text.replace(" ", "")
    assert all(item.box.x1 < item.box.x2 and item.box.y1 < item.box.y2 for item in placed)


@settings(deadline=None)
@given(st.lists(st.builds(Line, texts, boxes), max_size=5), turns, st.sampled_from([0.0, 2.0]))
def test_every_line_is_laid(lines: list[Line], turned: int, skew: float) -> None:
    placed = place_lines(lines, sheets(turned, skew, seen=True))
    assert said(placed) == "".join(line.text.replace(" ", "") for line in lines)


def apart(stretches: list[list[float]]) -> list[tuple[float, float]]:
    """Those that do not touch the one before."""
    runs: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if not runs or start > runs[-1][1]:
            runs.append((start, end))
    return runs


@given(st.lists(st.floats(0.1, 9), min_size=1, max_size=9), st.lists(edges, max_size=30))
def test_words_never_share_ink(lengths: list[float], stretches: list[list[float]]) -> None:
    runs = apart(stretches)
    found = PrintedLine(runs).matched(lengths)
    assert len(found) in (0, len(lengths))
    assert [edge for word in found for edge in word] == sorted(
        edge for word in found for edge in word
    )


def test_words_are_found_at_the_wide_gaps_and_not_at_the_narrow_ones() -> None:
    """Three words of 2, 1 and 3 letters, each a run of 10, a gap of 1 within and of 4 between."""
    runs = [(0, 10), (11, 21), (25, 35), (39, 49), (50, 60), (61, 71)]
    assert PrintedLine(runs).matched([1.0, 0.5, 1.5]) == [(0, 21), (25, 35), (39, 71)]


@given(st.lists(st.floats(0.3, 3), min_size=2, max_size=9), st.lists(edges, min_size=9))
def test_the_first_word_ends_where_its_length_and_a_wide_gap_agree_best(
    lengths: list[float], stretches: list[list[float]]
) -> None:
    runs = apart(stretches)
    found = PrintedLine(runs).matched(lengths)
    if not found:
        return
    gaps = [later[0] - run[1] for run, later in pairwise(runs)]
    spaces = sorted(gaps)[1 - len(lengths) :]
    em = (runs[-1][1] - runs[0][0] - math.fsum(spaces)) / sum(lengths)

    def fault(at: int) -> float:
        off = abs(runs[at][1] - runs[0][0] - lengths[0] * em)
        return off - 4 * min(gaps[at], spaces[0])

    possible = range(len(runs) - len(lengths) + 1)  # the other words need a run each
    near = [at for at in possible if runs[at][0] - runs[0][0] < (lengths[0] + 1.99) * em] or [0]
    chosen = [end for _, end in runs].index(found[0][1])
    assert chosen in possible
    assert fault(chosen) <= min(map(fault, near)) + 1e-6


def test_a_line_that_shows_other_words_is_not_matched() -> None:
    assert PrintedLine([(0, 50), (60, 66)]).matched([1.0, 9.0]) == []


@pytest.mark.parametrize("skew", [-2.5, -1.0, -0.3, 0.0, 0.4, 1.2, 2.0])
def test_the_skew_of_a_page_is_measured_to_a_fifth_of_a_degree(skew: float) -> None:
    page = Image.open(io.BytesIO(two_columns().png))
    fallen = page.rotate(-skew, Image.Resampling.BICUBIC, fillcolor=255).reduce(2)
    assert Ink.on(fallen).skew() == pytest.approx(skew, abs=0.2)


def test_an_empty_page_has_no_ink() -> None:
    page, ink = Box(0, 0, 1, 1), Ink.on(Image.new("L", (600, 800), 250))
    assert (ink.skew(), ink.lines(page), ink.runs(page), ink.segments(page)) == (0, [], [], [])


@given(boxes, turns, st.sampled_from([0.0, 1.0, -2.0]))
def test_what_stands_on_the_page_stands_at_the_same_place_on_the_sheet(
    seen: Box, turned: int, skew: float
) -> None:
    """The middle of a box goes to the sheet and back again."""
    sheet = sheets(turned, skew, seen=False)
    laid = sheet.box(seen)
    a, b, c, d, e, f = sheet.matrix
    x, y = (laid.x1 + laid.x2) / 2 * sheet.width, (laid.y1 + laid.y2) / 2 * sheet.height
    assert a * x + c * y + e == pytest.approx((seen.x1 + seen.x2) / 2 * 612, abs=1e-6)
    assert b * x + d * y + f == pytest.approx((seen.y1 + seen.y2) / 2 * 792, abs=1e-6)
