"""The tones of an image: any pixel format as a person would see it on paper."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageChops, TiffImagePlugin

from ocrd.page import PageImage

LEAST_CONTRAST = 40  # grey levels between paper and the darkest ink of a page that has any
_DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
_BLANK = 0.0005  # a page is blank with less ink than this share of its area
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0


def pillow(page: PageImage) -> Image.Image:
    """A page as a Pillow image that shares its bytes."""
    return Image.frombuffer("RGB", (page.width, page.height), page.rgb, "raw", "RGB", 0, 1)


def eight_bits(image: Image.Image) -> Image.Image:
    """The image with at most eight bits a channel and no palette, so that it can be resized."""
    if image.mode in _DEEP:
        return _shallow(image)
    clear = image.has_transparency_data
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if clear else "RGB")
    if image.mode == "1" or (image.mode in ("L", "RGB") and clear):
        return image.convert("RGBA" if clear else "L")
    if image.mode in ("La", "RGBa"):
        return image.convert("LA" if image.mode == "La" else "RGBA")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        return ImageChops.invert(image)  # Pillow takes every CMYK JPEG for one of Adobe's, inverted
    return image


def on_white(image: Image.Image) -> Image.Image:
    """An 8-bit image as RGB, with transparent parts as white as paper."""
    if image.mode in ("LA", "RGBA"):
        page = Image.new("RGB", image.size, "white")
        page.paste(image.convert("RGBA"), mask=image.getchannel("A"))
        return page
    if image.mode == "LAB":
        return image.getchannel("L").convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def is_full_grey(image: Image.Image) -> bool:
    """Whether an image is 16-bit grey that uses all 16 bits, with zero as black."""
    return image.mode == "I;16" and not _is_negative(image) and _range(image)[1] == 65535.0


def quantile(histogram: Sequence[int], share: float) -> int:
    """The grey level that `share` of the pixels of an image with this histogram do not exceed."""
    wanted, seen = sum(histogram) * share, 0
    for value, count in enumerate(histogram):
        seen += count
        if seen > wanted:
            return value
    return 255


def is_blank(grey: Image.Image) -> bool:
    """Whether a page, apart from its margins, is blank.

    Args:
        grey: The page in grey at about 36 dpi, so coarse that the grain of paper averages out.
    """
    x, y = grey.width // 25, grey.height // 25
    histogram = grey.crop((x, y, grey.width - x, grey.height - y)).histogram()
    limit = max(quantile(grey.histogram(), 0.5) - LEAST_CONTRAST, 0)
    return sum(histogram[:limit]) < _BLANK * sum(histogram)


def _shallow(image: Image.Image) -> Image.Image:
    """Deep grey with its real range scaled to 8 bits; a plain conversion would clip it to white."""
    if image.mode in ("I;16B", "I;16L", "I;16N"):
        image = image.convert("I")
    low, high = _range(image)
    scale = 255.0 / (high - low)
    grey = image.point(lambda value: value * scale + -low * scale).convert("L")
    return ImageChops.invert(grey) if _is_negative(image) else grey


def _range(image: Image.Image) -> tuple[float, float]:
    """The values of black and white: a guess for floats, by the bits in use for integers."""
    low, high = _extremes(image)
    if image.mode != "F":
        bits = max(8, int(high).bit_length())
        return min(0.0, low), float((1 << bits) - 1)
    for white in (1.0, 255.0, 65535.0):
        if low >= 0 and high <= white:
            return 0.0, white
    return (low, high) if high > low else (low, low + 1.0)


def _extremes(image: Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()
    if isinstance(low, tuple) or isinstance(high, tuple):
        raise TypeError(f"{image.mode} has one channel")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("its grey values are not numbers")
    return float(low), float(high)


def _is_negative(image: Image.Image) -> bool:
    """Whether zero is white, which Pillow respects only up to eight bits."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
