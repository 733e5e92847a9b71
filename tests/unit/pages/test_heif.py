"""HEIF and AVIF: every picture in the file is a page, and one that is too large is called so."""

from __future__ import annotations

import itertools
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ocrd.errors import BadFileError
from ocrd.pages.base import Rendering
from ocrd.pages.work import inspect, page
from tests.support.grain import saved
from tests.unit.pages.rasters import BLUE, GREEN, RED, at, near

WANTED = Rendering(dpi=72, max_pixels=1_000_000, max_pages=9)


def test_each_picture_of_a_heif_is_a_page(tmp_path: Path) -> None:
    shades = [(RED, (64, 48)), (GREEN, (40, 80)), (BLUE, (64, 48))]
    first, *others = [Image.new("RGB", size, shade) for shade, size in shades]
    data = saved(first, "HEIF", quality=95, save_all=True, append_images=others, primary_index=1)
    path = tmp_path / "a.heic"
    path.write_bytes(data)
    assert inspect(path, WANTED).pages == 3
    for number in (3, 1, 2):
        seen = page(path, number, WANTED)
        shade, size = shades[number - 1]
        assert (seen.width, seen.height) == size
        assert near([at(seen, 0.5, 0.5)], [shade])


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *itertools.product(["HEIF", "AVIF"], [(1001, 1000), (20_000, 20_000), (2**32 - 1, 1)]),
        ("AVIF", (40_000, 16)),
    ],
)
def test_one_that_is_too_large_is_called_so(
    tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    data = saved(Image.new("RGB", (64, 48)), kind)
    stated = data.index(b"ispe") + 8  # width and height (ISO/IEC 23008-12, 6.5.3)
    (tmp_path / "a").write_bytes(data[:stated] + struct.pack(">II", *size) + data[stated + 8 :])
    with pytest.raises(BadFileError) as caught:
        inspect(tmp_path / "a", WANTED)
    assert caught.value.kind == "too-large"
    assert f"{size[0]} by {size[1]} pixels" in caught.value.message
    assert "fewer pixels" in caught.value.hint


@pytest.mark.parametrize(("kind", "size"), [("AVIF", (20_000, 16)), ("HEIF", (40_000, 64))])
def test_a_wide_one_within_the_limits_is_read(
    tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    fast = {"speed": 10} if kind == "AVIF" else {"quality": 10}
    (tmp_path / "a").write_bytes(saved(Image.new("L", size), kind, **fast))
    assert page(tmp_path / "a", 1, replace(WANTED, max_pixels=3_000_000)).height > 0
