"""The PDF that everything else is drawn on: the original, or one made from an image file."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pillow_heif
from PIL import Image, UnidentifiedImageError

from ocrd.document.base import PageOrigin
from ocrd.document.pdf.frame import Matrix, numbers
from ocrd.document.pdf.layers import PdfPages
from ocrd.document.pdf.mupdf import FAULTS, Document, pymupdf
from ocrd.document.pdf.pictures import Picture, picture
from ocrd.document.pdf.writer import PdfWriter
from ocrd.errors import BadFileError
from ocrd.frames import page_frames

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "JPEG2000", "HEIF", "AVIF", "PPM")
_ORIENTATION = 0x0112  # the tag's number in EXIF and TIFF
_LONGEST_POINTS = 14_400  # the largest page that PDF readers must show (ISO 32000-1, Annex C)
_PLAUSIBLE_INCHES = (0.5, 50.0)  # a page's longer side; a dpi tag that says otherwise is ignored
LETTER = (612.0, 792.0)
MISSING = "This page of the original cannot be shown."
_MISSING = f"BT /F 12 Tf 72 700 Td ({MISSING}) Tj ET\n".encode()
_IMAGE_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True, slots=True)
class Base:
    """A PDF whose copies can be added to, and how it differs from the original."""

    path: Path
    notes: tuple[str, ...]


def from_pdf(source: Path, target: Path) -> Base:
    """A sound original is its own base; a damaged or protected one is written anew to `target`.

    Raises:
        BadFileError: It needs a password or is no PDF at all.
    """
    try:
        with PdfPages(source) as pages:
            if pages.document.needs_pass:
                raise BadFileError(
                    "the PDF needs a password",
                    hint="Remove the password and drop the file again.",
                    kind="encrypted",
                )
            return _based_on(pages.document, source, target)
    except FAULTS as error:
        raise BadFileError(
            f"the PDF cannot be opened: {error}",
            hint="Check that the file opens in a viewer; scan or export it again.",
            kind="damaged",
        ) from error


def from_image(source: Path, target: Path, pages: int, *, max_pixels: int) -> Base:
    """Make `target` a PDF of the first `pages` frames of an image file.

    A frame that cannot be decoded gets a page that says so: numbers do not shift.
    """
    frames = (
        PageOrigin(source=source, kind="image", page=number, pages=pages)
        for number in range(1, pages + 1)
    )
    return from_frames(frames, target, max_pixels=max_pixels)


def from_frames(frames: Iterable[PageOrigin], target: Path, *, max_pixels: int) -> Base:
    """Make `target` a PDF of frames of image files.

    A frame that cannot be decoded gets a page that says so: numbers do not shift.
    """
    notes = []
    pages_of = functools.cache(_pages_of)  # looking for them takes as long as the file has frames
    with PdfWriter(target) as pdf, _pixels_bounded(max_pixels):
        for number, place in enumerate(frames, start=1):
            try:
                frame = _decoded(place, pages_of)
            except _IMAGE_FAULTS as error:
                if getattr(error, "errno", None) is not None:  # the disk's fault, not the frame's
                    raise
                notes.append(f"page {number} of the PDF is empty: {error}")
                font = "/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
                pdf.add_page(*LETTER, font, _MISSING)
            else:
                _add_frame(pdf, frame)
    return Base(target, tuple(notes))


def _based_on(document: Document, source: Path, target: Path) -> Base:
    notes = []
    if document.get_sigflags() > 0:
        notes.append(
            "the original is signed; viewers will say that the searchable PDF was changed after"
            " signing, so rely on the original in the archive for the signature"
        )
    protected = document.metadata.get("encryption") is not None
    if document.can_save_incrementally() and not document.is_repaired and not protected:
        return Base(source, tuple(notes))
    with target.open("wb") as file:
        document.save(file, encryption=pymupdf.PDF_ENCRYPT_NONE)
    if protected:
        notes.append("the original restricts what readers may do; the searchable PDF does not")
    if document.is_repaired:
        notes.append("the original is damaged; the searchable PDF was made from its repaired form")
    return Base(target, tuple(notes))


@contextmanager
def _pixels_bounded(limit: int) -> Iterator[None]:
    """Frames larger than `limit` are refused by Pillow before they are decoded."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = limit
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame ready to be written: its data, EXIF orientation, and size in points as stored."""

    picture: Picture
    orientation: int
    size: tuple[float, float]


def _decoded(place: PageOrigin, pages_of: Callable[[Path], Sequence[int]]) -> _Frame:
    if place.kind != "image":
        raise ValueError("its file cannot be read")
    pillow_heif.register_heif_opener()
    try:
        pages = pages_of(place.source)
        if place.page > len(pages):
            raise ValueError(f"the file has no page {place.page}")
        with Image.open(place.source, formats=FORMATS) as frame:
            frame.seek(pages[place.page - 1])
            if frame.width * frame.height > (Image.MAX_IMAGE_PIXELS or 0):
                raise ValueError(f"{frame.width} x {frame.height} pixels are too many")
            shown = picture(frame, place.source.read_bytes() if place.pages == 1 else None)
            return _Frame(shown, frame.getexif().get(_ORIENTATION, 1), _points(frame))
    except UnidentifiedImageError as error:
        raise ValueError("not an image of a known format") from error


def _pages_of(source: Path) -> tuple[int, ...]:
    """Which frames of an image file are its pages."""
    with Image.open(source, formats=FORMATS) as image:
        return page_frames(image)


def _add_frame(pdf: PdfWriter, frame: _Frame) -> None:
    width, height = frame.size if frame.orientation not in (5, 6, 7, 8) else frame.size[::-1]
    shown = frame.picture
    colours = f"/ColorSpace {shown.colours}" if shown.colours else ""
    if shown.profile:
        entries = f"/N {shown.components}/Alternate {shown.colours}"
        colours = f"/ColorSpace[/ICCBased {pdf.add(entries, shown.profile)} 0 R]"
    image = pdf.add(f"/Type/XObject/Subtype/Image{shown.entries}{colours}", shown.data)
    matrix = placement(frame.orientation, width, height)
    content = f"q {numbers(*matrix)} cm /Im Do Q\n".encode("ascii")
    pdf.add_page(width, height, f"/XObject<</Im {image} 0 R>>", content)


def placement(orientation: int, width: float, height: float) -> Matrix:
    """Puts the unit square of a stored image upright on a page (EXIF 2.32, tag 274)."""
    return {
        2: (-width, 0.0, 0.0, height, width, 0.0),
        3: (-width, 0.0, 0.0, -height, width, height),
        4: (width, 0.0, 0.0, -height, 0.0, height),
        5: (0.0, -height, -width, 0.0, width, height),
        6: (0.0, -height, width, 0.0, 0.0, height),
        7: (0.0, height, width, 0.0, 0.0, 0.0),
        8: (0.0, height, -width, 0.0, width, 0.0),
    }.get(orientation, (width, 0.0, 0.0, height, 0.0, 0.0))


def _points(frame: Image.Image) -> tuple[float, float]:
    """The size on paper: by the dpi tag if it is plausible, else 300 or 200 dpi by the pixels."""
    longer = max(frame.size)
    guess = 300 if longer >= 2400 else 200
    across, down = (_dpi(value) for value in frame.info.get("dpi", (0, 0))[:2])
    least, most = _PLAUSIBLE_INCHES
    sides = (frame.width / (across or 1e9), frame.height / (down or 1e9))
    if not (across and down and least <= max(sides) <= most):
        sides = (frame.width / guess, frame.height / guess)
    shrink = min(1.0, _LONGEST_POINTS / 72 / max(sides))
    return sides[0] * shrink * 72, sides[1] * shrink * 72


def _dpi(value: object) -> float:
    """A tag's number, which may be a fraction with nothing below the line."""
    try:
        number = float(value)  # type: ignore[arg-type]  # Pillow's IFDRational and what files hold
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if 20 <= number <= 10_000 else 0.0
