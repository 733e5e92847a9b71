"""Images of noise, identical in every run, unlike Pillow's `effect_noise`; and images as files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()


def grain(size: tuple[int, int], sigma: float, seed: int = 1) -> Image.Image:
    """Grey noise, normally distributed around 128 with standard deviation `sigma`."""
    shades = np.random.default_rng(seed).normal(128, sigma, size[::-1])
    return Image.fromarray(shades.clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """An image as the bytes of a file in the format `kind`, saved with Pillow's `options`."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
