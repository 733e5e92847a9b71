"""The font of invisible text: a few kilobytes for all of Unicode.

Text under a scan is never drawn (ISO 32000-1, 9.3.6: rendering mode 3).  Viewers need the width of
each character to highlight the right place, its Unicode value to search and copy, and some
(PDFium) an outline: each glyph is a box as wide as its advance.  Codes are UTF-16 units;
characters beyond U+FFFF get codes of the private use area in the order in which they occur.
"""

from __future__ import annotations

import functools
import unicodedata
from importlib import resources

from ocrd.document.incremental_pdf import LayeredPdf
from ocrd.pdffile import pymupdf

NAME = "OcrdText"
ASCENT, DESCENT = 0.8, 0.2  # of an em: together one, so that a line's height is its font size
FACES = ("helv", "tiro", "cour")  # MuPDF's names for sans serif, serif and monospaced type

_OTHER = 556  # the commonest width: digits and most small letters
_FULL = 1000
_GREEK, _GENERAL = 0x370, 0x2000  # between them, even marks are taken to have the commonest width
_EAST = 0x2E80  # from here on characters fill a square …
_NARROW_EAST = ((0xFB00, 0xFE2F), (0xFF61, 0xFFDF))  # … but for these
_PRIVATE_FROM, _PRIVATE_TO = 0xE000, 0xF8FF
_REPLACEMENT = 0xFFFD
_LAST_OF_PLANE = "\uffff"  # up to here, a character's code is its code point

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


@functools.cache
def char_width(char: str, face: str = FACES[0]) -> int:
    """The advance of a character in thousandths of an em, about as in print."""
    code = ord(char)
    if code >= _EAST:
        return _OTHER if any(low <= code <= high for low, high in _NARROW_EAST) else _FULL
    if unicodedata.category(char) in ("Cc", "Cf", "Mn", "Me"):
        return 0 if code < _GREEK or code >= _GENERAL else _OTHER
    plain = unicodedata.normalize("NFD", char)[0]  # accents do not widen a letter
    if not " " <= plain < "\x7f":
        return _OTHER if face != "cour" else 600
    advance: float = _metrics(face).glyph_advance(ord(plain))
    return round(1000 * advance)


def text_width(text: str, face: str = FACES[0]) -> float:
    """The natural width of a text, in ems."""
    return sum(char_width(char, face) for char in text) / 1000


class LayerFont:
    """The font in one PDF, added when it is first needed and shared by all pages."""

    def __init__(self, pdf: LayeredPdf) -> None:
        self._pdf = pdf
        self._beyond: dict[str, int] = {}
        self._xref = self._to_unicode = 0

    @property
    def xref(self) -> int:
        """The font's object number; adds the font to the PDF if necessary."""
        if not self._xref:
            self._enter()
        return self._xref

    def encode(self, text: str) -> str:
        """The text as hex digits for a PDF string."""
        if max(text, default="") <= _LAST_OF_PLANE:
            return text.encode("utf-16-be", "surrogatepass").hex().upper()
        return "".join(f"{self._code(char):04X}" for char in text)

    def finish(self) -> None:
        """Write the final map from codes to text."""
        if self._xref:
            self._pdf.put_stream(self._to_unicode, self.to_unicode())

    def to_unicode(self) -> bytes:
        """The CMap that maps codes to text."""
        ranges, first = [], 0
        for code in [*sorted(self._beyond.values()), 0x10000]:
            if first < code:
                ranges.append(f"<{first:04X}> <{code - 1:04X}> <{first:04X}>")
            first = code + 1
        chars = [
            f"<{code:04X}> <{char.encode('utf-16-be').hex().upper()}>"
            for char, code in sorted(self._beyond.items(), key=lambda item: item[1])
        ]
        body = _sections("bfrange", ranges) + _sections("bfchar", chars)
        return (_CMAP_HEAD + body + _CMAP_TAIL).encode("ascii")

    def _code(self, char: str) -> int:
        code = ord(char)
        if code <= 0xFFFF:
            return code
        free = _PRIVATE_TO - len(self._beyond)
        if char not in self._beyond and free < _PRIVATE_FROM:
            return _REPLACEMENT
        return self._beyond.setdefault(char, free)

    def _enter(self) -> None:
        pdf = self._pdf
        file = _data("font.ttf")
        program = pdf.add_object(f"<</Length1 {len(file)}>>", file)
        glyphs = pdf.add_deflated(_data("cidtogid.z"))
        self._to_unicode = pdf.add_object("<<>>", self.to_unicode())
        top, foot = round(ASCENT * 1000), -round(DESCENT * 1000)
        descriptor = pdf.add_object(
            f"<</Type/FontDescriptor/FontName/{NAME}/Flags 4/ItalicAngle 0/StemV 80"
            f"/Ascent {top}/Descent {foot}/CapHeight 700/FontBBox[0 {foot} 1015 {top}]"
            f"/FontFile2 {program} 0 R>>"
        )
        descendant = pdf.add_object(
            f"<</Type/Font/Subtype/CIDFontType2/BaseFont/{NAME}/FontDescriptor {descriptor} 0 R"
            "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
            f"/DW 1000/W {_data('widths.txt').decode()}/CIDToGIDMap {glyphs} 0 R>>"
        )
        self._xref = pdf.add_object(
            f"<</Type/Font/Subtype/Type0/BaseFont/{NAME}/Encoding/Identity-H"
            f"/DescendantFonts[{descendant} 0 R]/ToUnicode {self._to_unicode} 0 R>>"
        )


@functools.cache
def _metrics(face: str) -> pymupdf.Font:
    return pymupdf.Font(face)


@functools.cache
def _data(name: str) -> bytes:
    return resources.files("ocrd.document").joinpath("glyphless", name).read_bytes()


def _sections(kind: str, lines: list[str]) -> str:
    """CMap sections of at most 100 entries each."""
    chunks = [lines[start : start + 100] for start in range(0, len(lines), 100)]
    return "".join(
        f"{len(chunk)} begin{kind}\n" + "\n".join(chunk) + f"\nend{kind}\n" for chunk in chunks
    )
