"""The key under which a page's result may be used again: everything that shapes it but the page."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from ocrd.config import Folder
from ocrd.job import Job
from ocrd.worker.collation import Key

_OWN_TEXT_MODES = frozenset({"ocr", "document"})  # what these ask for, a PDF may say itself


def original_text_counts(folder: Folder) -> bool:
    """Whether a PDF's own text is an answer to what the folder asks."""
    return folder.mode.name in _OWN_TEXT_MODES and folder.pdf_text in ("auto", "keep")


def recipe(
    *,
    engine: str,
    model: str,
    dpi: int,
    folder: Folder,
    only_for: Job | None = None,
    collation: Key | None = None,
) -> str:
    """A digest of engine, model, prompt, limits, resolution and dpi.

    Args:
        engine: The engine's kind.
        model: The engine's model.
        dpi: At which PDF pages are rendered.
        folder: Mode, target and resolution.
        only_for: Makes the key this job's own, so that no other job's results fit.
        collation: Which page of which file each page is, where that is not plain.
    """
    parts: dict[str, object] = {
        "engine": engine,
        "model": model,
        "dpi": dpi,
        "prompt": folder.mode.prompt.replace("{target}", folder.target),
        "reader": folder.mode.reader.value,
        "max_tokens": folder.mode.max_tokens,
        "guard": asdict(folder.mode.guard) if folder.mode.guard else None,
        "resolution": asdict(folder.resolution),
        "only_for": only_for.token if only_for else None,
    }
    if collation is not None:
        parts["collation"] = collation
    if folder.separator != "none":  # what is one is not read
        parts["separator"] = [folder.separator, folder.separator_code]
    if original_text_counts(folder):
        parts["pdf_text"] = folder.pdf_text
    if folder.upright:  # read turned, if need be
        parts["upright"] = True
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
