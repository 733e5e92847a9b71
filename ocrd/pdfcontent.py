"""Whether the drawing operators of a PDF page are all there.  In child processes only.

MuPDF draws what it can of a page whose content breaks off, and says nothing where the rest would
have been.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator

from ocrd.pdffile import FAULTS, Document, PdfPage, memory_ran_out

_CUT = "its content breaks off in the file"
_FLUSHED = b"\0\0\xff\xff"  # ends data that a program flushed but never finished: all is there
_AT_ONCE, _MOST = 1 << 20, 1 << 26  # bytes
_TAIL = 1 << 18  # bytes at the end of a page's operators: these are looked at, in 0.1 s at most
_DO = re.compile(rb"/([^\s\0()<>\[\]{}/%]+)\s+Do\b")
_OPENING, _VALUES = (b"[", b"<<"), (b"true", b"false", b"null")
_OPERATORS = frozenset(b"q Q cm BT ET Tf Td Tm Tj TJ BDC EMC Do re m l c f n S W".split())
_DEEPEST = 50  # parentheses within a string need no escape where they are balanced
_STRING = rb"(?:[^()\\]++|\\.)*+"
for _ in range(_DEEPEST):
    _STRING = rb"(?:[^()\\]++|\\.|\(" + _STRING + rb"\))*+"
_TOKEN = re.compile(
    rb"%[^\r\n]*+"
    rb"|(?P<bracket><<|>>|[\[\]])"
    rb"|(?P<operand>\(" + _STRING + rb"\)|<[^<>]*+>|/[^\s\0()<>\[\]{}/%]*+"
    rb"|[-+.\d][^\s\0()<>\[\]{}/%]*+)"
    # a picture among the operators, of bytes of any kind; some programs put no space before its end
    rb"|(?P<operator>ID[\s\0].*?(?<=[\s\0>])EI(?=[\s\0](?:[\0\t\n\r -~]{8}|[\0\t\n\r -~]*+\Z)|\Z)"
    rb"|ID[\s\0].*?EI(?=[\s\0]|\Z)"
    rb"|[^\s\0()<>\[\]{}/%]++)"
    rb"|(?P<broken>[(<])",
    re.DOTALL,
)
# an operator with nothing but text behind it: not in a picture, and hardly in a string
_SURE = re.compile(rb"[\s)>\]](?:ET|EMC|Q|T[jJd]|S|f\*?|n|re|l|c|h|cm)(?=\s[\t\n\r -~]{16})")


def broken_content(page: PdfPage) -> str:
    """Why a page shows less than its author drew, in a few words; empty if nothing is missing.

    Its content and the forms that it draws must be packed to their end, and end after an operator:
    not within a string, an array or a text.  Other damage is for MuPDF to tell of.
    """
    try:
        for cut, operators in _drawn(page):
            if cut or (operators is not None and _breaks_off(operators)):
                return _CUT
    except FAULTS as error:
        memory_ran_out(str(error))
    return ""


def _drawn(page: PdfPage) -> Iterator[tuple[bool, bytes | None]]:
    """Whether the packed data are cut, and the operators, of the page and of each form it draws.

    Some programs give all pages the forms of all of them.  The operators are None if they would
    take too much memory.
    """
    document = page.parent
    size, cut = _unpacked(document, page.get_contents())
    operators = page.read_contents() if size <= _MOST else None
    yield cut, operators
    names = set(_DO.findall(operators or b""))
    forms = page.get_xobjects() if names else []
    while drawn := {form[0] for form in forms if os.fsencode(form[1]) in names}:
        forms = [form for form in forms if form[0] not in drawn]
        for form in drawn:
            size, cut = _unpacked(document, [form])
            operators = document.xref_stream(form) or b"" if size <= _MOST else None
            yield cut, operators
            names.update(_DO.findall(operators or b""))


def _unpacked(document: Document, streams: Iterable[int]) -> tuple[int, bool]:
    """How many bytes the streams have unpacked, and whether any is cut or makes no sense."""
    found = [_unpack(document, xref) for xref in streams]
    return sum(size for size, _ in found), any(cut for _, cut in found)


def _unpack(document: Document, xref: int) -> tuple[int, bool]:
    """How many bytes a stream has without its filter, and whether they are cut or make no sense.

    A checksum may be missing.  Filters other than Flate are not looked into; they unpack to at most
    some 1,400 times as much.
    """
    if not (xref < document.xref_length() and document.xref_is_stream(xref)):
        return 0, False  # MuPDF complains of it
    packed: bytes = document.xref_stream_raw(xref) or b""
    kind = document.xref_get_key(xref, "Filter")[1].strip("[] ")
    if kind != "/FlateDecode":
        return len(packed) * (1 if kind == "null" else 1400), False
    inflater, left, size = zlib.decompressobj(-zlib.MAX_WBITS), packed[2:], 0
    try:
        while left and not inflater.eof:
            size += len(inflater.decompress(left, _AT_ONCE))
            left = inflater.unconsumed_tail
    except zlib.error:
        return size, True
    return size, bool(packed) and not inflater.eof and not packed.endswith(_FLUSHED)


def _breaks_off(content: bytes) -> bool:
    """Whether operators end or go on within a string, an array or a text."""
    start = 0
    if len(content) > _TAIL:
        sure = _SURE.search(content, len(content) - _TAIL)
        start = sure.end() if sure else len(content)
    in_text = False
    before = opened = b""  # an operand still without its operator; a bracket still open
    for token in _TOKEN.finditer(content, start):
        said = token[0]
        if token["broken"] or said == b"ID":
            return True
        if token["bracket"]:
            opened = said if said in _OPENING else b""
        elif token["operator"] and said not in _VALUES:
            if said in _OPERATORS and opened:
                return True
            if (before and said in (b"q", b"BT")) or (in_text and said == b"BT"):
                return True
            in_text = said == b"BT" or (in_text and said != b"ET")
        if token.lastgroup:  # it is no comment
            before = b"" if token["operator"] else said
    return bool(in_text or before or opened)
