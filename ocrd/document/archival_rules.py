"""Finds what PDF/A-2 forbids in a PDF, and removes it where it is invisible.

Numbers in brackets are clauses of ISO 19005-2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress

from ocrd.document.pdf_objects import (
    Object,
    data_of,
    drop,
    get,
    has,
    items_of,
    mupdf,
    name_of,
    object_of,
    values_of,
)
from ocrd.document.standard_fonts import StandardFonts
from ocrd.pdffile import FAULTS, Document, PdfPage, pymupdf
from ocrd.pdftext import visible_fonts

_FORBIDDEN = {  # actions (6.5.1)
    "JavaScript", "Launch", "Sound", "Movie", "ResetForm", "ImportData", "Hide", "SetOCGState",
    "Rendition", "Trans", "GoTo3DView",
}  # fmt: skip
_ANNOTATIONS = {  # types that PDF/A allows (6.3.1)
    "Text", "Link", "FreeText", "Line", "Square", "Circle", "Polygon", "PolyLine", "Highlight",
    "Underline", "Squiggly", "StrikeOut", "Stamp", "Caret", "Ink", "Popup", "FileAttachment",
    "Widget", "Watermark",
}  # fmt: skip
_BARE = frozenset({"Link", "Popup"})  # annotations that need no appearance
_UNSEEN, _PRINT, _TOGGLE = 1 | 2 | 32, 4, 256  # flags of annotations (ISO 32000-1, 12.5.3)
_BLENDS = {  # ISO 32000-1, 11.3.5
    "Normal", "Compatible", "Multiply", "Screen", "Overlay", "Darken", "Lighten", "ColorDodge",
    "ColorBurn", "HardLight", "SoftLight", "Difference", "Exclusion", "Hue", "Saturation", "Color",
    "Luminosity",
}  # fmt: skip
_SUBSET = re.compile(r"^[A-Z]{6}\+")  # of a font of which only some letters are embedded
_PROGRAMS = ("FontFile", "FontFile2", "FontFile3")
_INKS = re.compile(rb"(?:[-+.\d]+\s+){4}[kK]\s|/(?:DeviceCMYK|CMYK)\s+(?:cs|CS)\s")
_INLINE = re.compile(rb"\bBI\b(.{1,400}?)\bID\s", re.DOTALL)
_BAD_INLINE = re.compile(rb"/(LZW|CMYK|DeviceCMYK)\b|/(I|Interpolate)\s+true")
_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_NO_PROFILE = "it has colours of four inks and no profile that says how they look"
_OF_CATALOG = ("AA", "Requirements", "Perms", "Collection", "NeedsRendering", "Version")
_LEAST_SIDE = 3.0  # of a page, in its units (6.1.13)
_DEEPEST = 32


class Inspector:
    """Finds visible content that PDF/A forbids; objects that pages share are inspected once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bool], str] = {}
        self._fonts = True
        self._standard = StandardFonts()

    def fault_of(self, page: PdfPage, *, fonts: bool) -> str:
        """The first fault of a page, in a few words; empty if there is none.

        `fonts` is false where all text is hidden: fonts that draw nothing need not be embedded.
        """
        self._fonts = fonts
        node = object_of(page.parent, page.xref)
        fault = _content_fault(page.read_contents()) or self._resources(get(node, "Resources"))
        annotations = get(node, "Annots")
        for at in range(mupdf.pdf_array_len(annotations)):
            appearance = get(mupdf.pdf_array_get(annotations, at), "AP")
            fault = fault or self._appearance(get(appearance, "N"))
        return fault or self._colours(get(get(node, "Group"), "CS"))

    def _appearance(self, shown: Object) -> str:
        if mupdf.pdf_is_stream(shown):
            return self._once(shown, self._xobject)
        return next(filter(None, (self._once(v, self._xobject) for v in values_of(shown))), "")

    def _resources(self, resources: Object) -> str:
        looks: dict[str, Callable[[Object], str]] = {
            "ColorSpace": self._colours,
            "XObject": self._xobject,
            "Pattern": self._pattern,
            "Shading": self._shading,
            "ExtGState": self._state,
        }
        if self._fonts:
            looks["Font"] = self._font
        for kind, look in looks.items():
            for value in values_of(get(resources, kind)):
                fault = self._once(value, look)
                if fault:
                    return fault
        return ""

    def _once(self, value: Object, look: Callable[[Object], str]) -> str:
        key = (mupdf.pdf_to_num(value), self._fonts)
        if not key[0]:
            return look(value)
        if key not in self._known:
            self._known[key] = ""  # the object may refer to itself
            self._known[key] = look(value)
        return self._known[key]

    def _font(self, font: Object) -> str:
        if name_of(font, "Subtype") == "Type3":
            contents = (_content_fault(data_of(v)) for v in values_of(get(font, "CharProcs")))
            return next(filter(None, contents), "") or self._resources(get(font, "Resources"))
        descendants = get(font, "DescendantFonts")
        holder = mupdf.pdf_array_get(descendants, 0) if mupdf.pdf_is_array(descendants) else font
        descriptor = get(holder, "FontDescriptor")
        if any(mupdf.pdf_is_stream(get(descriptor, key)) for key in _PROGRAMS):
            if name_of(holder, "Subtype") == "CIDFontType2" and not has(holder, "CIDToGIDMap"):
                mupdf.pdf_dict_puts(holder, "CIDToGIDMap", mupdf.pdf_new_name("Identity"))
            return ""
        if self._standard.embed(font):
            return ""
        return f"its font {name_of(font, 'BaseFont') or '(unnamed)'} is not embedded"

    def _colours(self, space: Object) -> str:
        """The fault of a colour space: DeviceCMYK, even as an alternate, has no profile (6.2.4)."""
        if not mupdf.pdf_is_array(space):
            four = mupdf.pdf_is_name(space) and mupdf.pdf_to_name(space) == "DeviceCMYK"
            return _NO_PROFILE if four else ""
        kind = mupdf.pdf_to_name(mupdf.pdf_array_get(space, 0))
        at = {"Indexed": 1, "Pattern": 1, "Separation": 2, "DeviceN": 2, "DeviceCMYK": 0}.get(kind)
        return "" if at is None else self._colours(mupdf.pdf_array_get(space, at))

    def _xobject(self, value: Object) -> str:
        if name_of(value, "Subtype") == "Image":
            return self._image(value)
        if name_of(value, "Subtype") == "PS" or name_of(value, "Subtype2") == "PS":
            return "it has PostScript in it"
        drop(value, "OPI", "Ref", "PS")
        group = self._colours(get(get(value, "Group"), "CS"))
        return group or _content_fault(data_of(value)) or self._resources(get(value, "Resources"))

    def _image(self, image: Object) -> str:
        drop(image, "Alternates", "OPI")
        if mupdf.pdf_to_bool(get(image, "Interpolate")):
            drop(image, "Interpolate")
        filters = get(image, "Filter")
        if mupdf.pdf_is_array(filters):
            filters = mupdf.pdf_array_get(filters, mupdf.pdf_array_len(filters) - 1)
        if mupdf.pdf_to_name(filters) == "JPXDecode":
            packed = mupdf.pdf_load_raw_stream(image).fz_buffer_extract()
            if not bytes(packed).startswith(_JP2):
                return "its JPEG 2000 is a bare code stream"
        mask = get(image, "SMask")
        fault = self._once(mask, self._image) if mupdf.pdf_is_stream(mask) else ""
        return fault or self._colours(get(image, "ColorSpace"))

    def _pattern(self, pattern: Object) -> str:
        if mupdf.pdf_is_stream(pattern):
            content = _content_fault(data_of(pattern))
            return content or self._resources(get(pattern, "Resources"))
        return self._shading(get(pattern, "Shading")) or self._state(get(pattern, "ExtGState"))

    def _shading(self, shading: Object) -> str:
        return self._colours(get(shading, "ColorSpace"))

    def _state(self, state: Object) -> str:
        """The fault of a graphics state; drops its transfer functions and halftones (6.2.5)."""
        drop(state, "TR", "TR2", "HT", "HTP")
        blend = get(state, "BM")
        if mupdf.pdf_is_name(blend) and mupdf.pdf_to_name(blend) not in _BLENDS:
            return f"it blends colours by {mupdf.pdf_to_name(blend)}"
        form = get(get(state, "SMask"), "G")
        return self._once(form, self._xobject) if mupdf.pdf_is_stream(form) else ""


def tidy_page(page: PdfPage) -> None:
    """Remove from a page what PDF/A forbids and nobody sees; complete its resources and size."""
    document = page.parent
    node = object_of(document, page.xref)
    drop(node, "AA", "PresSteps")
    if not has(node, "Resources"):  # they must not be inherited (6.2.2)
        inherited = mupdf.pdf_dict_get_inheritable(node, mupdf.pdf_new_name("Resources"))
        if mupdf.pdf_is_dict(inherited):
            mupdf.pdf_dict_puts(node, "Resources", inherited)
    box = page.mediabox
    if min(box.width, box.height) < _LEAST_SIDE:
        right, top = max(box.x1, box.x0 + _LEAST_SIDE), max(box.y1, box.y0 + _LEAST_SIDE)
        document.xref_set_key(page.xref, "MediaBox", f"[{box.x0} {box.y0} {right} {top}]")
    annotations = get(node, "Annots")
    for at in range(mupdf.pdf_array_len(annotations) - 1, -1, -1):
        if not _kept(mupdf.pdf_array_get(annotations, at)):
            mupdf.pdf_array_delete(annotations, at)


def tidy_document(document: Document) -> bool:
    """Do the same for the rest of the document; whether it has attached files (PDF/A-3b)."""
    catalog = object_of(document, document.pdf_catalog())
    drop(catalog, *_OF_CATALOG)
    drop(get(catalog, "Names"), "JavaScript", "AlternatePresentations")
    drop(get(catalog, "AcroForm"), "XFA", "NeedAppearances")
    layers = get(catalog, "OCProperties")
    configurations = [get(layers, "D"), *items_of(get(layers, "Configs"))]
    for configuration in filter(mupdf.pdf_is_dict, configurations):
        drop(configuration, "AS", "Order")
        if not has(configuration, "Name"):
            mupdf.pdf_dict_puts(configuration, "Name", mupdf.pdf_new_text_string("Layers"))
    files = [each for xref in range(1, document.xref_length()) for each in _files(document, xref)]
    for xref in range(1, document.xref_length()):
        for part in filter(mupdf.pdf_is_dict, _parts(object_of(document, xref))):
            _tidy_actions(part)
        _tidy_stream(document, xref)
    for file in files:
        _tidy_file(file)
    if files and not has(catalog, "AF"):
        references = " ".join(f"{mupdf.pdf_to_num(file)} 0 R" for file in files)
        document.xref_set_key(document.pdf_catalog(), "AF", f"[{references}]")
    return bool(files)


def disproof(document: Document) -> str:
    """What proves that a document is no PDF/A of any part, in a few words; empty if nothing does.

    Only what leaves no doubt counts: scripts, and visible text in fonts that are not embedded.
    Fonts of nothing visible need not be: those of a layer of hidden text, and unused ones.
    """
    scripts = get(get(object_of(document, document.pdf_catalog()), "Names"), "JavaScript")
    if [*items_of(get(scripts, "Names")), *items_of(get(scripts, "Kids"))]:
        return "it has scripts"
    with suppress(*FAULTS):
        for page in document:
            fonts = [(_SUBSET.sub("", font[3]), font[1], font[2]) for font in page.get_fonts()]
            whole = {name for name, program, kind in fonts if program != "n/a" or kind == "Type3"}
            bare = {name for name, *_ in fonts} - whole
            found = bare & visible_fonts(page) if bare else bare
            if found:
                return f"its font {min(found)} is not embedded"
    return ""


def has_intent(document: Document) -> bool:
    """Whether a document has a PDF/A output intent with a profile, which defines colours (6.2.3).

    Some programs claim PDF/A without writing one.
    """
    intents = items_of(get(object_of(document, document.pdf_catalog()), "OutputIntents"))
    return any(
        mupdf.pdf_is_stream(get(intent, "DestOutputProfile"))
        for intent in intents
        if name_of(intent, "S") == "GTS_PDFA1"
    )


def _files(document: Document, xref: int) -> Iterator[Object]:
    """The file specifications in an object; direct ones in an array become indirect objects."""
    pdf, node = pymupdf._as_pdf_document(document), object_of(document, xref)
    if mupdf.pdf_is_stream(get(get(node, "EF"), "F")):
        yield mupdf.pdf_new_indirect(pdf, xref, 0)
    for array in filter(mupdf.pdf_is_array, _parts(node)):
        for at, item in enumerate(items_of(array)):
            if not mupdf.pdf_is_indirect(item) and has(item, "EF"):
                file = mupdf.pdf_add_object(pdf, item)
                mupdf.pdf_array_put(array, at, file)
                yield file


def _parts(node: Object, depth: int = 0) -> Iterator[Object]:
    """An object and, recursively, its direct parts; references are not followed."""
    yield node
    for value in [*values_of(node), *items_of(node)]:
        if depth < _DEEPEST and not mupdf.pdf_is_indirect(value):
            yield from _parts(value, depth + 1)


def _tidy_stream(document: Document, xref: int) -> None:
    """Recompress a stream that uses the LZW or the Crypt filter, which are forbidden (6.1.7.2)."""
    kind, filters = document.xref_get_key(xref, "Filter")
    if document.xref_is_stream(xref) and kind != "null" and re.search(r"LZW|Crypt", filters):
        document.update_stream(xref, document.xref_stream(xref))
        document.xref_set_key(xref, "DecodeParms", "null")


def _tidy_file(file: Object) -> None:
    """Add the entries that PDF/A-3 requires of an attached file (6.8)."""
    name = next(
        filter(None, (mupdf.pdf_to_text_string(get(file, key)) for key in ("UF", "F"))), "file"
    )
    node, data = mupdf.pdf_resolve_indirect(file), get(get(file, "EF"), "F")
    for key in ("F", "UF"):
        if not has(node, key):
            mupdf.pdf_dict_puts(node, key, mupdf.pdf_new_text_string(name))
    if not has(node, "AFRelationship"):
        mupdf.pdf_dict_puts(node, "AFRelationship", mupdf.pdf_new_name("Unspecified"))
    if not has(data, "Subtype"):
        kind = mupdf.pdf_new_name("application/octet-stream")
        mupdf.pdf_dict_puts(mupdf.pdf_resolve_indirect(data), "Subtype", kind)


def _tidy_actions(node: Object) -> None:
    """Drop forbidden actions from a dictionary."""
    if any(has(node, key) for key in ("FT", "Kids", "Subtype")):
        drop(node, "AA")
    for key in ("A", "OpenAction", "Next", "PA"):
        value = get(node, key)
        actions = items_of(value) if mupdf.pdf_is_array(value) else [value]
        if any(name_of(each, "S") in _FORBIDDEN for each in actions):
            drop(node, key)


def _kept(annotation: Object) -> bool:
    """Whether an annotation can stay; one that can is made to conform (6.3)."""
    kind, flags = name_of(annotation, "Subtype"), mupdf.pdf_to_int(get(annotation, "F"))
    if kind not in _ANNOTATIONS or (flags & _UNSEEN and kind != "Popup"):
        return False
    appearance = get(annotation, "AP")
    shown = get(appearance, "N")
    if kind not in _BARE and not (
        mupdf.pdf_is_stream(shown) or (kind == "Widget" and mupdf.pdf_is_dict(shown))
    ):
        return False
    drop(appearance, "D", "R")
    drop(annotation, *(("A", "AA") if kind == "Widget" else ("AA",)))
    wanted = (flags | _PRINT) & ~_TOGGLE
    if wanted != flags and kind != "Popup":
        node = mupdf.pdf_resolve_indirect(annotation)
        mupdf.pdf_dict_puts(node, "F", mupdf.pdf_new_int(wanted))
    return True


def _content_fault(content: bytes) -> str:
    """The fault in a stream's operators, if any; text in strings may be mistaken for operators."""
    if _INKS.search(content):
        return _NO_PROFILE
    if any(_BAD_INLINE.search(match[1]) for match in _INLINE.finditer(content)):
        return "it has a picture of a kind that PDF/A lacks among its drawing"
    return ""
