"""Image files become pixels, by Pillow: for child processes only, for its decoders may crash."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import pillow_heif
from PIL import Image, ImageFile, UnidentifiedImageError

from ocrd.errors import BadFileError, OcrdError, PageError
from ocrd.frames import page_frames
from ocrd.page import PageImage
from ocrd.pages import tone
from ocrd.pages.base import Rendering
from ocrd.pages.opening import OpenDocuments, unreadable
from ocrd.pages.shape import Stated

_FORMATS = {
    "image/jpeg": ("JPEG", "MPO"),
    "image/png": ("PNG",),
    "image/tiff": ("TIFF",),
    "image/webp": ("WEBP",),
    "image/gif": ("GIF",),
    "image/bmp": ("BMP",),
    "image/jp2": ("JPEG2000",),
    "image/heic": ("HEIF",),
    "image/avif": ("AVIF",),
    "image/x-portable-anymap": ("PPM",),
}
_OF_THE_DISK = frozenset({errno.EIO, errno.ESTALE, errno.EACCES, errno.ENODEV, errno.ENOTCONN})
_KEPT_PIXELS = 16_000_000  # a larger frame is not held in memory after its call

ImageFile.LOAD_TRUNCATED_IMAGES = False
pillow_heif.register_heif_opener(thumbnails=False)
pillow_heif.options.DECODE_THREADS = 1


@dataclass(frozen=True, slots=True)
class _Document:
    """An open image file and which of its frames are pages."""

    image: Image.Image
    frames: tuple[int, ...]


def count_pages(file: BinaryIO, media_type: str, wanted: Rendering) -> int:
    """How many pages the image file has.

    Raises:
        BadFileError: It is `damaged` or `too-large`.
    """
    with _faults(wanted, page=None):
        document = _documents.get(file, lambda file: _open(file, media_type))
        count = len(document.frames)
        _check_size(document.image, wanted)
    if count > wanted.max_pages:
        raise BadFileError(
            f"The file has {count} pages; at most {wanted.max_pages} are allowed.",
            hint="Split it, or raise max_pages in the configuration.",
            kind="too-large",
        )
    return count


def render(file: BinaryIO, media_type: str, number: int, wanted: Rendering) -> PageImage:
    """Page `number`, 1-based: upright, on white, with square pixels.

    Raises:
        BadFileError: The file is `damaged` or `too-large`.
        PageError: This page of several is.
    """
    with _faults(wanted, page=None):
        document = _documents.get(file, lambda file: _open(file, media_type))
        count = len(document.frames)
    try:
        with _faults(wanted, page=number if count > 1 else None):
            return _render(document, number, wanted)
    finally:
        if count == 1 or document.image.width * document.image.height > _KEPT_PIXELS:
            _documents.drop(file)


def _open(file: BinaryIO, media_type: str) -> _Document:
    """The document, with a descriptor of its own."""
    kept = os.fdopen(os.dup(file.fileno()), "rb")
    try:
        return _opened(kept, media_type)
    except BaseException:
        kept.close()
        raise


def _opened(file: BinaryIO, media_type: str) -> _Document:
    image = Image.open(file, formats=_FORMATS[media_type])
    return _Document(image, page_frames(image))


def _render(document: _Document, number: int, wanted: Rendering) -> PageImage:
    image = document.image
    image.seek(document.frames[number - 1])
    _check_size(image, wanted)
    stated = Stated.by(image)  # before load, which turns some formats upright by itself
    image.draft(None, (wanted.max_side, wanted.max_side))  # a large JPEG is decoded smaller
    image.load()
    fitted = stated.fitted(tone.to_eight_bits(image), loaded=image, max_side=wanted.max_side)
    page = stated.upright(tone.on_white(fitted), loaded=image)
    return PageImage(page.width, page.height, page.tobytes())


def _check_size(image: Image.Image, wanted: Rendering) -> None:
    if image.width * image.height > wanted.max_pixels:
        raise Image.DecompressionBombError(f"{image.width} by {image.height} pixels")


@contextmanager
def _faults(wanted: Rendering, *, page: int | None) -> Iterator[None]:
    """Whatever Pillow raises becomes an error about the file, or about one page of several."""
    Image.MAX_IMAGE_PIXELS = wanted.max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities of a file that can be read
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (OcrdError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(wanted, page) from error
    except UnidentifiedImageError as error:
        raise _damaged("it is damaged, or of a variety not known here", page) from error
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise unreadable(error) from error
        raise _damaged(str(error), page) from error
    except Exception as error:  # decoders stumble over damaged files in every way there is
        raise _damaged(f"{type(error).__name__}: {error}", page) from error


def _too_large(wanted: Rendering, page: int | None) -> OcrdError:
    kind = BadFileError if page is None else PageError
    return kind(
        f"{_subject(page)} has more than {wanted.max_pixels / 1e6:g} megapixels.",
        hint="Scan at fewer dpi, or raise max_pixels in the configuration.",
        kind="too-large",
    )


def _damaged(reason: str, page: int | None) -> OcrdError:
    kind = BadFileError if page is None else PageError
    return kind(
        f"{_subject(page)} cannot be read: {reason[:200]}",
        hint="Copy or scan it again; it may have been cut off on its way.",
        kind="damaged",
    )


def _subject(page: int | None) -> str:
    return "The image" if page is None else f"Page {page} of the image"


def _close(document: _Document) -> None:
    document.image.close()


_documents: OpenDocuments[_Document] = OpenDocuments(1, _close)
