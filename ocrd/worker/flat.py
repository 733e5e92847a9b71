"""Layout `flat`: artefacts side by side in the outbox, the main one last.  Pure.

In the spool an artefact is called by its suffix alone (`.md`), as the stem may change until it is
published; the figures' folder has its final name from the start, since the text links to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

STEM = ""
FIGURES = ".images"

_SUFFIXES = {  # who comes first here is the main file of those that are made
    "markdown": (".md",),
    "pdf": (".pdf",),
    "text": (".txt",),
    "json": (".json",),
    "raw": (".raw.mmd",),
    "boxes": (".boxes.pdf", ".boxes.jpg"),
    "images": (FIGURES,),
}
_RANKS = [suffix for suffixes in _SUFFIXES.values() for suffix in suffixes]


def suffixes(outputs: Collection[str]) -> list[str]:
    """The suffixes of all that may be made of these outputs."""
    return [suffix for output in _SUFFIXES if output in outputs for suffix in _SUFFIXES[output]]


def ordered(entries: Iterable[str]) -> list[str]:
    """What lies in the bundle, in the order in which it is published."""
    return sorted(entries, key=lambda entry: -_RANKS.index(entry) if is_artefact(entry) else -99)


def is_artefact(entry: str) -> bool:
    """Whether it has yet to get its stem; what has its name already are folders."""
    return entry in _RANKS


def is_flat(entries: Iterable[str]) -> bool:
    """Whether these are entries of a bundle that was built for this layout."""
    return any(is_artefact(entry) or entry.endswith(FIGURES) for entry in entries)


def is_file(name: str) -> bool:
    """Whether a recorded name can be that of a main file."""
    return name.endswith(tuple(_RANKS))


def target(entry: str, folder: Path, stem: str) -> Path:
    """Where an entry of the bundle is published."""
    return folder / (f"{stem}{entry}" if is_artefact(entry) else entry)
