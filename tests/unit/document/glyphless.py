"""Makes the data of the invisible font: `python -m tests.unit.document.glyphless`."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from ocrd.document import font

FOLDER = Path(font.__file__).parent / "glyphless"
CODES = 0x10000


def files() -> dict[str, bytes]:
    """What lies in the package, by name."""
    own = [font.char_width(chr(code)) for code in range(CODES)]
    advances = sorted(set(own))
    glyph = {advance: index for index, advance in enumerate(advances, start=1)}
    gids = b"".join(struct.pack(">H", glyph[width]) for width in own)
    return {
        "font.ttf": font_file([0, *advances]),  # the first is .notdef, which no text may use
        "cidtogid.z": zlib.compress(gids, 9),
        "widths.txt": widths(own).encode(),
    }


def font_file(advances: list[int]) -> bytes:
    """A TrueType font with a glyph for each advance: a box as wide, from foot to head."""
    top, foot = round(font.ASCENT * 1000), -round(font.DESCENT * 1000)
    glyphs = [box(advance, foot, top) if advance else b"" for advance in advances]
    offsets = [sum(map(len, glyphs[:index])) // 2 for index in range(len(glyphs) + 1)]
    count = len(glyphs)
    head = struct.pack(
        ">IIIIHHQQhhhhHHhhh",
        *(0x10000, 0x10000, 0, 0x5F0F3CF5, 0, 1000, 0, 0),
        *(0, foot, max(advances), top, 0, 8, 2, 0, 0),
    )
    tables = {
        b"head": head,
        b"hhea": struct.pack(
            ">IhhhHhhhhhh8xhH", 0x10000, top, foot, 0, max(advances), *(0,) * 7, count
        ),
        b"hmtx": b"".join(struct.pack(">Hh", advance, 0) for advance in advances),
        b"maxp": struct.pack(">IHHH22x", 0x10000, count, 4, 1),
        b"loca": struct.pack(f">{count + 1}H", *offsets),
        b"glyf": b"".join(glyphs),
        b"post": struct.pack(">IIhhI16x", 0x30000, 0, 0, 0, 1),
        b"cmap": struct.pack(">HHHHI", 0, 1, 3, 1, 12)
        + struct.pack(">HHHHHHHHHHHH", 4, 24, 0, 2, 2, 0, 0, 0xFFFF, 0, 0xFFFF, 1, 0),
    }
    return sfnt(tables)


def box(width: int, foot: int, top: int) -> bytes:
    """The outline of a rectangle (OpenType 1.9, `glyf`)."""
    header = struct.pack(">hhhhhHH", 1, 0, foot, width, top, 3, 0)
    corners = struct.pack(">8h", 0, 0, width, 0, foot, top - foot, 0, foot - top)
    data = header + b"\x01" * 4 + corners
    return data + b"\0" * (-len(data) % 4)


def sfnt(tables: dict[bytes, bytes]) -> bytes:
    """Tables -> a font file, checksums included."""
    count = len(tables)
    power = 1 << (count.bit_length() - 1)
    header = struct.pack(
        ">IHHHH", 0x10000, count, power * 16, power.bit_length() - 1, (count - power) * 16
    )
    directory, body = b"", b""
    offset = 12 + 16 * count
    for tag, data in sorted(tables.items()):
        padded = data + b"\0" * (-len(data) % 4)
        directory += struct.pack(">4sIII", tag, checksum(padded), offset + len(body), len(data))
        body += padded
    made = bytearray(header + directory + body)
    adjust = offset + body.index(tables[b"head"]) + 8  # checkSumAdjustment
    made[adjust : adjust + 4] = struct.pack(">I", (0xB1B0AFBA - checksum(bytes(made))) & 0xFFFFFFFF)
    return bytes(made)


def checksum(data: bytes) -> int:
    """Of a table or a font, as TrueType wants it."""
    return int(sum(struct.unpack(f">{len(data) // 4}I", data)) & 0xFFFFFFFF)


def widths(own: list[int]) -> str:
    """The /W array: runs of every width that is not the default of one em."""
    entries, start = [], 0
    while start < CODES:
        end = start
        while end < CODES and own[end] == own[start]:
            end += 1
        if end - start > 2:
            entries.append(f"{start} {end - 1} {own[start]}" if own[start] != 1000 else "")
        else:
            while end < CODES and len(set(own[end : end + 3])) > 1:
                end += 1
            entries.append(f"{start} [{' '.join(map(str, own[start:end]))}]")
        start = end
    return f"[{' '.join(filter(None, entries))}]"


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
