"""PDF files for the tests, written byte by byte, so that what they hold is known."""

import io
import struct
import zlib
from collections.abc import Mapping

from PIL import Image, ImageChops

Objects = Mapping[int, bytes]


def stream(data: bytes, entries: bytes = b"") -> bytes:
    """A stream object."""
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(data), data)


def pdf(objects: Objects, trailer: bytes = b"") -> bytes:
    """A complete file, cross-reference table included; object 1 is the catalogue."""
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = {}
    for number, body in objects.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    size = max(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % size
    for number in range(1, size):
        out += b"%010d 00000 n \n" % offsets.get(number, 0)
    out += b"trailer\n<</Size %d/Root 1 0 R%s>>\n" % (size, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def one_page(
    content: bytes,
    *,
    box: bytes = b"[0 0 300 400]",
    page: bytes = b"",
    resources: bytes = b"",
    more: Objects | None = None,
) -> bytes:
    """A PDF of one page; further objects count from 10."""
    return pdf(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox%s/Contents 4 0 R/Resources<<%s>>%s>>"
            % (box, resources, page),
            4: stream(content),
            **(more or {}),
        }
    )


def flag_content(width: float, height: float, x: float = 0, y: float = 0) -> bytes:
    """Red, green, blue and white quarters, as `rasters.flag` has them; y points upward here."""
    w, h = width / 2, height / 2
    quarters = (
        (b"1 0 0 rg", x, y + h),
        (b"0 1 0 rg", x + w, y + h),
        (b"0 0 1 rg", x, y),
        (b"1 1 1 rg", x + w, y),
    )
    return b" ".join(b"%s %f %f %f %f re f" % (*quarter, w, h) for quarter in quarters)


def many_pages(count: int) -> bytes:
    """A PDF whose pages differ: page n has a black bar n points high."""
    kids = b" ".join(b"%d 0 R" % (10 + 2 * n) for n in range(count))
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, count),
    }
    for n in range(count):
        page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents %d 0 R>>"
        objects[10 + 2 * n] = page % (11 + 2 * n)
        objects[11 + 2 * n] = stream(b"0 g 0 0 200 %d re f" % (n + 1))
    return pdf(objects)


def scan(image: bytes, *, box: tuple[float, float] = (612, 792), text: bytes = b"") -> bytes:
    """A page that is one image; `image` is the image object."""
    width, height = box
    return one_page(
        b"q %f 0 0 %f 0 0 cm /I Do Q %s" % (width, height, text),
        box=b"[0 0 %f %f]" % box,
        resources=b"/XObject<</I 10 0 R>>/Font<</F 11 0 R>>" if text else b"/XObject<</I 10 0 R>>",
        more={10: image, 11: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"},
    )


def image_object(
    size: tuple[int, int], data: bytes, filter_: bytes, *, bits: int = 8, colour: bytes = b"RGB"
) -> bytes:
    """An image; `filter_` is the filter's name and whatever entries follow it."""
    return stream(
        data,
        b"/Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent %d/ColorSpace/Device%s"
        b"/Filter/%s" % (*size, bits, colour, filter_),
    )


def flat_image(width: int, height: int, level: int) -> bytes:
    """One grey, deflated; rows are made one at a time, for it may be huge."""
    packer = zlib.compressobj(1)
    row = bytes([level]) * width
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return image_object((width, height), data, b"FlateDecode", colour=b"Gray")


def group4(image: Image.Image) -> bytes:
    """CCITT T.6 data of a bilevel image, ink as black runs."""
    buffer = io.BytesIO()
    ink = ImageChops.invert(image.convert("L")).convert("1")  # in Pillow's TIFFs, zero is black
    ink.save(buffer, "TIFF", compression="group4", strip_size=1 << 30)
    with Image.open(buffer) as written:
        tags = written.tag_v2  # type: ignore[attr-defined]  # it is a TIFF
        start, length = tags[273][0], tags[279][0]
    return buffer.getvalue()[start : start + length]


def jbig2(image: Image.Image) -> bytes:
    """A JBIG2 stream as PDF embeds it: page information and one region coded by T.6 (MMR)."""
    width, height = image.size
    page = struct.pack(">IIIIBH", width, height, 0, 0, 0, 0)
    region = struct.pack(">IIIIB", width, height, 0, 0, 0) + b"\x01" + group4(image)
    out = b""
    for number, (kind, data) in enumerate(((48, page), (38, region), (49, b""))):
        out += struct.pack(">IBBBI", number, kind, 0, 1, len(data)) + data
    return out
