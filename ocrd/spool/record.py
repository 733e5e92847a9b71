"""`job.json`: what a job's folder says about itself, so that a lost ledger can be built anew."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd.files import Disk, display, write_durably
from ocrd.job import Found, Job, Member

NAME = "job.json"
_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """What `job.json` holds.

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
    def of(cls, job: Job, origin: Path) -> JobRecord:
        """The record of a job whose original lies at `origin`."""
        found = Found(
            folder=job.folder,
            source=job.source,
            size=job.size,
            mtime_ns=job.mtime_ns,
            inode=job.inode,
            sha256=job.sha256,
            priority=job.priority,
            members=job.members,
        )
        return cls(
            id=job.id, token=job.token, found=found, origin=origin, created_at=job.created_at
        )

    def to_json(self) -> bytes:
        """One JSON object.  Names are bytes: base64 is the truth, `source_shown` for people."""
        record = {
            "version": _VERSION,
            "id": self.id,
            "token": self.token,
            "folder": self.found.folder,
            "source": _encoded(self.found.source),
            "source_shown": display(self.found.source),
            "origin": _encoded(str(self.origin)),
            "size": self.found.size,
            "mtime_ns": self.found.mtime_ns,
            "inode": self.found.inode,
            "sha256": self.found.sha256,
            "priority": self.found.priority,
            "created_at": self.created_at,
            "members": [_member_record(member) for member in self.found.members],
        }
        return (json.dumps(record, indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> JobRecord:
        """The inverse of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: The content is not such a record.
        """
        told: dict[str, Any] = json.loads(content)
        found = Found(
            folder=str(told["folder"]),
            source=_decoded(told["source"]),
            size=int(told["size"]),
            mtime_ns=int(told["mtime_ns"]),
            inode=int(told["inode"]),
            sha256=str(told["sha256"]),
            priority=int(told["priority"]),
            members=tuple(_member(each) for each in told.get("members", ())),
        )
        return cls(
            id=int(told["id"]),
            token=str(told["token"]),
            found=found,
            origin=Path(_decoded(told["origin"])),
            created_at=float(told["created_at"]),
        )


def read(home: Path, disk: Disk) -> JobRecord | None:
    """The record in a job's folder; None when there is none that can be understood."""
    if disk.lstat(home / NAME) is None:
        return None
    with disk.open(home / NAME) as file:
        content = file.read()
    try:
        return JobRecord.from_json(content)
    except (ValueError, KeyError, TypeError):
        return None


def write(home: Path, record: JobRecord, disk: Disk) -> None:
    """Keep the record in a job's folder, durably."""
    write_durably(home / NAME, record.to_json(), disk)


def _member_record(member: Member) -> dict[str, Any]:
    return {
        "source": _encoded(member.source),
        "source_shown": display(member.source),
        "size": member.size,
        "mtime_ns": member.mtime_ns,
        "inode": member.inode,
        "sha256": member.sha256,
    }


def _member(told: dict[str, Any]) -> Member:
    return Member(
        source=_decoded(told["source"]),
        size=int(told["size"]),
        mtime_ns=int(told["mtime_ns"]),
        inode=int(told["inode"]),
        sha256=str(told["sha256"]),
    )


def _encoded(name: str) -> str:
    return base64.b64encode(os.fsencode(name)).decode("ascii")


def _decoded(text: str) -> str:
    return os.fsdecode(base64.b64decode(text, validate=True))
