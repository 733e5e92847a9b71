"""PDF files as MuPDF opens them, for those that read and those that write: in children only.

PyMuPDF carries no annotations, so its types are `Any`, in one place.  It may hang or crash on a
hostile file, and knows no threads.
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

# errors and warnings are told in ours
pymupdf.TOOLS.mupdf_display_errors(False)
pymupdf.TOOLS.mupdf_display_warnings(False)


def open_pdf(name: str) -> Document:
    """The PDF of this name, which MuPDF must be able to open: see `by_descriptor`.

    Raises:
        BadFileError: It needs a password (`encrypted`), or is none (`damaged`).
        MemoryError: MuPDF had too little.
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
    """A name for an open file: MuPDF takes no other than UTF-8."""
    return f"/proc/self/fd/{descriptor}"


def memory_ran_out(problems: str) -> None:
    """MuPDF may leave out what it has no memory for; a page with holes is no page.

    Raises:
        MemoryError: It did.
    """
    if _OUT_OF_MEMORY.search(problems):
        raise MemoryError(problems[:200])


def forget(share: int = 100) -> None:
    """Empty so much (per cent) of MuPDF's store of decoded images and fonts."""
    pymupdf.TOOLS.store_shrink(share)


def damaged_pdf(how: str) -> BadFileError:
    """The whole file cannot be used."""
    return BadFileError(
        f"The PDF {how}.",
        hint="Copy or scan it again; if there is no better copy, `mutool clean` may mend it.",
        kind="damaged",
    )


def _without_lock(name: str) -> bytes | None:
    """The file without its encryption if that concerns attachments alone (ISO 32000-1, 7.6.5)."""
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
