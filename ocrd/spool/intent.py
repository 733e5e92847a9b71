"""What a move that takes several steps has recorded, so that it can be taken up after a crash."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, replace
from pathlib import Path

from ocrd.files import Disk, write_durably

_VERSION = 1


class Phase(enum.StrEnum):
    """What may have been done, at most, since the record was written."""

    PLANNED = "planned"  # nothing yet; never recorded
    LINKING = "linking"  # the target was free; it is being made a second name of the thing
    RESERVED = "reserved"  # the target was free; an empty file holds it for the thing
    COPYING = "copying"  # the part is being written: worth nothing yet
    COPIED = "copied"  # the part is complete and durable; the target may be it already
    PLACED = "placed"  # the target is complete and durable; the source is to go


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """A move under way.

    Attributes:
        source: What is to be moved.
        target: Where to.
        phase: How far it may have come.
        part: The copy beside the target, when the two lie on different file systems.
    """

    source: Path
    target: Path
    phase: Phase = Phase.PLANNED
    part: Path | None = None

    @property
    def thing(self) -> Path:
        """What takes the target's name: the copy if there is one, else the source itself."""
        return self.part or self.source

    def at(self, phase: Phase) -> Intent:
        """The same move in another phase."""
        return replace(self, phase=phase)


def load(record: Path, disk: Disk) -> Intent | None:
    """The move that `record` tells of; None when none is under way."""
    if disk.lstat(record) is None:
        return None
    with disk.open(record) as file:
        told = json.load(file)
    part = told["part"]
    return Intent(
        source=Path(told["source"]),
        target=Path(told["target"]),
        phase=Phase(told["phase"]),
        part=None if part is None else Path(part),
    )


def save(intent: Intent, record: Path, disk: Disk) -> Intent:
    """Record the move durably; escapes in the JSON keep names that are not UTF-8 whole."""
    told = {
        "version": _VERSION,
        "phase": intent.phase.value,
        "source": str(intent.source),
        "target": str(intent.target),
        "part": None if intent.part is None else str(intent.part),
    }
    write_durably(record, json.dumps(told, ensure_ascii=True).encode(), disk)
    return intent
