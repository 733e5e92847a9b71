"""Which way up a page is, asked of Tesseract, for engines that cannot tell themselves.

`find_upright` runs in a confined child process, and Tesseract in another that it starts there: what
comes back is two numbers of known shape or nothing.  A page turned wrongly is worse than one left
as it is, so a turn has to be seen twice: on the page, and then, clearly, as the right way up on the
turned page.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrd.children import ChildPool
from ocrd.errors import PageFaultError
from ocrd.page import PageImage

if TYPE_CHECKING:
    from PIL.Image import Image

LOOK_S = 30.0
LONGEST_SIDE = 2400  # pixels: more only takes longer; with half as many it errs
FIRST_SURE = (
    2.0  # Tesseract's confidence; noise gives up to 1.4, a page of print that lies 3 and more
)
THEN_SURE = 6.0  # upright pages of print give 10 and more
_SAID = re.compile(
    r"^Rotate: (0|90|180|270)\nOrientation confidence: (\d{1,6}\.\d+)$", re.MULTILINE
)
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "OMP_THREAD_LIMIT": "1"}


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


class TesseractOsd:
    """Asks Tesseract in a pool of confined children.

    Args:
        pool: They must be able to run `program` (they may read and run what lies below /usr).
        program: Tesseract's path.
    """

    name = "Tesseract"

    def __init__(self, pool: ChildPool, program: str) -> None:
        self._pool = pool
        self._program = program

    async def __call__(self, image: PageImage) -> Upright:
        """The page as it should be read; as it is when it breaks what looks at it."""
        try:
            return await self._pool.run(find_upright, image, self._program, programs=True)
        except PageFaultError:
            return AS_IT_IS


def installed(path: str | None = None) -> str | None:
    """Tesseract's path, where it and its data for orientation are installed.

    Args:
        path: Where to look for it, as in `$PATH`, which is the default.
    """
    program = shutil.which("tesseract", path=path)
    if program is None:
        return None
    known = _run([program, "--list-langs"], b"")
    return program if "osd" in known.split() else None


def find_upright(image: PageImage, program: str) -> Upright:
    """Look at a page; runs in a child."""
    from PIL import Image  # only a child needs it

    page = Image.frombytes("RGB", (image.width, image.height), image.rgb)
    degrees, sure = _look(page, program)
    if not degrees or sure < FIRST_SURE:
        return AS_IT_IS
    turned = page.transpose(
        {
            90: Image.Transpose.ROTATE_270,  # Pillow counts the other way
            180: Image.Transpose.ROTATE_180,
            270: Image.Transpose.ROTATE_90,
        }[degrees]
    )
    more, sure = _look(turned, program)
    if more or sure < THEN_SURE:
        return AS_IT_IS
    return Upright(degrees, sure, PageImage(turned.width, turned.height, turned.tobytes()))


def _look(page: Image, program: str) -> tuple[int, float]:
    """How many degrees clockwise Tesseract would turn it, and how sure it is."""
    grey = page.convert("L")
    grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    pixels = io.BytesIO()
    grey.save(pixels, "PPM")
    said = _SAID.search(
        _run([program, "stdin", "stdout", "--psm", "0", "-l", "osd"], pixels.getvalue())
    )
    return (int(said[1]), float(said[2])) if said else (0, 0.0)


def _run(command: list[str], given: bytes) -> str:
    """What a command prints; nothing when it fails (a page without text) or takes too long."""
    try:
        ended = subprocess.run(  # noqa: S603 - Tesseract, with fixed words
            command, input=given, capture_output=True, timeout=LOOK_S, env=_ENVIRONMENT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.decode("ascii", "replace")
