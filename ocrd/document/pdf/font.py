"""The invisible font: a few kilobytes that stand for every character there is.

Text that lies under a scan is never drawn (ISO 32000-1, 9.3.6: rendering mode 3), so one empty
glyph will do for all of it.  What viewers need is the width of each character, to mark the right
place, and its Unicode value, to search and copy.  Codes are UTF-16 units; characters beyond the
first 65,536 get codes of the private use area as they come.
"""

from __future__ import annotations

import functools
import struct
import unicodedata

ASCENT, DESCENT = 0.8, 0.2  # of an em: together one, so that a line's height is its font size

# Helvetica's advance widths, U+0020 … U+007E, in thousandths of an em (Adobe's Core 14 metrics).
_LATIN = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
)
_OTHER = 556  # the commonest width of all: figures and most small letters
_FULL = 1000
_EAST = 0x2E80  # from here on characters fill a square …
_NARROW_EAST = ((0xFB00, 0xFE2F), (0xFF61, 0xFFDF))  # … but for these
_PRIVATE_FROM, _PRIVATE_TO = 0xE000, 0xF8FF
_REPLACEMENT = 0xFFFD
_LAST_OF_PLANE = "\uffff"  # up to here a character's code is its number


@functools.cache
def char_width(char: str) -> int:
    """The advance of a character, in thousandths of an em: about what print gives it."""
    code = ord(char)
    if 0x20 <= code < 0x7F:
        return _LATIN[code - 0x20]
    if code >= _EAST:
        return _OTHER if any(low <= code <= high for low, high in _NARROW_EAST) else _FULL
    if unicodedata.category(char) in ("Cc", "Cf", "Mn", "Me"):
        return 0
    plain = unicodedata.normalize("NFD", char)[0]  # accents do not widen a letter
    return _LATIN[ord(plain) - 0x20] if " " <= plain < "\x7f" else _OTHER


def text_width(text: str) -> float:
    """The natural length of a text, in ems."""
    return sum(map(char_width, text)) / 1000


class Codes:
    """Characters -> two-byte codes, for all the pages of a document."""

    def __init__(self) -> None:
        self._beyond: dict[str, int] = {}

    def encode(self, text: str) -> str:
        """The text as hex digits for a PDF string."""
        if max(text, default="") <= _LAST_OF_PLANE:
            return text.encode("utf-16-be", "surrogatepass").hex().upper()
        return "".join(f"{self._code(char):04X}" for char in text)

    def _code(self, char: str) -> int:
        code = ord(char)
        if code <= 0xFFFF:
            return code
        if char not in self._beyond:
            free = _PRIVATE_TO - len(self._beyond)
            if free < _PRIVATE_FROM:
                return _REPLACEMENT
            self._beyond[char] = free
        return self._beyond[char]

    def to_unicode(self) -> bytes:
        """The CMap that takes codes back to text."""
        own = sorted(self._beyond.values())
        bmp = _ranges_without(own)
        ranges = [f"<{first:04X}> <{last:04X}> <{first:04X}>" for first, last in bmp]
        chars = [
            f"<{code:04X}> <{char.encode('utf-16-be').hex().upper()}>"
            for char, code in sorted(self._beyond.items(), key=lambda item: item[1])
        ]
        body = _sections("bfrange", ranges) + _sections("bfchar", chars)
        return (_CMAP_HEAD + body + _CMAP_TAIL).encode("ascii")


@functools.cache
def widths() -> str:
    """The /W array: every width that is not the default of one em (ISO 32000-1, 9.7.4.3)."""
    below = [char_width(chr(code)) for code in range(_EAST)]
    entries, start = [], 0
    while start < _EAST:
        end = start
        while end < _EAST and below[end] == below[start]:
            end += 1
        if end - start > 2:
            entries.append(f"{start} {end - 1} {below[start]}")
        else:
            while end < _EAST and len(set(below[end : end + 3])) > 1:
                end += 1
            entries.append(f"{start} [{' '.join(map(str, below[start:end]))}]")
        start = end
    entries += [f"{low} {high} {_OTHER}" for low, high in _NARROW_EAST]
    return f"[{' '.join(entries)}]"


@functools.cache
def gid_map() -> bytes:
    """The /CIDToGIDMap: every code shows glyph 1, the empty one."""
    return b"\x00\x01" * 0x10000


@functools.cache
def glyphless() -> bytes:
    """A TrueType font of two empty glyphs, an em of 1000 units and the metrics above."""
    ascent, descent = int(ASCENT * 1000), -int(DESCENT * 1000)
    head = struct.pack(
        ">IIIIHHQQhhhhHHhhh",
        *(0x10000, 0x10000, 0, 0x5F0F3CF5, 0, 1000, 0, 0),
        *(0, descent, 1000, ascent, 0, 8, 2, 0, 0),
    )
    hhea = struct.pack(">IhhhHhhhhhh8xhH", 0x10000, ascent, descent, 0, 1000, *(0,) * 7, 1)
    hmtx = struct.pack(">Hhh", 1000, 0, 0)
    maxp = struct.pack(">IH26x", 0x10000, 2)
    loca = struct.pack(">HHH", 0, 0, 0)
    cmap = struct.pack(">HHHHI", 0, 1, 3, 1, 12) + struct.pack(
        ">HHHHHHHHHHHH", 4, 24, 0, 2, 2, 0, 0, 0xFFFF, 0, 0xFFFF, 1, 0
    )
    post = struct.pack(">IIhhI16x", 0x30000, 0, 0, 0, 1)
    return _sfnt(
        {
            b"cmap": cmap,
            b"glyf": b"\0\0\0\0",
            b"head": head,
            b"hhea": hhea,
            b"hmtx": hmtx,
            b"loca": loca,
            b"maxp": maxp,
            b"post": post,
        }
    )


def _sfnt(tables: dict[bytes, bytes]) -> bytes:
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
        directory += struct.pack(">4sIII", tag, _checksum(padded), offset + len(body), len(data))
        body += padded
    font = bytearray(header + directory + body)
    adjust = offset + body.index(tables[b"head"]) + 8  # checkSumAdjustment
    font[adjust : adjust + 4] = struct.pack(">I", (0xB1B0AFBA - _checksum(font)) & 0xFFFFFFFF)
    return bytes(font)


def _checksum(data: bytes | bytearray) -> int:
    return int(sum(struct.unpack(f">{len(data) // 4}I", data)) & 0xFFFFFFFF)


def _ranges_without(codes: list[int]) -> list[tuple[int, int]]:
    """The codes 0 … FFFF in ranges, less the given ones (sorted)."""
    ranges, first = [], 0
    for code in [*codes, 0x10000]:
        if first < code:
            ranges.append((first, code - 1))
        first = code + 1
    return ranges


def _sections(kind: str, lines: list[str]) -> str:
    """CMap sections of at most 100 entries each."""
    chunks = [lines[start : start + 100] for start in range(0, len(lines), 100)]
    return "".join(
        f"{len(chunk)} begin{kind}\n" + "\n".join(chunk) + f"\nend{kind}\n" for chunk in chunks
    )


_CMAP_HEAD = """/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
"""
_CMAP_TAIL = """endcmap
CMapName currentdict /CMap defineresource pop
end
end
"""
