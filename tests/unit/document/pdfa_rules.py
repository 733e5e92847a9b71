"""A checker of PDF/A-2b and 3b: rules that veraPDF checks, as far as results can break them.

It reads files by qpdf, which nothing here writes with.  Numbers are clauses of ISO 19005-2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pikepdf
from lxml import etree
from pikepdf import Name

Found = Iterator[str]
Dictionary: Any = pikepdf.Dictionary  # its types do not tell a dictionary from a number
_XMP = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "pdfaid": "http://www.aiim.org/pdfa/ns/id/",
}
_FORBIDDEN_ACTIONS = {
    "/JavaScript", "/Launch", "/Sound", "/Movie", "/ResetForm", "/ImportData", "/Hide",
    "/SetOCGState", "/Rendition", "/Trans", "/GoTo3DView",
}  # fmt: skip
_FORBIDDEN_NOTES = {"/3D", "/Sound", "/Screen", "/Movie", "/RichMedia", "/TrapNet"}
_OPERATORS = re.compile(  # ISO 32000-1, annex A
    r"[bBfW]\*?|B(DC|I|MC|T|X)|c[sm]?|CS|d[01]?|D[oP]|E(I|MC|T|X)|F|Gs?|gs?|h|i|ID|[jJkKlmMnqQsSvwy]"
    r"|MP|re|RG|rg|ri|SCN?|scn?|sh|T[*cdDfjJLmrswz]|['\"]|INLINE IMAGE"
)


def faults(path: Path) -> list[str]:
    """What is not as PDF/A demands."""
    data = path.read_bytes()
    with pikepdf.open(path) as pdf:
        checker = _Checker(pdf)
        return [*_of_the_file(data, pdf), *checker.document(), *checker.objects(), *checker.pages()]


def part_of(path: Path) -> int:
    """Which part the file says that it follows."""
    with pikepdf.open(path) as pdf:
        found = _xmp(pdf).find(".//pdfaid:part", _XMP)
        assert found is not None and found.text
        return int(found.text)


def _of_the_file(data: bytes, pdf: pikepdf.Pdf) -> Found:
    head, _, rest = data.partition(b"\n")
    if not re.fullmatch(rb"%PDF-1\.[0-7]", head.rstrip(b"\r")):
        yield f"6.1.2 header {head!r}"
    if rest[:1] != b"%" or any(byte < 128 for byte in rest[1:5]):
        yield "6.1.2 no comment of four high bytes"
    if not data.rstrip(b"\r\n").endswith(b"%%EOF"):
        yield "6.1.3 something follows the end"
    if "/ID" not in pdf.trailer or not all(bytes(part) for part in pdf.trailer["/ID"]):
        yield "6.1.3 no identifier"
    if pdf.is_encrypted:
        yield "6.1.3 encrypted"


def _xmp(pdf: pikepdf.Pdf) -> Any:
    return etree.fromstring(pdf.Root.Metadata.read_bytes())


class _Checker:
    def __init__(self, pdf: pikepdf.Pdf) -> None:
        self._pdf = pdf
        self._part = 0
        self._seen: set[tuple[int, int]] = set()

    def document(self) -> Found:
        root = self._pdf.Root
        yield from self._catalog(root)
        if "/Metadata" not in root or "/Filter" in root.Metadata:
            yield "6.6.2 no metadata, or packed"
            return
        xmp = _xmp(self._pdf)
        told = {key: xmp.find(f".//pdfaid:{key}", _XMP) for key in ("part", "conformance")}
        if any(node is None for node in told.values()):
            yield "6.6.4 no claim"
            return
        self._part = int(told["part"].text)
        if self._part not in (2, 3) or told["conformance"].text != "B":
            yield "6.6.4 another claim"

    def _catalog(self, root: Any) -> Found:
        intents = [each for each in root.get("/OutputIntents", []) if each.S == "/GTS_PDFA1"]
        if len(intents) != 1 or not _is_srgb(intents[0].DestOutputProfile):
            yield "6.2.3 no sRGB as output intent"
        for key in ("/AA", "/Requirements", "/NeedsRendering", "/Version"):
            if key in root:
                yield f"6.5/6.4/6.11 {key} in the catalog"
        if "/AcroForm" in root and {"/XFA", "/NeedAppearances"} & set(root.AcroForm.keys()):
            yield "6.4 XFA"
        if "/Names" in root and {"/JavaScript", "/AlternatePresentations"} & set(root.Names.keys()):
            yield "6.5.1 scripts by name"
        layers = root.get("/OCProperties", Dictionary(D=Dictionary(Name="none")))
        for each in [layers.D, *layers.get("/Configs", [])]:
            if "/Name" not in each or "/AS" in each:
                yield "6.9 layers"

    def objects(self) -> Found:
        """Rules for whatever the catalog leads to, wherever it stands."""
        attached = []
        for node in _reachable(self._pdf):
            if isinstance(node, pikepdf.Stream):
                yield from _stream(node)
            if str(node.get("/S", "")) in _FORBIDDEN_ACTIONS:
                yield f"6.5.1 action {node.S}"
            if "/AA" in node and {"/Type", "/FT", "/Subtype"} & set(node.keys()):
                yield "6.5.2 additional actions"
            if "/EF" in node:
                attached.append(node)
        yield from self._attached(attached)

    def _attached(self, attached: list[Any]) -> Found:
        for file in attached:
            if self._part != 3:
                yield "6.8 files attached"
            if not {"/F", "/UF", "/AFRelationship"} <= set(file.keys()):
                yield "19005-3 6.8 file specification"
            if "/Subtype" not in file.EF.F:
                yield "19005-3 6.8 no media type"
            if not any(each.objgen == file.objgen for each in self._pdf.Root.get("/AF", [])):
                yield "19005-3 6.8 associated with nothing"

    def pages(self) -> Found:
        for number, page in enumerate(self._pdf.pages, start=1):
            for fault in self._page(page.obj):
                yield f"page {number}: {fault}"

    def _page(self, page: Any) -> Found:
        if "/PresSteps" in page:
            yield "6.10 presentation steps"
        left, bottom, right, top = map(float, page.MediaBox)
        if not (3 <= right - left <= 14400 and 3 <= top - bottom <= 14400):
            yield "6.1.13 size of the page"
        if "/Resources" not in page:
            yield "6.2.2 inherited resources"
        yield from self._drawn(pikepdf.Page(page), page.get("/Resources", Dictionary()))
        yield from self._colours(page.get("/Group", Dictionary()).get("/CS"))
        for note in page.get("/Annots", []):
            yield from self._annotation(note)

    def _annotation(self, note: Any) -> Found:
        kind, flags = str(note.Subtype), int(note.get("/F", 0))
        if kind in _FORBIDDEN_NOTES or (kind == "/FileAttachment" and self._part != 3):
            yield f"6.3.1 annotation {kind}"
        if kind != "/Popup" and (not flags & 4 or flags & (1 | 2 | 32 | 256)):
            yield f"6.3.2 flags of {kind}"
        if kind == "/Widget" and {"/A", "/AA"} & set(note.keys()):
            yield "6.4.1 actions of a field"
        if kind in ("/Popup", "/Link"):
            return
        if "/AP" not in note or set(note.AP.keys()) != {"/N"}:
            yield f"6.3.3 appearance of {kind}"
            return
        shown = note.AP.N
        for form in [shown] if isinstance(shown, pikepdf.Stream) else shown.values():
            yield from self._once(form, self._form)

    def _once(self, node: Any, look: Any) -> Found:
        key = node.objgen
        if key == (0, 0) or key not in self._seen:
            self._seen.add(key)
            yield from look(node)

    def _drawn(self, holder: Any, resources: Any) -> Found:
        """What is drawn, and with what."""
        parsed: Any = pikepdf.parse_content_stream(holder)
        content = [(list(operands), str(each)) for operands, each in parsed]
        yield from _operators(content)
        visible = _fonts_used(content)
        for name, value in resources.get("/Font", {}).items():
            if name in visible:
                yield from self._font(value, visible=visible[name])
        for value in resources.get("/ColorSpace", {}).values():
            yield from self._colours(value)
        for value in resources.get("/XObject", {}).values():
            yield from self._once(value, self._form if value.Subtype == "/Form" else self._image)
        for value in resources.get("/ExtGState", {}).values():
            if {"/TR", "/HTP"} & set(value.keys()):
                yield "6.2.5 graphics state"
        for value in resources.get("/Shading", {}).values():
            yield from self._colours(value.get("/ColorSpace"))

    def _form(self, form: Any) -> Found:
        if {"/OPI", "/Ref", "/PS", "/Subtype2"} & set(form.keys()):
            yield "6.2.9 form"
        yield from self._colours(form.get("/Group", Dictionary()).get("/CS"))
        yield from self._drawn(form, form.get("/Resources", Dictionary()))

    def _image(self, image: Any) -> Found:
        if {"/OPI", "/Alternates"} & set(image.keys()) or image.get("/Interpolate", False):
            yield "6.2.8 image"
        yield from self._colours(image.get("/ColorSpace"))
        if "JPX" in str(image.get("/Filter", "")):
            yield from _jpeg2000(image.read_raw_bytes())

    def _colours(self, space: Any) -> Found:
        if isinstance(space, Name) and space == "/DeviceCMYK":
            yield "6.2.4.3 four inks"
        if isinstance(space, pikepdf.Array):
            kind = str(space[0])
            if kind == "/ICCBased":
                profile = space[1].read_bytes()
                if {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}[int(space[1].N)] != profile[16:20]:
                    yield "6.2.4.2 profile"
            elif kind in ("/Indexed", "/Separation", "/DeviceN", "/DeviceCMYK"):
                yield from self._colours(space[{"/Indexed": 1, "/DeviceCMYK": 0}.get(kind, 2)])

    def _font(self, font: Any, *, visible: bool) -> Found:
        if font.Subtype == "/Type3":
            return
        holder = font.DescendantFonts[0] if font.Subtype == "/Type0" else font
        files = holder.get("/FontDescriptor", Dictionary()).keys() & {
            "/FontFile", "/FontFile2", "/FontFile3",
        }  # fmt: skip
        if visible and not files:
            yield f"6.2.11.4 {font.get('/BaseFont')} is not embedded"
        if holder.Subtype == "/CIDFontType2" and files and "/CIDToGIDMap" not in holder:
            yield "6.2.11.3 no map of glyphs"


def _operators(content: list[tuple[list[Any], str]]) -> Found:
    depth = deepest = 0
    for operands, said in content:
        if not _OPERATORS.fullmatch(said):
            yield f"6.2.2 operator {said}"
        depth += {"q": 1, "Q": -1}.get(said, 0)
        deepest = max(depth, deepest)
        if said in ("k", "K") or (said in ("cs", "CS") and operands[0] == "/DeviceCMYK"):
            yield "6.2.4.3 four inks"
        if said == "INLINE IMAGE" and "LZW" in str(operands[0].filters):
            yield "6.1.10 inline image"
    if deepest > 28:
        yield "6.1.13 states nested too deep"


def _fonts_used(content: list[tuple[list[Any], str]]) -> dict[str, bool]:
    """The fonts that text is set in, and whether any of it is seen."""
    used: dict[str, bool] = {}
    font, seen, kept = "", True, []
    for operands, said in content:
        if said == "q":
            kept.append((font, seen))
        elif said == "Q" and kept:
            font, seen = kept.pop()
        elif said == "Tr":
            seen = int(operands[0]) != 3
        elif said == "Tf":
            font = str(operands[0])
        elif said in ("Tj", "TJ", "'", '"'):
            used[font] = used.get(font, False) or seen
    return used


def _stream(node: Any) -> Found:
    filters: Any = node.get("/Filter", [])
    names = [filters] if isinstance(filters, Name) else list(filters)
    if {"/LZWDecode", "/Crypt"} & set(map(str, names)):
        yield "6.1.7.2 filter"
    if {"/F", "/FFilter", "/FDecodeParms"} & set(node.keys()):
        yield "6.1.7.1 stream elsewhere"


def _reachable(pdf: pikepdf.Pdf) -> Iterator[Any]:
    """Every dictionary and stream that the catalog leads to."""
    seen: set[tuple[int, int]] = set()
    waiting: list[Any] = [pdf.Root]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, pikepdf.Dictionary | pikepdf.Stream | pikepdf.Array):
            continue
        if node.objgen != (0, 0) and node.objgen in seen:
            continue
        seen.add(node.objgen)
        if isinstance(node, pikepdf.Array):
            waiting += list(node)
        else:
            yield node
            waiting += [node[key] for key in node.keys()]  # noqa: SIM118 - no mapping


def _is_srgb(profile: Any) -> bool:
    data = profile.read_bytes()
    signature, kind, space = data[36:40], data[12:16], data[16:20]
    return (
        (signature, kind, space) == (b"acsp", b"mntr", b"RGB ")
        and int(profile.N) == 3
        and (data[8] in (2, 4) and struct.unpack(">I", data[:4])[0] == len(data))
    )


def _jpeg2000(data: bytes) -> Found:
    """6.2.8.3: a file of boxes with a colour space that can be told, not a bare code stream."""
    if data[4:12] != b"jP  \r\n\x87\n":
        yield "6.2.8.3 bare code stream"
        return
    header = data.find(b"ihdr")
    count, depth = struct.unpack(">HB", data[header + 12 : header + 15])
    if count not in (1, 3, 4) or depth & 0x7F > 37:
        yield "6.2.8.3 channels"
    if data.count(b"colr") != 1 or data[data.find(b"colr") + 4] not in (1, 2, 3):
        yield "6.2.8.3 colours"
