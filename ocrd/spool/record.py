"""`job.json`: all that a job's folder says about itself, in one file that is replaced as a whole.

It tells what the job's file was, so that a lost ledger can be built anew; what its files will be
called outside the spool, from before any of them leaves; and which moves are under way, so that
they can be taken up after a crash.  An older ocrd had a file for each of these.
"""

from __future__ import annotations

import base64
import contextlib
import enum
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocrd.files import Disk, display, write_durably
from ocrd.job import Found, Job, Member

NAME = "job.json"
_VERSION = 2
_OLD_NAMES = "names.json"
_OLD_MOVE = ".move"


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
        """What `_told` made.

        Raises:
            ValueError, KeyError, TypeError: It is not such a record.
        """
        found = Found(
            folder=str(told["folder"]),
            source=_decoded(told["source"]),
            size=int(told["size"]),
            mtime_ns=int(told["mtime_ns"]),
            inode=int(told["inode"]),
            sha256=str(told["sha256"]),
            priority=int(told["priority"]),
            members=tuple(_member(each) for each in told.get("members", ())),
        )
        return cls(
            id=int(told["id"]),
            token=str(told["token"]),
            found=found,
            origin=Path(_decoded(told["origin"])),
            created_at=float(told["created_at"]),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """The file in a job's folder.

    Attributes:
        jobdir: The folder.
        disk: The system calls.
    """

    jobdir: Path
    disk: Disk

    def keep_job(self, job: Job, origin: Path) -> None:
        """What the job's file is; nothing of it has been taken from `origin` yet."""
        self._put(_told(job, origin))

    def keep_names(self, job: Job) -> None:
        """Before anything of the job leaves the spool."""
        names = {"outputs": job.outputs, "archived_to": job.archived_to, "failed_to": job.failed_to}
        self._put({"names": names})

    def job(self) -> JobRecord | None:
        """What the job's file was; None where nothing tells that can be understood."""
        try:
            return JobRecord.from_json(self._read())
        except (ValueError, KeyError, TypeError):
            return None

    def names(self) -> FinalNames | None:
        """What `keep_names` kept; None before it, or where that cannot be understood."""
        try:
            return FinalNames(**self._read()["names"])
        except (KeyError, TypeError):
            return None

    def steps(self) -> list[str]:
        """Those of which a move is under way."""
        return list(self._read().get("moves", {}))

    def move(self, step: str) -> Intent | None:
        """A step's move that is under way."""
        told = self._read().get("moves", {}).get(step)
        return None if told is None else Intent.from_json(told)

    def keep_move(self, step: str, intent: Intent) -> None:
        """How far a step's move has come; escapes in the JSON keep names that are not UTF-8."""
        self._put({"moves": {**self._read().get("moves", {}), step: intent.to_json()}})

    def drop_move(self, step: str) -> None:
        """A step's move is over."""
        moves = self._read().get("moves", {})
        if step in moves:
            self._put({"moves": {other: moves[other] for other in moves if other != step}})

    def _read(self) -> dict[str, Any]:
        try:
            with self.disk.open(self.jobdir / NAME) as file:
                told = json.load(file)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}
        if not isinstance(told, dict):
            return {}
        return told if told.get("version") == _VERSION else told | self._old()

    def _old(self) -> dict[str, Any]:
        """What an older ocrd kept beside the record."""
        names = self.disk.names(self.jobdir)
        kept = {name: self._old_file(name) for name in names if _is_old(name)}
        return {
            "names": kept.pop(_OLD_NAMES, None),
            "moves": {name.removesuffix(_OLD_MOVE): told for name, told in kept.items() if told},
        }

    def _old_file(self, name: str) -> Any:
        with self.disk.open(self.jobdir / name) as file, contextlib.suppress(ValueError):
            return json.load(file)
        return None  # half of the names that were about to be written

    def _put(self, changes: dict[str, Any]) -> None:
        before = self._read()
        after = {**before, **changes, "version": _VERSION}
        if after == before:
            return
        write_durably(self.jobdir / NAME, (json.dumps(after, indent=2) + "\n").encode(), self.disk)
        if before.get("version") != _VERSION:
            for name in self.disk.names(self.jobdir):
                if _is_old(name):
                    self.disk.unlink(self.jobdir / name)


def _is_old(name: str) -> bool:
    return name == _OLD_NAMES or name.endswith(_OLD_MOVE)


def _told(job: Job, origin: Path) -> dict[str, Any]:
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
    return {
        "source": _encoded(what.source),
        "source_shown": display(what.source),
        "size": what.size,
        "mtime_ns": what.mtime_ns,
        "inode": what.inode,
        "sha256": what.sha256,
    }


def _member(told: dict[str, Any]) -> Member:
    return Member(
        source=_decoded(told["source"]),
        size=int(told["size"]),
        mtime_ns=int(told["mtime_ns"]),
        inode=int(told["inode"]),
        sha256=str(told["sha256"]),
    )


def _encoded(name: str) -> str:
    return base64.b64encode(os.fsencode(name)).decode("ascii")


def _decoded(text: str) -> str:
    return os.fsdecode(base64.b64decode(text, validate=True))
