"""Builds the parts that live as long as the daemon, and takes them down in reverse."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path

import ocrd
from ocrd import snapshot
from ocrd.children import ChildPool, Limits
from ocrd.config import Config
from ocrd.daemon.engines import BARCODES, EMBEDDED, cores
from ocrd.daemon.places import require_home
from ocrd.daemon.scheduler import Scheduler
from ocrd.document import pile
from ocrd.document.base import BundleSpec
from ocrd.engine import osd
from ocrd.engine.base import Engine
from ocrd.errors import LedgerError
from ocrd.events import Events
from ocrd.files import Disk, display
from ocrd.gate import PageGate
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.readonly import number_beside
from ocrd.oserrors import blaming, os_error
from ocrd.pages import work
from ocrd.pages.base import Rendering
from ocrd.pages.source import ChildPageSource
from ocrd.spool import Spool
from ocrd.spool.tree import make_folders
from ocrd.spool.trees import Trees
from ocrd.worker.calls import Calls
from ocrd.worker.pages import Parts
from ocrd.worker.worker import Worker

PAGE_WINDOW = 64  # pages of one job under way at most, so that a book does not flood the gate
BUNDLE_S = 120.0  # a bundle may take so long, plus `BUNDLE_PAGE_S` for each page
BUNDLE_PAGE_S = 5.0
CLOSE_S = 5.0  # the longest wait for the ledger to close


@dataclass(frozen=True, kw_only=True)
class House:
    """The daemon's parts, wired together."""

    scheduler: Scheduler
    children: tuple[ChildPool, ...]
    places: contextlib.ExitStack  # closes the ledger and releases the locks
    held: Mapping[Path, int]  # descriptors of the files that no other daemon may have

    def replaced(self) -> Path | None:
        """The ledger or the lock, if it was deleted or another file has its name; otherwise None.

        A file whose mount is missing does not count: it comes back with the mount.  Nor does one
        of a disk that answers with an error.
        """
        for file, descriptor in self.held.items():
            with contextlib.suppress(OSError):
                ours = os.fstat(descriptor)
                if ours.st_nlink == 0:
                    return file
                try:
                    there = file.stat()
                except FileNotFoundError:  # renamed away; on another device, its mount is missing
                    there = file.parent.stat()
                if there.st_dev == ours.st_dev and there.st_ino != ours.st_ino:
                    return file
        return None

    def close(self) -> bool:
        """Stop the children and close the ledger; False if a hanging disk prevents that."""
        for pool in self.children:
            pool.stop()
        closing = threading.Thread(target=self.places.close, name="close", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        return not closing.is_alive()


def build(
    config: Config,
    events: Events,
    engine: Engine,
    *,
    disk: Disk | None = None,
    heed_hours: bool = True,
) -> House:
    """Wire all parts together; the scheduler still has to be given folders and inboxes.

    `heed_hours` says whether folders' schedules count.

    Raises:
        PlaceError: The root cannot be used.
        LedgerError: The ledger cannot be used, or another daemon has it.
    """
    ledger, spool, places = open_places(config, events, disk)
    held = {}
    for file in (config.ledger, config.spool / snapshot.LOCK):
        held[file] = os.open(file, os.O_PATH | os.O_CLOEXEC)  # closing others drops SQLite's locks
        places.callback(os.close, held[file])
    pages, page_children = page_source(config, engine)
    document_children = ChildPool(
        name="document builder",
        processes=min(cores(), 16),
        limits=Limits(memory_mib=config.settings.pages.memory_mib, cpu_s=3600, wall_s=3600.0),
        calls=(pile.build,),
        threads=1,
    )
    orientation = None  # embedded engines see it themselves
    if engine.kind not in EMBEDDED and osd.installed():
        orientation = partial(osd.stand_up, page_children)
    gate = PageGate(engine.capacity + page_children.processes)
    parts = Parts(
        ledger=ledger,
        spool=spool,
        home=config.spool,
        pages=pages,
        build=partial(_build_bundle, document_children, config.settings.pages.max_pixels),
        engine=engine,
        gate=gate,
        events=events,
        call=Calls(),
        dpi=config.settings.pages.dpi or engine.dpi,
        window=min(gate.capacity, PAGE_WINDOW),
        orientation=orientation,
        reuse_results=config.settings.engine.reuse_results,
        versions=versions(),
    )

    def expect(jobs: int) -> None:
        page_children.warm(jobs)
        document_children.warm(jobs)

    given = config.settings.jobs
    scheduler = Scheduler(
        parts=parts,
        worker=Worker(parts),
        settings=given,
        max_running=given.max_running or gate.capacity + 8,
        expect=expect,
        heed_hours=heed_hours,
    )
    children = (page_children, document_children)
    return House(scheduler=scheduler, children=children, places=places, held=held)


def open_places(
    config: Config, events: Events, disk: Disk | None = None
) -> tuple[Ledger, Spool, contextlib.ExitStack]:
    """The ledger and the spool, locked for this process until the stack is closed.

    A ledger outside the spool is opened first: it knows which spool belongs to it, so that none is
    made beneath a root that is not mounted.

    Raises:
        PlaceError: The spool is not this installation's (`tree-lost`), or cannot be used.
        LedgerError: Another daemon runs, or the ledger cannot be used.
    """
    disk = disk or Disk()
    if config.ledger.parent == config.spool:
        with blaming(config.spool):
            make_folders(config.spool, disk)
    require_home(config.ledger)
    with contextlib.ExitStack() as opened:
        _lock(config.ledger.with_name(config.ledger.name + ".lock"), opened)
        ledger = opened.enter_context(Ledger.open(config.ledger))
        trees = Trees(
            ledger.installation(),
            ledger.known_trees(),
            disk,
            ledger.know_tree,
            adopted=lambda tree: events.warn("tree.adopted", path=display(tree)),
            beside=[tree for folder in config.folders for _, tree in folder.trees()],
        )
        spool = Spool(config.root, trees=trees, disk=disk)
        spool.prepare()
        _lock(config.spool / snapshot.LOCK, opened)
        # Otherwise a new job could be taken for one with the same number in an earlier ledger.
        ledger.number_after(number_beside(config.ledger))
        return ledger, spool, opened.pop_all()


def _lock(file: Path, opened: contextlib.ExitStack) -> None:
    try:
        lock = snapshot.take_lock(file)
    except OSError as error:
        raise os_error(error, file) from None
    if lock is None:
        raise LedgerError(
            f"another ocrd daemon holds {file}",
            hint="Stop it first (`systemctl stop ocrd`), or give this one its own root and ledger.",
            kind="already-running",
        )
    opened.callback(os.close, lock)


def page_source(config: Config, engine: Engine) -> tuple[ChildPageSource, ChildPool]:
    """The source of page images, and the pool of its child processes."""
    given = config.settings.pages
    preload = ["ocrd.pages.pdf", "ocrd.imaging"]
    preload += [BARCODES] if importlib.util.find_spec(BARCODES) else []
    children = ChildPool(
        name="page worker",
        processes=given.workers or min(cores(), 16),
        limits=Limits(
            memory_mib=given.memory_mib, cpu_s=int(given.timeout_s) + 1, wall_s=given.timeout_s
        ),
        preload=preload,
        calls=(work.inspect, work.page, work.own_text),
        threads=1,
    )
    wanted = Rendering(
        dpi=given.dpi or engine.dpi, max_pixels=given.max_pixels, max_pages=given.max_pages
    )
    source = ChildPageSource(children, wanted, page_wall_s=given.timeout_s)
    return source, children


async def _build_bundle(children: ChildPool, max_pixels: int, spec: BundleSpec, pages: int) -> None:
    bounded = replace(spec, max_pixels=max_pixels)  # show what was read, and nothing larger
    await children.run(
        pile.build,
        bounded,
        wall_s=BUNDLE_S + BUNDLE_PAGE_S * pages,
        readable=sorted({spec.source, spec.pages, *(origin.source for origin in spec.origins)}),
        writable=[spec.into],
    )


def versions() -> dict[str, str]:
    """The versions of what produces a result: ocrd, Python and main libraries, where installed."""
    found = {"ocrd": ocrd.__version__, "python": platform.python_version()}
    for name in ("pymupdf", "pillow", "rapidocr", "onnxruntime", "vllm", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
