"""Reads MuPDF's own objects of a PDF, and removes entries from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ocrd.pdffile import Document, pymupdf

mupdf: Any = pymupdf.mupdf
Object = Any


def object_of(document: Document, xref: int) -> Object:
    """The object with this number."""
    return mupdf.pdf_load_object(pymupdf._as_pdf_document(document), xref)


def get(node: Object, key: str) -> Object:
    """The value of a key in a dictionary; MuPDF's null if there is none."""
    return mupdf.pdf_dict_gets(node, key)


def has(node: Object, key: str) -> bool:
    """Whether a dictionary has a key."""
    return bool(get(node, key).m_internal)


def name_of(node: Object, key: str) -> str:
    """The name under a key; empty if there is none."""
    return str(mupdf.pdf_to_name(get(node, key)))


def drop(node: Object, *keys: str) -> None:
    """Remove keys from a dictionary; do nothing to any other object."""
    if mupdf.pdf_is_dict(node):
        for key in keys:
            if has(node, key):
                mupdf.pdf_dict_dels(node, key)


def values_of(node: Object) -> Iterator[Object]:
    """The values of a dictionary; none of any other object."""
    if mupdf.pdf_is_dict(node):
        yield from [mupdf.pdf_dict_get_val(node, at) for at in range(mupdf.pdf_dict_len(node))]


def items_of(node: Object) -> Iterator[Object]:
    """The items of an array; none of any other object."""
    if mupdf.pdf_is_array(node):
        yield from [mupdf.pdf_array_get(node, at) for at in range(mupdf.pdf_array_len(node))]


def data_of(stream: Object) -> bytes:
    """The decoded data of a stream."""
    return bytes(mupdf.pdf_load_stream(stream).fz_buffer_extract())
