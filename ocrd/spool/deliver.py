"""The ways out of the spool: a bundle to the outbox, an original to archive or failed."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from ocrd.config.ownership import Ownership
from ocrd.errors import OcrdError
from ocrd.files import display, write_durably
from ocrd.job import Job
from ocrd.spool import names
from ocrd.spool.jobdir import JobDir
from ocrd.spool.move import same_file
from ocrd.spool.permissions import make_folders_for, make_ours, move_out, set_permissions
from ocrd.spool.take import gone
from ocrd.spool.tree import fsync_tree, remove_tree


def new_bundle(jobdir: JobDir) -> None:
    """An empty folder for the bundle (see `Spool.new_bundle`)."""
    jobdir.mover("publish").abandon()
    remove_tree(jobdir.sealed, jobdir.disk)
    remove_tree(jobdir.bundle, jobdir.disk)
    jobdir.disk.mkdir(jobdir.bundle)


def seal(jobdir: JobDir) -> list[Path]:
    """Make the bundle durable and say so (see `Spool.seal`); all of it, from the bottom up."""
    known = fsync_tree(jobdir.bundle, jobdir.disk)
    jobdir.disk.create(jobdir.sealed)
    jobdir.disk.fsync_dir(jobdir.path)
    return known


def publish(
    job: Job, target: Path, jobdir: JobDir, owner: Ownership, known: Sequence[Path] | None
) -> None:
    """The bundle to the outbox (see `Spool.publish`); `known` is what `seal` gave, if just now."""
    _require_seal(job, jobdir)
    make_folders_for(target.parent, jobdir, owner)
    if jobdir.has(jobdir.bundle) and not jobdir.under_way("publish"):
        jobdir.record.keep_names(job)
        set_permissions(jobdir.bundle, target.parent, jobdir.disk, owner, known=known)
    try:
        move_out("publish", jobdir.bundle, target, jobdir, owner)
    except FileNotFoundError:
        if jobdir.has(jobdir.bundle):
            raise  # else: published before a crash, and taken out of the outbox since


def begin(job: Job, jobdir: JobDir) -> None:
    """Before the first entry of a bundle goes to the outbox."""
    if jobdir.has(jobdir.path):
        jobdir.record.keep_names(job)


def publish_entry(job: Job, entry: str, target: Path, jobdir: JobDir, owner: Ownership) -> None:
    """One entry of the bundle to the outbox (see `Spool.publish_each`)."""
    _require_seal(job, jobdir)
    jobdir.settle(["publish"])
    source = jobdir.bundle / entry
    if jobdir.has(source):
        make_folders_for(target.parent, jobdir, owner)
        set_permissions(source, target.parent, jobdir.disk, owner)
        move_out("publish", source, target, jobdir, owner)
    elif jobdir.has(target.parent):  # published before a crash that came before it was made to last
        jobdir.disk.fsync_dir(target.parent)


def _require_seal(job: Job, jobdir: JobDir) -> None:
    """Refuse to publish what was never completed."""
    if not jobdir.has(jobdir.sealed):
        raise OcrdError(
            f"{display(job.source)}: there is no sealed bundle to publish",
            hint="This is a defect of ocrd: please report it.",
            kind="unsealed",
        )


def archive(job: Job, target: Path, jobdir: JobDir, owner: Ownership) -> None:
    """The original to the archive (see `Spool.archive`)."""
    _file(job, target, "archive", jobdir, owner)


def fail(job: Job, target: Path, report: bytes, jobdir: JobDir, owner: Ownership) -> None:
    """The original to failed/, its report beside it (see `Spool.fail`)."""
    jobdir.mover("fail").resume()
    if jobdir.has(jobdir.original):
        if jobdir.has(names.report(target)):
            raise FileExistsError(errno.EEXIST, "the name is taken", str(names.report(target)))
        write_durably(jobdir.report, report, jobdir.disk)
        jobdir.record.keep_names(job)
    placed = _file(job, target, "fail", jobdir, owner)
    told = names.report(placed)
    waits = jobdir.has(jobdir.report) and not jobdir.has(told)
    # btrfs can show the report's rename under both names after a power cut
    if jobdir.under_way("report") or waits or same_file(jobdir.report, told, jobdir.disk):
        if owner.given and jobdir.has(jobdir.report):
            set_permissions(jobdir.report, placed.parent, jobdir.disk, owner)
        move_out("report", jobdir.report, told, jobdir, owner)


def _file(job: Job, target: Path, step: str, jobdir: JobDir, owner: Ownership) -> Path:
    make_folders_for(target.parent, jobdir, owner)
    if owner.given and jobdir.has(jobdir.original) and not jobdir.under_way(step):
        make_ours(jobdir.original, jobdir.draft, jobdir.disk)
        set_permissions(jobdir.original, target.parent, jobdir.disk, owner)
    elif job.members and jobdir.has(jobdir.original) and not jobdir.under_way(step):
        # the folder alone is ours
        set_permissions(jobdir.original, target.parent, jobdir.disk, below=False)
    try:
        return move_out(step, jobdir.original, target, jobdir, owner)
    except FileNotFoundError:
        if jobdir.has(jobdir.original):
            raise
        raise gone(job) from None
