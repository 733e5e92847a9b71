"""Finds which way up a page is, with Tesseract, for engines that cannot tell themselves.

`find_upright` runs in a confined child process.  A page turned wrongly is worse than one left as it
is, so a turn needs two detections: one on the original page, and a more confident one that the
turned page is upright.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrd.children import ChildPool
from ocrd.engine.tesseract import packs
from ocrd.engine.tesseract.library import Orientation, Tesseract
from ocrd.errors import PageFaultError
from ocrd.page import PageImage
from ocrd.tone import pillow

if TYPE_CHECKING:
    from PIL.Image import Image

MODEL = "osd"
LONGEST_SIDE = 2400  # pixels: more only takes longer; half as many cause errors
FIRST_SURE = 2.0  # confidence: noise gives up to 1.4, a printed page on its side 3 and more
THEN_SURE = 6.0  # confidence: upright printed pages give 10 and more


@dataclass(frozen=True, slots=True)
class Upright:
    """A page turned upright, if its orientation was detected with enough confidence.

    Attributes:
        degrees: How far the page was turned clockwise: 90, 180 or 270; 0 if it is upright or its
            orientation is uncertain.
        confidence: Tesseract's confidence in the orientation of the turned page.
        image: The turned page; None if the page was not turned.
    """

    degrees: int = 0
    confidence: float = 0.0
    image: PageImage | None = None


AS_IT_IS = Upright()


async def stand_up(pool: ChildPool, image: PageImage) -> Upright:
    """The page turned upright; unchanged if it breaks the child process that examines it."""
    try:
        return await pool.run(find_upright, image)
    except PageFaultError:
        return AS_IT_IS


def installed() -> bool:
    """Whether Tesseract and its orientation model are installed."""
    return packs.installed(MODEL)


def find_upright(image: PageImage) -> Upright:
    """Detect a page's orientation and turn it upright; runs in a child process."""
    from ocrd.imaging import turned_clockwise  # only a child needs it

    page = pillow(image)
    first = look(page)
    if first is None or not first.degrees or first.sure < FIRST_SURE:
        return AS_IT_IS
    turned = turned_clockwise(page, first.degrees)
    then = look(turned)
    if then is None or then.degrees or then.sure < THEN_SURE:
        return AS_IT_IS
    seen = PageImage(turned.width, turned.height, turned.tobytes())
    return Upright(first.degrees, then.sure, seen)


def look(page: Image) -> Orientation | None:
    """The orientation and script of a page; None if it has too little text to tell."""
    grey = page.convert("L")
    grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return _tesseract().orientation(grey.tobytes(), grey.width, grey.height)


@functools.cache
def _tesseract() -> Tesseract:
    return Tesseract(packs.folder(), MODEL)
