"""A page as a person holds it to read: the right way up and straight.

Text is placed on the sheet, where lines are level; one matrix maps it to the page as displayed,
however that was turned at the scanner or skewed by its feeder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ocrd.document.ink import NO_INK, Ink
from ocrd.document.transform import Matrix, PageFrame, concat
from ocrd.document.view import PageView
from ocrd.imaging import turned_clockwise
from ocrd.page import Box


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page, upright and straight.

    Attributes:
        width: In PDF units.
        height: In PDF units.
        turned: Degrees by which the displayed page was turned clockwise to be upright.
        skew: Degrees by which its lines then still fall to the right.
        ink: What is printed on it; `NO_INK` if the page was not examined.
    """

    width: float
    height: float
    turned: int = 0
    skew: float = 0.0
    ink: Ink = NO_INK

    @classmethod
    def blank(cls, view: PageView) -> Sheet:
        """The sheet of a page whose ink does not matter."""
        frame = PageFrame.of(view.page)
        return cls(frame.width, frame.height)

    @classmethod
    def of(cls, view: PageView, turned: int) -> Sheet:
        """The sheet of a PDF page that the engine turned by `turned` degrees clockwise to read."""
        flat = cls.blank(view)
        sides = (flat.width, flat.height)
        width, height = sides[::-1] if turned in (90, 270) else sides
        ink = Ink.on(turned_clockwise(view.grey, turned))
        skew = ink.skew()
        return cls(width, height, turned, skew, ink.straightened(skew))

    @property
    def matrix(self) -> Matrix:
        """Maps a point of the sheet to the displayed page, both in PDF units, y downward."""
        sine, cosine = math.sin(math.radians(self.skew)), math.cos(math.radians(self.skew))
        x, y = self.width / 2, self.height / 2
        falls = (cosine, sine, -sine, cosine, x - cosine * x + sine * y, y - sine * x - cosine * y)
        turns_back = {
            0: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
            90: (0.0, -1.0, 1.0, 0.0, 0.0, self.width),
            180: (-1.0, 0.0, 0.0, -1.0, self.width, self.height),
            270: (0.0, 1.0, -1.0, 0.0, self.height, 0.0),
        }
        return concat(falls, turns_back[self.turned])

    def box(self, seen: Box) -> Box:
        """The box on the sheet of something with this upright box on the displayed page.

        The upright box around a skewed line is taller than the line; the excess is removed.
        """
        upright = seen.turned(self.turned)
        return self._straight(upright) if self.skew else upright

    def seen(self, box: Box) -> Box:
        """The upright box on the displayed page around a box of the sheet."""
        a, b, c, d, e, f = self.matrix
        sides = (self.width, self.height)
        across, down = sides[::-1] if self.turned in (90, 270) else sides
        corners = [
            (x * self.width, y * self.height) for x in (box.x1, box.x2) for y in (box.y1, box.y2)
        ]
        xs = [(a * x + c * y + e) / across for x, y in corners]
        ys = [(b * x + d * y + f) / down for x, y in corners]
        return Box(min(xs), min(ys), max(xs), max(ys))

    def _straight(self, box: Box) -> Box:
        angle = math.radians(self.skew)
        sine, cosine = math.sin(angle), math.cos(angle)
        wide, high = box.width * self.width, box.height * self.height
        double = cosine * cosine - sine * sine  # the upright box of a turned rectangle …
        width = max((wide * cosine - high * abs(sine)) / double, wide * 0.3)  # … solved for it
        height = max((high * cosine - wide * abs(sine)) / double, high * 0.3)
        x = (box.x1 + box.x2 - 1) / 2 * self.width
        y = (box.y1 + box.y2 - 1) / 2 * self.height
        across, down = cosine * x + sine * y, cosine * y - sine * x
        return Box(
            0.5 + (across - width / 2) / self.width,
            0.5 + (down - height / 2) / self.height,
            0.5 + (across + width / 2) / self.width,
            0.5 + (down + height / 2) / self.height,
        )
