"""The only decoder of image files, so that engines and documents see the same picture.

Pillow's decoders may crash on hostile files, so this runs in child processes only.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pillow_heif
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from ocrd.errors import OcrdError, PageError, PlaceError
from ocrd.oserrors import of_a_place
from ocrd.tone import eight_bits, on_white

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "JPEG2000", "HEIF", "AVIF", "PPM")

_WEIGHT_OF_BITONAL = 0.25  # share of a colour pixel's memory; large plans are scanned bitonal
_NOT_A_PAGE = 0b101  # NewSubfileType: a reduced version of another frame, or its mask
_SUBFILE, _OLD_SUBFILE, _OLD_REDUCED = 254, 255, 2
_ORIENTATION = 0x0112
_X_RESOLUTION, _Y_RESOLUTION = 282, 283
_SQUARE_ENOUGH, _NO_DEVICE_IS_LONGER = 1.15, 4.5  # of a pixel's sides; a fax: 204 by 98 dpi
_LEAST_INCHES, _MOST_INCHES = 0.5, 50.0  # a page's longer side; other dpi tags are ignored
_IDLE_DPI, _IDLE_INCHES = 100.0, 17.0  # cameras write 72 or 96 whatever the picture is
_PHOTO_INCHES = 14.0  # the longer side of a page from a camera that does
_LONGEST_POINTS = 14_400.0  # the largest page that PDF readers must show (ISO 32000-1, Annex C)
_HEIF_HEAD, _HEIF_SIZE = 1 << 16, re.compile(rb"ispe\0{4}(.{8})", re.DOTALL)  # ISO 23008-12, 6.5.3
_LONGEST_SIDE = 32_768  # pixels, of an AVIF that its decoder takes
_END = b"\xff\xd9"
_FILLING = b"\x5a\xa5\x33\xc7" * 64  # bytes with which no picture continues

_TURNS = {  # Exif orientation: how to turn the page upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SWAPPING = frozenset({5, 6, 7, 8})
_CLOCKWISE = {90: 6, 180: 3, 270: 8}

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None  # sizes are checked here, frame by frame
Image.init()  # load all formats once, now, and not at the first file of each process
pillow_heif.register_heif_opener(thumbnails=False)
pillow_heif.options.DECODE_THREADS = 1


class ImagePages:
    """The pages of an image file, which stays open so that each page is read only once.

    Args:
        file: Read through a duplicate of its descriptor: given a name, Pillow would map the file,
            which scrambles a TIFF that is stored turned.
        max_pixels: A page with more is refused; four pixels of a bitonal TIFF count as one.

    Raises:
        PageError: The image is `damaged` or `too-large`.
        PlaceError: The disk or the share cannot read the file.
    """

    def __init__(self, file: BinaryIO, *, max_pixels: int) -> None:
        self._file = os.fdopen(os.dup(file.fileno()), "rb")
        self._file.seek(0)
        self.max_pixels = max_pixels
        try:
            with faults("The image"):
                _check_heif(os.pread(self._file.fileno(), _HEIF_HEAD, 0), max_pixels)
                self._image: Image.Image = Image.open(self._file, formats=FORMATS)
                self._frames = _pages_among(self._image)
                _check_size(self._image, max_pixels)
        except BaseException:
            self._file.close()
            raise

    @property
    def count(self) -> int:
        """How many pages there are, at least 1."""
        return len(self._frames)

    def close(self) -> None:
        """Close the file."""
        self._image.close()
        self._file.close()

    def page(self, number: int) -> ImagePage:
        """Page `number`, 1-based; valid only until the next page is requested.

        Raises:
            PageError: The page is missing, `damaged` or `too-large`.
        """
        with faults(self.subject(number)):
            if not 1 <= number <= self.count:
                raise ValueError(f"the file has no page {number}")
            if self.count > 1:
                self._image.seek(self._frames[number - 1])
            _check_size(self._image, self.max_pixels)
            return ImagePage(self._image, self.data, self.subject(number), alone=self.count == 1)

    def subject(self, number: int) -> str:
        """How messages name a page."""
        return f"Page {number} of the image" if self.count > 1 else "The image"

    def data(self) -> bytes:
        """The bytes of the whole file."""
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), size, 0)


class ImagePage:
    """A page of an open image file, perhaps not decoded yet.

    Attributes:
        image: The page as Pillow opened it.
        alone: Whether the file has no other page.
        orientation: Exif orientation of the stored pixels, 1 to 8.
        points: Width and height of the upright page on paper, in points.
    """

    def __init__(self, image: Image.Image, data: Any, subject: str, *, alone: bool) -> None:
        self.image = image
        self.alone = alone
        self.orientation = _orientation(image)
        self._data = data
        self._subject = subject
        # Pillow turns a TIFF when it decodes it, and opens it with the sides of the upright page
        self._opened_upright = isinstance(image, TiffImagePlugin.TiffImageFile)
        self._stretch = _stretch(image)
        self.points = self._points()

    def seen(self, max_side: int) -> Image.Image:
        """The page in RGB: upright, on white, with square pixels, no side over `max_side` pixels.

        Raises:
            PageError, PlaceError: See `ImagePages`.
        """
        with faults(self._subject):
            self.image.draft(None, (max_side, max_side))  # a large JPEG is decoded smaller
            loaded = self._loaded(max_side)
            fitted = self._fitted(eight_bits(loaded), _orientation(loaded), max_side)
            return turned_by(on_white(fitted), _orientation(loaded))

    def stored(self) -> tuple[Image.Image, int]:
        """The decoded pixels as stored, and the Exif orientation that still applies to them.

        Raises:
            PageError, PlaceError: See `ImagePages`.
        """
        with faults(self._subject):
            loaded = self._loaded(None)
            return loaded, _orientation(loaded)

    def data(self) -> bytes:
        """The bytes of the file; a JPEG that has lost its end mark gets it back."""
        data: bytes = self._data()
        if self.image.format not in ("JPEG", "MPO") or _END in data[-4096:]:
            return data
        with faults(self._subject):
            return _ended(data)

    def _loaded(self, max_side: int | None) -> Image.Image:
        try:
            self.image.load()
        except OSError as error:
            if self.image.format != "JPEG" or error.errno is not None:
                raise
            self.image = Image.open(io.BytesIO(_ended(self._data())), formats=["JPEG"])
            if max_side is not None:
                self.image.draft(None, (max_side, max_side))
            self.image.load()
        return self.image

    def _fitted(self, image: Image.Image, left: int, max_side: int) -> Image.Image:
        """The image with square pixels and no side over `max_side`, not turned."""
        turned = left != self.orientation and self.orientation in SWAPPING
        stretch = 1 / self._stretch if turned else self._stretch
        width, height = image.width * max(1.0, 1 / stretch), image.height * max(1.0, stretch)
        scale = min(1.0, max_side / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        if size == image.size:
            return image
        return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)

    def _points(self) -> tuple[float, float]:
        """The size by the stated resolution if that is plausible, otherwise by the pixel count."""
        width, height = self.image.size
        across, down = _resolution(self.image)
        if self.orientation in SWAPPING:
            if not self._opened_upright:
                width, height = height, width
            across, down = down, across
        sides = (width / across, height / down) if across and down else (0.0, 0.0)
        idle = max(across, down) < _IDLE_DPI and max(sides) > _IDLE_INCHES
        if idle or not _LEAST_INCHES <= max(sides) <= _MOST_INCHES:
            longer = max(width, height)
            dpi = 300.0 if longer >= 2400 else 200.0
            if idle:
                dpi = max(dpi, longer / _PHOTO_INCHES)
            sides = (width / dpi, height / dpi)
        shrink = min(1.0, _LONGEST_POINTS / 72 / max(sides))
        return sides[0] * shrink * 72, sides[1] * shrink * 72


@contextmanager
def faults(subject: str) -> Iterator[None]:
    """Turn whatever Pillow raises into an error about `subject`.

    Raises:
        PageError: The image is `damaged`.
        PlaceError: The disk or the share cannot read the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities of a file that can be read
            yield
    except (OcrdError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise _damaged(subject, "it is damaged, or of a variety not known here") from error
    except OSError as error:
        if of_a_place(error):
            raise PlaceError(
                f"The file cannot be read: {os.strerror(error.errno or 0)}.",
                hint="Look at the disk or the share it lies on, and at its permissions.",
                kind="unreadable",
            ) from error
        raise _damaged(subject, str(error)) from error
    except Exception as error:  # damaged files make decoders fail in every possible way
        raise _damaged(subject, f"{type(error).__name__}: {error}") from error


def turned_by(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned upright, given its Exif orientation (1 to 8)."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def turned_clockwise(image: Image.Image, degrees: int) -> Image.Image:
    """The image turned by 0, 90, 180 or 270 degrees."""
    return turned_by(image, _CLOCKWISE.get(degrees, 1))


def _pages_among(image: Image.Image) -> tuple[int, ...]:
    """The 0-based numbers of the frames that are pages; the image is left at the first.

    The pages of a TIFF are its frames that are neither thumbnails nor masks (all frames if there
    are only such), those of a HEIF its pictures; in any other format, animated or not, the first
    frame is the page.
    """
    every = range(getattr(image, "n_frames", 1))
    if image.format == "HEIF":
        return tuple(every)
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return (0,)
    pages = tuple(index for index in every if _is_page(image, index)) or tuple(every)
    image.seek(pages[0])
    return pages


def _is_page(image: TiffImagePlugin.TiffImageFile, index: int) -> bool:
    image.seek(index)
    kind = image.tag_v2.get(_SUBFILE, 0)
    return not kind & _NOT_A_PAGE and image.tag_v2.get(_OLD_SUBFILE) != _OLD_REDUCED


def _check_size(image: Image.Image, most: int) -> None:
    plan = image.mode == "1" and image.format == "TIFF"
    weight = _WEIGHT_OF_BITONAL if plan else 1.0
    if image.width * image.height * weight > most:
        raise _too_large(
            image.width,
            image.height,
            f"{most / weight / 1e6:g} megapixels",
            "Scan at fewer dpi, or raise max_pixels in the configuration.",
        )


def _check_heif(head: bytes, most: int) -> None:
    """Refuse a HEIF or AVIF that says that it is too large; its decoders only say that it fails."""
    if head[4:8] != b"ftyp":
        return
    for stated in _HEIF_SIZE.finditer(head):
        width, height = struct.unpack(">II", stated[1])
        if width * height > most:
            hint = "Save it with fewer pixels, or raise max_pixels in the configuration."
            raise _too_large(width, height, f"{most / 1e6:g} megapixels", hint)
        if head[8:11] == b"avi" and max(width, height) > _LONGEST_SIDE:
            hint = "Save it with fewer pixels, in several parts, or as PNG or TIFF."
            raise _too_large(width, height, f"{_LONGEST_SIDE} on a side", hint)


def _too_large(width: int, height: int, most: str, hint: str) -> PageError:
    return PageError(
        f"The image has {width} by {height} pixels, more than {most}.", hint=hint, kind="too-large"
    )


def _damaged(subject: str, reason: str) -> PageError:
    return PageError(
        f"{subject} cannot be read: {reason[:200]}",
        hint="Copy or scan it again; it may have been cut off on its way.",
        kind="damaged",
    )


def _ended(data: bytes) -> bytes:
    """The JPEG with its missing end mark, if nothing else is missing.

    Bytes added after the last pixel do not change the picture; after an earlier pixel they do.

    Raises:
        OSError: More is missing.
    """
    whole = data.rstrip(b"\0").removesuffix(b"\xff")
    pictures = []
    for end in (_END, _FILLING + _END):
        with Image.open(io.BytesIO(whole + end), formats=["JPEG"]) as image:
            pictures.append(image.convert(image.mode).tobytes())
    if pictures[0] != pictures[1]:
        raise OSError("its end is missing")
    return whole + _END


def _orientation(image: Image.Image) -> int:
    stated = image.getexif().get(_ORIENTATION, 1)
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1


def _stretch(image: Image.Image) -> float:
    """Height of a stored pixel divided by its width; 1 where that is close to 1 or implausible."""
    across, down = _resolution(image)
    if not (across and down):
        return 1.0
    stretch = across / down
    length = max(stretch, 1 / stretch)
    return stretch if _SQUARE_ENOUGH < length < _NO_DEVICE_IS_LONGER else 1.0


def _resolution(image: Image.Image) -> tuple[float, float]:
    """The stated pixels per inch across and down, 0 if none; a TIFF's may be in another unit."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and "dpi" not in image.info:
        return _number(image.tag_v2.get(_X_RESOLUTION)), _number(image.tag_v2.get(_Y_RESOLUTION))
    stated = image.info.get("dpi")
    if isinstance(stated, tuple) and len(stated) == 2:
        return _number(stated[0]), _number(stated[1])
    return 0.0, 0.0


def _number(stated: Any) -> float:
    """A resolution as a number; 0 if it is not valid: a rational may have a zero denominator."""
    try:
        value = float(stated or 0)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0
