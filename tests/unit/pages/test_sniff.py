"""What a file is shows in its bytes, whatever its name."""

import io
import zipfile

import pytest

from ocrd.pages.sniff import sniff
from tests.unit.pages.conftest import refused


def zipped(*names: str, stored: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, stored)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"%PDF-1.7\n", "pdf"),
        (b"\xef\xbb\xbf  junk of a mail gateway\r\n%PDF-1.4", "pdf"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image"),
        (b"II*\0\x08\0\0\0", "image"),
        (b"MM\0*\0\0\0\x08", "image"),
        (b"II+\0\x08\0\0\0", "image"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image"),
        (b"GIF89a", "image"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "image"),
        (b"\xff\x4f\xff\x51\0\x2f", "image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "image"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0", "image"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "image"),
        (b"P5 3 2 255\n", "image"),
    ],
)
def test_scans_are_recognised(head: bytes, kind: str) -> None:
    assert sniff(head) == kind


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"Dear Sir or Madam,\n", "a text file"),
        ("Größe".encode("latin-1") + b" of an older time, in one of its encodings", "a text file"),
        ("Größe".encode("utf-16"), "a text file"),
        (zipped("[Content_Types].xml", "word/document.xml"), "a Word document"),
        (zipped("mimetype", stored=b"application/epub+zip"), "EPUB"),
        (zipped("mimetype", stored=b"application/vnd.oasis.opendocument.text"), "OpenDocument"),
        (zipped("photos/1.jpg"), "a ZIP archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "of the old kind"),
        (b"{\\rtf1\\ansi", "RTF"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b'<?xml version="1.0"?>\n<html xmlns="">', "a web page"),
        (b'<?xml version="1.0"?><svg xmlns="">', "SVG"),
        (b'<?xml version="1.0"?><invoice/>', "an XML file"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0", "a video"),
        (b"\x1a\x45\xdf\xa3", "a video"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "a sound recording"),
        (b"\x1f\x8b\x08\0", "an archive"),
        (b"%!PS-Adobe-3.0", "PostScript"),
        (b"AT&TFORM\0\0\0\0DJVM", "DjVu"),
        (b"\x7fELF\x02\x01\x01", "a program"),
        (b"Return-Path: <a@example.org>\r\n", "a mail"),
        (b"X-Mailer: x\r\nTo: a@b.example,\r\n c@d.example\r\nSubject: Hi\r\n\r\nHi", "a mail"),
        (b"Subject: minutes\nof the board, From: nobody\n", "a text file"),
        (zipped("_rels/.rels", "word/document.xml", "[Content_Types].xml"), "a Word document"),
        (zipped("xl/workbook.xml"), "an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "__substg1.0_".encode("utf-16-le"), "MSG"),
        (b"\xef\xbb\xbfFrom: a@b.example\r\nSubject: Hi\r\n\r\nHi", "a mail"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        ("\ufeffDear Sir".encode(), "a text file"),
        (b"\0\0\0\x10ftypmif3mini", "`mini`"),
        (b"\xff\x0a\xfa\x7f\x01\x90", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (bytes(4096), "zero bytes only"),
        (bytes(range(256)), "no kind of file known here"),
    ],
)
def test_everything_else_is_named_for_what_it_looks_like(head: bytes, words: str) -> None:
    with refused("unsupported", match=words, hint="PDF"):
        sniff(head)


def test_an_empty_file_is_called_empty() -> None:
    with refused("empty"):
        sniff(b"")
