"""How large a PDF page is rendered: wish, scan, legibility and limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.pages.base import Rendering
from ocrd.pages.pdf import choose_dpi

LIMITS = Rendering(dpi=144, max_pixels=120_000_000, max_pages=5000)


def test_a_card_gets_enough_pixels_to_be_read() -> None:
    card = (252.0, 144.0)  # 3.5 by 2 inches

    assert choose_dpi(*card, LIMITS, native=None) * 3.5 == pytest.approx(LIMITS.min_side)
    assert choose_dpi(*card, LIMITS, native=200) == 200  # 700 pixels are all there are


def test_a_scan_of_a_thousand_pixels_an_inch_on_a_tiny_page_is_still_readable() -> None:
    assert choose_dpi(60, 80, LIMITS, native=2970) * 80 / 72 == pytest.approx(LIMITS.min_side)


@given(
    st.floats(0.001, 1e7),
    st.floats(0.001, 1e7),
    st.integers(36, 1200),
    st.none() | st.floats(0.1, 1e5),
    st.integers(1_000_000, 10**9),
)
def test_no_page_ever_exceeds_the_limits(
    width: float, height: float, dpi: int, native: float | None, max_pixels: int
) -> None:
    wanted = Rendering(dpi=dpi, max_pixels=max_pixels, max_pages=1)
    zoom = choose_dpi(width, height, wanted, native) / 72
    across, down = math.ceil(width * zoom), math.ceil(height * zoom)

    assert 0 < max(across, down) <= wanted.max_side
    assert across * down <= max_pixels
