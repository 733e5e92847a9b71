"""Quadrilaterals: which way they lie, where they go, what belongs together."""

from __future__ import annotations

import math

import pytest

from ocrd.engine.rapid import quads
from ocrd.engine.rapid.quads import Quad
from ocrd.page import Box


def quad(x: float, y: float, width: float, height: float, slope: float = 0) -> Quad:
    """A rectangle whose upper left corner is given, sloping downward by `slope` radians."""
    cos, sin = math.cos(slope), math.sin(slope)
    corners = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    a, b, c, d = ((x + u * cos - v * sin, y + u * sin + v * cos) for u, v in corners)
    return a, b, c, d


def test_text_on_its_side_is_told_by_its_length_not_by_its_pieces() -> None:
    stamp, line = quad(10, 10, 20, 100), quad(50, 10, 400, 20)
    assert not quads.lying([line, stamp, stamp])
    assert quads.lying([quad(n * 30, 10, 20, 400) for n in range(5)] + [quad(0, 500, 60, 20)])


def test_a_slim_digit_does_not_stand_on_end_but_a_line_does() -> None:
    assert not quads.on_end(quad(0, 0, 12, 22), line=20)
    assert quads.on_end(quad(0, 0, 20, 200), line=20)


def test_a_page_slopes_as_its_long_lines_do() -> None:
    lines = [quad(100, 100 * n, 800, 30, 0.01) for n in range(1, 4)]
    assert quads.skew([*lines, quad(0, 0, 200, 30, -0.2)]) == pytest.approx(0.01)


def test_a_page_without_long_lines_is_taken_for_straight() -> None:
    assert quads.skew([quad(0, 0, 50, 30, 0.3)]) == 0
    assert quads.skew([]) == 0


def test_lines_of_a_sloping_page_are_level_once_it_is_laid_straight() -> None:
    left, right = quad(100, 500, 200, 30, 0.02), quad(900, 516, 200, 30, 0.02)
    a, b = (quads.straight(it, 0.02) for it in (left, right))
    assert (a.y1 + a.y2) / 2 == pytest.approx((b.y1 + b.y2) / 2, abs=0.1)
    assert a.y2 - a.y1 == pytest.approx(30)


def test_a_piece_that_stands_on_end_keeps_its_place_when_laid_straight() -> None:
    standing = quads.from_top(quad(100, 200, 30, 300))
    assert quads.straight(standing, 0.0) == Box(100, 200, 130, 500)


def test_a_page_turned_over_twice_is_as_it_was() -> None:
    before = quad(100, 200, 300, 40)
    once = quads.turned_over(before, 1000, 800)
    assert once == quad(600, 560, 300, 40)
    assert quads.turned_over(once, 1000, 800) == before


def test_pieces_that_touch_end_to_end_are_one() -> None:
    found = quads.mended([quad(120, 90, 90, 60), quad(60, 95, 62, 50), quad(500, 90, 90, 60)])
    assert sorted(found) == [quad(60, 90, 150, 60), quad(500, 90, 90, 60)]


@pytest.mark.parametrize(
    ("why", "other"),
    [
        ("it is on the next line", quad(160, 145, 90, 50)),
        ("there is a gap", quad(180, 95, 90, 50)),
        ("it is much larger", quad(160, 60, 90, 120)),
    ],
)
def test_other_neighbours_stay_apart(why: str, other: Quad) -> None:
    assert len(quads.mended([quad(60, 95, 100, 50), other])) == 2, why


def test_a_stretch_and_what_is_trimmed_from_it() -> None:
    whole = quad(100, 100, 200, 40)
    assert quads.between(whole, 0.25, 0.75) == quad(150, 100, 100, 40)
    assert quads.trimmed(whole, 0.25, 0.75) == quad(100, 110, 200, 20)


def test_what_hangs_over_the_edge_of_the_page_ends_there() -> None:
    assert quads.around(quad(-10, 50, 60, 100), 100, 100) == Box(0, 0.5, 0.5, 1)
