"""How a folder's piles are told apart."""

from __future__ import annotations

from ocrd.config import Folder
from ocrd.document.base import BARCODE, Separator


def separator_of(folder: Folder) -> Separator | None:
    """What ends a document in this folder; None where a file is one document."""
    if folder.separator == "none":
        return None
    return Separator(kind=folder.separator, code=folder.separator_code)


def wants_codes(folder: Folder) -> bool:
    """Whether barcodes are to be looked for."""
    return folder.separator == BARCODE
