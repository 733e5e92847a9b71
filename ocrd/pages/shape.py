"""The shape of an image's page: which side is up, and how long a pixel is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import SupportsFloat

from PIL import Image, TiffImagePlugin

_ORIENTATION = 0x0112
_X_RESOLUTION, _Y_RESOLUTION = 282, 283
_SQUARE_ENOUGH = 1.15  # 204 by 196 dpi is square, 204 by 98 is a fax
_NO_DEVICE_IS_LONGER = 4.5

_TURNS = {  # Exif orientation: what brings the page upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPING = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """What a file says of its shape.

    Attributes:
        orientation: Exif's number, 1 to 8.
        stretch: How much longer than wide a pixel is, as stored; 1 for square ones.
    """

    orientation: int
    stretch: float

    @classmethod
    def by(cls, image: Image.Image) -> Stated:
        """What an image that was not loaded yet says."""
        return cls(orientation=_orientation(image), stretch=_stretch(image))

    def fitted(self, image: Image.Image, *, loaded: Image.Image, max_side: int) -> Image.Image:
        """With square pixels, and no side longer than `max_side`.

        Args:
            image: The image, with the axes of `loaded`.
            loaded: The image as it was loaded.
            max_side: Pixels.
        """
        turned = _orientation(loaded) != self.orientation and self.orientation in _SWAPPING
        stretch = 1 / self.stretch if turned else self.stretch
        width, height = image.width * max(1.0, 1 / stretch), image.height * max(1.0, stretch)
        scale = min(1.0, max_side / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        if size == image.size:
            return image
        return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)

    def upright(self, image: Image.Image, *, loaded: Image.Image) -> Image.Image:
        """The right way up; some formats have been turned by their decoders."""
        turn = _TURNS.get(_orientation(loaded))
        return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    stated = image.getexif().get(_ORIENTATION, 1)
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1


def _stretch(image: Image.Image) -> float:
    across, down = _resolution(image)
    if not (across > 0 and down > 0):
        return 1.0
    stretch = across / down
    length = max(stretch, 1 / stretch)
    return stretch if _SQUARE_ENOUGH < length < _NO_DEVICE_IS_LONGER else 1.0


def _resolution(image: Image.Image) -> tuple[float, float]:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        return _number(tags.get(_X_RESOLUTION)), _number(tags.get(_Y_RESOLUTION))
    stated = image.info.get("dpi")
    if isinstance(stated, tuple) and len(stated) == 2:
        return _number(stated[0]), _number(stated[1])
    return 0.0, 0.0


def _number(stated: SupportsFloat | None) -> float:
    """A resolution, or 0 for none: a rational may be anything over zero."""
    try:
        value = float(stated or 0)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return value if math.isfinite(value) else 0.0
