"""Is there anything on this page?  Cheap, and careful: a page number alone is something."""

from __future__ import annotations

from PIL import Image

from ocrd.page import PageImage

CELL = 4  # pixels; an average over 4 x 4 drowns single specks and keeps the stroke of a letter
CONTRAST = 40  # of 255, against the paper
SPECKS = 2  # so many cells may stand out: dust


def is_blank(image: PageImage) -> bool:
    """Whether the page is one even shade but for a speck or two.

    About 10 ms for a letter page at 144 dpi.
    """
    size = (image.width, image.height)
    grey = Image.frombuffer("RGB", size, image.rgb, "raw", "RGB", 0, 1).convert("L")
    cells = grey.reduce(CELL).histogram()
    paper = max(range(256), key=cells.__getitem__)
    return sum(n for shade, n in enumerate(cells) if abs(shade - paper) > CONTRAST) <= SPECKS
