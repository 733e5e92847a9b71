"""Jobs that the spool holds and the ledger does not know: after a lost or restored ledger."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ocrd.spool import names, record
from ocrd.spool.choices import Choices
from ocrd.spool.disk import Disk
from ocrd.spool.home import Home
from ocrd.spool.intake import put_back
from ocrd.spool.record import JobRecord

_STEPS = ("claim", "back", "publish", "archive", "fail", "report")


@dataclass(frozen=True, kw_only=True, slots=True)
class Orphan:
    """A job's folder without a job.

    Attributes:
        path: The folder.
        token: The token in its name.
        record: What `job.json` says; None when it says nothing that can be understood.
        original: The original, when it lies there.
        published: Whether its bundle was complete and has left for the outbox.
    """

    path: Path
    token: str
    record: JobRecord | None
    original: Path | None
    published: bool


def look(path: Path, disk: Disk) -> Orphan:
    """What a job's folder holds."""
    held = disk.names(path)
    originals = [name for name in held if name == "source" or name.startswith("source.")]
    return Orphan(
        path=path,
        token=token_of(path.name),
        record=record.read(path, disk),
        original=path / originals[0] if originals else None,
        published="sealed" in held and "bundle" not in held,
    )


def token_of(name: str) -> str:
    """The token in the name of a job's folder."""
    return name.partition("-")[2] or name


def settled(path: Path, disk: Disk) -> Orphan | None:
    """What a job's folder holds, its moves brought to an end where that is possible now.

    A folder with nothing in it was being removed; it goes.
    """
    orphan = look(path, disk)
    with contextlib.suppress(OSError):
        _settle(_home(orphan, disk))
    if not disk.names(path):
        disk.rmdir(path)
        return None
    return look(path, disk)


def put_orphan_back(orphan: Orphan, inbox: Path, disk: Disk, choices: Choices) -> Path | None:
    """The original to its inbox, the rest away (see `Spool.put_back`)."""
    _settle(_home(orphan, disk))
    orphan = look(orphan.path, disk)
    home = _home(orphan, disk)
    placed = None
    for thing in (orphan.original, _claimed(orphan)):
        if thing is not None and home.has(thing):
            placed = put_back(thing, _wanted(orphan, thing, inbox), home, choices)
    home.forget()
    return placed


def _settle(home: Home) -> None:
    for step in _STEPS:
        with contextlib.suppress(FileExistsError):  # given up: the thing is where it was
            home.resume(step)


def _home(orphan: Orphan, disk: Disk) -> Home:
    original = orphan.original or orphan.path / "source"
    return Home(path=orphan.path, token=orphan.token, original=original, disk=disk)


def _claimed(orphan: Orphan) -> Path | None:
    """Where an original waits, hidden, that was to be copied from another file system."""
    if orphan.record is None:
        return None
    return orphan.record.origin.with_name(names.claimed(orphan.token))


def _wanted(orphan: Orphan, thing: Path, inbox: Path) -> Path:
    """The original's old name; where nothing tells it, one made of the folder's."""
    told = orphan.record
    if told is None or any(part in ("", ".", "..") for part in told.found.source.split("/")):
        return inbox / f"{orphan.path.name}{thing.suffix}"
    return inbox / told.found.source
