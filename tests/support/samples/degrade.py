"""Makes a clean page look scanned or photographed, and carries its word boxes along.

Everything random comes from a `random.Random` that the caller seeds, so that the same seed gives
the same pixels.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter

from ocrd.page import Box
from tests.support.samples.model import SamplePage, TrueWord

Matrix = tuple[float, float, float, float, float, float, float, float]
DESK = (96, 74, 58)


@dataclass(frozen=True, slots=True)
class Projection:
    """Where the points of a page go when it is laid askew or seen at an angle.

    Attributes:
        back: The map from the new image to the old, in fractions of both, as the eight
            coefficients of (ax + by + c, dx + ey + f) / (gx + hy + 1).
    """

    back: Matrix

    def forth(self, x: float, y: float) -> tuple[float, float]:
        """Where an old point goes, in fractions of the new image."""
        a, b, c, d, e, f, g, h = self.back
        # The adjugate of the 3x3 matrix: its inverse but for a factor that cancels here.
        u = (e - f * h) * x + (c * h - b) * y + (b * f - c * e)
        v = (f * g - d) * x + (a - c * g) * y + (c * d - a * f)
        w = (d * h - e * g) * x + (b * g - a * h) * y + (a * e - b * d)
        return u / w, v / w

    def box(self, box: Box) -> Box:
        """The upright box around an old box's four corners."""
        corners = [self.forth(x, y) for x in (box.x1, box.x2) for y in (box.y1, box.y2)]
        xs, ys = zip(*corners, strict=True)
        return Box(min(xs), min(ys), max(xs), max(ys))

    def draw(self, image: Image.Image, size: tuple[int, int], fill: int) -> Image.Image:
        """The image so seen, `size` pixels; `fill` where the page does not reach."""
        (old_w, old_h), (new_w, new_h) = image.size, size
        a, b, c, d, e, f, g, h = self.back
        across = (a * old_w / new_w, b * old_w / new_h, c * old_w)
        down = (d * old_h / new_w, e * old_h / new_h, f * old_h)
        return image.transform(
            size,
            Image.Transform.PERSPECTIVE,
            (*across, *down, g / new_w, h / new_h),
            Image.Resampling.BICUBIC,
            fillcolor=fill,
        )

    def page(self, page: SamplePage) -> SamplePage:
        """The truth about the page so seen."""
        words = tuple(TrueWord(word.text, self.box(word.box)) for word in page.words)
        return SamplePage(text=page.text, words=words)


def skew(degrees: float, size: tuple[int, int]) -> Projection:
    """A page turned clockwise about its middle."""
    width, height = size
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    b, d = sin * height / width, -sin * width / height
    return Projection((cos, b, 0.5 - cos / 2 - b / 2, d, cos, 0.5 - d / 2 - cos / 2, 0, 0))


def noise(size: tuple[int, int], amplitude: int, rng: random.Random) -> Image.Image:
    """Grey noise between 0 and `amplitude`, twice as likely in the middle as at the ends."""
    pixels = size[0] * size[1]
    grains = [Image.frombytes("L", size, rng.randbytes(pixels)) for _ in range(2)]
    return Image.blend(grains[0], grains[1], 0.5).point(lambda value: value * amplitude // 255)


def specks(image: Image.Image, count: int, rng: random.Random) -> None:
    """Scatter dust of one to three pixels over the image."""
    for _ in range(count):
        x, y = rng.randrange(image.width), rng.randrange(image.height)
        side = rng.randint(1, 3)
        image.paste(rng.randint(60, 180), (x, y, x + side, y + side))


def grained(image: Image.Image, amplitude: int, rng: random.Random) -> Image.Image:
    """The image (grey) with noise around its own values."""
    return ImageChops.add(image, noise(image.size, amplitude, rng), 1, -amplitude // 2)


def scanned(
    clean: Image.Image, page: SamplePage, rng: random.Random, *, degrees: float
) -> tuple[Image.Image, SamplePage]:
    """A clean grey page as an office scanner sees it: paper, ink, skew, blur, dust and noise."""
    laid = skew(degrees, clean.size)
    paper, ink = rng.randint(236, 248), rng.randint(20, 50)
    image = clean.point(lambda value: ink + value * (paper - ink) // 255)
    image = laid.draw(image, clean.size, fill=paper)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 0.7)))
    specks(image, count=clean.width * clean.height // 60_000, rng=rng)
    return grained(image, 24, rng), laid.page(page)


def photographed(
    clean: Image.Image, page: SamplePage, rng: random.Random
) -> tuple[Image.Image, SamplePage]:
    """A clean grey page on a desk as a hand-held camera sees it: slanted, shaded, in colour."""
    size = (round(clean.width * 1.12), round(clean.height * 1.1))
    seen = Projection((1.1, 0.03, -0.075, -0.012, 1.09, -0.03, -0.035, 0.03))
    sheet = seen.draw(clean.point(lambda value: 35 + value * 200 // 255), size, fill=235)
    mask = seen.draw(Image.new("L", clean.size, 255), size, fill=0)
    shade = Image.linear_gradient("L").rotate(90).resize(size).point(lambda v: 190 + v // 4)
    sheet = grained(ImageChops.multiply(sheet, shade), 20, rng)
    image = Image.new("RGB", size, DESK)
    image.paste(_warm(sheet), mask=mask)
    return image.filter(ImageFilter.GaussianBlur(0.8)), seen.page(page)


def _warm(sheet: Image.Image) -> Image.Image:
    """Grey under a lamp: red as it is, less green, least blue."""
    green = sheet.point(lambda value: value * 96 // 100)
    blue = sheet.point(lambda value: value * 88 // 100)
    return Image.merge("RGB", (sheet, green, blue))
