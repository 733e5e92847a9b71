"""A job's folder in the spool: what lies in it, and its `job.json` (see `record`)."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ocrd.files import Disk, write_durably
from ocrd.job import Job
from ocrd.spool.record import NAME, FinalNames, Intent, JobRecord, told_of

PRIVATE = 0o700
LOOKING = 0o750

_VERSION = 2
_OLD_NAMES = "names.json"
_OLD_MOVE = ".move"


@dataclass(frozen=True)
class JobDir:
    """The folder `ID-TOKEN`.  Its names are put together once, as they are asked for often.

    Attributes:
        path: Where it is.
        token: The job's token.
        original: Where the original lies while it is ours.
        disk: The system calls.
    """

    path: Path
    token: str
    original: Path
    disk: Disk

    @cached_property
    def bundle(self) -> Path:
        """The bundle, while it is built and until it is published."""
        return self.path / "bundle"

    @cached_property
    def sealed(self) -> Path:
        """Lies there once the bundle is complete and durable, and stays when it is published."""
        return self.path / "sealed"

    @cached_property
    def report(self) -> Path:
        """The reason of a failure, until it lies beside the original."""
        return self.path / "report"

    def has(self, path: Path) -> bool:
        """Whether anything lies at `path`."""
        return self.disk.lstat(path) is not None

    def open(self, job: Job, origin: Path) -> None:
        """Make the folder and its record, unless they are there; nothing was taken yet."""
        if not self.has(self.path):
            self.disk.mkdir(self.path, PRIVATE)
        self.disk.fsync_dir(self.path.parent)
        self._put(told_of(job, origin))

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
        try:
            with self.disk.open(self.path / NAME) as file:
                told = json.load(file)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}
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
        write_durably(self.path / NAME, (json.dumps(after, indent=2) + "\n").encode(), self.disk)
        if before.get("version") != _VERSION:
            for name in filter(_is_old, self.disk.names(self.path)):
                self.disk.unlink(self.path / name)


def _is_old(name: str) -> bool:
    return name == _OLD_NAMES or name.endswith(_OLD_MOVE)
