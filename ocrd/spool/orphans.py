"""Jobs in the spool that the ledger does not know, after it was lost or restored."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrd.files import Disk, draft_of
from ocrd.job import Member
from ocrd.names import claimed, is_relative
from ocrd.spool import names
from ocrd.spool.jobdir import NAME, FinalNames, JobDir, JobRecord
from ocrd.spool.move import Mover, forget, is_folder, settle
from ocrd.spool.take import hidden_members, leave, put_back
from ocrd.spool.tree import remove_tree

_STEPS = ("claim", "back", "folder", "publish", "archive", "fail", "report")


@dataclass(frozen=True, kw_only=True, slots=True)
class Orphan:
    """The contents of a job's folder whose job the ledger may not know.

    Attributes:
        jobdir: The folder.
        record: What `job.json` says of the job's file; None if that cannot be understood.
        original: The original, if it is there; for a joined document, the folder of its members.
        sealed: Whether the bundle was completed, even if it has left the folder since.
        names: The final names of the job's files; None if no file can have left yet.
    """

    jobdir: JobDir
    record: JobRecord | None
    original: Path | None
    sealed: bool
    names: FinalNames | None


def look(path: Path, disk: Disk) -> Orphan:
    """What a job's folder holds."""
    held = disk.names(path)
    originals = [name for name in held if name == "source" or name.startswith("source.")]
    token = path.name.partition("-")[2] or path.name
    jobdir = JobDir(path, token, path / (originals[0] if originals else names.ORIGINAL), disk)
    record, kept = jobdir.recorded()
    return Orphan(
        jobdir=jobdir,
        record=record,
        original=jobdir.original if originals else None,
        sealed="sealed" in held,
        names=kept,
    )


def settled(path: Path, disk: Disk) -> Orphan | None:
    """What a job's folder holds, once interrupted moves are over, as far as that is possible now.

    A folder with nothing in it was just being made or removed: it is removed, and gives None.
    """
    orphan = look(path, disk)
    with contextlib.suppress(OSError):
        settle(orphan.jobdir, _STEPS)
    if set(disk.names(path)) <= {draft_of(NAME)}:
        remove_tree(path, disk)
        return None
    return look(path, disk)


def put_orphan_back(orphan: Orphan, inbox: Path, disk: Disk) -> Path | None:
    """Move the original back to its inbox and remove the rest (see `Spool.put_back`)."""
    settle(orphan.jobdir, _STEPS)
    orphan = look(orphan.jobdir.path, disk)
    jobdir = orphan.jobdir
    _report(orphan)
    lying = [(thing, wanted) for thing, wanted in _things(orphan, inbox, disk) if jobdir.has(thing)]
    placed = [put_back(thing, wanted, jobdir) for thing, wanted in lying]
    for folder in _folders(orphan, disk):
        leave(folder, jobdir)
    forget(jobdir)
    return placed[0] if placed else None


def _report(orphan: Orphan) -> None:
    """Move the report beside the original, if that has reached failed/ but the report has not."""
    jobdir = orphan.jobdir
    failed_to = orphan.names.failed_to if orphan.names else None
    if failed_to is None or jobdir.has(jobdir.original) or not jobdir.has(jobdir.report):
        return
    if jobdir.has(Path(failed_to)):
        with contextlib.suppress(FileExistsError):
            Mover(jobdir, "report").move(jobdir.report, names.report(Path(failed_to)))


def _things(orphan: Orphan, inbox: Path, disk: Disk) -> Iterator[tuple[Path, Path]]:
    """Each path that may have to be put back, and its path in the inbox."""
    members = {member.name: member for member in _members(orphan)}
    folders = _folders(orphan, disk)
    for folder in folders:
        for name in disk.names(folder):
            member = members.get(name)
            yield folder / name, inbox / (member.source if member else name)
    for thing in (orphan.original, _claimed(orphan)):
        if thing is not None and thing not in folders:
            yield thing, _wanted(orphan, thing, inbox)
    hidden = hidden_members(inbox, _members(orphan), orphan.jobdir.token)
    for thing, member in zip(hidden, _members(orphan), strict=True):
        yield thing, inbox / member.source


def _folders(orphan: Orphan, disk: Disk) -> list[Path]:
    """The folders that hold members: in the spool, or hidden in failed/ to be copied."""
    places = (orphan.original, _claimed(orphan))
    return [place for place in places if place is not None and is_folder(place, disk)]


def _members(orphan: Orphan) -> tuple[Member, ...]:
    """The recorded members; none if one of their paths leads out of the inbox."""
    members = orphan.record.found.members if orphan.record else ()
    return members if all(is_relative(member.source) for member in members) else ()


def _claimed(orphan: Orphan) -> Path | None:
    """The hidden path of an original that was to be copied from another file system."""
    if orphan.record is None:
        return None
    return orphan.record.origin.with_name(claimed(orphan.jobdir.token))


def _wanted(orphan: Orphan, thing: Path, inbox: Path) -> Path:
    """The original's old path in the inbox; without a usable record, the folder's name there."""
    told = orphan.record
    if told is None or not is_relative(told.found.source):
        return inbox / f"{orphan.jobdir.path.name}{thing.suffix}"
    return inbox / told.found.source
