"""A root with its folders, jobs in it, and a look at what is visible there."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ocrd.files import Disk
from ocrd.job import Job, JobState, Member, Place
from ocrd.spool import Spool
from ocrd.spool.trees import MARKER, Trees

TREES = ("inbox", "outbox", "archive", "failed")
TOKEN = "3f9a2c"
INSTALLATION = "00112233445566778899aabbccddeeff"
ORIGINAL = b"%PDF-1.7\n" + bytes(range(256)) * 40
REPORT = b'{"kind": "damaged"}\n'
MEMBERS = {"scan_1.jpg": b"\xff\xd8 first" * 900, "scan_2.jpg": b"\xff\xd8 second" * 700}
BUNDLE = {
    "scan.md": b"# A letter\n" * 300,
    "scan.json": b'{"version": 1}\n' * 100,
    "images/3-1.jpg": bytes(reversed(range(256))) * 20,
}
PIECES = {
    "scan.images/3-1.jpg": bytes(reversed(range(256))) * 20,
    ".json": b'{"version": 1}\n' * 100,
    ".md": b"![](scan.images/3-1.jpg)\n" * 300,
}


STEPS: dict[str, Callable[[Spool, Job, Path], object]] = {
    "outbox": lambda spool, job, target: spool.publish(job, target),
    "archive": lambda spool, job, target: spool.archive(job, target),
    "failed": lambda spool, job, target: spool.fail(job, target, REPORT),
}
"""What puts something into each tree of results."""


def left(tree: str) -> dict[str, bytes]:
    """What is seen once a bundled job's step has gone to `TREE/letters/scan`."""
    place = f"{tree}/letters/scan"
    if tree == "outbox":
        return bundle_at(place)
    return {place: ORIGINAL} | ({f"{place}.error.json": REPORT} if tree == "failed" else {})


@dataclass(frozen=True)
class World:
    """A root below which a test plays."""

    root: Path

    def make(self) -> None:
        """Empty everything (mounts stay); what `Trees` looks for at length is there beforehand."""
        self.root.mkdir(exist_ok=True)
        for tree in TREES:
            self.tree(tree).mkdir(exist_ok=True)
            _empty(self.tree(tree))
            self.tree(tree).chmod(0o755)
            (self.tree(tree) / MARKER).write_text(f"{INSTALLATION}:1")
        spool = self.root / ".ocrd"
        if (spool / "jobs").is_dir():
            _empty(spool, "jobs", MARKER)
            _empty(spool / "jobs")
        else:
            shutil.rmtree(spool, ignore_errors=True)
            self.spool().prepare()

    def trees(self, disk: Disk) -> Trees:
        """The trees of this root, each resolved beneath itself."""
        for tree in TREES:
            disk.know(self.tree(tree))
        return Trees(INSTALLATION, {}, disk, lambda *_: None)

    def spool(self, disk: Disk | None = None) -> Spool:
        """The spool of this root."""
        disk = disk or Disk()
        return Spool(self.root, trees=self.trees(disk), disk=disk)

    def tree(self, name: str) -> Path:
        """One of the four trees."""
        return self.root / name

    def drop(self, relpath: str, content: bytes = ORIGINAL, *, tree: str = "inbox") -> Job:
        """A file appears, and a job for it."""
        path = self.tree(tree) / relpath
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return job_of(path, relpath)

    def drop_joined(self, relpath: str = "letters/scan", *, tree: str = "inbox") -> Job:
        """The members of a joined document appear, and a job for them."""
        folder = self.tree(tree) / (relpath if tree != "inbox" else Path(relpath).parent)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in MEMBERS.items():
            (folder / name).write_bytes(content)
        return joined_job_of([folder / name for name in MEMBERS], relpath)

    def claimed_joined(self, relpath: str = "letters/scan") -> Job:
        """A job whose members are in the spool."""
        job = self.drop_joined(relpath)
        self.spool().claim(job, self.tree("inbox") / relpath)
        return replace(job, place=Place.SPOOL)

    def claimed(self, relpath: str = "letters/scan.pdf", content: bytes = ORIGINAL) -> Job:
        """A job whose original is in the spool."""
        job = self.drop(relpath, content)
        self.spool().claim(job, self.tree("inbox") / relpath)
        return replace(job, place=Place.SPOOL)

    def bundled(
        self, relpath: str = "letters/scan.pdf", content: Mapping[str, bytes] | None = None
    ) -> Job:
        """A job with a sealed bundle."""
        job = self.claimed(relpath)
        build(self.spool(), job, content or BUNDLE)
        return job

    def visible(self) -> dict[str, bytes]:
        """Every file that a person sees, by its path below the root."""
        return {
            name: content
            for name, content in self.files().items()
            if not any(part.startswith(".ocrd") for part in name.split("/"))
        }

    def results(self) -> list[Path]:
        """Every file and folder seen in the trees of results, the trees themselves left out."""
        return sorted(
            path
            for tree in TREES[1:]
            for path in self.tree(tree).rglob("*")
            if not any(part.startswith(".ocrd") for part in path.parts)
        )

    def temporaries(self) -> list[str]:
        """Hidden files and folders left lying where people look."""
        return sorted(
            str(path.relative_to(self.root))
            for tree in TREES
            for path in self.tree(tree).rglob(".ocrd*")
            if path.name != MARKER
        )

    def spooled(self) -> list[str]:
        """What the spool holds, below `jobs/`; names only."""
        prefix = ".ocrd/jobs/"
        return sorted(name.removeprefix(prefix) for name in self.files() if name.startswith(prefix))

    def files(self) -> dict[str, bytes]:
        """Every file below the root, markers left out."""
        found = {}
        for folder, _folders, names in os.walk(self.root):
            for name in set(names) - {MARKER}:
                path = Path(folder, name)
                regular = stat.S_ISREG(path.lstat().st_mode)
                found[str(path.relative_to(self.root))] = path.read_bytes() if regular else b"?"
        return found


def job_of(path: Path, source: str, *, number: int = 7, token: str = TOKEN) -> Job:
    """A job as the ledger would record the file at `path` now."""
    facts = path.stat()
    return Job(
        id=number,
        token=token,
        folder="letters",
        source=source,
        state=JobState.RUNNING,
        place=Place.INBOX,
        attempts=1,
        priority=0,
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        inode=facts.st_ino,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        pages=None,
        pages_done=0,
        created_at=1_700_000_000.25,
        not_before=0.0,
        started_at=None,
        finished_at=None,
        outputs=None,
        archived_to=None,
        failed_to=None,
        error=None,
        cancel_requested=False,
    )


def joined_job_of(paths: list[Path], source: str) -> Job:
    """A job as the ledger would record the document that the files at `paths` make."""
    folder = source.rpartition("/")[0]
    members = tuple(
        Member(
            source=f"{folder}/{path.name}" if folder else path.name,
            size=path.stat().st_size,
            mtime_ns=path.stat().st_mtime_ns,
            inode=path.stat().st_ino,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in paths
    )
    return replace(job_of(paths[0], source), inode=0, sha256="ab" * 32, members=members)


def members_at(place: str) -> dict[str, bytes]:
    """The members' files as they are seen in the folder `place`."""
    return {f"{place}/{name}": content for name, content in MEMBERS.items()}


def build(spool: Spool, job: Job, files: Mapping[str, bytes] = BUNDLE) -> None:
    """Make and seal the job's bundle."""
    bundle = spool.new_bundle(job)
    for name, content in files.items():
        path = bundle / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    spool.seal(job)


def bundle_at(place: str) -> dict[str, bytes]:
    """The bundle's files as they are seen at `place`."""
    return {f"{place}/{name}": content for name, content in BUNDLE.items()}


def pieces_at(folder: str) -> dict[str, bytes]:
    """The pieces of a bundle as they lie side by side in a folder."""
    return {
        f"{folder}/{f'scan{name}' if name.startswith('.') else name}": content
        for name, content in PIECES.items()
    }


def _empty(folder: Path, *kept: str) -> None:
    for entry in folder.iterdir():
        if entry.name in kept:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
