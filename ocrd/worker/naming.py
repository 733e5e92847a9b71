"""What a job's results are called.  Pure: who has a name already is asked elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from ocrd.config import Folder
from ocrd.config.names import NameFacts, expand
from ocrd.document.base import LONGEST_SUFFIX
from ocrd.inbox.names import fit, stem
from ocrd.job import Job

_ROOM = len(LONGEST_SUFFIX)


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A name as it is wanted; it may be taken.

    Attributes:
        folder: Below the outbox, absolute.
        stem: The bundle's, and its artefacts' before their suffixes.
    """

    folder: Path
    stem: str


def wanted(job: Job, folder: Folder, counter: int = 0) -> Name:
    """The name that a folder's `output_name` gives a job's results.

    Args:
        job: Whose.
        folder: Whose outbox and template.
        counter: The document's number, for a template that asks for one.
    """
    source = PurePosixPath(job.source)
    filled = expand(
        folder.output_name,
        NameFacts(
            stem=_stem(source.name, joined=bool(job.members)),
            recorded=datetime.fromtimestamp(job.created_at).astimezone(),
            folder=folder.name,
            job=job.id,
            counter=counter,
        ),
    )
    *above, last = (_safe(part) for part in filled.split("/"))
    below = folder.outbox.joinpath(source.parent, *(fit(part) for part in above))
    return Name(folder=below, stem=fit(last, suffix_room=_ROOM))


def stems(name: str) -> Iterator[str]:
    """NAME, NAME (2), NAME (3), … each with room for an artefact's suffix."""
    yield name
    for number in itertools.count(2):
        tail = f" ({number})"
        yield fit(name, suffix_room=_ROOM + len(tail)) + tail


def _stem(name: str, *, joined: bool) -> str:
    """A joined document's name has no extension to take off."""
    return stem(f"{name}.") if joined else stem(name)


def _safe(part: str) -> str:
    """A part of the path that is no folder above, nor hidden, whatever a scan is called."""
    return part.strip().lstrip(".").strip() or "document"
