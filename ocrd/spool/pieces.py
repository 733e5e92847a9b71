"""What an original consists of: one file, or the members of a joined document.

A joined document's members lie in its inbox one by one and in a folder of their own everywhere
else: in the spool, in the archive and in failed/, from where they come back together.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ocrd.files import Disk
from ocrd.job import Job, Member, Place
from ocrd.spool import names
from ocrd.spool.home import Home


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or a folder of files, that is moved into the spool as a whole.

    Attributes:
        what: What it was when it was recorded.
        source: Where it lies before.
        hidden: The name that it takes there while it is copied from another file system.
        target: Where it lies in the spool.
    """

    what: Job | Member
    source: Path
    hidden: Path
    target: Path


def pieces(job: Job, source: Path, home: Home) -> list[Piece]:
    """What is to be moved to make the original at `source` ours, in the order of its pages."""
    if not job.members or job.place is Place.FAILED:
        hidden = source.with_name(names.claimed(home.token))
        return [Piece(job, source, hidden, home.original)]
    inbox = top(source, job.source)
    hidden_names = hidden_members(inbox, job.members, home.token)
    return [
        Piece(member, inbox / member.source, hidden, home.original / member.name)
        for member, hidden in zip(job.members, hidden_names, strict=True)
    ]


def hidden_members(inbox: Path, members: Sequence[Member], token: str) -> list[Path]:
    """For each member the name that it takes in its inbox while it is copied from there."""
    return [
        (inbox / member.source).with_name(names.claimed(f"{token}-{number}"))
        for number, member in enumerate(members, start=1)
    ]


def top(path: Path, relative: str) -> Path:
    """The folder below which `path` is `relative`."""
    return path.parents[len(PurePosixPath(relative).parts) - 1]


def is_recorded(what: Job | Member, path: Path, disk: Disk, *, thorough: bool = False) -> bool:
    """Whether what lies at `path` is what was recorded: size, time and contents.

    The inode, where it still is the recorded one, spares reading the contents unless `thorough`.
    What was refused has no digest: it has to be looked at in its inbox again.
    """
    if isinstance(what, Job) and what.members:
        return is_folder(path, disk) and all(
            is_recorded(member, path / member.name, disk, thorough=thorough)
            for member in what.members
        )
    facts = disk.lstat(path)
    if facts is None or not stat.S_ISREG(facts.st_mode) or facts.st_size != what.size:
        return False
    if not what.sha256:
        return False
    if facts.st_ino == what.inode:
        same = facts.st_mtime_ns == what.mtime_ns
        return same and (not thorough or disk.digest(path) == what.sha256)
    return disk.digest(path) == what.sha256  # a copy; or inodes have no meaning there


def same_bytes(what: Job | Member, path: Path, disk: Disk) -> bool:
    """Whether a copy at `path` holds what was recorded."""
    if isinstance(what, Job) and what.members:
        return all(same_bytes(member, path / member.name, disk) for member in what.members)
    return disk.digest(path) == what.sha256


def is_folder(path: Path, disk: Disk) -> bool:
    """Whether a folder, and no link to one, lies at `path`."""
    facts = disk.lstat(path)
    return facts is not None and stat.S_ISDIR(facts.st_mode)
