"""What a job's results are called, in both layouts.  Pure: other modules ask which names are free.

Layout `flat` puts artefacts side by side into the outbox, the main one last.  In the spool such an
artefact has its suffix alone as its name (`.md`), since the stem may change until it is published;
the figures' folder has its final name from the start, since the text links to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath

from ocrd.config import Folder
from ocrd.config.names import expand
from ocrd.document.base import FIGURES, IMAGES, SUFFIX_ROOM, SUFFIXES
from ocrd.job import Job
from ocrd.names import fit, stem

_RANKS = [suffix for suffixes in SUFFIXES.values() for suffix in suffixes]


def wanted(job: Job, folder: Folder, counter: int = 0) -> Path:
    """The path that a folder's `output_name` gives a job's results; it may be taken."""
    source = PurePosixPath(job.source)
    # a joined document's name has no extension to take off
    base = stem(f"{source.name}.") if job.members else stem(source.name)
    filled = expand(
        folder.output_name,
        stem=base,
        recorded=datetime.fromtimestamp(job.created_at).astimezone(),
        folder=folder.name,
        job=job.id,
        counter=counter,
    )
    # whatever a scan is called, no part is `..` or hidden
    parts = (part.strip().lstrip(".").strip() or "document" for part in filled.split("/"))
    *above, last = parts
    below = folder.outbox.joinpath(source.parent, *(fit(part) for part in above))
    return below / fit(last, suffix_room=SUFFIX_ROOM)


def flat_stems(name: str) -> Iterator[str]:
    """NAME, NAME (2), NAME (3), … each with room for an artefact's suffix."""
    yield name
    for number in itertools.count(2):
        tail = f" ({number})"
        yield fit(name, suffix_room=SUFFIX_ROOM + len(tail)) + tail


def dated(pattern: Path, now: float) -> Path:
    """The archive folder at `now` (seconds since the epoch): `strftime` patterns in local time."""
    if "%" not in str(pattern):
        return pattern
    return Path(datetime.fromtimestamp(now).astimezone().strftime(str(pattern)))


def in_bundle(folder: Folder, name: Path) -> tuple[str, str]:
    """For a bundle to be called `name`: the stem of its artefacts, and its folder of figures."""
    return ("", name.name + FIGURES) if folder.layout == "flat" else (name.name, IMAGES)


def flat_suffixes(outputs: Collection[str]) -> list[str]:
    """The suffixes of all artefacts that these outputs may produce."""
    return [suffix for output in SUFFIXES if output in outputs for suffix in SUFFIXES[output]]


def flat_order(entries: Iterable[str]) -> list[str]:
    """The entries of a flat bundle, in the order in which they are published."""
    return sorted(entries, key=lambda entry: -_RANKS.index(entry) if is_artefact(entry) else -99)


def is_artefact(entry: str) -> bool:
    """Whether an entry of a flat bundle still lacks its stem; folders have their final names."""
    return entry in _RANKS


def is_flat(entries: Iterable[str]) -> bool:
    """Whether the entries are those of a bundle built for layout `flat`."""
    return any(is_artefact(entry) or entry.endswith(FIGURES) for entry in entries)


def is_flat_file(name: str) -> bool:
    """Whether a recorded name can be that of a flat bundle's main file."""
    return name.endswith(tuple(_RANKS))


def flat_target(entry: str, folder: Path, stem: str) -> Path:
    """The path at which an entry of a flat bundle is published."""
    return folder / (f"{stem}{entry}" if is_artefact(entry) else entry)
