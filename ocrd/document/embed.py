"""Turns a page of an image file into a PDF image, changed as little as possible.

JPEG, JPEG 2000 and most PNGs are embedded unchanged; bitonal pages become CCITT G4; other lossless
images keep their pixels, packed like a PNG.  Lossy formats that PDF lacks (WebP, HEIC, AVIF, JPEG
in TIFF) become JPEG, or JPEG 2000 where a JPEG of fair quality would be much larger.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image, ImageChops, TiffImagePlugin

from ocrd.imaging import ImagePage
from ocrd.tone import eight_bits, is_full_grey, on_white

_COLOURS = {1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK"}
_PROFILES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}
_COMPONENTS = {"1": 1, "L": 1, "I;16": 1, "RGB": 3, "CMYK": 4}
_LOSSY = frozenset({"HEIF", "AVIF"})
_PNG = frozenset({"1", "L", "RGB", "P"})
_KEPT = frozenset({"1", "L", "P", "RGB", "CMYK"})  # modes that PDF knows
_HEADER = 13  # bytes of an IHDR
_USUAL = 2  # zlib's default among the four levels that a stream's header can state
_GROWTH, _SPARE = 1.3, 12_000  # factor and bytes by which a picture may grow in the PDF
_QUALITIES = ((93, 0), (88, 0), (80, 2), (72, 2))  # of JPEG, with Pillow's subsampling
_SHARE_OF_LIMIT = 0.97  # for JPEG 2000, which meets its rate only roughly
_STRIP_COUNTS, _TILE_COUNTS = 279, 325


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as a PDF can embed it.

    Attributes:
        entries: Entries of the image's dictionary, without colour space and length.
        data: The stream.
        colours: The colour space, unless `profile` defines it; empty if the data itself does.
        profile: An ICC profile that fits `components`, or empty.
        components: Colour components of a pixel.
        orientation: The EXIF orientation (1 to 8) that is still to be applied to the pixels.
        note: Why it is much larger than in its file; empty if it is not.
    """

    entries: str
    data: bytes
    colours: str
    profile: bytes = b""
    components: int = 3
    orientation: int = 1
    note: str = ""


def picture(page: ImagePage) -> Picture:
    """The PDF image of a page.

    Raises:
        PageError, PlaceError: The page cannot be decoded.
    """
    image = page.image
    if page.alone and image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB", "CMYK"):
        return replace(_jpeg(image, page.data()), orientation=page.orientation)
    if page.alone and image.format == "JPEG2000" and image.mode in ("L", "RGB"):
        return Picture(_size(image) + "/Filter/JPXDecode", page.data(), "")
    decoded, orientation = page.stored()
    limit = _GROWTH * _stored_bytes(page) + _SPARE
    made = _embedded(page, decoded, limit)
    note = ""
    if len(made.data) > limit:
        note = (
            f"the picture takes {len(made.data) // 1000} kB in the PDF: what it was stored as"
            f" ({image.format}) packs it tighter than anything that PDF knows"
        )
    return replace(made, orientation=orientation, note=note)


def leanest(image: Image.Image) -> Picture:
    """A rendered RGB page: lossless, or a good JPEG if that takes less than two thirds as much."""
    lean = _lean(image)
    made = _bitonal(lean) if lean.mode == "1" else _packed(_few_colours(lean) or lean)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITIES[0][0], subsampling=0)
    if len(made.data) <= 1.5 * buffer.tell():
        return made
    return _jpeg(image, buffer.getvalue())


def _embedded(page: ImagePage, image: Image.Image, limit: float) -> Picture:
    if (
        image.format == "PNG"
        and page.alone
        and image.mode in _PNG
        and not image.has_transparency_data
    ):
        parts = _png_parts(page.data())
        if _can_stay(*parts):
            kept = _from_png(image, *parts)
            return kept if image.mode != "1" else _smallest(kept, _bitonal(image))
    plain = _plain(image)
    if _is_lossy(page, image):
        return _lossy(plain, limit)
    lean = _lean(plain)
    made = _bitonal(lean) if lean.mode == "1" else _packed(lean)
    if len(made.data) <= limit:
        return made
    return _smallest(made, *_other_ways(lean))


def _other_ways(image: Image.Image) -> Iterator[Picture]:
    """Other lossless encodings of an image."""
    if image.mode == "1":
        yield _packed(image)  # G4 makes dots and patterns larger
    if image.mode in ("L", "RGB"):
        yield from (_deflated(image), _jpeg2000(image))
    if few := _few_colours(image):
        yield _packed(few)


def _smallest(*ways: Picture) -> Picture:
    return min(ways, key=lambda way: len(way.data))


def _is_lossy(page: ImagePage, image: Image.Image) -> bool:
    if image.format == "WEBP":
        return b"VP8L" not in _riff_chunks(page.data())
    jpeg_in_tiff = image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")
    return image.format in _LOSSY or jpeg_in_tiff


def _riff_chunks(data: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack("<4sI", data[at : at + 8])
        yield name
        at += 8 + length + length % 2


def _stored_bytes(page: ImagePage) -> int:
    """The size of a page within its file, in bytes."""
    if page.alone:
        return len(page.data())
    if isinstance(page.image, TiffImagePlugin.TiffImageFile):
        tags = page.image.tag_v2
        return int(sum(tags.get(_STRIP_COUNTS) or tags.get(_TILE_COUNTS) or (0,)))
    return len(page.data())


def _size(image: Image.Image) -> str:
    return f"/Width {image.width}/Height {image.height}"


def _profile(image: Image.Image, components: int) -> bytes:
    """The image's ICC profile if it is complete and fits `components`; otherwise empty."""
    profile = image.info.get("icc_profile") or b""
    whole = len(profile) >= 128 and struct.unpack(">I", profile[:4])[0] == len(profile)
    return profile if whole and profile[16:20] == _PROFILES[components] else b""


def _eight_bits(image: Image.Image, data: bytes, packed: str) -> Picture:
    """An image of eight bits per channel; `packed` is its filter and any further entries."""
    components = _COMPONENTS[image.mode]
    entries = f"{_size(image)}/BitsPerComponent 8/Filter/{packed}"
    return Picture(entries, data, _COLOURS[components], _profile(image, components), components)


def _jpeg(image: Image.Image, data: bytes) -> Picture:
    packed = "DCTDecode"
    if image.mode == "CMYK" and "adobe" in image.info:
        packed += "/Decode[1 0 1 0 1 0 1 0]"  # Adobe stores CMYK inverted
    return _eight_bits(image, data, packed)


def _lossy(image: Image.Image, limit: float) -> Picture:
    """The best JPEG of at most `limit` bytes (for CMYK, of any size), otherwise a JPEG 2000."""
    flat = image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
    profile = image.info.get("icc_profile")
    for quality, subsampling in _QUALITIES:
        buffer = io.BytesIO()
        options = {} if flat.mode == "L" else {"subsampling": subsampling}
        flat.save(buffer, "JPEG", quality=quality, icc_profile=profile, **options)
        if buffer.tell() <= limit or flat.mode == "CMYK":
            with Image.open(buffer, formats=["JPEG"]) as again:
                return _jpeg(again, buffer.getvalue())
    pixels = flat.width * flat.height * len(flat.getbands())
    return _jpeg2000(flat, rate=pixels / (limit * _SHARE_OF_LIMIT))


def _jpeg2000(image: Image.Image, rate: float = 0.0) -> Picture:
    """The image as JPEG 2000: lossless, or compressed by the factor `rate`."""
    buffer = io.BytesIO()
    how = {"quality_mode": "rates", "quality_layers": [rate], "irreversible": True} if rate else {}
    image.save(buffer, "JPEG2000", **how)
    return _eight_bits(image, buffer.getvalue(), "JPXDecode")


def _deflated(image: Image.Image) -> Picture:
    """The image deflated without a predictor, which is smaller for clean text."""
    return _eight_bits(image, zlib.compress(image.tobytes(), 9), "FlateDecode")


def _plain(image: Image.Image) -> Image.Image:
    """The image in a mode that PDF has; transparent parts become white."""
    if is_full_grey(image) or (image.mode in _KEPT and not image.has_transparency_data):
        return image
    seen = eight_bits(image)
    return seen if seen.mode in _KEPT and not seen.has_transparency_data else on_white(seen)


def _lean(image: Image.Image) -> Image.Image:
    """The same pixels in fewer channels or bits, where that loses nothing."""
    info = image.info
    if image.mode == "RGB":
        red, green, blue = image.split()
        if all(ImageChops.difference(red, other).getbbox() is None for other in (green, blue)):
            image = red
    if image.mode == "L" and not any(image.histogram()[1:255]):
        image = image.convert("1")
    if image.mode in ("RGB", "CMYK", "I;16"):
        image.info = info
    return image


def _few_colours(image: Image.Image) -> Image.Image | None:
    """The same RGB pixels with a palette; None if they have more than 256 colours."""
    if image.mode != "RGB" or image.getcolors(256) is None:
        return None
    few = image.quantize(256)
    return few if few.convert("RGB").tobytes() == image.tobytes() else None


def _bitonal(image: Image.Image) -> Picture:
    """The image in CCITT group 4, taken from a one-strip TIFF."""
    buffer = io.BytesIO()
    black_is_zero, one_strip = {262: 1}, {278: image.height}
    image.save(buffer, "TIFF", compression="group4", tiffinfo={**black_is_zero, **one_strip})
    with Image.open(buffer, formats=["TIFF"]) as tiff:
        offsets, counts = tiff.tag_v2[273], tiff.tag_v2[279]  # type: ignore[attr-defined]  # a TIFF's
        inverted = tiff.tag_v2[262] == 0  # type: ignore[attr-defined]  # likewise
    if len(offsets) != 1:
        return _packed(image)
    data = buffer.getvalue()[offsets[0] : offsets[0] + counts[0]]
    black = "true" if not inverted else "false"
    parameters = f"<</K -1/Columns {image.width}/Rows {image.height}/BlackIs1 {black}>>"
    entries = f"{_size(image)}/BitsPerComponent 1/Filter/CCITTFaxDecode/DecodeParms{parameters}"
    return Picture(entries, data, _COLOURS[1], components=1)


def _packed(image: Image.Image) -> Picture:
    """The image as PNG data, which is PDF's Flate with a PNG predictor (ISO 32000-1, 7.4.4.4)."""
    if image.mode == "CMYK":
        return _deflated(image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return _from_png(image, *_png_parts(buffer.getvalue()))


def _can_stay(header: bytes, palette: bytes, data: bytes) -> bool:
    """Whether a PDF can hold a PNG's parts as they are, and they are compressed as well as ours."""
    if len(header) != _HEADER or len(data) < 2:
        return False
    depth, kind, interlaced = header[8], header[9], header[12]
    fits = len(palette) in range(3, 769, 3) if kind == 3 else not palette
    return depth <= 8 and not interlaced and fits and data[1] >> 6 >= _USUAL


def _from_png(image: Image.Image, header: bytes, palette: bytes, data: bytes) -> Picture:
    width, _, depth, kind = struct.unpack(">IIBB", header[:10])
    colours = 3 if kind == 2 else 1
    space = _COLOURS[colours]
    if palette:
        space = f"[/Indexed/DeviceRGB {len(palette) // 3 - 1}<{palette.hex()}>]"
    parameters = f"<</Predictor 15/Colors {colours}/BitsPerComponent {depth}/Columns {width}>>"
    entries = f"{_size(image)}/BitsPerComponent {depth}/Filter/FlateDecode/DecodeParms{parameters}"
    profile = b"" if palette else _profile(image, colours)
    return Picture(entries, data, space, profile, colours)


def _png_parts(png: bytes) -> tuple[bytes, bytes, bytes]:
    """IHDR, PLTE and the joined IDAT of a PNG that Pillow wrote or could read."""
    parts: dict[bytes, list[bytes]] = {b"IHDR": [], b"PLTE": [], b"IDAT": []}
    at, kind = 8, b""
    while at + 8 <= len(png) and kind != b"IEND":
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        if kind in parts:
            parts[kind].append(png[at + 8 : at + 8 + length])
        at += 12 + length
    header, palette, data = (b"".join(found) for found in parts.values())
    return header, palette, data
