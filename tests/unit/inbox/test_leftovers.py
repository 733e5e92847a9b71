"""A share that goes away while an original is copied out of it, and what it brings back."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from ocrd.files import Disk
from ocrd.job import Found
from ocrd.ledger.ledger import Ledger
from ocrd.spool import Spool
from ocrd.spool.trees import MARKER
from tests.integration.tree import Tree, scan
from tests.support.needs import need

OTHER = "0123456789abcdef"


class Departing(Disk):
    """The share is unmounted when the copy is in place, and before what was copied is removed."""

    def __init__(self, share: Path) -> None:
        super().__init__()
        self._mount = share

    def rename_exclusive(self, source: Path, target: Path) -> None:
        super().rename_exclusive(source, target)
        subprocess.run(["umount", "--lazy", self._mount], check=True)


def mount(server: Path, share: Path) -> None:
    need("mounts")
    subprocess.run(["mount", "--bind", server, share], check=True)


def claimed_while_the_share_goes(tree: Tree, server: Path) -> str:
    """A scan in the share becomes ours, and the share goes; the job's token."""
    content = scan(1)
    (server / "a.jpg").write_bytes(content)
    facts = (server / "a.jpg").stat()
    found = Found(
        folder="scans",
        source="a.jpg",
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        inode=facts.st_ino,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    spool = Spool(tree.root, disk=Departing(tree.inbox))
    spool.prepare()
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        ledger.record([found])
        (job,) = ledger.claim_some(1, now=1e12)
        spool.claim(job, tree.inbox / "a.jpg")
        ledger.moved(job)
    return job.token


def test_the_copied_original_is_removed_when_its_share_is_back(tmp_path: Path) -> None:
    tree, server = Tree(tmp_path / "srv"), tmp_path / "server"
    server.mkdir()
    mount(server, tree.inbox)
    token = claimed_while_the_share_goes(tree, server)
    assert [path.name for path in server.iterdir()] == [f".ocrd-{token}.claim"]
    mount(server, tree.inbox)
    try:
        assert tree.run()[0] == 0
    finally:
        subprocess.run(["umount", "--lazy", tree.inbox], check=True)
    assert [path.name for path in server.iterdir()] == [MARKER]
    assert tree.visible("archive") == ["a.jpg"]


def test_what_is_not_known_to_be_safe_elsewhere_stays(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    tree.drop("a.jpg", scan(1))
    assert tree.run()[0] == 0
    with closing(sqlite3.connect(tree.root / ".ocrd" / "ledger.db")) as raw:
        (token,) = raw.execute("SELECT token FROM jobs").fetchone()
    hidden = {
        f".ocrd-{token}.claim": scan(1),
        f".ocrd-{token}-1.claim": scan(2),  # other bytes than the job's
        f".ocrd-{OTHER}.claim": scan(1),  # of a job that is not known
    }
    for name, content in hidden.items():
        (tree.inbox / name).write_bytes(content)
    assert tree.run()[0] == 0
    here = (path for path in tree.inbox.iterdir() if path.name != MARKER)
    left = {path.name: path.read_bytes() for path in here}
    assert left == {name: hidden[name] for name in list(hidden)[1:]}
