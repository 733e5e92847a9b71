"""One frame of an image file -> a PDF image, as little changed as can be.  Pillow decodes.

JPEG, JPEG 2000 and most PNGs go in as they are; bitonal pages become CCITT G4; everything else
keeps its pixels, packed like a PNG.  Lossy formats that PDF lacks (WebP, HEIC, JPEG in TIFF)
become JPEG.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image

_COLOURS = {1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK"}
_PROFILES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}
_COMPONENTS = {"1": 1, "L": 1, "I;16": 1, "RGB": 3, "CMYK": 4}
_LOSSY = frozenset({"WEBP", "HEIF", "AVIF"})
_AS_IS = frozenset({"JPEG", "MPO"})
_PNG = frozenset({"L", "RGB", "P"})
_HEADER = 13  # bytes of an IHDR
_USUAL = 2  # of zlib's four levels of compression, as its streams tell them


@dataclass(frozen=True, slots=True)
class Picture:
    """What a PDF needs to know of an image.

    Attributes:
        entries: Of the image's dictionary, without colour space and length.
        data: The stream.
        colours: The colour space, if no profile says more; empty when the data says it itself.
        profile: An ICC profile that fits `components`, or nothing.
        components: Colour components of a pixel.
    """

    entries: str
    data: bytes
    colours: str
    profile: bytes = b""
    components: int = 3


def picture(frame: Image.Image, original: bytes | None) -> Picture:
    """A frame that was opened but perhaps not decoded yet.

    Args:
        frame: The frame, at its position in the file.
        original: The file's bytes if the frame is all there is to it, else None.
    """
    if original is not None and frame.format in _AS_IS and frame.mode in ("L", "RGB", "CMYK"):
        return _jpeg(frame, original)
    if original is not None and frame.format == "JPEG2000" and frame.mode in ("L", "RGB"):
        return Picture(_size(frame) + "/Filter/JPXDecode", original, "")
    frame.load()
    image = _plain(frame)
    if frame.format in _LOSSY or frame.info.get("compression") in ("jpeg", "tiff_jpeg"):
        return _jpeg_anew(image)
    if image.mode == "1":
        return _bitonal(image)
    if original is not None and image is frame and frame.format == "PNG" and image.mode in _PNG:
        parts = _png_parts(original)
        if _can_stay(*parts):
            return _from_png(image, *parts)
    return _packed(image)


def _size(image: Image.Image) -> str:
    return f"/Width {image.width}/Height {image.height}"


def _profile(image: Image.Image, components: int) -> bytes:
    """The image's colour profile, if it is one and of the right kind."""
    profile = image.info.get("icc_profile") or b""
    whole = len(profile) >= 128 and struct.unpack(">I", profile[:4])[0] == len(profile)
    return profile if whole and profile[16:20] == _PROFILES[components] else b""


def _jpeg(image: Image.Image, data: bytes) -> Picture:
    components = _COMPONENTS[image.mode]
    entries = _size(image) + "/BitsPerComponent 8/Filter/DCTDecode"
    if image.mode == "CMYK" and "adobe" in image.info:
        entries += "/Decode[1 0 1 0 1 0 1 0]"  # Adobe stores CMYK inverted
    return Picture(entries, data, _COLOURS[components], _profile(image, components), components)


def _jpeg_anew(image: Image.Image) -> Picture:
    buffer = io.BytesIO()
    flat = image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
    profile = image.info.get("icc_profile")
    flat.save(buffer, "JPEG", quality=93, subsampling=0, icc_profile=profile)
    with Image.open(buffer, formats=["JPEG"]) as again:
        return _jpeg(again, buffer.getvalue())


def _plain(frame: Image.Image) -> Image.Image:
    """Decoded, in a mode that PDF knows; what shines through becomes white."""
    mode = frame.mode
    if mode in ("1", "L", "RGB", "CMYK", "I;16") and "transparency" not in frame.info:
        return frame
    if mode == "P" and "transparency" not in frame.info:
        return frame
    if mode in ("I", "F", "I;16B", "I;16L"):
        return _scaled(frame)
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in frame.info:
        solid = frame.convert("RGBA")
        paper = Image.new("RGBA", solid.size, "white")
        return Image.alpha_composite(paper, solid).convert("RGB")
    return frame.convert("RGB")


def _scaled(frame: Image.Image) -> Image.Image:
    """Grey of 32 bits or of unusual order: spread over what eight bits can say."""
    grey = frame.convert("F")
    low, high = grey.getextrema()
    if isinstance(low, tuple) or isinstance(high, tuple):
        raise TypeError("a grey image has one band")
    deepest = 65535.0 if 255 < high <= 65535 and low >= 0 else max(high - min(low, 0.0), 255.0)
    return grey.point(lambda value: value * (255 / deepest) + 0).convert("L")


def _bitonal(image: Image.Image) -> Picture:
    """CCITT group 4, by way of a one-strip TIFF."""
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
    """A PNG's pixel data are what PDF calls Flate with a PNG predictor (ISO 32000-1, 7.4.4.4)."""
    if image.mode == "CMYK":
        entries = _size(image) + "/BitsPerComponent 8/Filter/FlateDecode"
        return Picture(entries, zlib.compress(image.tobytes()), _COLOURS[4], _profile(image, 4), 4)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return _from_png(image, *_png_parts(buffer.getvalue()))


def _can_stay(header: bytes, palette: bytes, data: bytes) -> bool:
    """Whether a PNG's parts are what a PDF can hold, and packed no worse than we would."""
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
