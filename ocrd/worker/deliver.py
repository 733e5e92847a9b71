"""The last steps of a job: record names, publish the bundle, archive the original; or fail.

Each step records its intent in the ledger before its effect on the disk, and each effect can be
repeated, so after a crash the same functions simply run again.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from ocrd.config import Folder
from ocrd.config.names import asks_for_counter
from ocrd.config.ownership import Ownership, ownership
from ocrd.errors import OcrdError, PlaceError, SourceChangedError
from ocrd.files import display
from ocrd.inbox.join import pile_name
from ocrd.inbox.marker import Marker
from ocrd.job import Job, JobError, JobState, Place
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.pages import PageRow, page_row
from ocrd.names import NAME_MAX, fit
from ocrd.spool import Spool
from ocrd.spool.names import REPORT_SUFFIX
from ocrd.worker.naming import (
    dated,
    flat_order,
    flat_stems,
    flat_suffixes,
    flat_target,
    is_artefact,
    is_flat,
    is_flat_file,
    wanted,
)


class Delivery:
    """Publishes, archives and fails jobs.  Blocking: run it off the event loop, on any thread.

    The clock, in seconds since the epoch, dates the archive's folders and the failure reports.
    """

    def __init__(self, *, ledger: Ledger, spool: Spool, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[int, Path] = {}  # by job: stems chosen but not published yet

    def plan(self, job: Job, folder: Folder) -> Path:
        """The path planned for the results, unless it is taken meanwhile.

        In layout `flat` no other job is given the name until this one ends: the text links to the
        figures by their folder's name, so another name would mean rebuilding the bundle.
        """
        counted = asks_for_counter(folder.output_name)
        counter = self._ledger.next_number(folder.name) if counted else 0
        name = wanted(job, folder, counter)
        flat = folder.layout == "flat"
        return self._keep(job, name, flat_suffixes(folder.outputs)) if flat else name

    def record(self, job: Job, folder: Folder, name: Path) -> Job:
        """Record in the ledger the final names of a sealed bundle, and of the original.

        A bundle that was rebuilt because its recorded name was taken is recorded again.
        """
        outputs = self._outputs(job, folder, name)
        if job.state is JobState.DELIVERING:
            return self._ledger.redeliver(job, outputs=outputs)
        archived_to = self._archived(job, folder)
        return self._ledger.deliver(
            job, outputs=outputs, archived_to=str(archived_to), pages=self._pages(job)
        )

    def deliver(self, job: Job, folder: Folder) -> Job:
        """Publish the bundle and archive the original, from the recorded names on; the done job.

        Raises:
            FileExistsError: A name that the bundle contains was taken; it must be rebuilt.
            PlaceError: The outbox or archive cannot be written now; call again later.
            FencedError: The job is no longer this attempt's.
        """
        if not self._spool.holds(job):  # it was done before the ledger was restored from a backup
            return self._ledger.done(job)
        job = self.publish(job, folder)
        job = self._archive(job, folder)
        return self._ended(self._ledger.done(job))

    def fail(self, job: Job, folder: Folder, error: JobError, *, cancelled: bool = False) -> Job:
        """Move the original to failed/ with a report beside it, from wherever it is now.

        If it is gone or has changed, it is left alone, and the job ends all the same.  On a cancel,
        so is an original in the inbox that the daemon may not take.

        Raises:
            PlaceError: failed/ cannot be written, or the inbox not be used, now; call again later.
            FencedError: The job is no longer this attempt's.
        """
        place = Place.FAILED
        try:
            job = self._to_failed(job, folder, error, cancelled=cancelled)
        except SourceChangedError as changed:  # there is nothing of the job's to move
            place = Place.GONE if changed.kind == "source-gone" else job.place
        except PlaceError as closed:
            if not (cancelled and job.place is Place.INBOX and closed.is_below([folder.inbox])):
                raise
            place = job.place
        return self._ended(self._ledger.failed(job, place, cancelled=cancelled))

    def _pages(self, job: Job) -> list[PageRow]:
        """The job's finished pages, as rows for the ledger."""
        log = self._spool.page_log(job)
        recipe = log.recipe_of(job.sha256)
        if recipe is None:
            return []
        return [page_row(each.page, each.result, recipe) for each in log.entries()]

    def _ended(self, job: Job) -> Job:
        with self._lock:
            self._kept.pop(job.id, None)
        self._spool.finish(job)
        return job

    # --- the bundle ---

    def _outputs(self, job: Job, folder: Folder, name: Path) -> str | None:
        """The path to record for a bundle: its folder, or, in layout `flat`, its main file.

        None if the bundle is empty, so that layout `flat` has nothing to put into the outbox.
        """
        made = flat_order(self._spool.made(job))
        if is_flat(made):
            return str(flat_target(made[-1], name.parent, name.name))
        if not made and folder.layout == "flat":
            return None
        return str(self._free_folder(name))  # for a pile, too: its documents stay together

    def publish(self, job: Job, folder: Folder) -> Job:
        """Publish the bundle under the recorded name, or the next free one; safe to repeat."""
        if job.outputs is None:
            return job
        recorded = Path(job.outputs)
        made = self._spool.made(job)  # shows the layout: a reload may have changed the folder's
        if is_flat(made) if made else is_flat_file(recorded.name):
            return self._side_by_side(job, folder, recorded)
        while True:
            try:
                self._spool.publish(job, recorded, _owner(folder))
            except FileExistsError:  # taken since the names were chosen
                recorded = self._free_folder(_again(job, folder, recorded))
                job = self._ledger.redeliver(job, outputs=str(recorded))
            else:
                return job

    def _side_by_side(self, job: Job, folder: Folder, recorded: Path) -> Job:
        while True:
            left = flat_order(self._spool.made(job))
            stem = recorded.name.removesuffix(left[-1]) if left else ""
            targets = [(each, flat_target(each, recorded.parent, stem)) for each in left]
            try:  # with none left, the last one's name is made durable
                for entry, target in targets or [(recorded.name, recorded)]:
                    self._spool.publish(job, target, _owner(folder), entry)
            except FileExistsError:
                left = flat_order(self._spool.made(job))
                if not all(map(is_artefact, left)):
                    raise  # the text links to a folder of that name
                name = self._keep(job, _again(job, folder, recorded.parent / stem), left)
                recorded = flat_target(left[-1], name.parent, name.name)
                job = self._ledger.redeliver(job, outputs=str(recorded))
            else:
                return job

    def _free_folder(self, name: Path) -> Path:
        return self._spool.free_name(name.parent, name.name, is_dir=True)

    def _keep(self, job: Job, name: Path, suffixes: Collection[str]) -> Path:
        """Keep, for the job, the first stem free with all suffixes and not kept for another job."""
        while True:
            others = self._kept_by_others(job)
            choices = (each for each in flat_stems(name.name) if name.parent / each not in others)
            free = self._spool.free_stem(name.parent, choices, suffixes)
            with self._lock:  # not held while asking the disk: a share may hang
                if name.parent / free.name not in self._kept_by_others(job):
                    self._kept[job.id] = name.parent / free.name
                    return free

    def _kept_by_others(self, job: Job) -> set[Path]:
        return {path for number, path in list(self._kept.items()) if number != job.id}

    # --- the original ---

    def _archived(self, job: Job, folder: Folder) -> Path:
        source = PurePosixPath(job.source)
        base = dated(folder.archive, self._clock())
        return self._spool.free_name(base / source.parent, source.name)

    def _archive(self, job: Job, folder: Folder) -> Job:
        while True:
            try:
                self._spool.archive(job, _recorded(job.archived_to), _owner(folder))
            except FileExistsError:
                job = self._ledger.redeliver(job, archived_to=str(self._archived(job, folder)))
            except SourceChangedError as error:
                if error.kind != "source-gone":
                    raise
                return job  # filed before a crash, and taken out of the archive since
            else:
                return job

    def _to_failed(self, job: Job, folder: Folder, error: JobError, *, cancelled: bool) -> Job:
        below = folder.failed / PurePosixPath(job.source).parent
        while True:
            try:
                if job.ending is None:
                    name = fit(PurePosixPath(job.source).name, suffix_room=len(REPORT_SUFFIX))
                    target = self._spool.free_name(below, name)
                    job = self._ledger.intend_failure(
                        job, error, str(target), cancelled=cancelled, pages=self._pages(job)
                    )
                if job.place is Place.FAILED:  # put back by `retry`, but not claimed since
                    self._spool.require(job, _recorded(job.failed_to))
                    return job
                if job.place is Place.INBOX:
                    self._spool.claim(job, folder.inbox / job.source)
                    remove_marker(self._spool, job, folder)
                    job = self._ledger.moved(job)
                report = self._report(job, error)
                self._spool.fail(job, _recorded(job.failed_to), report, _owner(folder))
            except FileExistsError:
                job = replace(job, ending=None)
            except OcrdError as refused:
                of_the_path = isinstance(refused, PlaceError) and refused.is_below([folder.failed])
                if below == folder.failed or not (of_the_path or refused.kind == "name-too-long"):
                    raise
                below = folder.failed  # the sub-folder takes nothing: use failed/ itself
                job = replace(job, ending=None)
            else:
                return job

    def _report(self, job: Job, error: JobError) -> bytes:
        """The contents of NAME.error.json, which a person finds beside the failed file."""
        report = {
            "version": 1,
            "job": job.id,
            "folder": job.folder,
            "source": display(job.source),
            "sha256": job.sha256,
            **error.shown(),
            "attempts": job.attempts,
            "failed_at": datetime.fromtimestamp(self._clock()).astimezone().isoformat(),
            "retry": f"ocrd retry {job.id}",
        }
        return (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode()


def remove_marker(spool: Spool, job: Job, folder: Folder) -> None:
    """Remove the done marker of an original that has been claimed.

    Until then it must stay: an original that turns out to have changed needs its marker again.
    Call this between the claim and its record in the ledger, so that a crash in between repeats it.
    """
    if not folder.done_marker or job.place is not Place.INBOX:
        return
    marker = Marker(folder.done_marker)
    if folder.join == "pause" and not job.members:  # a pile of one file
        name = marker.of(pile_name(job.source), document=True)
    else:
        name = marker.of(job.source, document=bool(job.members))
    if len(os.fsencode(name.rpartition("/")[2])) <= NAME_MAX:  # a longer one cannot exist
        spool.remove_marker(folder.inbox / name)


def _recorded(path: str | None) -> Path:
    """The path that an earlier step has recorded for the job."""
    if path is None:
        raise ValueError("the job has no name recorded for this step")
    return Path(path)


def _owner(folder: Folder) -> Ownership:
    return ownership(folder.group, folder.umask)


def _again(job: Job, folder: Folder, taken: Path) -> Path:
    """The first choice after `taken`: the same if it has a counter, which is not advanced again."""
    return taken if asks_for_counter(folder.output_name) else wanted(job, folder)
