"""A job's folder in the spool: what lies in it, and how it comes and goes."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ocrd.files import Disk
from ocrd.job import Job
from ocrd.spool.move import Mover
from ocrd.spool.record import NAME, Record
from ocrd.spool.tree import remove_tree

PRIVATE = 0o700
LOOKING = 0o750


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

    @property
    def record(self) -> Record:
        """What the folder says about itself."""
        return Record(self.path, self.disk)

    def open(self, job: Job, origin: Path) -> None:
        """Make the folder and its record, unless they are there."""
        if not self.has(self.path):
            self.disk.mkdir(self.path, PRIVATE)
        self.disk.fsync_dir(self.path.parent)
        self.record.keep_job(job, origin)

    def mover(self, step: str) -> Mover:
        """What moves for a step, and takes up its move after a crash."""
        return Mover(self.record, step, self.token)

    def under_way(self, step: str) -> bool:
        """Whether a crash interrupted a step's move."""
        return self.record.move(step) is not None

    def settle(self, steps: Collection[str]) -> None:
        """Bring moves that a crash interrupted to an end; one whose name was taken is given up."""
        under_way = self.record.steps()
        for step in steps:
            if step in under_way:
                with suppress(FileExistsError):
                    self.mover(step).resume()

    def forget(self) -> None:
        """Remove the folder, its record last, and the parts of moves given up."""
        if not self.has(self.path):
            return
        for step in self.record.steps():
            self.mover(step).abandon()
        remove_tree(self.path, self.disk, last=self.path / NAME)
        self.disk.fsync_dir(self.path.parent)
