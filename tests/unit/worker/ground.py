"""A ledger, a spool and one folder on the disk, and jobs whose bundles a test writes itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ocrd.config import Folder, load
from ocrd.files import Disk
from ocrd.job import Found, Job
from ocrd.spool import Spool
from ocrd.worker.deliver import Delivery
from ocrd.worker.naming import in_bundle
from tests.unit.ledger.making import opened

NOW = 1_773_040_000.0
ORIGINAL = b"%PDF-1.7 an original"


class Ground:
    """A root with one folder, `scans`.

    Args:
        root: Where; it is made.
        settings: Further lines of the folder's table.
        disk: The system calls of every move.
    """

    def __init__(self, root: Path, settings: str = "", disk: Disk | None = None) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.ledger = opened(root / "ledger.db", clock=lambda: NOW)
        self.spool = Spool(root, disk=disk)
        self.spool.prepare()
        self.delivery = Delivery(ledger=self.ledger, spool=self.spool, clock=lambda: NOW)
        self.set(settings)

    def set(self, settings: str) -> None:
        """Configure the folder anew."""
        config = self.root / "config.toml"
        config.write_text(f'root = "{self.root}"\n[[folder]]\nname = "scans"\n{settings}')
        (self.folder,) = load(config).folders

    folder: Folder

    @property
    def outbox(self) -> Path:
        """The folder's."""
        return self.folder.outbox

    def claimed(self, source: str = "scan.pdf", content: bytes = ORIGINAL) -> Job:
        """A job that has been claimed; its original lies in the inbox."""
        path = self.folder.inbox / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        facts = path.stat()
        found = Found(
            folder="scans",
            source=source,
            size=facts.st_size,
            mtime_ns=facts.st_mtime_ns,
            inode=facts.st_ino,
            sha256=hashlib.sha256(content).hexdigest(),
        )
        self.ledger.record([found])
        (job,) = self.ledger.claim_some(1, now=NOW)
        return job

    def spooled(self, source: str = "scan.pdf", content: bytes = ORIGINAL) -> Job:
        """A job that has been claimed and has come into the spool."""
        job = self.claimed(source, content)
        self.spool.claim(job, self.folder.inbox / source)
        return self.ledger.moved(job)

    def built(self, job: Job, figures: bool = True) -> Path:
        """The job's bundle, built as planned; the text links to the figure by its name."""
        name = self.delivery.plan(job, self.folder)
        stem, images = in_bundle(self.folder, name)
        bundle = self.spool.new_bundle(job)
        files = {f"{stem}{suffix}": suffix for suffix in (".pdf", ".json")}
        files[f"{stem}.md"] = f"![]({images}/1-1.jpg)"
        if figures:
            files[f"{images}/1-1.jpg"] = "a figure"
        for file, text in files.items():
            (bundle / file).parent.mkdir(exist_ok=True)
            (bundle / file).write_text(text)
        self.spool.seal(job)
        return name

    def recorded(self, job: Job, *, figures: bool = True) -> Job:
        """A job whose bundle is built and whose names are in the ledger."""
        return self.delivery.record(job, self.folder, self.built(job, figures))

    def done(self, source: str = "scan.pdf", content: bytes = ORIGINAL) -> Job:
        """A job that went all the way."""
        job = self.recorded(self.spooled(source, content))
        return self.delivery.deliver(job, self.folder)

    def results(self) -> dict[str, str]:
        """Every file in the outbox, by its path in it."""
        return {
            str(path.relative_to(self.outbox)): path.read_text()
            for path in sorted(self.outbox.rglob("*"))
            if path.is_file()
        }


def side_by_side(stem: str) -> Mapping[str, str]:
    """What a flat outbox holds of a job with a figure."""
    return {
        f"{stem}.images/1-1.jpg": "a figure",
        f"{stem}.json": ".json",
        f"{stem}.md": f"![]({stem}.images/1-1.jpg)",
        f"{stem}.pdf": ".pdf",
    }
