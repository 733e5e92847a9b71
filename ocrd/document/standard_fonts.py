"""Embeds the 14 standard fonts, which every viewer once had to have, where a PDF only names them.

ISO 32000-1, 9.6.2.2, lists them.  MuPDF includes URW's fonts of the same widths, whose licence
(AGPL, with an exception for documents) allows embedding them in any PDF.
"""

from __future__ import annotations

import re

from ocrd.document.pdf_objects import Object, get, items_of, mupdf, name_of
from ocrd.pdffile import pymupdf

_FAMILIES = (  # what a name begins with, MuPDF's names: regular, bold, italic, both
    (r"helvetica|arial(?!.?(?:narrow|black|unicode|rounded))", ("helv", "hebo", "heit", "hebi")),
    (r"times(?:newroman|$|[-,](?:roman|bold|italic))", ("tiro", "tibo", "tiit", "tibi")),
    (r"courier", ("cour", "cobo", "coit", "cobi")),
    (r"symbol(?:mt)?$", ("symb",) * 4),
    (r"zapfdingbats", ("zadb",) * 4),
)
_SYMBOLIC, _PLAIN, _FIXED, _SERIF, _ITALIC = 4, 32, 1, 2, 64  # flags (ISO 32000-1, 9.8.2)
_OFF = 2.0  # thousandths of an em by which a width may differ
_CODES = 256


def standard_font(name: str) -> str | None:
    """MuPDF's name for the equivalent of a standard font; None for any other font."""
    plain = re.sub(r"^[A-Z]{6}\+|\s", "", name).lower()
    family = next((faces for begins, faces in _FAMILIES if re.match(begins, plain)), None)
    bold, italic = "bold" in plain, "italic" in plain or "oblique" in plain
    return family[bold + 2 * italic] if family else None


class StandardFonts:
    """Embeds standard fonts in one document, each font program once."""

    def __init__(self) -> None:
        self._descriptors: dict[str, int] = {}

    def embed(self, font: Object) -> bool:
        """Embed the equivalent of a simple font; whether there is one with the same widths.

        The font dictionary `font` is changed only if there is.
        """
        face = standard_font(name_of(font, "BaseFont"))
        if face is None or name_of(font, "Subtype") not in ("Type1", "TrueType"):
            return False
        if not _has_all(face, font):
            return False
        document, trial = mupdf.pdf_get_bound_document(font), mupdf.pdf_copy_dict(font)
        if face not in self._descriptors:
            self._descriptors[face] = mupdf.pdf_to_num(_descriptor(document, face))
        descriptor = mupdf.pdf_new_indirect(document, self._descriptors[face], 0)
        mupdf.pdf_dict_puts(trial, "Subtype", mupdf.pdf_new_name("Type1"))
        mupdf.pdf_dict_puts(trial, "FontDescriptor", descriptor)
        mupdf.pdf_dict_puts(trial, "BaseFont", get(descriptor, "FontName"))
        widths = _widths(document, trial)
        if not _as_wide(font, widths):
            return False
        array = mupdf.pdf_new_array(document, _CODES)
        for width in widths:
            mupdf.pdf_array_push_real(array, width)
        mupdf.pdf_dict_puts(trial, "FirstChar", mupdf.pdf_new_int(0))
        mupdf.pdf_dict_puts(trial, "LastChar", mupdf.pdf_new_int(_CODES - 1))
        mupdf.pdf_dict_puts(trial, "Widths", array)
        for key in ("Subtype", "FontDescriptor", "BaseFont", "FirstChar", "LastChar", "Widths"):
            mupdf.pdf_dict_puts(font, key, get(trial, key))
        return True


def _descriptor(document: Object, face: str) -> Object:
    """Add a font's program and its descriptor to the document; the descriptor."""
    program = pymupdf.Font(face)
    data = mupdf.pdf_add_stream(
        document,
        mupdf.fz_new_buffer_from_copied_data(bytes(program.buffer)),
        mupdf.pdf_new_dict(document, 2),
        0,
    )
    mupdf.pdf_dict_puts(data, "Subtype", mupdf.pdf_new_name("Type1C"))
    flags = _SYMBOLIC if face in ("symb", "zadb") else _PLAIN
    flags |= _FIXED * face.startswith("co") | _SERIF * face.startswith("ti")
    italic = face[2:] in ("it", "bi")
    figures = {
        "Flags": flags | _ITALIC * italic,
        "ItalicAngle": -12 * italic,
        "Ascent": round(1000 * program.ascender),
        "Descent": round(1000 * program.descender),
        "CapHeight": 720,
        "StemV": 140 if face[2:] in ("bo", "bi") else 80,
    }
    descriptor = mupdf.pdf_new_dict(document, 10)
    mupdf.pdf_dict_puts(descriptor, "Type", mupdf.pdf_new_name("FontDescriptor"))
    mupdf.pdf_dict_puts(descriptor, "FontName", mupdf.pdf_new_name(program.name))
    for key, figure in figures.items():
        mupdf.pdf_dict_puts(descriptor, key, mupdf.pdf_new_int(figure))
    box = mupdf.pdf_new_array(document, 4)
    for edge in (program.bbox.x0, program.bbox.y0, program.bbox.x1, program.bbox.y1):
        mupdf.pdf_array_push_int(box, round(1000 * edge))
    mupdf.pdf_dict_puts(descriptor, "FontBBox", box)
    mupdf.pdf_dict_puts(descriptor, "FontFile3", data)
    return mupdf.pdf_add_object(document, descriptor)


def _widths(document: Object, font: Object) -> list[float]:
    """The width for each code by the font's encoding, in thousandths of an em."""
    loaded = mupdf.ll_pdf_load_font(document.m_internal, None, font.m_internal)
    glyphs = [mupdf.ll_pdf_font_cid_to_gid(loaded, code) for code in range(_CODES)]
    widths = [1000 * mupdf.ll_fz_advance_glyph(loaded.font, glyph, 0) for glyph in glyphs]
    mupdf.ll_pdf_drop_font(loaded)
    return widths


def _has_all(face: str, font: Object) -> bool:
    """Whether the face has all glyphs that a font's own encoding names."""
    program = pymupdf.Font(face).this
    entries = items_of(get(get(font, "Encoding"), "Differences"))
    names = {str(mupdf.pdf_to_name(entry)) for entry in entries if mupdf.pdf_is_name(entry)}
    known = mupdf.fz_encode_character_by_glyph_name
    return all(known(program, name) > 0 for name in names - {".notdef"})


def _as_wide(font: Object, widths: list[float]) -> bool:
    """Whether these widths agree with those that a font states, if it states any."""
    told, first = get(font, "Widths"), get(font, "FirstChar")
    for at in range(mupdf.pdf_array_len(told)):
        width, code = mupdf.pdf_array_get_real(told, at), mupdf.pdf_to_int(first) + at
        if width and not (0 <= code < _CODES and abs(width - widths[code]) <= _OFF):
            return False
    return True
