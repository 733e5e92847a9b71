"""A job's folder in the spool, and `job.json`, all that it says about itself.

The file is replaced as a whole.  It tells what the job's file was, so that a lost ledger can be
built anew; what its files will be called outside the spool, from before any of them leaves; and
which moves are under way, so that they can be taken up after a crash.  An older ocrd had a file for
each of these.
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


class JobDir:
    """The folder `ID-TOKEN` of a job, and what may lie in it.

    Attributes:
        path: Where it is.
        token: The job's token.
        original: The original while it is ours, or the folder of its members.
        disk: The system calls.
        bundle: The bundle, while it is built and until it is published.
        sealed: Lies there once the bundle is complete and durable, and stays when it is published.
        report: The reason of a failure, until it lies beside the original.
    """

    def __init__(self, path: Path, token: str, original: Path, disk: Disk) -> None:
        self.path = path
        self.token = token
        self.original = original
        self.disk = disk
        self.bundle, self.sealed, self.report = path / "bundle", path / "sealed", path / "report"
        self._kept: dict[str, Any] | None = None  # what the record says

    def has(self, path: Path) -> bool:
        """Whether anything lies at `path`."""
        return self.disk.lstat(path) is not None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The folder is opened and its record read once for what this thread does within.

        Only one caller at a time is at work on a job.

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
        """`held`, with a record; both are made unless they are there, and nothing was taken yet."""
        with contextlib.suppress(FileExistsError):
            self.disk.mkdir(self.path, PRIVATE)
        self.disk.fsync_dir(self.path.parent)
        with self.held():
            self._put(told_of(job, origin))
            yield

    def moves(self) -> dict[str, Intent]:
        """The moves under way, by their steps."""
        told = self._read().get("moves", {})
        return {step: Intent.from_json(move) for step, move in told.items()}

    def keep_move(self, step: str, intent: Intent | None) -> None:
        """How far a step's move has come; None when it is over."""
        before = self._read().get("moves", {})
        moves = {other: told for other, told in before.items() if other != step}
        if intent is not None:  # escapes in the JSON keep names that are not UTF-8
            moves[step] = intent.to_json()
        if moves != before:
            self._put({"moves": moves})

    def keep_names(self, job: Job) -> None:
        """The names that the ledger has recorded; before anything of the job leaves the spool."""
        names = {"outputs": job.outputs, "archived_to": job.archived_to, "failed_to": job.failed_to}
        self._put({"names": names})

    def recorded(self) -> tuple[JobRecord | None, FinalNames | None]:
        """What the job's file was, and the names that were kept.

        Either is None where nothing tells it that can be understood.
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
        """What an older ocrd kept beside the record."""
        kept: dict[str, Any] = {}
        for name in filter(_is_old, self.disk.names(self.path)):
            with self.disk.open(self.path / name) as file, contextlib.suppress(ValueError):
                kept[name] = json.load(file)  # or half of the names that were about to be written
        names = kept.pop(_OLD_NAMES, None)
        moves = {name.removesuffix(_OLD_MOVE): told for name, told in kept.items() if told}
        return {"names": names, "moves": moves}

    def _put(self, changes: dict[str, Any]) -> None:
        before = self._read()
        after = {**before, **changes, "version": _VERSION}
        if after == before:
            return
        held, self._kept = self._kept is not None, None  # which of the two, if it is not written?
        write_durably(self.path / NAME, (json.dumps(after) + "\n").encode(), self.disk)
        if held:
            self._kept = after
        if before and before.get("version") != _VERSION:
            for name in filter(_is_old, self.disk.names(self.path)):
                self.disk.unlink(self.path / name)


def _is_old(name: str) -> bool:
    return name == _OLD_NAMES or name.endswith(_OLD_MOVE)


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
