"""A job's folder in the spool, and its record, `job.json`.

The record is always replaced as a whole.  It says what the job's file was, so that a lost ledger
can be rebuilt; what the job's files will be called outside the spool, before any of them leaves;
and which moves are under way, so that they can be resumed after a crash.  An older ocrd kept these
in separate files.
"""

from __future__ import annotations

import base64
import contextlib
import enum
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ocrd.files import Disk, display, write_durably
from ocrd.job import Found, Job, Member

NAME = "job.json"
PRIVATE = 0o700
LOOKING = 0o750

_VERSION = 2
_OLD_NAMES = "names.json"
_OLD_MOVE = ".move"


class Phase(enum.StrEnum):
    """How far, at most, a move may have got since it was recorded."""

    PLANNED = "planned"  # nothing done yet; never recorded
    LINKING = "linking"  # the target was free; the source or part is being hard-linked to it
    RESERVED = "reserved"  # the target was free; an empty file reserves its name
    COPYING = "copying"  # the part is being written and is of no use yet
    COPIED = "copied"  # the part is complete and durable, and may have become the target already
    PLACED = "placed"  # the target is complete and durable; the source is still to be removed


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """A move under way.

    Attributes:
        source: The file or folder to move.
        target: Its new path.
        phase: How far the move may have got.
        part: The copy beside the target, if source and target are on different file systems.
    """

    source: Path
    target: Path
    phase: Phase = Phase.PLANNED
    part: Path | None = None

    @property
    def thing(self) -> Path:
        """The path to rename to the target: the copy if there is one, otherwise the source."""
        return self.part or self.source

    def at(self, phase: Phase) -> Intent:
        """The same move in another phase."""
        return replace(self, phase=phase)

    def to_json(self) -> dict[str, str | None]:
        """The move as `job.json` records it."""
        return {key: value and str(value) for key, value in asdict(self).items()}

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
    """The final paths that the ledger has recorded for a job; None for each it has not."""

    outputs: str | None
    archived_to: str | None
    failed_to: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """The part of `job.json` that says what the job's file was.

    Attributes:
        id: The job's number in the ledger that wrote it.
        token: The job's token.
        found: The file as it was recorded.
        origin: The path that the original was taken from: in the inbox, or in failed/ on a retry.
        created_at: When the job was recorded, seconds since the epoch.
    """

    id: int
    token: str
    found: Found
    origin: Path
    created_at: float

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> JobRecord:
        """The inverse of what `JobDir.opened` records.

        Raises:
            ValueError, KeyError, TypeError: `told` is not such a record.
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


class JobDir:
    """A job's folder, `ID-TOKEN`, and the files that may be in it.

    Attributes:
        path: The folder.
        token: The job's token.
        original: The original while it is in the spool; for a joined document, the members' folder.
        disk: The system calls.
        bundle: The folder of the bundle, until it is published.
        sealed: An empty file, made once the bundle is complete and durable; publishing keeps it.
        report: The report of a failure, until it is moved beside the original in failed/.
    """

    def __init__(self, path: Path, token: str, original: Path, disk: Disk) -> None:
        self.path = path
        self.token = token
        self.original = original
        self.disk = disk
        self.bundle, self.sealed, self.report = path / "bundle", path / "sealed", path / "report"
        self._kept: dict[str, Any] | None = None  # the record's contents, while `held`

    def has(self, path: Path) -> bool:
        """Whether anything lies at `path`."""
        return self.disk.lstat(path) is not None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder open and its record in memory for what this thread does within.

        Only one caller at a time works on a job.

        Raises:
            FileNotFoundError: There is no such folder.
        """
        with self.disk.hold(self.path):
            self._kept = self._read()
            try:
                yield
            finally:
                self._kept = None

    @contextlib.contextmanager
    def opened(self, job: Job, origin: Path) -> Iterator[None]:
        """`held`, after making the folder and its record; call it before the original is taken."""
        with contextlib.suppress(FileExistsError):
            self.disk.mkdir(self.path, PRIVATE)
        self.disk.fsync_dir(self.path.parent)
        with self.held():
            told = {  # names are bytes: base64 is exact, `source_shown` is for people
                "id": job.id,
                "token": job.token,
                "folder": job.folder,
                "origin": _encoded(str(origin)),
                "priority": job.priority,
                "created_at": job.created_at,
                **_file(job),
                "members": [_file(member) for member in job.members],
            }
            self._put(told)
            yield

    def moves(self) -> dict[str, Intent]:
        """The moves under way, by step."""
        told = self._read().get("moves", {})
        return {step: Intent.from_json(move) for step, move in told.items()}

    def keep_move(self, step: str, intent: Intent | None) -> None:
        """Record how far a step's move has got; None when it is over."""
        before = self._read().get("moves", {})
        moves = {other: told for other, told in before.items() if other != step}
        if intent is not None:  # escapes in the JSON keep names that are not UTF-8
            moves[step] = intent.to_json()
        if moves != before:
            self._put({"moves": moves})

    def keep_names(self, job: Job) -> None:
        """Record the ledger's names, before any of the job's files leaves the spool."""
        names = {"outputs": job.outputs, "archived_to": job.archived_to, "failed_to": job.failed_to}
        self._put({"names": names})

    def recorded(self) -> tuple[JobRecord | None, FinalNames | None]:
        """What the job's file was, and its final names.

        Either is None if the record lacks it or cannot be understood.
        """
        told = self._read()
        record = names = None
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = JobRecord.from_json(told)
        with contextlib.suppress(KeyError, TypeError):
            names = FinalNames(**told["names"])
        return record, names

    def _read(self) -> dict[str, Any]:
        if self._kept is not None:
            return self._kept
        told = None
        with contextlib.suppress(ValueError):
            told = json.loads(self.disk.read(self.path / NAME) or b"null")
        if not isinstance(told, dict):
            return {}
        return told if told.get("version") == _VERSION else told | self._old()

    def _old(self) -> dict[str, Any]:
        """The names and moves that an older ocrd kept in files beside the record."""
        kept: dict[str, Any] = {}
        for name in filter(_is_old, self.disk.names(self.path)):
            with self.disk.open(self.path / name) as file, contextlib.suppress(ValueError):
                kept[name] = json.load(file)  # a crash may have left the names half-written
        names = kept.pop(_OLD_NAMES, None)
        moves = {name.removesuffix(_OLD_MOVE): told for name, told in kept.items() if told}
        return {"names": names, "moves": moves}

    def _put(self, changes: dict[str, Any]) -> None:
        before = self._read()
        after = {**before, **changes, "version": _VERSION}
        if after == before:
            return
        held, self._kept = self._kept is not None, None  # a failed write may leave either version
        write_durably(self.path / NAME, (json.dumps(after) + "\n").encode(), self.disk)
        if held:
            self._kept = after
        if before and before.get("version") != _VERSION:
            for name in filter(_is_old, self.disk.names(self.path)):
                self.disk.unlink(self.path / name)


def _is_old(name: str) -> bool:
    return name == _OLD_NAMES or name.endswith(_OLD_MOVE)


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
