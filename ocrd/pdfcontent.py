"""Whether the drawing operators of a PDF page are all there.  In child processes only.

MuPDF draws what it can of a page whose content breaks off, and says nothing where the rest would
have been.
"""

from __future__ import annotations

import re
import zlib

from ocrd.pdffile import Document, PdfPage

_CUT = "its content breaks off in the file"
_FLUSHED = b"\0\0\xff\xff"  # ends data that a program flushed but never finished: all is there
_AT_ONCE = 1 << 20  # bytes
_TAIL = 1 << 18  # bytes at the end of a page's operators: these are looked at, in 0.1 s at most
_INLINE_PICTURE = re.compile(rb"EI(?=[\s\0]|$)")
_OPENING, _VALUES = (b"[", b"<<"), (b"true", b"false", b"null")
_DEEPEST = 4  # parentheses within a string need no escape where they are balanced
_STRING = rb"(?:[^()\\]++|\\.)*+"
for _ in range(_DEEPEST):
    _STRING = rb"(?:[^()\\]++|\\.|\(" + _STRING + rb"\))*+"
_TOKEN = re.compile(
    rb"%[^\r\n]*+"
    rb"|(?P<bracket><<|>>|[\[\]])"
    rb"|(?P<operand>\(" + _STRING + rb"\)|<[^<>]*+>|/[^\s\0()<>\[\]{}/%]*+"
    rb"|[-+.\d][^\s\0()<>\[\]{}/%]*+)"
    rb"|(?P<operator>[^\s\0()<>\[\]{}/%]++)"
    rb"|(?P<broken>[(<])",
    re.DOTALL,
)


def broken_content(page: PdfPage) -> str:
    """Why a page shows less than its author drew, in a few words; empty if nothing is missing.

    Its content and the forms that it draws must be packed to their end, and end after an operator:
    not within a string, an array or a text.
    """
    document, contents = page.parent, page.get_contents()
    forms = {form[0] for form in page.get_xobjects()}
    if any(_is_cut(document, xref) for xref in (*contents, *forms)):
        return _CUT
    streams = [document.xref_stream(form) or b"" for form in forms]
    return _CUT if any(map(_breaks_off, [page.read_contents(), *streams])) else ""


def _is_cut(document: Document, xref: int) -> bool:
    """Whether a stream's packed data end too early or make no sense; a checksum may be missing."""
    if not (xref < document.xref_length() and document.xref_is_stream(xref)):
        return False  # MuPDF complains of it
    if document.xref_get_key(xref, "Filter")[1].strip("[] ") != "/FlateDecode":
        return False
    packed: bytes = document.xref_stream_raw(xref) or b""
    inflater, left = zlib.decompressobj(-zlib.MAX_WBITS), packed[2:]
    try:
        while left and not inflater.eof:
            inflater.decompress(left, _AT_ONCE)
            left = inflater.unconsumed_tail
    except zlib.error:
        return True
    return bool(packed) and not inflater.eof and not packed.endswith(_FLUSHED)


def _breaks_off(content: bytes) -> bool:
    """Whether operators end or go on within a string, an array or a text."""
    tail = content[-_TAIL:]
    pictures = [match.end() for match in _INLINE_PICTURE.finditer(tail)]  # bytes of any kind
    in_text = False
    before = opened = b""  # an operand still without its operator; a bracket still open
    for token in _TOKEN.finditer(tail, pictures[-1] if pictures else 0):
        said = token[0]
        if token["broken"] or said == b"ID":
            return True
        if token["bracket"]:
            opened = said if said in _OPENING else b""
        elif token["operator"] and said not in _VALUES:
            if opened or (before and said in (b"q", b"BT")) or (in_text and said == b"BT"):
                return True
            in_text = said == b"BT" or (in_text and said != b"ET")
        if token.lastgroup:  # it is no comment
            before = b"" if token["operator"] else said
    return bool(in_text or before or opened)
