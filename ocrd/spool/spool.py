"""The spool: ocrd's own place for a job's original, scratch files and bundle; the ways in and out.

    ROOT/.ocrd/jobs/ID-TOKEN/
        job.json        what the job is, and its moves under way (see `jobdir`)
        source.EXT      the original; its name is in job.json
        source/         or, for a joined document, the folder of its members
        pages.jsonl     the finished pages (see `ocrd.pagelog`)
        bundle/         being built; `sealed` appears beside it once it is complete and durable

Intent before effect: the ledger records a step's names, then the step's method here is called.
After a crash at any point the method is called again, and does what is still to be done.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from ocrd.config import Folder
from ocrd.config.ownership import AS_AROUND, Ownership
from ocrd.errors import OcrdError, SourceChangedError
from ocrd.files import AROUND, Disk, display, write_durably
from ocrd.job import Job
from ocrd.oserrors import blaming
from ocrd.pagelog import PageLog
from ocrd.requests import ANSWERS, REQUESTS
from ocrd.spool import names, orphans, take
from ocrd.spool.expiry import Fate, expire
from ocrd.spool.jobdir import LOOKING, PRIVATE, JobDir
from ocrd.spool.move import Mover, forget, is_folder, same_file, settle
from ocrd.spool.orphans import Orphan
from ocrd.spool.permissions import make_folders_for, make_ours, move_out, set_permissions
from ocrd.spool.take import is_recorded
from ocrd.spool.tree import fsync_tree, remove_tree
from ocrd.spool.trees import Trees

_BAD_NAME = {errno.EINVAL, errno.ENAMETOOLONG}  # exFAT, say, refuses `a:b`; eCryptfs, 150 bytes

_WRITING = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = {"jobs", REQUESTS, ANSWERS}  # jobs are closed as a whole; requests have their own modes

KEPT = 1024  # how many `JobDir`s stay in memory; any other is made again when it is needed


class Spool:
    """Crash-safe moves between inbox, spool, outbox, archive and failed.

    Methods block; call them off the event loop.  Different jobs may be worked on concurrently, but
    one job only by one caller at a time.  In addition to the errors that they name, all methods
    raise `PlaceError` when a place cannot be used now, and the other errors that `os_error` makes.

    Args:
        root: The configured root; the spool is `.ocrd` below it.
        trees: Checks that a tree is itself before it is written to; by default the spool alone.
        disk: The system calls; the same as those of `trees`.
    """

    def __init__(
        self,
        root: Path,
        *,
        trees: Trees | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._jobs = root / ".ocrd" / "jobs"
        self._disk = disk or Disk()
        self._disk.know(self._jobs.parent)
        self._trees = trees or Trees(secrets.token_hex(16), {}, self._disk, lambda *_: None)
        self._jobdirs = lru_cache(KEPT)(self._made_jobdir)
        self._sealed: dict[Path, list[Path]] = {}  # a bundle's paths, until it begins to leave

    def prepare(self) -> None:
        """Make the spool: the group may look at the status; the jobs' files are the daemon's alone.

        Raises:
            PlaceError: Also when the spool is not this installation's (`tree-lost`).
        """
        with blaming(self._jobs):
            self._trees.check(self._jobs.parent)
            self._furnish()

    def _furnish(self) -> None:
        spool = self._jobs.parent
        with suppress(FileExistsError):
            self._disk.mkdir(self._jobs, PRIVATE)
        for folder, mode in ((spool, LOOKING), (self._jobs, PRIVATE)):
            self._disk.chmod(folder, mode)
            self._disk.fsync_dir(folder.parent)
        self._close()

    def _close(self) -> None:
        """Let the group read, but not change, what the spool holds beside jobs and requests."""
        spool = self._jobs.parent
        for top, folders, files in os.walk(spool):
            if top == str(spool):
                folders[:] = [each for each in folders if each not in _OTHERS]
            for path in (Path(top, name) for name in (*folders, *files)):
                found = self._disk.lstat(path)
                mode = 0 if found is None or stat.S_ISLNK(found.st_mode) else found.st_mode
                if mode & _WRITING:
                    # another user's, who may change it anyway; or gone meanwhile
                    with suppress(PermissionError, FileNotFoundError, SourceChangedError):
                        self._disk.chmod(path, stat.S_IMODE(mode) & ~_WRITING)

    def know(self, folders: Iterable[Folder]) -> set[Path]:
        """The trees of these folders, known from now on.  Does not touch the disk."""
        trees = {tree for folder in folders for _, tree in folder.trees()}
        for tree in trees:
            self._disk.know(tree)
        return trees

    def mark(self, tree: Path) -> None:
        """Mark a tree that exists, so that it differs from the folder beneath its mount point.

        Raises:
            PlaceError: The tree is not itself (`tree-lost`); whatever needs it waits.
        """
        with blaming(tree):
            if self._disk.stat(tree) is not None:
                self._trees.check(tree)

    @contextmanager
    def at_work(self, place: Path | None = None) -> Iterator[None]:
        """Check, once for all that this thread does within, that the spool is itself.

        The tree of `place` is checked, too, and an `OSError` within becomes an error with a remedy.
        If the folder for jobs has been deleted, it is made anew; what it held is lost.
        """
        place = place or self._jobs
        with blaming(place), self._trees.holding(self._jobs, place) as looked:
            if looked and self._disk.lstat(self._jobs) is None:
                self._furnish()
            yield

    @contextmanager
    def at_work_on(self, job: Job) -> Iterator[None]:
        """`at_work` for a step of a job; the job's folder, if it exists, is opened only once."""
        jobdir = self._jobdir(job)
        with self.at_work(jobdir.path), ExitStack() as held:
            with suppress(FileNotFoundError):
                held.enter_context(jobdir.held())
            yield

    @contextmanager
    def _leaving(self, target: Path, owner: Ownership = AS_AROUND) -> Iterator[None]:
        """`at_work` for a move out of the spool, where the file system may refuse the name."""
        with self.at_work(target):
            if owner.given and (tree := self._trees.fresh(target)) is not None:
                set_permissions(tree, tree.parent, self._disk, owner, below=False)
            try:
                yield
            except OSError as error:
                place = Path(os.fsdecode(error.filename2 or error.filename or target))
                if error.errno not in _BAD_NAME or place.is_relative_to(self._jobs):
                    raise
                raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), str(place)) from error

    def require(self, job: Job, original: Path) -> None:
        """Make sure that there still is a file at the job's `original`.

        Raises:
            SourceChangedError: There is none (kind `source-gone`).
        """
        with self.at_work(original):
            if self._disk.lstat(original) is None:
                raise take.gone(job)

    def page_log(self, job: Job) -> PageLog:
        """The log of the job's finished pages, which survives a crash of the daemon."""
        return PageLog(self._jobdir(job).path / "pages.jsonl", self._disk, self.at_work)

    def holds(self, job: Job) -> bool:
        """Whether the spool has a folder for the job; once claimed, it has one until `finish`."""
        jobdir = self._jobdir(job)
        with self.at_work(jobdir.path):
            return jobdir.has(jobdir.path)

    def spooled(self, job: Job) -> Path:
        """The path of the original while it is in the spool."""
        return self._jobdir(job).original

    def claim(self, job: Job, source: Path) -> Path:
        """Take the original into the spool.  From failed/ (`job.place`), its report is removed.

        Args:
            job: The job whose original it is.
            source: The original's path: below the inbox, or in failed/.  A file that is missing
                there counts as taken away, once its tree has proved to be itself.  The members of a
                joined document are in the same inbox, each at its own `source`.

        Returns:
            The original's path in the spool; for a joined document, the folder of its members.

        Raises:
            SourceChangedError: The original is gone (kind `source-gone`), or is not what was
                recorded; then it was put back where it came from, under the next free name if its
                own is taken.  One such member is enough for all members to be put back.
        """
        jobdir = self._jobdir(job)
        with self.at_work(source), jobdir.opened(job, source):
            take.claim(job, source, jobdir)
        return jobdir.original

    def remove_marker(self, marker: Path) -> None:
        """Remove the marker of a claimed original; a missing one is no error.

        A folder of that name is no marker and stays: not every document waits for a marker.
        """
        with self.at_work(marker):
            if self._disk.lstat(marker) is not None and not is_folder(marker, self._disk):
                self._disk.unlink(marker)
                self._disk.fsync_dir(marker.parent)

    def unchanged(self, job: Job) -> bool:
        """Whether the spooled original still is what was recorded, byte for byte.

        A program that opened it before it was claimed may still write to it.
        """
        jobdir = self._jobdir(job)
        with self.at_work(jobdir.original):
            return is_recorded(job, jobdir.original, self._disk, thorough=True)

    def new_bundle(self, job: Job) -> Path:
        """A new, empty folder to build the bundle in; an earlier one is removed."""
        jobdir = self._jobdir(job)
        with self.at_work(jobdir.bundle):
            self._sealed.pop(jobdir.bundle, None)
            Mover(jobdir, "publish").abandon()
            remove_tree(jobdir.sealed, self._disk)
            remove_tree(jobdir.bundle, self._disk)
            self._disk.mkdir(jobdir.bundle)
        return jobdir.bundle

    def seal(self, job: Job) -> None:
        """Make the whole bundle durable; from now on it may be published.

        After an error the bundle must be rebuilt: the kernel may have dropped what it could not
        write.
        """
        jobdir = self._jobdir(job)
        with self.at_work(jobdir.bundle):
            self._sealed[jobdir.bundle] = fsync_tree(jobdir.bundle, self._disk)
            self._disk.create(jobdir.sealed)
            self._disk.fsync_dir(jobdir.path)

    def publish(
        self, job: Job, target: Path, owner: Ownership = AS_AROUND, entry: str = ""
    ) -> None:
        """Move the sealed bundle, or an entry of it, to `target` in the outbox; it appears whole.

        What an earlier call has published is skipped, even if it was taken out of the outbox since.
        Like everything that leaves the spool, it and the folders made for it have the owner's group
        and permissions from the moment that they can be seen.

        Args:
            job: The job whose bundle it is.
            target: The new path.
            owner: The group and umask to apply.
            entry: The entry's name in the bundle, "" for the whole bundle.

        Raises:
            FileExistsError: The name is taken; choose the next.
            PlaceError: Also when the daemon's user is not in the owner's group.
            OcrdError: The bundle was never sealed.
        """
        jobdir = self._jobdir(job)
        known = self._sealed.pop(jobdir.bundle, None)
        with self._leaving(target, owner):
            if not jobdir.has(jobdir.sealed):
                raise OcrdError(
                    f"{display(job.source)}: there is no sealed bundle to publish",
                    hint="This is a defect of ocrd: please report it.",
                    kind="unsealed",
                )
            settle(jobdir, ["publish"])
            source = jobdir.bundle / entry
            if jobdir.has(source):
                jobdir.keep_names(job)
                make_folders_for(target.parent, jobdir, owner)
                whole = known if source == jobdir.bundle else None
                set_permissions(source, target.parent, self._disk, owner, known=whole)
            try:
                move_out("publish", source, target, jobdir, owner)
            except FileNotFoundError:
                if jobdir.has(source):
                    raise  # otherwise: published before a crash, taken out of the outbox since

    def made(self, job: Job) -> list[str]:
        """Names in the bundle that are not published yet, sorted; empty if there is no bundle."""
        jobdir = self._jobdir(job)
        if known := self._sealed.get(jobdir.bundle):
            below = [str(path).removeprefix(f"{jobdir.bundle}/") for path in known[:-1]]
            return [name for name in below if "/" not in name]
        with self.at_work(jobdir.bundle):
            return self._disk.names(jobdir.bundle) if jobdir.has(jobdir.bundle) else []

    def archive(self, job: Job, target: Path, owner: Ownership = AS_AROUND) -> None:
        """Move the original to `target` in the archive.

        Raises:
            FileExistsError: The name is taken; choose the next.
            SourceChangedError: It is neither in the spool nor at `target` (kind `source-gone`).
        """
        with self._leaving(target, owner):
            self._file(job, target, "archive", owner)

    def fail(self, job: Job, target: Path, report: bytes, owner: Ownership = AS_AROUND) -> None:
        """Move the claimed original to `target` in failed/, and put the report beside it.

        Raises:
            FileExistsError: One of the two names is taken; choose the next.
            SourceChangedError: It is neither in the spool nor at `target` (kind `source-gone`).
        """
        with self._leaving(target, owner):
            jobdir = self._jobdir(job)
            Mover(jobdir, "fail").resume()
            if jobdir.has(jobdir.original):
                if jobdir.has(told := names.report(target)):
                    raise FileExistsError(errno.EEXIST, "the name is taken", str(told))
                write_durably(jobdir.report, report, self._disk, AROUND)
                jobdir.keep_names(job)
            placed = self._file(job, target, "fail", owner)
            told, there = names.report(placed), jobdir.has(jobdir.report)
            waits = "report" in jobdir.moves() or (there and not jobdir.has(told))
            # btrfs can show the report's rename under both names after a power cut
            if waits or same_file(jobdir.report, told, self._disk):
                if owner.given and there:
                    set_permissions(jobdir.report, placed.parent, self._disk, owner)
                move_out("report", jobdir.report, told, jobdir, owner)

    def _file(self, job: Job, target: Path, step: str, owner: Ownership) -> Path:
        jobdir = self._jobdir(job)
        make_folders_for(target.parent, jobdir, owner)
        if jobdir.has(jobdir.original) and step not in jobdir.moves():
            if owner.given:
                make_ours(jobdir.original, jobdir.path / "draft", self._disk)
                set_permissions(jobdir.original, target.parent, self._disk, owner)
            elif job.members:  # only the folder was made by us
                set_permissions(jobdir.original, target.parent, self._disk, below=False)
        try:
            return move_out(step, jobdir.original, target, jobdir, owner)
        except FileNotFoundError:
            if jobdir.has(jobdir.original):
                raise
            raise take.gone(job) from None

    def free_name(self, folder: Path, name: str, *, is_dir: bool = False) -> Path:
        """The first of NAME, NAME (2), … that is free; for a file, its report's name must be, too.

        If a file has the name of `folder` or of a folder above, that folder gets a number, too.

        Args:
            folder: The folder to look in; it need not exist.
            name: The first choice.
            is_dir: Whether the name is for a folder: its number goes to the very end.
        """

        def taken(choice: str) -> bool:
            place = folder / choice
            places = [place] if is_dir else [place, names.report(place)]
            return any(self._disk.lstat(each) is not None for each in places)

        with self._leaving(folder):
            folder = names.passable(folder, self._disk)
            return folder / names.first(name, taken, is_dir=is_dir)

    def free_stem(self, folder: Path, choices: Iterable[str], suffixes: Collection[str]) -> Path:
        """The path of the first of the choices that is free with every one of the suffixes."""
        with self._leaving(folder):
            folder = names.passable(folder, self._disk)
            return next(
                folder / stem
                for stem in choices
                if all(self._disk.lstat(folder / f"{stem}{end}") is None for end in suffixes)
            )

    def expire(self, job: Job, archive: Path) -> Fate:
        """Delete the archived original of a done job (see `expiry.expire`)."""
        with self.at_work(archive):
            return expire(job, archive, self._disk)

    def finish(self, job: Job) -> None:
        """Remove the folder of a job that has ended.

        Raises:
            OcrdError: The original is still in it, and must be filed first.
        """
        jobdir = self._jobdir(job)
        with self.at_work(jobdir.path):
            if jobdir.has(jobdir.original):
                raise OcrdError(
                    f"{display(job.source)}: the original is still in the spool",
                    hint="This is a defect of ocrd: please report it.  The file is safe at "
                    f"{display(jobdir.original)}.",
                    kind="unfiled",
                )
            self._sealed.pop(jobdir.bundle, None)
            forget(jobdir)

    def orphans(self) -> list[Orphan]:
        """The folders of all jobs; those that the ledger does not know are orphans.

        A folder without an original is left from a job that ended; `put_back` removes it, too.
        """
        with self.at_work(self._jobs):
            held = self._disk.names(self._jobs)
            settled = (orphans.settled(self._jobs / name, self._disk) for name in held)
            return [orphan for orphan in settled if orphan is not None]

    def was_taken(self, orphan: Orphan) -> bool:
        """Whether somebody has moved the orphan's original away since it was looked at."""
        with self.at_work(orphan.jobdir.path):
            return orphan.original is not None and self._disk.lstat(orphan.original) is None

    def put_back(self, orphan: Orphan, inbox: Path) -> Path | None:
        """Move an orphan's original to its inbox, under a free name, and remove the rest.

        Returns:
            The original's new path, or that of the first member; None if there was no original.
        """
        with self.at_work(inbox):
            return orphans.put_orphan_back(orphan, inbox, self._disk)

    def _jobdir(self, job: Job) -> JobDir:
        return self._jobdirs(job.id, job.token, "" if job.members else job.source)

    def _made_jobdir(self, number: int, token: str, source: str) -> JobDir:
        """The `JobDir` of a job; `source` is empty for a joined document."""
        path = self._jobs / f"{number}-{token}"
        name = names.original(source) if source else names.ORIGINAL
        return JobDir(path, token, path / name, self._disk)
