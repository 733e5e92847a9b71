"""A job's folder in the spool: what lies in it, and how it comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ocrd.files import Disk
from ocrd.spool import record
from ocrd.spool.move import abandon, move, resume
from ocrd.spool.record import JobRecord
from ocrd.spool.tree import remove_tree

PRIVATE = 0o700
LOOKING = 0o750
_MOVE_SUFFIX = ".move"


@dataclass(frozen=True)
class Home:
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
    def pages(self) -> Path:
        """Its finished pages."""
        return self.path / "pages.jsonl"

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

    @cached_property
    def draft(self) -> Path:
        """A copy in the making that will replace a part of the original."""
        return self.path / "draft"

    def has(self, path: Path) -> bool:
        """Whether anything lies at `path`."""
        return self.disk.lstat(path) is not None

    def open(self, wanted: JobRecord) -> None:
        """Make the folder and its record, unless they are there."""
        if not self.has(self.path):
            self.disk.mkdir(self.path, PRIVATE)
        self.disk.fsync_dir(self.path.parent)
        if record.read(self.path, self.disk) != wanted:
            record.write(self.path, wanted, self.disk)

    def move(
        self, step: str, source: Path, target: Path, check: Callable[[Path], None] | None = None
    ) -> Path:
        """One step's move; see `ocrd.spool.move.move`."""
        at = self._move_record(step)
        return move(source, target, record=at, token=self.token, disk=self.disk, check=check)

    def resume(self, step: str) -> None:
        """Bring a step's move, if a crash interrupted it, to an end.

        Raises:
            FileExistsError: Its name was taken meanwhile; it was given up.
        """
        resume(self._move_record(step), self.disk)

    def abandon(self, step: str) -> None:
        """Give up a step's move, if a crash interrupted it."""
        abandon(self._move_record(step), self.disk)

    def under_way(self, step: str) -> bool:
        """Whether a crash interrupted a step's move."""
        return self.has(self._move_record(step))

    def forget(self) -> None:
        """Remove the folder, its record last, and the parts of moves given up."""
        if not self.has(self.path):
            return
        for name in self.disk.names(self.path):
            if name.endswith(_MOVE_SUFFIX):
                abandon(self.path / name, self.disk)
        remove_tree(self.path, self.disk, last=self.path / record.NAME)
        self.disk.fsync_dir(self.path.parent)

    def _move_record(self, step: str) -> Path:
        return self.path / f"{step}{_MOVE_SUFFIX}"
