"""What an original is now, for one that somebody has written to since it was recorded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from ocrd.errors import SourceChangedError
from ocrd.files import display, open_regular
from ocrd.job import Job, Member, digest_of


def identity(job: Job, path: Path) -> dict[str, Any]:
    """The columns that tell what lies at `path`: size, time, inode, digest, members.

    A file that was taken out of a joined document's folder belongs to it no longer.

    Raises:
        BadFileError: A link, a pipe or the like has taken its place (kind `not-a-file`).
        SourceChangedError: None of a joined document's files is there (kind `source-gone`).
        PlaceError: It cannot be read now.
    """
    if not job.members or path.is_symlink():
        return _facts(path)
    left = [each for each in job.members if (path / each.name).is_file()]
    members = tuple(Member(source=each.source, **_facts(path / each.name)) for each in left)
    if not members:
        raise SourceChangedError(
            f"{display(job.source)}: none of its files is there any more",
            hint="Nothing to do if they were taken away on purpose; else drop them again.",
            kind="source-gone",
        )
    return {
        "size": sum(member.size for member in members),
        "mtime_ns": max(member.mtime_ns for member in members),
        "inode": 0,
        "sha256": digest_of(members),
        "members": members,
    }


def _facts(path: Path) -> dict[str, Any]:
    with open_regular(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        now = os.fstat(file.fileno())
    return {
        "size": now.st_size,
        "mtime_ns": now.st_mtime_ns,
        "inode": now.st_ino,
        "sha256": sha256,
    }
