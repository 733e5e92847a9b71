"""Finds what a file is by its content; a name proves nothing."""

from __future__ import annotations

import codecs
import os
import re
from typing import BinaryIO

from ocrd.errors import BadFileError
from ocrd.pages.base import Kind

HEAD = 4096  # bytes at the start that show the kind of a file …
_TAIL = 65536  # … and bytes at the end that show what an archive holds

READABLE = "PDF, JPEG, PNG, TIFF, WebP, BMP, GIF, JPEG 2000, HEIC, AVIF or PNM"

_IMAGES = (  # the formats of READABLE, in its order after PDF
    rb"\xff\xd8\xff",
    rb"\x89PNG\r\n\x1a\n",
    rb"(II[*+]\0|MM\0[*+])",
    rb"RIFF....WEBP",
    rb"BM.{12}[\x0c-\x7c]\0\0\0",
    rb"GIF8[79]a",
    rb"(\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51)",
    rb"....ftyp(?!mif3)(hei[cxms]|hev[cxms]|mif1|msf1)",
    rb"....ftypavi[fs]",
    rb"P[1-6]\s",
)

_OLE = rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADER = re.compile(rb"[!-9;-~]{1,60}:[ \t]|[ \t]+\S")  # of a mail, or a continuation line
_OF_MAILS = re.compile(rb"(?im)^(from|to|subject|date|message-id|received|mime-version):[ \t]")

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (rb"....ftyp(mif3|.{4,24}mif3)", "a HEIF picture of the new short form (`mini`)"),
    (rb"PK\x03\x04.{26}mimetypeapplication/epub", "an e-book (EPUB)"),
    (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", "an OpenDocument file"),
    (rb"PK\x03\x04.*\bword/", "a Word document (docx)"),
    (rb"PK\x03\x04.*\bxl/", "an Excel workbook (xlsx)"),
    (rb"PK\x03\x04.*\bppt/", "a PowerPoint presentation (pptx)"),
    (rb"PK\x03\x04.*\[Content_Types\]\.xml", "an Office document"),
    (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive"),
    (_OLE + rb".*_\0_\0s\0u\0b\0s\0t\0g\0", "a mail (Outlook's MSG)"),
    (_OLE + rb".*W\0o\0r\0d\0D\0o\0c\0", "a Word document of the old kind (doc)"),
    (_OLE + rb".*(W\0o\0r\0k\0)?[Bb]\0o\0o\0k\0", "an Excel workbook of the old kind (xls)"),
    (_OLE + rb".*P\0o\0w\0e\0r\0P\0o\0i\0n\0t\0", "a PowerPoint file of the old kind (ppt)"),
    (_OLE, "an Office document of the old kind, or a mail"),
    (rb"\{\\rtf", "an RTF document"),
    (rb"AT&TFORM", "a DjVu document"),
    (rb"%!PS", "a PostScript file"),
    (rb"8BPS", "a Photoshop file"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (rb"....ftyp|.{4}moov|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01[\xba\xb3]", "a video"),
    (rb"RIFF....WAVE|ID3|OggS|fLaC|\xff[\xfb\xf3\xf2]", "a sound recording"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ\0|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd|.{257}ustar", "an archive"),
    (rb"\x7fELF|MZ|\xcf\xfa\xed\xfe", "a program"),
    (rb"SQLite format 3\0", "a database"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)", "a web page"),
    (rb"\s*(<\?xml.*)?<svg", "a vector graphic (SVG)"),
    (rb"\s*<\?xml", "an XML file"),
    (rb"(From |Return-Path:|Received:|MIME-Version:|Delivered-To:)", "a mail"),
)


def sniff_file(file: BinaryIO) -> Kind:
    """The kind of an open file; see `sniff`."""
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, HEAD, 0)
    return sniff(head, os.pread(descriptor, _TAIL, max(size - _TAIL, HEAD)))


def sniff(head: bytes, tail: bytes = b"") -> Kind:
    """The kind of a file that begins with `head` (its first `HEAD` bytes) and ends with `tail`.

    Raises:
        BadFileError: It has no pages; the message says what it looks like.
    """
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if any(re.match(pattern, head, re.DOTALL) for pattern in _IMAGES):
        return "image"
    if not head:
        raise BadFileError(
            "The file is empty.",
            hint="The scanner or the copy was interrupted: scan or copy it again.",
            kind="empty",
        )
    raise BadFileError(
        f"This looks like {_looks_like(head, tail)}, and that has no pages to read.",
        hint=f"Drop a {READABLE} file; print or export other documents to PDF first.",
        kind="unsupported",
    )


def _looks_like(head: bytes, tail: bytes) -> str:
    if not (head + tail).strip(b"\0"):
        return "a file of zero bytes only (an interrupted copy)"
    head = head.removeprefix(codecs.BOM_UTF8)
    for pattern, name in _OTHERS:
        if re.match(pattern, head + tail, re.DOTALL | re.IGNORECASE):
            return name
    if _is_mail(head):
        return "a mail"
    return "a text file" if _is_text(head) else "no kind of file known here"


def _is_mail(head: bytes) -> bool:
    """Whether a file begins with header lines, at least two of them typical of mails."""
    lines = head.partition(b"\r\n\r\n")[0].partition(b"\n\n")[0].splitlines()
    headers = lines if len(head) < HEAD else lines[:-1]  # the last may be cut
    told = {match[1].lower() for match in _OF_MAILS.finditer(b"\n".join(headers))}
    return len(told) > 1 and all(_HEADER.match(line) for line in headers)


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True  # UTF-16
    if any(byte < 9 or 13 < byte < 27 for byte in head):
        return False
    try:
        head[: len(head) - 3].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError:
        return sum(byte > 126 for byte in head) * 4 < len(head)  # an older 8-bit encoding
    return True
