"""The fault bench itself, and a short run of it over the daemon."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.tree import Tree
from tests.slow.faults.droppers import Ground, Item, rename_in
from tests.slow.faults.evidence import Dropped, Site
from tests.slow.faults.torture import kind_of
from tests.slow.faults.watched import audit_watched
from tests.support.samples import scan_of
from tests.support.waiting import wait_for

FAULTS = ("disk full", "ledger locked", "share unmounted")
PDF = b"%PDF-1.7\n%%EOF\n"


@pytest.mark.parametrize("subject", ["ocrd", "servers"])
def test_files_dropped_while_faults_strike_all_arrive_once(subject: str, tmp_path: Path) -> None:
    given = ["--seed", "4", "--minutes", "0.7", "--files", "60", "--kills", "14"]
    given += ["--subject", subject]
    command = [sys.executable, "-m", "tests.slow.faults.torture", *given]
    run = subprocess.run(
        [*command, "--keep", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    table = dict(line.strip().rsplit(maxsplit=1) for line in run.stdout.splitlines()[1:])
    assert (table["files dropped"], table["daemon killed"]) == ("60", "14")
    assert int(table["originals in archive/"]) > 0


@contextmanager
def watcher(tree: Tree) -> Iterator[None]:
    """The plain watcher at work, its handlers in place."""
    log = tree.root / "watcher.log"
    command = [sys.executable, "-m", "tests.slow.faults.watcher", str(tree.root), "scans"]
    with log.open("w") as out, subprocess.Popen(command, stderr=out) as process:
        try:
            wait_for(lambda: _watches(process.pid))
            yield
        finally:
            process.kill()


def _watches(pid: int) -> bool:
    """Whether the kernel knows of a watch of its."""
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            if "inotify wd" in path.read_text():
                return True
    return False


def drop(tree: Tree, name: str) -> None:
    staging = tree.root / "staging"
    staging.mkdir(exist_ok=True)
    ground = Ground(folder="scans", inbox=tree.inbox, staging=staging)
    rename_in(ground, [Item(source=name, content=_scan(name))])


def _scan(words: str) -> bytes:
    return scan_of(words, width=200, height=80, dpi=72).data


def test_the_watcher_reads_what_it_hears_of_and_nothing_from_before(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    drop(tree, "before.jpg")
    with watcher(tree):
        drop(tree, "after.jpg")
        wait_for(lambda: (tree.root / "archive/scans/after.jpg").exists())
    assert tree.visible("archive") == ["after.jpg"]
    assert tree.visible("outbox") == ["after.pdf", "after.txt"]
    assert tree.visible("inbox") == ["before.jpg"]


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Site, list[Dropped]]:
    """One file that the watcher has dealt with as it should."""
    site = Site(root=tmp_path)
    for tree in ("inbox", "outbox", "archive"):
        site.tree(tree, "scans").mkdir(parents=True)
    (site.tree("archive", "scans") / "a.jpg").write_bytes(b"a")
    (site.tree("outbox", "scans") / "a.pdf").write_bytes(PDF)
    (site.tree("outbox", "scans") / "a.txt").write_text("a")
    sha256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # sha256sum of "a"
    return site, [Dropped(folder="scans", source="a.jpg", sha256=sha256, pages=1)]


def _away(site: Site) -> None:
    (site.tree("archive", "scans") / "a.jpg").unlink()


def _left(site: Site) -> None:
    (site.tree("archive", "scans") / "a.jpg").rename(site.tree("inbox", "scans") / "a.jpg")


def _half(site: Site) -> None:
    (site.tree("outbox", "scans") / "a.pdf").write_bytes(PDF[:9])


def _no_text(site: Site) -> None:
    (site.tree("outbox", "scans") / "a.txt").unlink()


def _twice(site: Site) -> None:
    (site.tree("archive", "scans") / "b.jpg").write_bytes(b"a")
    (site.tree("outbox", "scans") / "b.pdf").write_bytes(PDF)
    (site.tree("outbox", "scans") / "b.txt").write_text("a")


@pytest.mark.parametrize(
    ("plant", "kinds"),
    [
        (_away, {"lost", "doubled"}),  # and its PDF has no original
        (_left, {"left waiting", "doubled"}),
        (_half, {"half-written"}),
        (_no_text, {"half-written"}),
        (_twice, {"doubled"}),
    ],
)
def test_what_the_watcher_does_wrong_is_found(
    watched: tuple[Site, list[Dropped]], plant: Callable[[Site], None], kinds: set[str]
) -> None:
    site, dropped = watched
    assert audit_watched(site, dropped) == []
    plant(site)
    assert set(map(kind_of, audit_watched(site, dropped))) == kinds


def test_what_was_replaced_before_the_watcher_came_is_not_lost(
    watched: tuple[Site, list[Dropped]],
) -> None:
    site, (kept,) = watched
    gone = replace(kept, sha256="0" * 64, replaceable=True)
    assert audit_watched(site, [gone, kept]) == []
