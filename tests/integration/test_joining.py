"""Single pages dropped into an inbox come out as documents; done markers let files go on."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from ocrd.ledger.ledger import Ledger
from tests.integration.test_several_files import came_from, configure, sidecar
from tests.integration.tree import Tree, ask, daemon, folder_of, killed_on_the_way, scan
from tests.support.needs import slow
from tests.support.waiting import wait_for

BY_NAME = (
    'join = "pattern"',
    "join_pause_s = 1",
    r"join_pattern = '(?P<document>.+)_(?P<page>\d+)\.jpg'",
)
BY_PAUSE = ('join = "pause"', "join_pause_s = 3")  # many times what a drop takes
POSITIONS = 6  # places on a file's way at which the daemon is killed
DOCUMENTS, KILLS = 6, 4


def archived(tree: Tree) -> dict[str, bytes]:
    top = tree.root / "archive" / "scans"
    return {name: (top / name).read_bytes() for name in tree.visible("archive")}


def bundles(tree: Tree) -> set[str]:
    return {name.split("/")[0] for name in tree.visible("outbox")}


def states(tree: Tree) -> dict[str, str]:
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        assert ledger.verify() == []
        return {job.source: job.state.value for job in ledger.jobs()}


def test_pages_by_name_and_an_unrelated_file_are_two_documents(tree: Tree) -> None:
    configure(tree, *BY_NAME)
    pages = {f"letter_{number}.jpg": scan(number) for number in (10, 8, 11, 9, 12)}
    for name, data in pages.items():
        tree.drop(name, data)
    tree.drop("other.jpg", scan(99))
    tree.work_off()
    assert bundles(tree) == {"letter", "other"}
    in_order = [(f"letter_{number}.jpg", 1) for number in range(8, 13)]
    assert came_from(sidecar(tree, "letter")) == in_order
    originals = {f"letter/{name}": data for name, data in pages.items()}
    assert archived(tree) == {**originals, "other.jpg": scan(99)}
    assert tree.visible("inbox") == []
    assert states(tree) == {"letter": "done", "other.jpg": "done"}
    listed = {job["source"]: job["members"] for job in ask(tree, "jobs")["jobs"]}
    assert listed == {"letter": [name for name, _ in in_order], "other.jpg": []}


def test_pages_that_a_scanner_delivers_one_by_one_are_one_document(tree: Tree) -> None:
    configure(tree, *BY_PAUSE)
    with daemon(tree):
        wait_for(lambda: ask(tree, "status")["daemon"]["state"] == "running")
        for number in (9, 10, 11):
            tree.drop(f"scan {number}.jpg", scan(number))
            time.sleep(0.2)
        wait_for(lambda: folder_of(tree)["done"] == 1)
        tree.drop("scan 1.jpg", scan(1))
        wait_for(lambda: folder_of(tree)["done"] == 2)
    in_order = [(f"scan {number}.jpg", 1) for number in (9, 10, 11)]
    assert came_from(sidecar(tree, "scan 9")) == in_order
    assert bundles(tree) == {"scan 9", "scan 1"}
    assert archived(tree) == {
        **{f"scan 9/scan {number}.jpg": scan(number) for number in (9, 10, 11)},
        "scan 1.jpg": scan(1),
    }


@pytest.mark.parametrize("replaced", [True, False])
def test_a_page_that_changed_while_its_document_was_queued_loses_no_other(
    tree: Tree, *, replaced: bool
) -> None:
    """Behind the daemon's back a page is scanned again and another comes, or one is removed."""
    configure(tree, *BY_NAME)
    for number in (1, 2, 3):
        tree.drop(f"a_{number}.jpg", scan(number))
    with daemon(tree, "--engine-start", "1000"):
        wait_for(lambda: folder_of(tree)["waiting"] == 1)
    if replaced:
        tree.drop("a_2.jpg", scan(22))
        tree.drop("a_4.jpg", scan(4))
    else:
        (tree.inbox / "a_2.jpg").unlink()
    said = tree.work_off()
    pages = {1: 1, 2: 22, 3: 3, 4: 4} if replaced else {1: 1, 3: 3}
    assert archived(tree) == {f"a/a_{page}.jpg": scan(seen) for page, seen in pages.items()}
    assert bundles(tree) == {"a"}
    assert len(came_from(sidecar(tree, "a"))) == len(pages)
    assert replaced or "event=job.source_gone" in said


def test_marked_files_are_taken_and_their_markers_go(tree: Tree) -> None:
    configure(tree, 'done_marker = "{name}.done"')
    tree.drop("a.jpg", scan(1))
    tree.drop("b.jpg", scan(2))
    for marker in ("a.jpg.done", "c.jpg.done"):
        (tree.inbox / marker).touch()
    with daemon(tree):
        wait_for(lambda: folder_of(tree)["done"] == 1)
        wait_for(lambda: folder_of(tree)["unmarked"] == 1)
    assert tree.visible("inbox") == ["b.jpg", "c.jpg.done"]
    assert archived(tree) == {"a.jpg": scan(1)}
    tree.work_off()  # what waits for a marker is not waited for
    (tree.inbox / "b.jpg.done").touch()
    tree.work_off()
    assert tree.visible("inbox") == ["c.jpg.done"]


def test_a_cancelled_jobs_marker_goes_with_its_original(tree: Tree) -> None:
    configure(tree, 'done_marker = "{stem}.ok"')
    tree.drop("a.jpg", scan(1))
    (tree.inbox / "a.ok").touch()
    with daemon(tree, "--engine-start", "1000"):
        wait_for(lambda: folder_of(tree)["waiting"] == 1)
        assert tree.visible("inbox") == ["a.jpg", "a.ok"]
        with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
            assert ledger.request_cancel([1])
        wait_for(lambda: ask(tree, "show", "1")["state"] == "cancelled")
    assert tree.visible("inbox") == []
    assert tree.visible("failed") == ["a.jpg", "a.jpg.error.json"]


@slow
def test_killed_on_the_way_a_marked_document_arrives_once_and_leaves_no_marker(
    tmp_path: Path,
) -> None:
    def dropped(root: Path) -> Tree:
        tree = Tree(root)
        configure(tree, *BY_NAME, 'done_marker = "{name}.done"')
        tree.drop("a_1.jpg", scan(1))
        tree.drop("a_2.jpg", scan(2))
        (tree.inbox / "a.done").touch()
        return tree

    for tree in killed_on_the_way(tmp_path, dropped, POSITIONS):
        tree.work_off()
        assert tree.visible("inbox") == []
        assert archived(tree) == {"a/a_1.jpg": scan(1), "a/a_2.jpg": scan(2)}
        assert bundles(tree) == {"a"}
        assert states(tree) == {"a": "done"}


@slow
def test_killed_at_random_moments_every_document_arrives_whole(tree: Tree) -> None:
    configure(tree, *BY_NAME)
    pages = {
        f"doc-{number}_{page}.jpg": scan(10 * number + page)
        for number in range(DOCUMENTS)
        for page in (1, 2, 3)
    }
    for name, data in pages.items():
        tree.drop(name, data)
    rng = random.Random(20261123)
    for _ in range(KILLS):
        with tree.start("--engine-delay", "0.05") as process:
            try:
                process.wait(timeout=rng.uniform(1.5, 4.0))
            except subprocess.TimeoutExpired:
                process.kill()
    tree.work_off()
    assert archived(tree) == {f"{name.split('_')[0]}/{name}": data for name, data in pages.items()}
    assert bundles(tree) == {f"doc-{number}" for number in range(DOCUMENTS)}
    for number in range(DOCUMENTS):
        expected = [(f"doc-{number}_{page}.jpg", 1) for page in (1, 2, 3)]
        assert came_from(sidecar(tree, f"doc-{number}")) == expected
    assert set(states(tree).values()) == {"done"}
    tree.check_nothing_twice()
