"""Which way up a page is, asked of Tesseract, for engines that cannot tell themselves.

`find_upright` runs in a confined child process.  A page turned wrongly is worse than one left as it
is, so a turn has to be seen twice: on the page, and then, clearly, as the right way up on the
turned page.
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
LONGEST_SIDE = 2400  # pixels: more only takes longer; with half as many it errs
FIRST_SURE = 2.0  # noise gives up to 1.4, a page of print that lies 3 and more
THEN_SURE = 6.0  # upright pages of print give 10 and more


@dataclass(frozen=True, slots=True)
class Upright:
    """A page the right way up, where that was seen clearly.

    Attributes:
        degrees: By how much it was turned clockwise: 90, 180 or 270; 0 when it is upright or nobody
            can tell.
        confidence: Tesseract's, of the turned page.
        image: The turned page; None when nothing was turned.
    """

    degrees: int = 0
    confidence: float = 0.0
    image: PageImage | None = None


AS_IT_IS = Upright()


async def stand_up(pool: ChildPool, image: PageImage) -> Upright:
    """The page as it should be read; as it is when it breaks the child that looks at it."""
    try:
        return await pool.run(find_upright, image)
    except PageFaultError:
        return AS_IT_IS


def installed() -> bool:
    """Whether Tesseract and its model for orientation are there."""
    return packs.installed(MODEL)


def find_upright(image: PageImage) -> Upright:
    """Look at a page; runs in a child."""
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
    """How a page lies, and in which script; None where it holds too little to tell."""
    grey = page.convert("L")
    grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return _tesseract().orientation(grey.tobytes(), grey.width, grey.height)


@functools.cache
def _tesseract() -> Tesseract:
    return Tesseract(packs.folder(), MODEL)
