"""A tree that the version before left in the middle of work is taken over.

`tree_of_version_before.tgz` is what a daemon of it had on its disk when it was killed: a book of
six pages, five of which were finished, and a letter that had just been claimed.
"""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from tests.integration.tree import Tree

BEFORE = Path(__file__).with_name("tree_of_version_before.tgz")


def test_its_jobs_are_finished_once_and_no_finished_page_is_read_again(tmp_path: Path) -> None:
    with tarfile.open(BEFORE) as packed:
        packed.extractall(tmp_path, filter="data")
    diary = (tmp_path / "srv" / "diary").read_text(encoding="utf-8")
    tree = Tree(tmp_path / "srv")  # its configuration names the root where it lies now
    for original in (tree.root / ".ocrd" / "jobs").glob("*/source.*"):
        name = {".tif": "sub/book.tif", ".jpg": "queued.jpg"}[original.suffix]
        tree.dropped[name] = hashlib.sha256(original.read_bytes()).hexdigest()
    tree.work_off()
    assert tree.visible("archive") == sorted(tree.dropped)
    assert tree.visible("inbox") == []
    assert tree.spooled() == []
    assert (tree.root / "outbox" / "scans" / "sub" / "book" / "book.md").exists()
    assert (tree.root / "outbox" / "scans" / "queued" / "queued.md").exists()
    assert tree.diary.read_text(encoding="utf-8").startswith(diary)
    tree.check_nothing_twice()
