"""Noise that is the same at every run, as Pillow's `effect_noise` is not."""

from __future__ import annotations

import numpy as np
from PIL import Image


def grain(size: tuple[int, int], sigma: float, seed: int = 1) -> Image.Image:
    """Grey noise around 128, normally distributed."""
    shades = np.random.default_rng(seed).normal(128, sigma, size[::-1])
    return Image.fromarray(shades.clip(0, 255).astype(np.uint8))
