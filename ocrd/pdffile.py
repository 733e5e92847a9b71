"""How PDF files are opened with MuPDF, for reading and for writing.  In child processes only.

PyMuPDF has no type annotations, so its types are `Any`, here in one place.  It may hang or crash on
a hostile file, and is not thread-safe.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pymupdf as _pymupdf

from ocrd.errors import BadFileError

pymupdf: Any = _pymupdf
Document = Any
PdfPage = Any

# What MuPDF raises on a page or object that it cannot make sense of.
FAULTS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    IndexError,
    TypeError,
    _pymupdf.mupdf.FzErrorBase,
)

_OUT_OF_MEMORY = re.compile(r"alloc\b.*failed|(out of|not enough|insufficient) memory", re.I)
_ENCRYPT = re.compile(rb"/Encrypt(?=[\s\d<])")
_CIPHER = re.compile(rb"/(StmF|StrF)\s*/(?!Identity\b)")
_ONLY_ATTACHMENTS = re.compile(rb"/EFF\s*/(?!Identity\b)")

# errors and warnings are reported by our own exceptions
pymupdf.TOOLS.mupdf_display_errors(False)
pymupdf.TOOLS.mupdf_display_warnings(False)


def open_pdf(name: str) -> Document:
    """Open the PDF of this name, which must be one that MuPDF accepts: see `by_descriptor`.

    Raises:
        BadFileError: It is `encrypted`, or cannot be opened as a PDF (`damaged`).
        MemoryError: MuPDF had too little memory.
    """
    try:
        document = pymupdf.Document(name, filetype="pdf")
        if document.needs_pass and (bare := _without_lock(name)) is not None:
            document = pymupdf.Document(stream=bare, filetype="pdf")
    except Exception as error:
        problems = f"{error} {error.__cause__} {pymupdf.TOOLS.mupdf_warnings()}"
        memory_ran_out(problems)
        if "encrypt" in problems:
            raise _encrypted("is protected in a way that is not known here") from error
        raise damaged_pdf("cannot be opened as a PDF") from error
    if document.needs_pass:
        raise _encrypted("needs a password")
    return document


def by_descriptor(descriptor: int) -> str:
    """A name for an open file, because MuPDF accepts only names in UTF-8."""
    return f"/proc/self/fd/{descriptor}"


def memory_ran_out(problems: str) -> None:
    """Look for a lack of memory in MuPDF's messages: it may then have left out parts of a page.

    Raises:
        MemoryError: The messages report one.
    """
    if _OUT_OF_MEMORY.search(problems):
        raise MemoryError(problems[:200])


def forget(share: int = 100) -> None:
    """Free this share (per cent) of MuPDF's store of decoded images and fonts."""
    pymupdf.TOOLS.store_shrink(share)


def damaged_pdf(how: str) -> BadFileError:
    """The error for a PDF that cannot be used at all; `how` completes "The PDF ..."."""
    return BadFileError(
        f"The PDF {how}.",
        hint="Copy or scan it again; if there is no better copy, `mutool clean` may mend it.",
        kind="damaged",
    )


def _without_lock(name: str) -> bytes | None:
    """The file unencrypted if only attachments are encrypted (ISO 32000-1, 7.6.5), or None."""
    data = Path(name).read_bytes()
    if _CIPHER.search(data) or not _ONLY_ATTACHMENTS.search(data):
        return None
    return _ENCRYPT.sub(b"/Unlocks", data)  # as long as before: no offset shifts


def _encrypted(how: str) -> BadFileError:
    return BadFileError(
        f"The PDF {how}.",
        hint="Save it without a password (print it to PDF, or `qpdf --decrypt`) and drop that.",
        kind="encrypted",
    )
