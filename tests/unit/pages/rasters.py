"""Image files for the tests, whose pixels are known: made by Pillow, or byte by byte."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ocrd.page import PageImage

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
CORNERS = (RED, GREEN, BLUE, WHITE)  # top left, top right, bottom left, bottom right

Colour = tuple[int, int, int]


def flag(width: int = 96, height: int = 64) -> Image.Image:
    """Four quarters of four colours: any turn, flip or swapped channel shows."""
    image = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(image)
    middle_x, middle_y = width // 2, height // 2
    draw.rectangle((0, 0, middle_x - 1, middle_y - 1), fill=RED)
    draw.rectangle((middle_x, 0, width, middle_y - 1), fill=GREEN)
    draw.rectangle((0, middle_y, middle_x - 1, height), fill=BLUE)
    return image


def at(image: PageImage, x: float, y: float) -> Colour:
    """The colour at a place, in fractions of the sides."""
    column, row = int(image.width * x), int(image.height * y)
    start = (row * image.width + column) * 3
    red, green, blue = image.rgb[start : start + 3]
    return red, green, blue


def corners(image: PageImage) -> tuple[Colour, ...]:
    """The colours in the middle of the four quarters."""
    return tuple(at(image, x, y) for y in (0.25, 0.75) for x in (0.25, 0.75))


def near(seen: Sequence[Colour], expected: Sequence[Colour], tolerance: int = 12) -> bool:
    """Whether colours agree as far as a lossy format keeps them."""
    pairs = zip(seen, expected, strict=True)
    return all(abs(a - b) <= tolerance for one, two in pairs for a, b in zip(one, two, strict=True))


def png(
    width: int,
    height: int,
    bits: int,
    colour: int,
    rows: bytes,
    *,
    level: int = 9,
    interlaced: bool = False,
) -> bytes:
    """A PNG byte by byte; `rows` hold a filter byte each (PNG specification, 5.2, 11.2)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    data = chunk(b"IDAT", zlib.compress(rows, level))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def bomb(side: int = 13_000) -> bytes:
    """A PNG of 169 megapixels in 20 kB."""
    row = b"\0" * (1 + (side + 7) // 8)
    return png(side, side, 1, 0, row * side)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of a TIFF, uncompressed."""

    width: int
    height: int
    data: bytes
    bits: int = 8
    photometric: int = 1  # 0: zero is white, 1: zero is black
    subfile: int = 0  # 1: a thumbnail, 4: a mask
    x_dpi: int = 300
    y_dpi: int = 300
    lost: bool = False  # its data lie beyond the end of the file


def tiff(*frames: Frame) -> bytes:
    """A little-endian TIFF, byte by byte."""
    out = bytearray(b"II*\0\0\0\0\0")
    link = 4  # where the offset of the next frame goes
    for frame in frames:
        data = len(out)
        out += frame.data + b"\0" * (len(frame.data) % 2)
        rationals = len(out)
        out += struct.pack("<IIII", frame.x_dpi, 1, frame.y_dpi, 1)
        struct.pack_into("<I", out, link, len(out))
        tags = (
            (254, 4, frame.subfile),
            (256, 4, frame.width),
            (257, 4, frame.height),
            (258, 3, frame.bits),
            (259, 3, 1),
            (262, 3, frame.photometric),
            (273, 4, 0x7FFFFF00 if frame.lost else data),
            (277, 3, 1),
            (278, 4, frame.height),
            (279, 4, len(frame.data)),
            (282, 5, rationals),
            (283, 5, rationals + 8),
            (296, 3, 2),
        )
        out += struct.pack("<H", len(tags))
        for tag, kind, value in tags:
            out += struct.pack("<HHII", tag, kind, 1, value)
        link = len(out)
        out += b"\0\0\0\0"
    return bytes(out)


def grey_frame(level: int, width: int = 40, height: int = 30, **changed: int | bool) -> Frame:
    """A frame of one grey."""
    data = bytes([level]) * (width * height)
    return Frame(width=width, height=height, data=data, **changed)  # type: ignore[arg-type]  # fields of Frame
