"""PyMuPDF, as the rest of the room uses it.

Its functions carry no annotations, so it is given the type `Any` here, in one place.  It may hang
or crash on a hostile file: whoever calls this room does so in a bounded child process.
"""

from __future__ import annotations

from typing import Any

import pymupdf as _pymupdf

pymupdf: Any = _pymupdf
Document = Any
PdfPage = Any

# What MuPDF raises on a page or object that it cannot make sense of.
FAULTS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    IndexError,
    _pymupdf.mupdf.FzErrorBase,
)


def be_quiet() -> None:
    """Keep MuPDF's complaints about odd files off stdout and stderr."""
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)


def forget() -> None:
    """Empty MuPDF's store of decoded images and fonts (256 MB by default)."""
    pymupdf.TOOLS.store_shrink(100)
