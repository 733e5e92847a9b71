"""`names.json`: what a job's files will be called outside the spool, in case the ledger is lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ocrd.files import Disk
from ocrd.job import Job

NAME = "names.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalNames:
    """The names that the ledger has recorded for a job; None where it has none."""

    outputs: str | None
    archived_to: str | None
    failed_to: str | None


def keep(job: Job, home: Path, disk: Disk) -> None:
    """Before anything of the job leaves the spool.  Half a record is none, and does no harm."""
    told = {"outputs": job.outputs, "archived_to": job.archived_to, "failed_to": job.failed_to}
    disk.write(home / NAME, json.dumps(told, ensure_ascii=True).encode())
    disk.fsync_file(home / NAME)


def kept(home: Path, disk: Disk) -> FinalNames | None:
    """What `keep` wrote; None when there is nothing that can be understood."""
    if disk.lstat(home / NAME) is None:
        return None
    with disk.open(home / NAME) as file:
        content = file.read()
    try:
        return FinalNames(**json.loads(content))
    except (ValueError, TypeError):
        return None
