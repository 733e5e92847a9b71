"""What auditors compare: what was dropped, and what is on the disk."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrd.spool.trees import MARKER

REPORT = ".error.json"
ALL_OUTPUTS = frozenset({"markdown", "raw", "pdf", "boxes", "images", "json"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """A file that its writer put into an inbox and considers complete.

    Attributes:
        folder: The folder's name.
        source: Path below the folder's inbox, as `os.fsdecode` gives it.
        sha256: Hex digest of its final bytes.
        pages: Number of its pages; None if it is unknown or the file cannot be read.
        replaceable: Whether its writer replaced it later, so that the daemon may have missed it.
    """

    folder: str
    source: str
    sha256: str
    pages: int | None = None
    replaceable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where a daemon works.

    Attributes:
        root: The common parent of inbox, outbox, archive, failed and the spool.
        outputs: The artefacts its folders are configured to make.
        ledger: The ledger's file; `.ocrd/ledger.db` below the root if None.
    """

    root: Path
    outputs: frozenset[str] = ALL_OUTPUTS
    ledger: Path | None = None

    def tree(self, kind: str, folder: str) -> Path:
        """A folder's tree: `outbox`, `archive` …"""
        return self.root / kind / folder

    def shown(self, path: Path) -> str:
        """A path relative to the root, quoted, for messages."""
        return ascii(str(path.relative_to(self.root)))

    def jobs(self) -> Path:
        """The spool's folder of jobs on their way."""
        return self.root / ".ocrd" / "jobs"

    def ledger_file(self) -> Path:
        """The ledger's file."""
        return self.ledger or self.root / ".ocrd" / "ledger.db"


def files_below(top: Path) -> Iterator[Path]:
    """All files below a folder, sorted; links are not followed.

    The markers by which ocrd recognises its trees are left out.
    """
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(set(names) - {MARKER}):
            yield Path(folder, name)


def digest(path: Path) -> str:
    """The SHA-256 of a file in hex; `no regular file` for anything else."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return "no regular file"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def originals_below(tree: Path) -> list[Path]:
    """The originals in an archive or failed tree: all visible files but the reports."""
    return [
        path
        for path in files_below(tree)
        if not is_hidden(path, tree) and not path.name.endswith(REPORT)
    ]


def is_hidden(path: Path, top: Path) -> bool:
    """Whether the path or a folder above it, below `top`, has a name that begins with a dot."""
    return any(part.startswith(".") for part in path.relative_to(top).parts)
