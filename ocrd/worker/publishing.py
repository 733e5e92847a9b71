"""What results are called in the outbox, and how they get there, in both layouts."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ocrd.config import Folder
from ocrd.config.names import asks_for_counter
from ocrd.config.ownership import ownership
from ocrd.document.base import IMAGES
from ocrd.job import Job
from ocrd.worker import flat
from ocrd.worker.naming import Name, stems, wanted
from ocrd.worker.ports import Ledger, Spool


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How a bundle is built.

    Attributes:
        name: What the results will be called, as far as nobody takes that name meanwhile.
        artefacts: The stem of the artefacts in the bundle.
        images: The folder of the figures in it.
    """

    name: Name
    artefacts: str
    images: str = IMAGES


class Publisher:
    """Names results and moves them to the outbox.  Blocking; several threads may call.

    Args:
        ledger: Counts, and records names taken anew.
        spool: Knows which names are free; does the moves.
    """

    def __init__(self, *, ledger: Ledger, spool: Spool) -> None:
        self._ledger = ledger
        self._spool = spool
        self._lock = threading.Lock()
        self._kept: dict[int, Path] = {}  # by job: stems that are chosen and not published yet

    def plan(self, job: Job, folder: Folder) -> Plan:
        """Names for a bundle that is to be built.

        In layout `flat` the name is kept for the job until `forget`: the text links to figures by
        their folder's name, so that another one would mean to build anew.
        """
        counted = asks_for_counter(folder.output_name)
        counter = self._ledger.next_number(folder.name) if counted else 0
        name = wanted(job, folder, counter)
        if folder.layout == "flat":
            name = self._keep(job, name, flat.suffixes(folder.outputs))
            return Plan(name=name, artefacts=flat.STEM, images=name.stem + flat.FIGURES)
        return Plan(name=name, artefacts=name.stem)

    def forget(self, job: Job) -> None:
        """The job has ended: its name is free, or taken for good."""
        with self._lock:
            self._kept.pop(job.id, None)

    def outputs(self, job: Job, folder: Folder, plan: Plan) -> str | None:
        """The path to record for a bundle that was built: its folder, or its main file.

        None when it holds nothing that could lie in the outbox by itself.
        """
        made = flat.ordered(self._spool.made(job))
        if flat.is_flat(made):
            return str(flat.target(made[-1], plan.name.folder, plan.name.stem))
        if not made and folder.layout == "flat":
            return None
        return str(self._free_folder(plan.name))  # of a pile, too: its documents stay together

    def publish(self, job: Job, folder: Folder) -> Job:
        """To the outbox under the recorded name, or the next free one; again after a crash.

        Raises:
            FileExistsError: The name of a folder that the text links to was taken by somebody;
                nothing was published yet.
            PlaceError: The outbox cannot be written now.
        """
        if job.outputs is None:
            return job
        recorded = Path(job.outputs)
        made = self._spool.made(job)  # tells the layout: a reload may have changed the folder's
        if flat.is_flat(made) if made else flat.is_file(recorded.name):
            return self._side_by_side(job, folder, recorded)
        return self._bundle(job, folder, recorded)

    def _bundle(self, job: Job, folder: Folder, recorded: Path) -> Job:
        owner = ownership(folder.group, folder.umask)
        while True:
            try:
                self._spool.publish(job, recorded, owner)
            except FileExistsError:  # taken since the names were chosen
                recorded = self._free_folder(_again(job, folder, recorded.parent, recorded.name))
                job = self._ledger.redeliver(job, outputs=str(recorded))
            else:
                return job

    def _side_by_side(self, job: Job, folder: Folder, recorded: Path) -> Job:
        owner = ownership(folder.group, folder.umask)
        while True:
            left = flat.ordered(self._spool.made(job))
            stem = recorded.name.removesuffix(left[-1]) if left else ""
            targets = [(each, flat.target(each, recorded.parent, stem)) for each in left]
            try:  # with none left, the last one's name is made to last
                self._spool.publish_each(job, targets or [(recorded.name, recorded)], owner)
            except FileExistsError:
                left = flat.ordered(self._spool.made(job))
                if not all(map(flat.is_artefact, left)):
                    raise
                name = self._keep(job, _again(job, folder, recorded.parent, stem), left)
                recorded = flat.target(left[-1], name.folder, name.stem)
                job = self._ledger.redeliver(job, outputs=str(recorded))
            else:
                return job

    def _free_folder(self, name: Name) -> Path:
        return self._spool.free_name(name.folder, name.stem, is_dir=True)

    def _keep(self, job: Job, name: Name, suffixes: Collection[str]) -> Name:
        """The first stem for which none of the names is taken, nor kept for another job."""
        while True:
            others = self._kept_by_others(job)
            choices = (each for each in stems(name.stem) if name.folder / each not in others)
            free = self._spool.free_stem(name.folder, choices, suffixes)
            with self._lock:  # not while the disk is asked: a share may hang
                if name.folder / free.name not in self._kept_by_others(job):
                    self._kept[job.id] = name.folder / free.name
                    return Name(folder=free.parent, stem=free.name)

    def _kept_by_others(self, job: Job) -> set[Path]:
        return {path for number, path in list(self._kept.items()) if number != job.id}


def _again(job: Job, folder: Folder, parent: Path, stem: str) -> Name:
    """What to begin with when a name was taken; its number, if it had one, is not told again."""
    if asks_for_counter(folder.output_name):
        return Name(folder=parent, stem=stem)
    return wanted(job, folder)
