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
from ocrd.spool.permissions import dress, dressed_folders, dressed_move, make_ours
from ocrd.spool.take import gone
from ocrd.spool.tree import fsync_tree, remove_tree


def new_bundle(home: JobDir) -> None:
    """An empty folder for the bundle (see `Spool.new_bundle`)."""
    home.mover("publish").abandon()
    remove_tree(home.sealed, home.disk)
    remove_tree(home.bundle, home.disk)
    home.disk.mkdir(home.bundle)


def seal(bundle: Path, home: JobDir) -> list[Path]:
    """Make the bundle durable and say so (see `Spool.seal`); all of it, from the bottom up."""
    known = fsync_tree(bundle, home.disk)
    home.disk.create(home.sealed)
    home.disk.fsync_dir(home.path)
    return known


def publish(
    job: Job, target: Path, home: JobDir, owner: Ownership, known: Sequence[Path] | None
) -> None:
    """The bundle to the outbox (see `Spool.publish`); `known` is what `seal` gave, if just now."""
    _require_seal(job, home)
    dressed_folders(target.parent, home, owner)
    if home.has(home.bundle) and not home.under_way("publish"):
        home.record.keep_names(job)
        dress(home.bundle, target.parent, home.disk, owner, known=known)
    try:
        dressed_move("publish", home.bundle, target, home, owner)
    except FileNotFoundError:
        if home.has(home.bundle):
            raise  # else: published before a crash, and taken out of the outbox since


def begin(job: Job, home: JobDir) -> None:
    """Before the first entry of a bundle goes to the outbox."""
    if home.has(home.path):
        home.record.keep_names(job)


def publish_entry(job: Job, entry: str, target: Path, home: JobDir, owner: Ownership) -> None:
    """One entry of the bundle to the outbox (see `Spool.publish_each`)."""
    _require_seal(job, home)
    home.settle(["publish"])
    source = home.bundle / entry
    if home.has(source):
        dressed_folders(target.parent, home, owner)
        dress(source, target.parent, home.disk, owner)
        dressed_move("publish", source, target, home, owner)
    elif home.has(target.parent):  # published before a crash that came before it was made to last
        home.disk.fsync_dir(target.parent)


def _require_seal(job: Job, home: JobDir) -> None:
    """Refuse to publish what was never completed."""
    if not home.has(home.sealed):
        raise OcrdError(
            f"{display(job.source)}: there is no sealed bundle to publish",
            hint="This is a defect of ocrd: please report it.",
            kind="unsealed",
        )


def archive(job: Job, target: Path, home: JobDir, owner: Ownership) -> None:
    """The original to the archive (see `Spool.archive`)."""
    _file(job, target, "archive", home, owner)


def fail(job: Job, target: Path, report: bytes, home: JobDir, owner: Ownership) -> None:
    """The original to failed/, its report beside it (see `Spool.fail`)."""
    home.mover("fail").resume()
    if home.has(home.original):
        if home.has(names.report(target)):
            raise FileExistsError(errno.EEXIST, "the name is taken", str(names.report(target)))
        write_durably(home.report, report, home.disk)
        home.record.keep_names(job)
    placed = _file(job, target, "fail", home, owner)
    told = names.report(placed)
    if home.under_way("report") or (home.has(home.report) and not home.has(told)):
        if owner.given and home.has(home.report):
            dress(home.report, placed.parent, home.disk, owner)
        dressed_move("report", home.report, told, home, owner)


def _file(job: Job, target: Path, step: str, home: JobDir, owner: Ownership) -> Path:
    dressed_folders(target.parent, home, owner)
    if owner.given and home.has(home.original) and not home.under_way(step):
        make_ours(home.original, home.draft, home.disk)
        dress(home.original, target.parent, home.disk, owner)
    elif job.members and home.has(home.original) and not home.under_way(step):
        dress(home.original, target.parent, home.disk, below=False)  # the folder alone is ours
    try:
        return dressed_move(step, home.original, target, home, owner)
    except FileNotFoundError:
        if home.has(home.original):
            raise
        raise gone(job) from None
