"""The XMP metadata of a PDF: its title and dates, and the claim that it is PDF/A."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape

from ocrd.document.plain import tidy
from ocrd.pdffile import Document

_CLAIM = re.compile(r"pdfaid:part\s*(?:=\s*[\"']|>)\s*(\d)")
_LEVEL = re.compile(r"(pdfaid:conformance\s*(?:=\s*[\"']|>)\s*)[Aa]")
_PRODUCER = re.compile(r"(<pdf:Producer>|pdf:Producer=\")[^<\"]*")
_CLAIMS = re.compile(
    r"\s+pdfaid:\w+\s*=\s*(?:\"[^\"]*\"|'[^']*')|<pdfaid:(\w+)>[^<]*</pdfaid:\1>\s*"
)
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([+-])(\d\d)'?(\d\d)?'?|Z)?")
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/" \
xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/" \
xmlns:xmp="http://ns.adobe.com/xap/1.0/">
<pdfaid:part>{part}</pdfaid:part>
<pdfaid:conformance>B</pdfaid:conformance>
{entries}
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
_ENTRIES = {
    "title": '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:title>',
    "author": "<dc:creator><rdf:Seq><rdf:li>{}</rdf:li></rdf:Seq></dc:creator>",
    "subject": "<dc:description><rdf:Alt>"
    '<rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description>',
    "keywords": "<pdf:Keywords>{}</pdf:Keywords>",
    "producer": "<pdf:Producer>{}</pdf:Producer>",
    "creator": "<xmp:CreatorTool>{}</xmp:CreatorTool>",
}
_DATES = {"creationDate": "xmp:CreateDate", "modDate": "xmp:ModifyDate"}


def packet(told: Mapping[str, str | None], part: int) -> bytes:
    """The XMP packet of a PDF/A-`part`b, from PyMuPDF's `Document.metadata`."""
    entries = [
        form.format(escape(tidy(value))) for key, form in _ENTRIES.items() if (value := told[key])
    ]
    for key, name in _DATES.items():
        if date := _isotime(told[key] or ""):
            entries.append(f"<{name}>{date}</{name}>")
    whole = _PACKET.format(part=part, entries="\n".join(entries))
    return whole.encode("utf-8", "replace")


def pdfa_claim(document: Document) -> int | None:
    """The part of PDF/A that a document claims to follow; None if it claims none."""
    claim = _CLAIM.search(_xmp(document)[1])
    return int(claim[1]) if claim else None


def say_in_xmp(document: Document, producer: str, *, untagged: bool) -> bool:
    """Name the producer in the XMP of a PDF/A, whose Info and XMP must agree.

    `untagged` means that content without tags was added: a claim of level A becomes level B.

    Returns:
        Whether Info may name the producer.
    """
    xref, xmp = _xmp(document)
    if not _CLAIM.search(xmp):
        return True
    told, count = _PRODUCER.subn(lambda match: match[1] + escape(producer), xmp)
    if untagged:
        told = _LEVEL.sub(r"\1B", told)
    if told != xmp:
        document.update_stream(xref, told.encode(), compress=0)
    return bool(count)


def withdraw_claim(document: Document) -> None:
    """Remove the claim to be PDF/A from a document's XMP; everything else in it stays."""
    xref, xmp = _xmp(document)
    document.update_stream(xref, _CLAIMS.sub("", xmp).encode(), compress=0)


def _xmp(document: Document) -> tuple[int, str]:
    kind, value = document.xref_get_key(document.pdf_catalog(), "Metadata")
    if kind != "xref":
        return 0, ""
    xref = int(value.split()[0])
    return xref, (document.xref_stream(xref) or b"").decode("utf-8", "replace")


def _isotime(date: str) -> str:
    """A PDF date (ISO 32000-1, 7.9.4) in XMP's form; empty if it is no date."""
    found = _DATE.match(date)
    if found is None:
        return ""
    year, month, day, hour, minute, second, sign, ahead, minutes = found.groups()
    zone = f"{sign}{ahead}:{minutes or '00'}" if sign else "Z"
    time = f"T{hour}:{minute or '00'}:{second or '00'}{zone}" if hour else ""
    return f"{year}-{month or '01'}-{day or '01'}{time}"
