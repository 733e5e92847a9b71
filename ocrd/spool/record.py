"""`job.json`: all that a job's folder says about itself, in one file that is replaced as a whole.

It tells what the job's file was, so that a lost ledger can be built anew; what its files will be
called outside the spool, from before any of them leaves; and which moves are under way, so that
they can be taken up after a crash.  An older ocrd had a file for each of these.
"""

from __future__ import annotations

import base64
import enum
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocrd.files import display
from ocrd.job import Found, Job, Member

NAME = "job.json"


class Phase(enum.StrEnum):
    """What may have been done of a move, at most, since it was recorded."""

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

    def to_json(self) -> dict[str, str | None]:
        """As it is recorded."""
        return {
            "phase": self.phase.value,
            "source": str(self.source),
            "target": str(self.target),
            "part": None if self.part is None else str(self.part),
        }

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Intent:
        """The inverse of `to_json`."""
        return cls(
            source=Path(told["source"]),
            target=Path(told["target"]),
            phase=Phase(told["phase"]),
            part=None if told["part"] is None else Path(told["part"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalNames:
    """The names that the ledger has recorded for a job; None where it has none."""

    outputs: str | None
    archived_to: str | None
    failed_to: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """What the job's file was.

    Attributes:
        id: The job's number in the ledger that wrote it.
        token: The job's token.
        found: The file as it was recorded.
        origin: Where the original was taken from: below the inbox, or from failed/ on a retry.
        created_at: When the job was recorded, seconds since the epoch.
    """

    id: int
    token: str
    found: Found
    origin: Path
    created_at: float

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> JobRecord:
        """What `told_of` made.

        Raises:
            ValueError, KeyError, TypeError: It is not such a record.
        """
        found = Found(
            folder=str(told["folder"]),
            priority=int(told["priority"]),
            members=tuple(Member(**_file_from(each)) for each in told.get("members", ())),
            **_file_from(told),
        )
        return cls(
            id=int(told["id"]),
            token=str(told["token"]),
            found=found,
            origin=Path(_decoded(told["origin"])),
            created_at=float(told["created_at"]),
        )


def told_of(job: Job, origin: Path) -> dict[str, Any]:
    """Names are bytes: base64 is the truth, `source_shown` for people."""
    return {
        "id": job.id,
        "token": job.token,
        "folder": job.folder,
        "origin": _encoded(str(origin)),
        "priority": job.priority,
        "created_at": job.created_at,
        **_file(job),
        "members": [_file(member) for member in job.members],
    }


def _file(what: Job | Member) -> dict[str, Any]:
    shown = {"source": _encoded(what.source), "source_shown": display(what.source)}
    return shown | what.facts()


def _file_from(told: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `_file`, for a `Found` or a `Member`."""
    return {
        "source": _decoded(told["source"]),
        "size": int(told["size"]),
        "mtime_ns": int(told["mtime_ns"]),
        "inode": int(told["inode"]),
        "sha256": str(told["sha256"]),
    }


def _encoded(name: str) -> str:
    return base64.b64encode(os.fsencode(name)).decode("ascii")


def _decoded(text: str) -> str:
    return os.fsdecode(base64.b64decode(text, validate=True))
