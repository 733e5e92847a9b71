"""`ocrd estimate`: pages are counted as the daemon would count them, nothing is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pymupdf
import pytest
from PIL import Image

from ocrd.ledger.ledger import Ledger
from tests.support.forked_children import fork_children
from tests.unit.cli.conftest import Tree
from tests.unit.ledger import making
from tests.unit.ledger.making import Clock


@pytest.fixture(autouse=True)
def _quick_children(monkeypatch: pytest.MonkeyPatch) -> None:
    fork_children(monkeypatch.setattr)


def pile(into: Path) -> Path:
    """Six pages: a PDF of three, a TIFF of two, a picture; and three things that do not count."""
    folder = into / "pile" / "2026"
    folder.mkdir(parents=True)
    with pymupdf.open() as document:
        for _ in range(3):
            document.new_page()
        document.save(folder / "three.pdf")
    page = Image.new("L", (200, 300), 255)
    page.save(folder / "two.tif", save_all=True, append_images=[page])
    page.save(folder / "one.png")
    (folder / ".hidden.pdf").write_bytes(b"x")
    (folder / "upload.part").write_bytes(b"x")
    (folder / "link.pdf").symlink_to(folder / "three.pdf")
    return into / "pile"


def test_a_pile_is_counted_with_its_sub_folders(tree: Tree, tmp_path: Path) -> None:
    ended = tree.ocrd("estimate", str(pile(tmp_path)))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "3 files, 6 pages, less than a minute\n"


def test_a_file_that_nobody_can_read_is_named_and_left_out(tree: Tree, tmp_path: Path) -> None:
    folder = pile(tmp_path)
    (folder / "no\nscan.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    ended = tree.ocrd("estimate", str(folder))
    first, last = ended.stdout.splitlines()
    assert first.startswith("3 files, 6 pages")
    assert last == "1 file would go to failed/"
    assert len(ended.stderr.splitlines()) == 1
    assert r"no\nscan.pdf" in ended.stderr


def test_a_single_file_may_be_named(tree: Tree, tmp_path: Path) -> None:
    ended = tree.ocrd("estimate", str(pile(tmp_path) / "2026" / "two.tif"))
    assert ended.stdout.startswith("1 file, 2 pages")
    assert not (tree.root / ".ocrd" / "ledger.db").exists()


def test_the_time_a_page_took_lately_counts_and_idle_time_does_not(
    tree: Tree, tmp_path: Path
) -> None:
    clock = Clock()
    with Ledger.open(tree.ledger, clock=clock) as ledger:
        for number in range(3):  # three documents of 10 pages, 40 s each, a day apart
            making.queued(ledger, f"{number}.pdf")
            (job,) = ledger.claim_some(1, now=clock.now)
            job = ledger.set_pages(ledger.moved(job), 10)
            clock.now += 40
            ledger.done(ledger.deliver(job, outputs="/o", archived_to="/a"))
            clock.now += 86_400
    told = json.loads(tree.ocrd("estimate", str(pile(tmp_path)), "--json").stdout)
    assert told == {"version": 1, "files": 3, "pages": 6, "seconds": 24, "refused": []}
