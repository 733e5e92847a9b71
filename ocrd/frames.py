"""Which frames of an image file are pages: one answer for those who read it and who show it."""

from __future__ import annotations

from PIL import Image, TiffImagePlugin

_NOT_A_PAGE = 0b101  # NewSubfileType: a reduced version of another frame, or its mask
_SUBFILE, _OLD_SUBFILE = 254, 255
_OLD_REDUCED = 2


def page_frames(image: Image.Image) -> tuple[int, ...]:
    """The indices of the pages, from 0; the image is left at the first.

    A page of a TIFF is a frame that is neither a thumbnail nor a mask; of anything else that
    moves, the first frame is the page.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return (0,)
    every = range(image.n_frames)
    pages = tuple(index for index in every if _is_page(image, index)) or tuple(every)
    image.seek(pages[0])
    return pages


def _is_page(image: TiffImagePlugin.TiffImageFile, index: int) -> bool:
    image.seek(index)
    kind = image.tag_v2.get(_SUBFILE, 0)
    return not kind & _NOT_A_PAGE and image.tag_v2.get(_OLD_SUBFILE) != _OLD_REDUCED
